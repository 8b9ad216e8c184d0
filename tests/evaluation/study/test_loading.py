"""Loading what a study compares."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from configs import test_size
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.study import loading
from fpgan_jax.evaluation.study.print_collection import (
    HELD_OUT,
    POPULATION,
    REFERENCE,
    SYNTHETIC,
    PrintCollection,
)
from fpgan_jax.synthesis.manifest import ManifestRow
from fpgan_jax.tables.csv_rows import write_rows

ROW = ManifestRow(
    file="001_00.png", set="P50", person=1, replica=0, noise="new", noise_seed=2**32, seed=0, dropout="on",
    statistics="own", weights="last", checkpoint_step=1, config_hash="c", data_hash="d",
)  # fmt: skip


@pytest.fixture
def config():
    config = test_size.get_config()
    config.data.image_size = 16
    return config


def write_print(path, level, size=16):
    Image.fromarray(np.full((size, size), level, np.uint8)).save(path)


def test_several_impressions_are_trained_on_held_out_or_strangers(tmp_path, config):
    # Fingers 1 and 2 train with one impression each; 3 and 4 are others.
    for number in range(12):
        image = np.full((16, 16), 250, np.uint8)
        image[:8] = number
        Image.fromarray(image).save(tmp_path / f"{number // 3 + 1:03d}_{number % 3 + 1}.png")
    config.data.source, config.data.impressions_dir, config.data.sensor_ppi = (
        "impressions",
        str(tmp_path),
        500.0,
    )
    config.data.num_persons, config.data.num_impressions = 2, 1
    loaded = {c.name: (c.role, c.images[:, 0, 0].tolist()) for c in loading.load_real_collections(config)}
    assert loaded == {
        "real": (REFERENCE, [0, 3]),
        "real_held_out": (HELD_OUT, [1, 2, 4, 5]),
        "real_others": (POPULATION, [6, 7, 8, 9, 10, 11]),
    }


def test_a_folder_of_another_program_tells_persons_by_the_numbers_at_the_start(tmp_path, config):
    for name in ("012_3.png", "012-7_3.png", "7__M_Right_index_finger.BMP", "print.png"):
        write_print(tmp_path / name, 9)
    (tmp_path / "notes.txt").write_text("no print")
    (tmp_path / "._012_3.png").write_text("of a file manager")
    prints = loading.load_print_folder(str(tmp_path), config)
    assert (prints.name, prints.role) == ("synthetic", SYNTHETIC)
    assert dict(zip(prints.filenames, prints.persons.tolist(), strict=True)) == {
        "012_3.png": 12,
        "012-7_3.png": 1207,
        "7__M_Right_index_finger.BMP": 7,
        "print.png": -1,
    }


def test_prints_of_another_size_are_resized_and_that_is_said(tmp_path, config, capsys):
    write_print(tmp_path / "1_0.png", 200, size=40)
    write_print(tmp_path / "1_1.png", 200, size=40)
    loading.load_print_folder(str(tmp_path), config)
    assert capsys.readouterr().out == f"{tmp_path}: prints of 40x40 pixels are resized to 16x16\n"


def test_prints_of_another_shape_are_refused(tmp_path, config):
    Image.fromarray(np.zeros((64, 32), np.uint8)).save(tmp_path / "1_0.png")
    with pytest.raises(UserError, match=r"1_0\.png: 32x64 pixels would be squashed to 16x16; .*image_width"):
        loading.load_print_folder(str(tmp_path), config)


def test_prints_of_socofings_own_shape_are_not_refused(tmp_path, config):
    Image.fromarray(np.full((103, 96), 200, np.uint8)).save(tmp_path / "1_0.png")
    np.testing.assert_array_equal(
        loading.load_print_folder(str(tmp_path), config).images, np.full((1, 16, 16), 200)
    )


def test_a_manifest_names_the_noise_and_the_files(tmp_path, config):
    write_print(tmp_path / "001_00.png", 1)
    write_print(tmp_path / "not_in_the_manifest.png", 2)
    write_rows(str(tmp_path / "manifest.csv"), [ROW])
    prints = loading.load_print_folder(str(tmp_path), config)
    assert (prints.name, prints.filenames, prints.persons.tolist()) == ("synthetic_new", ("001_00.png",), [1])


def test_a_generator_of_other_prints_is_refused(tmp_path, config):
    write_print(tmp_path / "001_00.png", 1)
    write_rows(str(tmp_path / "manifest.csv"), [ROW])
    assert len(loading.load_print_folder(str(tmp_path), config, ROW.data_hash)) == 1
    with pytest.raises(UserError, match="was trained on other prints than these"):
        loading.load_print_folder(str(tmp_path), config, "e")
    write_rows(str(tmp_path / "manifest.csv"), [dataclasses.replace(ROW, data_hash="files-f")])
    assert len(loading.load_print_folder(str(tmp_path), config, "e")) == 1


def test_a_manifest_of_two_noises_is_refused(tmp_path, config):
    rows = [ROW, dataclasses.replace(ROW, file="001_01.png", noise="training")]
    write_rows(str(tmp_path / "manifest.csv"), rows)
    with pytest.raises(UserError, match=r"manifest\.csv: noise is new, training"):
        loading.load_print_folder(str(tmp_path), config)


def test_a_folder_without_prints_is_refused(tmp_path, config):
    with pytest.raises(UserError, match="holds no print"):
        loading.load_print_folder(str(tmp_path), config)


def test_a_missing_folder_is_refused(tmp_path, config):
    with pytest.raises(UserError, match="no such folder"):
        loading.load_print_folder(str(tmp_path / "nowhere"), config)


def test_the_noise_of_a_manifest_is_made_again(tmp_path, config):
    write_rows(str(tmp_path / "manifest.csv"), [ROW])
    expected = create_noise_image(2**32, 1, 0, shape=(16, 16, 1), distribution="uniform")
    np.testing.assert_array_equal(loading.load_noise_images(str(tmp_path), config)[0], expected[..., 0])


def test_noise_that_lay_in_files_is_not_made_up(tmp_path, config):
    write_rows(str(tmp_path / "manifest.csv"), [dataclasses.replace(ROW, noise_seed=-1)])
    assert loading.load_noise_images(str(tmp_path), config) is None


def test_the_first_prints_of_each_person_are_taken():
    images = np.arange(5, dtype=np.uint8)[:, None, None]
    prints = PrintCollection("real", SYNTHETIC, images, np.array([2, 1, 2, 2, 1]), tuple("abcde"))
    assert loading.take_replicas(prints, 2).filenames == ("a", "b", "c", "e")
