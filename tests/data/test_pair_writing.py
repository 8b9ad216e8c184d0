"""Writing pairs to files."""

import numpy as np
import pytest
from PIL import Image

from fpgan_jax.data import pair_folder, pair_writing, pairs
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from tests.data.conftest import PAIR_SIZE as SIZE


def test_writes_names_in_the_order_of_the_pairs(replicated, tmp_path):
    paths = pair_writing.write_pairs(replicated, tmp_path)
    expected = ["004_00.png", "004_01.png", "004_02.png", "011_00.png", "011_01.png", "011_02.png"]
    assert [path.name for path in paths] == expected
    assert sorted(path.name for path in (tmp_path / "train").iterdir()) == expected


def test_writes_noise_left_and_print_right_in_gray(replicated, tmp_path):
    path = pair_writing.write_pairs(replicated, tmp_path)[1]
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("L", (2 * SIZE, SIZE))
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels[:, :SIZE], replicated[1]["noise_image"][:, :, 0])
    np.testing.assert_array_equal(pixels[:, SIZE:], replicated[1]["real_image"][:, :, 0])


def test_names_sort_in_order_beyond_a_hundred_replicas(prints, data_config, tmp_path):
    data_config.num_replicas = 101
    paths = pair_writing.write_pairs(pairs.ReplicatedPrints(prints, data_config), tmp_path)
    assert [path.name for path in paths] == sorted(path.name for path in paths)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_a_folder_reads_back_what_was_written(prints, data_config, tmp_path, num_channels):
    data_config.num_channels = num_channels
    images = np.repeat(prints.images, num_channels, axis=3)
    replicated = pairs.ReplicatedPrints(PrintSet(images, prints.persons, prints.filenames), data_config)
    pair_writing.write_pairs(replicated, tmp_path)
    folder = pair_folder.PairFolder(tmp_path / "train", data_config)
    assert len(folder) == 6
    expected, read = (pairs.create_batch(source, range(6)) for source in (replicated, folder))
    for name in expected:
        np.testing.assert_array_equal(read[name], expected[name])


def test_pairs_of_nobody_known_keep_their_names(replicated, data_config, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, path in zip(("b.png", "a.png"), pair_writing.write_pairs(replicated, tmp_path), strict=False):
        path.rename(theirs / name)
    paths = pair_writing.write_pairs(pair_folder.PairFolder(theirs, data_config), tmp_path / "out")
    assert [path.name for path in paths] == ["a.png", "b.png"]
    np.testing.assert_array_equal(pair_folder.read_pair(paths[1])[1], replicated[0]["real_image"])
    Image.open(theirs / "a.png").save(theirs / "a.bmp")
    with pytest.raises(UserError, match=r"a\.png: two pairs' files have this name"):
        pair_writing.write_pairs(pair_folder.PairFolder(theirs, data_config), tmp_path / "again")


def test_writing_again_replaces_the_same_pairs(replicated, tmp_path):
    path = pair_writing.write_pairs(replicated, tmp_path)[0]
    path.write_bytes(b"")
    pair_writing.write_pairs(replicated, tmp_path)
    np.testing.assert_array_equal(pair_folder.read_pair(path)[1], replicated[0]["real_image"])


def test_writing_replaces_a_link_and_not_what_it_leads_to(replicated, tmp_path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "004_00.png").symlink_to(outside)
    path = pair_writing.write_pairs(replicated, tmp_path)[0]
    assert outside.read_bytes() == b"mine" and path.is_file() and not path.is_symlink()


def test_refuses_to_write_beside_other_files(replicated, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "099_00.png").touch()
    with pytest.raises(UserError, match=r"train: holds 1 files .* 099_00\.png"):
        pair_writing.write_pairs(replicated, tmp_path)


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "._004_00.png"])
def test_writes_beside_what_a_file_manager_left(replicated, tmp_path, name):
    pair_writing.write_pairs(replicated, tmp_path)
    (tmp_path / "train" / name).touch()
    assert len(pair_writing.write_pairs(replicated, tmp_path)) == 6
    assert (tmp_path / "train" / name).exists()


def test_a_failed_write_leaves_no_file(replicated, tmp_path, monkeypatch):
    def fail(self, file, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        pair_writing.write_pairs(replicated, tmp_path)
    assert list((tmp_path / "train").iterdir()) == []


def test_what_a_killed_run_left_does_not_stop_the_next(replicated, tmp_path):
    path = pair_writing.write_pairs(replicated, tmp_path)[0]
    path.with_name(f"{path.name}.tmp").write_bytes(b"half")
    assert len(pair_writing.write_pairs(replicated, tmp_path)) == 6
    assert len(list((tmp_path / "train").iterdir())) == 6
