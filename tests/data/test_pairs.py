"""Tests of pairs of noise and print, made and on disk."""

import numpy as np
import pytest
from PIL import Image

from configs import pix2pix_socofing
from fpgan_jax.data import pairs
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError

SIZE = 16


@pytest.fixture
def data_config():
    data_config = pix2pix_socofing.get_config().data
    data_config.image_size = SIZE
    data_config.num_replicas = 3
    return data_config


@pytest.fixture
def prints():
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 1), np.uint8)
    return PrintSet(images, np.array([4, 11], np.int32), ("four", "eleven"))


@pytest.fixture
def replicated(prints, data_config):
    return pairs.ReplicatedPrints(prints, data_config)


def write_pair_file(path, width=2 * SIZE, height=SIZE, mode="L"):
    values = np.random.default_rng(len(path.name)).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(values).convert(mode).save(path)


def test_every_print_is_replicated(replicated):
    identities = [replicated.identify(index) for index in range(len(replicated))]
    assert identities == [(4, 0), (4, 1), (4, 2), (11, 0), (11, 1), (11, 2)]


def test_an_example_tells_its_identity(replicated):
    example = replicated[4]
    assert (example["person"], example["replica"]) == replicated.identify(4)


def test_replicas_share_their_persons_print(replicated, prints):
    for index in range(6):
        np.testing.assert_array_equal(replicated[index]["real_image"], prints.images[index // 3])


def test_every_replica_has_noise_of_its_own(replicated):
    assert len({replicated[index]["noise_image"].tobytes() for index in range(6)}) == 6


def test_noise_per_person_is_shared_by_the_replicas(prints, data_config):
    data_config.noise_per = "person"
    replicated = pairs.ReplicatedPrints(prints, data_config)
    noises = [replicated[index]["noise_image"].tobytes() for index in range(6)]
    assert (len(set(noises[:3])), len(set(noises[3:])), len(set(noises))) == (1, 1, 2)


def test_noise_depends_on_its_seed(replicated, prints, data_config):
    data_config.noise_seed = 1
    other = pairs.ReplicatedPrints(prints, data_config)
    assert (replicated[0]["noise_image"] != other[0]["noise_image"]).any()


def test_stacks_a_batch(replicated):
    batch = pairs.create_batch(replicated, [5, 0])
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        "noise_image": ((2, SIZE, SIZE, 1), np.uint8),
        "real_image": ((2, SIZE, SIZE, 1), np.uint8),
        "person": ((2,), np.int32),
        "replica": ((2,), np.int32),
    }
    np.testing.assert_array_equal(batch["noise_image"][0], replicated[5]["noise_image"])
    assert (batch["person"].tolist(), batch["replica"].tolist()) == ([11, 4], [2, 0])


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


def test_writes_names_in_the_order_of_the_pairs(replicated, tmp_path):
    paths = pairs.write_pairs(replicated, tmp_path)
    expected = ["004_00.png", "004_01.png", "004_02.png", "011_00.png", "011_01.png", "011_02.png"]
    assert [path.name for path in paths] == expected
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == expected


def test_writes_noise_left_and_print_right_in_grey(replicated, tmp_path):
    path = pairs.write_pairs(replicated, tmp_path)[1]
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("L", (2 * SIZE, SIZE))
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels[:, :SIZE], replicated[1]["noise_image"][:, :, 0])
    np.testing.assert_array_equal(pixels[:, SIZE:], replicated[1]["real_image"][:, :, 0])


def test_names_sort_in_order_beyond_a_hundred_replicas(prints, data_config, tmp_path):
    data_config.num_replicas = 101
    paths = pairs.write_pairs(pairs.ReplicatedPrints(prints, data_config), tmp_path)
    assert [path.name for path in paths] == sorted(path.name for path in paths)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_a_folder_reads_back_what_was_written(prints, data_config, tmp_path, num_channels):
    data_config.num_channels = num_channels
    images = np.repeat(prints.images, num_channels, axis=3)
    replicated = pairs.ReplicatedPrints(PrintSet(images, prints.persons, prints.filenames), data_config)
    pairs.write_pairs(replicated, tmp_path)
    folder = pairs.PairFolder(tmp_path / "train", data_config)
    assert (len(folder), folder.persons) == (6, (4, 11))
    expected, read = (pairs.create_batch(source, range(6)) for source in (replicated, folder))
    for name in expected:
        np.testing.assert_array_equal(read[name], expected[name])


def test_pairs_of_nobody_known_keep_their_names(replicated, data_config, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, path in zip(("b.png", "a.png"), pairs.write_pairs(replicated, tmp_path), strict=False):
        path.rename(theirs / name)
    paths = pairs.write_pairs(pairs.PairFolder(theirs, data_config), tmp_path / "out")
    assert [path.name for path in paths] == ["a.png", "b.png"]
    np.testing.assert_array_equal(pairs.read_pair(paths[1])[1], replicated[0]["real_image"])
    Image.open(theirs / "a.png").save(theirs / "a.bmp")
    with pytest.raises(UserError, match=r"a\.png: two pairs' files have this name"):
        pairs.write_pairs(pairs.PairFolder(theirs, data_config), tmp_path / "again")


def test_writing_again_replaces_the_same_pairs(replicated, tmp_path):
    path = pairs.write_pairs(replicated, tmp_path)[0]
    path.write_bytes(b"")
    pairs.write_pairs(replicated, tmp_path)
    np.testing.assert_array_equal(pairs.read_pair(path)[1], replicated[0]["real_image"])


def test_writing_replaces_a_link_and_not_what_it_leads_to(replicated, tmp_path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "004_00.png").symlink_to(outside)
    path = pairs.write_pairs(replicated, tmp_path)[0]
    assert outside.read_bytes() == b"mine" and path.is_file() and not path.is_symlink()


def test_refuses_to_write_beside_other_files(replicated, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "099_00.png").touch()
    with pytest.raises(UserError, match=r"train: holds 1 files .* 099_00\.png"):
        pairs.write_pairs(replicated, tmp_path)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "._004_00.png"])
def test_writes_beside_what_a_file_manager_left(replicated, tmp_path, name):
    pairs.write_pairs(replicated, tmp_path)
    (tmp_path / "train" / name).touch()
    assert len(pairs.write_pairs(replicated, tmp_path)) == 6
    assert (tmp_path / "train" / name).exists()


def test_a_failed_write_leaves_no_file(replicated, tmp_path, monkeypatch):
    def fail(self, file, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        pairs.write_pairs(replicated, tmp_path)
    assert list((tmp_path / "train").iterdir()) == []


def test_what_a_killed_run_left_does_not_stop_the_next(replicated, tmp_path):
    path = pairs.write_pairs(replicated, tmp_path)[0]
    path.with_name(f"{path.name}.tmp").write_bytes(b"half")
    assert len(pairs.write_pairs(replicated, tmp_path)) == 6
    assert len(list((tmp_path / "train").iterdir())) == 6


@pytest.mark.parametrize("extension", ["png", "jpg", "jpeg", "bmp", "PNG", "tif", "tiff"])
def test_a_folder_takes_every_format(data_config, tmp_path, extension):
    write_pair_file(tmp_path / f"a.{extension}")
    assert pairs.PairFolder(tmp_path, data_config)[0]["real_image"].shape == (SIZE, SIZE, 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_a_folder_converts_to_the_channels_asked_for(data_config, tmp_path, mode, num_channels):
    data_config.num_channels = num_channels
    write_pair_file(tmp_path / "a.png", mode=mode)
    assert pairs.PairFolder(tmp_path, data_config)[0]["noise_image"].shape == (SIZE, SIZE, num_channels)


def test_a_folder_resizes_each_half_apart(data_config, tmp_path):
    pixels = np.repeat(np.uint8([[0], [1]]), 16, axis=1).repeat(4, axis=0)
    pixels[:, 8:] += 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    example = pairs.PairFolder(tmp_path, data_config)[0]
    assert (example["noise_image"] <= 1).all() and (example["real_image"] >= 200).all()


def test_a_folder_of_other_names_has_no_persons(data_config, tmp_path):
    write_pair_file(tmp_path / "cat.png")
    folder = pairs.PairFolder(tmp_path, data_config)
    assert (folder.persons, folder.identify(0)) == ((), (pairs.UNKNOWN, pairs.UNKNOWN))


def test_a_folder_leaves_other_files_alone(data_config, tmp_path):
    write_pair_file(tmp_path / "a.png")
    for name in ("notes.txt", ".hidden.png", "._a.png"):
        (tmp_path / name).write_text("other")
    assert len(pairs.PairFolder(tmp_path, data_config)) == 1


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
        pairs.PairFolder(tmp_path, data_config)


@pytest.mark.parametrize(("write", "reason"), BAD_FILES)
def test_a_bad_file_is_named_and_skipped(data_config, tmp_path, caplog, write, reason):
    data_config.on_bad_file = "skip"
    write(tmp_path / "bad.png")
    write_pair_file(tmp_path / "good.png")
    folder = pairs.PairFolder(tmp_path, data_config)
    assert folder.names == ("good.png",)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "bad.png" in warnings[0] and "skipped 1 of 2 files" in warnings[1]


def test_a_truncated_jpeg_stops(data_config, tmp_path):
    write_pair_file(tmp_path / "bad.jpg", 400, 200)
    (tmp_path / "bad.jpg").write_bytes((tmp_path / "bad.jpg").read_bytes()[:3000])
    with pytest.raises(UserError, match=r"bad\.jpg: cannot be read"):
        pairs.PairFolder(tmp_path, data_config)


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_refuses_a_missing_folder(data_config, tmp_path, folder):
    with pytest.raises(UserError, match=r"config\.data\.paired_dir: .* is not a folder"):
        pairs.PairFolder(folder and tmp_path / folder, data_config)


def test_refuses_an_empty_folder(data_config, tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.paired_dir: .* holds no paired"):
        pairs.PairFolder(tmp_path, data_config)


def test_refuses_an_odd_pair_read_alone(tmp_path):
    write_odd(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: .*even width"):
        pairs.read_pair(tmp_path / "a.png")


def write_two(folder, *names):
    for name in names:
        write_pair_file(folder / name)


def test_two_names_of_one_pair_are_refused(data_config, tmp_path):
    write_two(tmp_path, "005_03.png", "5_3.png")
    with pytest.raises(UserError, match=r"5_3\.png: the same person and replica as 005_03\.png"):
        pairs.PairFolder(tmp_path, data_config)


def test_the_hash_tells_a_changed_folder(data_config, tmp_path):
    write_two(tmp_path, "a.png", "b.png")
    before = pairs.PairFolder(tmp_path, data_config).data_hash
    assert pairs.PairFolder(tmp_path, data_config).data_hash == before
    write_pair_file(tmp_path / "b.png", mode="1")
    assert pairs.PairFolder(tmp_path, data_config).data_hash != before


def test_a_pair_is_found_by_its_name(data_config, tmp_path):
    write_two(tmp_path, "a.png", "b.png")
    folder = pairs.PairFolder(tmp_path, data_config)
    assert folder.find("b.png") == 1
    with pytest.raises(UserError, match=r"the pair c\.png is no longer in"):
        folder.find("c.png")


# Pure colors of one luminance in whole numbers: 76 = 299 * 255 / 1000 = 587 * 130 / 1000.
RED, GREEN = (255, 0, 0), (0, 130, 0)


def write_colored_pair(path):
    """Write stripes of two colors of one luminance beside a print in grey."""
    pixels = np.empty((SIZE, 2 * SIZE, 3), np.uint8)
    pixels[:, 0:SIZE:2], pixels[:, 1:SIZE:2] = RED, GREEN
    pixels[:, SIZE:] = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 1))
    Image.fromarray(pixels).save(path)


def test_colors_of_one_luminance_are_not_blank(data_config, tmp_path):
    write_colored_pair(tmp_path / "a.png")
    with pytest.raises(
        UserError, match=r"a\.png: its left half is blank in grey, .*num_channels=1 .*set it to 3"
    ):
        pairs.PairFolder(tmp_path, data_config)
    data_config.num_channels = 3
    assert pairs.PairFolder(tmp_path, data_config)[0]["noise_image"][0, :2].tolist() == [
        list(RED),
        list(GREEN),
    ]


@pytest.mark.parametrize(("mode", "num_channels"), [("RGB", 1), ("L", 1), ("RGB", 3)])
def test_colors_that_become_grey_are_told_in_one_line(data_config, tmp_path, caplog, mode, num_channels):
    data_config.num_channels = num_channels
    for name in ("a.png", "b.png"):
        write_pair_file(tmp_path / name, mode=mode)
    pairs.PairFolder(tmp_path, data_config)
    lines = [record.getMessage() for record in caplog.records if "in color" in record.getMessage()]
    is_lost = (mode, num_channels) == ("RGB", 1)
    assert len(lines) == is_lost
    assert not is_lost or "a.png is in color, perhaps others too, and is read as grey" in lines[0]


def test_grey_that_is_stored_in_three_channels_is_no_color(data_config, tmp_path, caplog):
    write_pair_file(tmp_path / "a.png")
    Image.open(tmp_path / "a.png").convert("RGB").save(tmp_path / "a.png")
    pairs.PairFolder(tmp_path, data_config)
    assert "in color" not in caplog.text


@pytest.mark.parametrize(("width", "height"), [(SIZE, SIZE), (64, 64), (96, 103)])
def test_a_folder_of_single_images_is_refused(data_config, tmp_path, width, height):
    write_pair_file(tmp_path / "a.png", width, height)
    with pytest.raises(
        UserError, match=rf"a\.png: {width} x {height} pixels are one image's shape, .*image_width"
    ):
        pairs.PairFolder(tmp_path, data_config)


def test_a_square_of_two_narrow_halves_is_a_pair(data_config, tmp_path):
    data_config.image_width = SIZE // 2
    write_pair_file(tmp_path / "a.png", SIZE, SIZE)
    assert pairs.PairFolder(tmp_path, data_config)[0]["real_image"].shape == (SIZE, SIZE // 2, 1)


@pytest.mark.parametrize("orientation", [1, 3])
def test_condition_and_target_are_as_a_viewer_shows_them(data_config, tmp_path, orientation):
    shown = np.concatenate([np.eye(SIZE), 1 - np.eye(SIZE)], axis=1).astype(np.uint8) * 255
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = shown if orientation == 1 else shown[::-1, ::-1]
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    example = pairs.PairFolder(tmp_path, data_config)[0]
    np.testing.assert_array_equal(example["noise_image"][..., 0], shown[:, :SIZE])
