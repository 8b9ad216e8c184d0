"""Tests of the TFDS builder of SOCOFing."""

import json
import os
import pathlib
import shutil
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import pix2pix_socofing
from fpgan_jax.data import image_files
from fpgan_jax.data.socofing import socofing_dataset_builder as builder_module
from fpgan_jax.data.socofing import socofing_reader
from fpgan_jax.errors import UserError
from tests.data.conftest import make_print_pixels, write_bmp


@pytest.fixture
def folder(socofing_folder, tmp_path):
    """Return a copy of the fake SOCOFing folder that a test may change."""
    return shutil.copytree(socofing_folder, tmp_path / "copy")


def prepare(folder, tfds_dir, split="real", **kwargs):
    return builder_module.prepare(str(folder), split, tfds_dir=str(tfds_dir), **kwargs)


def read(builder):
    split = builder.builder_config.split
    return {
        example["filename"].decode(): example for example in tfds.as_numpy(builder.as_dataset(split=split))
    }


def names_of(builder, example):
    features = builder.info.features
    return {
        name: features[name].int2str(example[name])
        for name in ("gender", "hand", "finger", "alteration", "difficulty")
    }


def test_stores_the_pixels_of_every_real_file(socofing_folder, tfds_dir):
    examples = read(prepare(socofing_folder, tfds_dir))
    assert len(examples) == 6
    np.testing.assert_array_equal(
        examples["2__F_Right_index_finger.BMP"]["image"][:, :, 0], make_print_pixels(2)
    )
    np.testing.assert_array_equal(
        examples["3__M_Right_index_finger.BMP"]["image"][:, :, 0], make_print_pixels(3, 298, 241)
    )


def test_stores_what_a_real_name_says(socofing_folder, tfds_dir):
    builder = prepare(socofing_folder, tfds_dir)
    example = read(builder)["2__F_Right_thumb_finger.BMP"]
    assert example["person"] == 2
    assert names_of(builder, example) == {
        "gender": "F",
        "hand": "Right",
        "finger": "thumb",
        "alteration": "none",
        "difficulty": "none",
    }


def test_stores_what_an_altered_name_says(socofing_folder, tfds_dir):
    builder = prepare(socofing_folder, tfds_dir, "altered_easy")
    examples = read(builder)
    assert len(examples) == 3
    assert names_of(builder, examples["10__M_Right_index_finger_Obl.BMP"]) == {
        "gender": "M",
        "hand": "Right",
        "finger": "index",
        "alteration": "Obl",
        "difficulty": "easy",
    }


def test_prepares_an_unchanged_folder_once(socofing_folder, tfds_dir, monkeypatch):
    prepare(socofing_folder, tfds_dir)
    monkeypatch.setattr(image_files, "read_image", None)
    assert len(read(prepare(socofing_folder, tfds_dir))) == 6


def test_never_serves_a_changed_folder_stale(folder, tmp_path):
    path = folder / "Real" / "2__F_Right_index_finger.BMP"
    before = read(prepare(folder, tmp_path / "tfds"))[path.name]["image"]
    time_ns = path.stat().st_mtime_ns + 1
    write_bmp(path, make_print_pixels(77), "rgba")  # of the same size
    os.utime(path, ns=(time_ns, time_ns))
    after = read(prepare(folder, tmp_path / "tfds"))[path.name]["image"]
    assert (before != after).any()


def test_two_files_that_changed_places_are_prepared_again(folder, tmp_path):
    """`mv` keeps names, sizes and times of change as they were."""
    one, other = (folder / "Real" / f"{person}__M_Right_index_finger.BMP" for person in (10, 12))
    os.utime(one, ns=(1, 1))
    os.utime(other, ns=(1, 1))
    before = read(prepare(folder, tmp_path / "tfds"))
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)
    after = read(prepare(folder, tmp_path / "tfds"))
    np.testing.assert_array_equal(after[one.name]["image"], before[other.name]["image"])
    np.testing.assert_array_equal(after[other.name]["image"], before[one.name]["image"])


def test_a_folder_that_was_moved_is_not_prepared_again(folder, tmp_path, monkeypatch):
    before = prepare(folder, tmp_path / "tfds").data_path
    shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copy)
    monkeypatch.setattr(image_files, "read_image", None)
    assert prepare(tmp_path / "elsewhere", tmp_path / "tfds").data_path == before


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", ".DS_Store"])
def test_what_a_file_manager_leaves_is_passed_over(folder, name):
    before = builder_module.list_files(folder / "Real")
    (folder / "Real" / name).write_text("")
    assert builder_module.list_files(folder / "Real") == before


def test_two_processes_may_prepare_at_once(folder, tmp_path, monkeypatch):
    read_image = image_files.read_image
    paths = []

    def read_while_another_prepares(path, num_channels):
        monkeypatch.setattr(image_files, "read_image", read_image)
        paths.append(prepare(folder, tmp_path / "tfds").data_path)
        return read_image(path, num_channels)

    monkeypatch.setattr(image_files, "read_image", read_while_another_prepares)
    builder = prepare(folder, tmp_path / "tfds")
    assert [builder.data_path] == paths
    assert len(read(builder)) == 6


def test_leaves_nothing_of_a_failed_preparation(folder, tmp_path):
    bad = folder / "Real" / "10__M_Right_index_finger.BMP"
    content = bad.read_bytes()
    bad.write_bytes(content[:9000])
    with pytest.raises(UserError):
        prepare(folder, tmp_path / "tfds")
    assert not [path for path in (tmp_path / "tfds").rglob("*") if path.is_file()]


def truncate(folder):
    path = folder / "Real" / "10__M_Right_index_finger.BMP"
    path.write_bytes(path.read_bytes()[:9000])
    return path.name


def add_other_name(folder):
    write_bmp(folder / "Real" / "10__M_Right_index.BMP", make_print_pixels(5), "gray")
    return "10__M_Right_index.BMP"


def add_altered_file(folder):
    write_bmp(folder / "Real" / "12__M_Right_index_finger_CR.BMP", make_print_pixels(5), "gray")
    return "12__M_Right_index_finger_CR.BMP"


def add_second_impression(folder):
    write_bmp(folder / "Real" / "2__M_Right_index_finger.BMP", make_print_pixels(5), "gray")
    return "2__M_Right_index_finger.BMP"


def add_text(folder):
    (folder / "Real" / "9__M_Right_index_finger.BMP").write_text("not an image")
    return "9__M_Right_index_finger.BMP"


BAD_FILES = [truncate, add_other_name, add_altered_file, add_second_impression, add_text]


@pytest.mark.parametrize("spoil", BAD_FILES)
def test_a_bad_file_stops(folder, tmp_path, spoil):
    name = spoil(folder)
    with pytest.raises(
        UserError, match=rf"{name}.*; mend or remove it, or set config\.data\.on_bad_file=skip"
    ):
        prepare(folder, tmp_path / "tfds")


def test_bad_files_are_named_counted_and_skipped(folder, tmp_path, caplog):
    names = sorted(spoil(folder) for spoil in BAD_FILES)
    examples = read(prepare(folder, tmp_path / "tfds", on_bad_file="skip"))
    assert len(examples) == 5 and not examples.keys() & set(names)
    warnings = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
    assert len(warnings) == 6 and "skipped 5 of 10 files" in warnings[-1]
    assert all(name in line for name, line in zip(names, warnings, strict=False))


def test_what_was_prepared_with_skipping_does_not_serve_stopping(folder, tmp_path):
    truncate(folder)
    prepare(folder, tmp_path / "tfds", on_bad_file="skip")
    with pytest.raises(UserError):
        prepare(folder, tmp_path / "tfds", on_bad_file="stop")


def test_refuses_a_folder_of_bad_files_only(tmp_path):
    (tmp_path / "Real").mkdir()
    (tmp_path / "Real" / "readme.txt").touch()
    with pytest.raises(
        UserError, match=r"config\.data\.socofing_dir: .*Real holds no readable SOCOFing file"
    ):
        prepare(tmp_path, tmp_path / "tfds", on_bad_file="skip")


def test_refuses_an_empty_folder(tmp_path):
    (tmp_path / "Real").mkdir()
    with pytest.raises(UserError, match=r"config\.data\.socofing_dir: .*Real is empty"):
        prepare(tmp_path, tmp_path / "tfds")


def test_refuses_a_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.socofing_dir: .*Real is missing"):
        prepare(tmp_path, tmp_path / "tfds")


def test_ignores_hidden_files(folder, tmp_path):
    (folder / "Real" / ".DS_Store").touch()
    assert len(read(prepare(folder, tmp_path / "tfds"))) == 6


def test_refuses_a_place_that_cannot_be_written(socofing_folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"config\.data\.tfds_dir: .* cannot be written"):
        prepare(socofing_folder, tmp_path / "file")


@pytest.fixture(name="prepared")
def _prepared(socofing_folder, tmp_path):
    """Prepare the real prints; return (config.data, the folder of what was prepared)."""
    data_config = pix2pix_socofing.get_config().data
    data_config.socofing_dir, data_config.tfds_dir = str(socofing_folder), str(tmp_path / "tfds")
    return data_config, pathlib.Path(prepare(socofing_folder, tmp_path / "tfds").data_path)


@pytest.mark.parametrize("content", [None, b"", b"half"], ids=["missing", "empty", "cut"])
@pytest.mark.parametrize("name", ["dataset_info.json", "socofing-real.tfrecord-00000-of-00001"])
def test_what_was_prepared_and_then_damaged_is_named(prepared, name, content):
    data_config, folder = prepared
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content and (folder / name).read_bytes()[:-9])
    with pytest.raises(
        UserError, match=r"config\.data\.tfds_dir: the folder real-\w+ .* is damaged .*; delete"
    ):
        socofing_reader.read_records(data_config, "real")


def test_no_code_that_a_prepared_folder_names_is_imported(prepared, tmp_path, monkeypatch):
    data_config, folder = prepared
    (tmp_path / "strangers_code.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    features = json.loads((folder / "features.json").read_text())
    features["pythonClassName"] = "strangers_code.Features"
    (folder / "features.json").write_text(json.dumps(features))
    assert len(socofing_reader.read_records(data_config, "real")) > 0
    assert "strangers_code" not in sys.modules
