"""Reading a folder of pairs."""

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.data import pair_folder, pairs
from fpgan_jax.errors import UserError
from tests.data.conftest import PAIR_SIZE as SIZE


def write_pair_file(path, width=2 * SIZE, height=SIZE, mode="L"):
    values = np.random.default_rng(len(path.name)).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(values).convert(mode).save(path)


@pytest.mark.parametrize(
    ("filename", "identity"),
    [
        ("005_03.png", (5, 3)),
        ("12_0.jpg", (12, 0)),
        ("1000_123.PNG", (1000, 123)),
        ("5.png", (-1, -1)),
        ("cat_03.png", (-1, -1)),
        ("005_03_fake_B.png", (-1, -1)),
    ],
)
def test_parses_a_pairs_name(filename, identity):
    assert pairs.parse_pair_name(filename) == identity


@pytest.mark.parametrize("extension", ["png", "jpg", "jpeg", "bmp", "PNG", "tif", "tiff"])
def test_a_folder_takes_every_format(data_config, tmp_path, extension):
    write_pair_file(tmp_path / f"a.{extension}")
    assert pair_folder.PairFolder(tmp_path, data_config)[0]["real_image"].shape == (SIZE, SIZE, 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_a_folder_converts_to_the_channels_asked_for(data_config, tmp_path, mode, num_channels):
    data_config.num_channels = num_channels
    write_pair_file(tmp_path / "a.png", mode=mode)
    assert pair_folder.PairFolder(tmp_path, data_config)[0]["noise_image"].shape == (SIZE, SIZE, num_channels)


def test_a_folder_resizes_each_half_apart(data_config, tmp_path):
    pixels = np.repeat(np.uint8([[0], [1]]), 16, axis=1).repeat(4, axis=0)
    pixels[:, 8:] += 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    example = pair_folder.PairFolder(tmp_path, data_config)[0]
    assert (example["noise_image"] <= 1).all() and (example["real_image"] >= 200).all()


def test_a_folder_of_other_names_has_no_persons(data_config, tmp_path):
    write_pair_file(tmp_path / "cat.png")
    folder = pair_folder.PairFolder(tmp_path, data_config)
    assert folder.identify(0) == (pairs.UNKNOWN, pairs.UNKNOWN)


def test_a_folder_leaves_other_files_alone(data_config, tmp_path):
    write_pair_file(tmp_path / "a.png")
    for name in ("notes.txt", ".hidden.png", "._a.png"):
        (tmp_path / name).write_text("other")
    assert len(pair_folder.PairFolder(tmp_path, data_config)) == 1


def write_truncated_png(path):
    write_pair_file(path)
    path.write_bytes(path.read_bytes()[:-200])


def write_text(path):
    path.write_text("not an image")


def write_odd(path):
    write_pair_file(path, width=2 * SIZE + 1)


BAD_FILES = [
    (write_truncated_png, "cannot be read"),
    (write_text, "cannot be read"),
    (write_odd, "even width"),
]


@pytest.mark.parametrize(("write", "reason"), BAD_FILES)
def test_a_bad_file_stops(data_config, tmp_path, write, reason):
    write(tmp_path / "bad.png")
    with pytest.raises(UserError, match=rf"bad\.png: .*{reason}"):
        pair_folder.PairFolder(tmp_path, data_config)


@pytest.mark.parametrize(("write", "reason"), BAD_FILES)
def test_a_bad_file_is_named_and_skipped(data_config, tmp_path, caplog, write, reason):
    data_config.on_bad_file = "skip"
    write(tmp_path / "bad.png")
    write_pair_file(tmp_path / "good.png")
    folder = pair_folder.PairFolder(tmp_path, data_config)
    assert folder.names == ("good.png",)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "bad.png" in warnings[0] and "skipped 1 of 2 files" in warnings[1]


def test_a_truncated_jpeg_stops(data_config, tmp_path):
    write_pair_file(tmp_path / "bad.jpg", 400, 200)
    (tmp_path / "bad.jpg").write_bytes((tmp_path / "bad.jpg").read_bytes()[:3000])
    with pytest.raises(UserError, match=r"bad\.jpg: cannot be read"):
        pair_folder.PairFolder(tmp_path, data_config)


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_refuses_a_missing_folder(data_config, tmp_path, folder):
    with pytest.raises(UserError, match=r"config\.data\.paired_dir: .* is not a folder"):
        pair_folder.PairFolder(folder and tmp_path / folder, data_config)


def test_refuses_an_empty_folder(data_config, tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.paired_dir: .* holds no paired"):
        pair_folder.PairFolder(tmp_path, data_config)


def test_refuses_an_odd_pair_read_alone(tmp_path):
    write_odd(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: .*even width"):
        pair_folder.read_pair(tmp_path / "a.png")


def write_two(folder, *names):
    for name in names:
        write_pair_file(folder / name)


def test_two_names_of_one_pair_are_refused(data_config, tmp_path):
    write_two(tmp_path, "005_03.png", "5_3.png")
    with pytest.raises(UserError, match=r"5_3\.png: the same person and replica as 005_03\.png"):
        pair_folder.PairFolder(tmp_path, data_config)


def test_the_hash_tells_a_changed_folder(data_config, tmp_path):
    write_two(tmp_path, "a.png", "b.png")
    before = pair_folder.PairFolder(tmp_path, data_config).data_hash
    assert pair_folder.PairFolder(tmp_path, data_config).data_hash == before
    write_pair_file(tmp_path / "b.png", mode="1")
    assert pair_folder.PairFolder(tmp_path, data_config).data_hash != before


def test_a_pair_is_found_by_its_name(data_config, tmp_path):
    write_two(tmp_path, "a.png", "b.png")
    folder = pair_folder.PairFolder(tmp_path, data_config)
    assert folder.find("b.png") == 1
    with pytest.raises(UserError, match=r"the pair c\.png is no longer in"):
        folder.find("c.png")


# Pure colors of one luminance in whole numbers: 76 = 299 * 255 / 1000 = 587 * 130 / 1000.
RED, GREEN = (255, 0, 0), (0, 130, 0)


def write_colored_pair(path):
    """Write stripes of two colors of one luminance beside a print in gray."""
    pixels = np.empty((SIZE, 2 * SIZE, 3), np.uint8)
    pixels[:, 0:SIZE:2], pixels[:, 1:SIZE:2] = RED, GREEN
    pixels[:, SIZE:] = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 1))
    Image.fromarray(pixels).save(path)


def test_colors_of_one_luminance_are_not_blank(data_config, tmp_path):
    write_colored_pair(tmp_path / "a.png")
    with pytest.raises(
        UserError, match=r"a\.png: its left half is blank in gray, .*num_channels=1 .*set it to 3"
    ):
        pair_folder.PairFolder(tmp_path, data_config)
    data_config.num_channels = 3
    assert pair_folder.PairFolder(tmp_path, data_config)[0]["noise_image"][0, :2].tolist() == [
        list(RED),
        list(GREEN),
    ]


@pytest.mark.parametrize(("mode", "num_channels"), [("RGB", 1), ("L", 1), ("RGB", 3)])
def test_colors_that_become_gray_are_told_in_one_line(data_config, tmp_path, caplog, mode, num_channels):
    data_config.num_channels = num_channels
    for name in ("a.png", "b.png"):
        write_pair_file(tmp_path / name, mode=mode)
    pair_folder.PairFolder(tmp_path, data_config)
    lines = [record.getMessage() for record in caplog.records if "in color" in record.getMessage()]
    is_lost = (mode, num_channels) == ("RGB", 1)
    assert len(lines) == is_lost
    assert not is_lost or "a.png is in color, perhaps others too, and is read as gray" in lines[0]


def test_gray_that_is_stored_in_three_channels_is_no_color(data_config, tmp_path, caplog):
    write_pair_file(tmp_path / "a.png")
    Image.open(tmp_path / "a.png").convert("RGB").save(tmp_path / "a.png")
    pair_folder.PairFolder(tmp_path, data_config)
    assert "in color" not in caplog.text


@pytest.mark.parametrize(("width", "height"), [(SIZE, SIZE), (64, 64), (96, 103)])
def test_a_folder_of_single_images_is_refused(data_config, tmp_path, width, height):
    write_pair_file(tmp_path / "a.png", width, height)
    with pytest.raises(
        UserError, match=rf"a\.png: {width} x {height} pixels are one image's shape, .*image_width"
    ):
        pair_folder.PairFolder(tmp_path, data_config)


def test_a_square_of_two_narrow_halves_is_a_pair(data_config, tmp_path):
    data_config.image_width = SIZE // 2
    write_pair_file(tmp_path / "a.png", SIZE, SIZE)
    assert pair_folder.PairFolder(tmp_path, data_config)[0]["real_image"].shape == (SIZE, SIZE // 2, 1)


@pytest.mark.parametrize("orientation", [1, 3])
def test_condition_and_target_are_as_a_viewer_shows_them(data_config, tmp_path, orientation):
    shown = np.concatenate([np.eye(SIZE), 1 - np.eye(SIZE)], axis=1).astype(np.uint8) * 255
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = shown if orientation == 1 else shown[::-1, ::-1]
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    example = pair_folder.PairFolder(tmp_path, data_config)[0]
    np.testing.assert_array_equal(example["noise_image"][..., 0], shown[:, :SIZE])
