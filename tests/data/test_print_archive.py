"""Tests of the file of source "npz"."""

import json
import zipfile

import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.data import print_archive
from fpgan_jax.data.prints import SPLITS, PrintSet
from fpgan_jax.errors import UserError

SIZE = 8


@pytest.fixture
def data_config(tmp_path):
    data_config = pix2pix_socofing.get_config().data
    data_config.image_size = SIZE
    data_config.npz_file = str(tmp_path / "prints.npz")
    return data_config


@pytest.fixture
def sets(data_config):
    """Return two real prints, one easy, none else, and write them."""
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 1), np.uint8)
    sets = {split: PrintSet(images[:0], np.zeros(0, np.int32), ()) for split in SPLITS}
    sets["real"] = PrintSet(images[:2], np.array([4, 11], np.int32), ("4__M.BMP", "ü.BMP"))
    sets["altered_easy"] = PrintSet(images[2:], np.array([4], np.int32), ("4_CR.BMP",))
    print_archive.write_archive(data_config.npz_file, sets, data_config)
    return sets


def read_all(data_config):
    return {split: print_archive.read_records(data_config, split) for split in SPLITS}


def test_prints_come_back(sets, data_config):
    for split, records in read_all(data_config).items():
        assert [record.person for record in records] == sets[split].persons.tolist()
        assert tuple(record.filename for record in records) == sets[split].filenames
        for record, image in zip(records, sets[split].images, strict=True):
            assert record.image.dtype == np.uint8
            np.testing.assert_array_equal(record.image, image)


def test_a_blank_print_is_named(sets, data_config):
    sets["real"].images[1] = 7
    print_archive.write_archive(data_config.npz_file, sets, data_config)
    with pytest.raises(UserError, match=r"prints\.npz is damaged .*its real print ü\.BMP is blank"):
        read_all(data_config)


def test_the_file_holds_the_arrays_promised_and_no_pickle(sets, data_config):
    with np.load(data_config.npz_file, allow_pickle=False) as file:
        kinds = {name: (file[name].dtype.kind, file[name].shape) for name in file.files}
        fields = json.loads(str(file["fields"]))
    assert kinds.pop("fields") == ("U", ())
    expected = {}
    for split in SPLITS:
        count = len(sets[split])
        expected[f"{split}_images"] = ("u", (count, SIZE, SIZE, 1))
        expected[f"{split}_persons"] = ("i", (count,))
        expected[f"{split}_filenames"] = ("U", (count,))
    assert kinds == expected
    assert fields == {
        "hand": "Right",
        "finger": "index",
        "frame": "keep",
        "image_size": SIZE,
        "image_width": 0,
        "num_channels": 1,
        "interpolation": "bicubic",
        "sensor_ppi": 0.0,
        "image_ppi": 0.0,
    }


def test_a_file_that_is_written_again_is_whole_at_every_moment(sets, data_config, tmp_path, monkeypatch):
    before = (tmp_path / "prints.npz").read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(KeyboardInterrupt):
        print_archive.write_archive(data_config.npz_file, sets, data_config)
    assert (tmp_path / "prints.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["prints.npz"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hand", "Left"),
        ("finger", "thumb"),
        ("frame", "crop"),
        ("image_size", 16),
        ("image_width", 16),
        ("num_channels", 3),
        ("interpolation", "lanczos"),
    ],
)
def test_a_file_made_with_another_field_is_refused(sets, data_config, field, value):
    data_config[field] = value
    pattern = rf"config\.data\.npz_file: .*prints\.npz was made with config\.data\.{field}=.*make_pairs --npz"
    with pytest.raises(UserError, match=pattern):
        read_all(data_config)


def test_a_missing_file_is_named(data_config):
    with pytest.raises(
        UserError, match=r"config\.data\.npz_file: '.*prints\.npz' is no file; .*make_pairs --npz"
    ):
        read_all(data_config)


def assert_refused(data_config):
    with pytest.raises(
        UserError, match=r"config\.data\.npz_file: .*prints\.npz is damaged or no file of p"
    ) as caught:
        read_all(data_config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_truncated_file_is_refused(sets, data_config, tmp_path, share):
    content = (tmp_path / "prints.npz").read_bytes()
    (tmp_path / "prints.npz").write_bytes(content[: int(share * len(content))])
    assert_refused(data_config)


def test_a_file_with_a_flipped_bit_is_refused(sets, data_config, tmp_path):
    with zipfile.ZipFile(tmp_path / "prints.npz") as file:
        info = file.getinfo("real_images.npy")
    content = bytearray((tmp_path / "prints.npz").read_bytes())
    content[info.header_offset + len("real_images.npy") + 30 + info.compress_size // 2] ^= 1
    (tmp_path / "prints.npz").write_bytes(content)
    assert_refused(data_config)


def replace_arrays(path, **arrays):
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    np.savez(path, **kept | arrays)


@pytest.mark.parametrize(
    "arrays",
    [
        {"real_images": np.zeros((2, SIZE, SIZE, 1), np.float32)},
        {"real_images": np.zeros((2, SIZE, SIZE, 3), np.uint8)},
        {"real_images": np.uint8(3)},
        {"real_persons": np.zeros(3, np.int32)},
        {"real_persons": np.array([1.5, 2.5])},
        {"real_filenames": np.array([b"a", b"b"])},
        {"real_filenames": np.array(["a", None], object)},
        {"fields": np.array("[1]")},
        {"fields": np.array("{")},
    ],
    ids=["dtype", "channels", "scalar", "count", "persons", "names", "pickle", "no fields", "no JSON"],
)
def test_arrays_of_another_form_are_refused(sets, data_config, arrays):
    replace_arrays(data_config.npz_file, **arrays)
    assert_refused(data_config)


@pytest.mark.parametrize("kind", ["text", "npy", "npz", "folder"])
def test_a_foreign_file_is_refused(data_config, tmp_path, kind):
    path = tmp_path / "prints.npz"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("thesis")
    else:
        with open(path, "wb") as file:
            np.save(file, np.zeros(3)) if kind == "npy" else np.savez(file, a=np.zeros(3))
    assert_refused(data_config)
