"""Tests of prints and pairs in memory, from a folder and from an archive of its prints."""

import os
import sys

import numpy as np
import pytest

from fpgan_jax.data import pair_writing, preprocessing, print_loading
from fpgan_jax.errors import UserError
from tests.data.conftest import RIGHT_INDEX_PERSONS, make_print_pixels


@pytest.fixture(params=["socofing", "npz"])
def any_config(request, config, archive):
    """Return the small config on the fake folder, and on an archive of it."""
    if request.param == "npz":
        config.data.source, config.data.npz_file, config.data.socofing_dir = "npz", archive, ""
    return config


def test_lists_everyone_with_the_finger_by_number(any_config):
    assert print_loading.list_persons(any_config) == RIGHT_INDEX_PERSONS


def test_lists_no_one_where_a_split_is_missing(any_config):
    assert print_loading.list_persons(any_config, "altered_hard") == ()


def test_selects_the_first_persons_by_number(any_config):
    assert tuple(print_loading.load_prints(any_config).persons) == (2, 3, 10)


def test_selects_named_persons(any_config):
    any_config.data.persons = (12, 2)
    assert tuple(print_loading.load_prints(any_config).persons) == (2, 12)


def test_selects_another_finger(config):
    config.data.hand, config.data.num_persons = "Left", 1
    assert tuple(print_loading.load_prints(config).persons) == (1,)


def test_all_fingers_are_persons_of_their_own(config):
    config.data.hand, config.data.finger, config.data.num_persons = "both", "all", 0
    prints = print_loading.load_prints(config)
    names = ("1__M_Left_index_finger.BMP", "2__F_Right_thumb_finger.BMP", "2__F_Right_index_finger.BMP")
    assert prints.filenames[:3] == names and len(prints) == 6
    assert prints.persons.tolist() == [107, 201, 202, 302, 1002, 1202]


@pytest.mark.parametrize(
    ("num_held_out", "num_persons", "persons"),
    [(2, 0, [107, 201, 202, 302]), (4, 2, [107]), (1, 2, [107, 201])],
)
def test_held_out_persons_keep_all_their_fingers_back(config, num_held_out, num_persons, persons):
    config.data.hand, config.data.finger, config.data.num_persons = "both", "all", num_persons
    config.data.num_held_out_persons = num_held_out
    if len(persons) < num_persons:
        with pytest.raises(
            UserError, match=r"config\.data\.num_persons: 2 are wanted, .* of 1 who are not held out"
        ):
            print_loading.load_prints(config)
        return
    assert print_loading.load_prints(config).persons.tolist() == persons
    # Another finger of somebody who trains is no stranger's.
    owners = {person // 100 for person in persons}
    everybody = (107, 201, 202, 302, 1002, 1202)
    strangers = tuple(person for person in everybody if person // 100 not in owners)
    assert print_loading.list_strangers(config) == strangers


def test_persons_who_are_all_held_out_train_nobody(any_config):
    any_config.data.num_held_out_persons = 4
    with pytest.raises(UserError, match=r"config\.data\.num_held_out_persons: 4 of 4 persons"):
        print_loading.load_prints(any_config)


def test_held_out_persons_are_the_last(any_config):
    any_config.data.num_persons, any_config.data.num_held_out_persons = 0, 2
    assert tuple(print_loading.load_prints(any_config).persons) == (2, 3)


def test_loads_the_preprocessed_prints_of_the_training_set(any_config):
    prints = print_loading.load_prints(any_config)
    assert prints.persons.tolist() == [2, 3, 10]
    assert prints.filenames == tuple(f"{p}_Right_index_finger.BMP" for p in ("2__F", "3__M", "10__M"))
    expected = preprocessing.preprocess_print(make_print_pixels(10), any_config.data)
    np.testing.assert_array_equal(prints.images[2], expected)


def test_loads_other_persons(any_config):
    assert print_loading.load_prints(any_config, persons=(12,)).persons.tolist() == [12]


def test_loads_the_altered_prints_there_are(any_config):
    prints = print_loading.load_prints(any_config, split="altered_easy")
    assert prints.persons.tolist() == [2, 2, 10]
    assert [name.split("_")[-1] for name in prints.filenames] == ["CR.BMP", "Zcut.BMP", "Obl.BMP"]


def test_loads_nothing_where_an_altered_folder_is_missing(any_config):
    prints = print_loading.load_prints(any_config, split="altered_hard")
    assert (prints.images.shape, prints.persons.shape) == ((0, 32, 32, 1), (0,))


def test_counts_the_pairs(any_config):
    assert len(print_loading.create_pairs(any_config)) == 12


def test_an_archive_has_the_very_prints_of_its_folder(config, archive):
    sets = []
    for source in ("socofing", "npz"):
        config.data.source, config.data.npz_file = source, archive
        sets.append(print_loading.load_prints(config))
    assert sets[0].data_hash == sets[1].data_hash
    assert sets[0].filenames == sets[1].filenames


def test_an_archive_can_be_made_of_an_archive(config, archive, tmp_path):
    config.data.source, config.data.npz_file = "npz", archive
    assert print_loading.write_archive(config, tmp_path / "new" / "copy.npz") == 7  # four real, three altered
    expected = print_loading.load_prints(config, split="altered_easy")
    config.data.npz_file = str(tmp_path / "new" / "copy.npz")
    assert print_loading.load_prints(config, split="altered_easy").data_hash == expected.data_hash
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy.npz"]


def test_an_archive_of_the_first_persons_holds_no_others(config, tmp_path):
    path = tmp_path / "two.npz"
    print_loading.write_archive(config, path, num_persons=2)
    config.data.source, config.data.npz_file = "npz", str(path)
    assert print_loading.list_persons(config) == RIGHT_INDEX_PERSONS[:2]
    for split in ("altered_easy", "altered_medium", "altered_hard"):
        assert set(print_loading.list_persons(config, split)) <= set(RIGHT_INDEX_PERSONS[:2])


def test_more_persons_than_there_are_make_no_archive(config, tmp_path):
    with pytest.raises(UserError, match="--npz_num_persons=9: .* of 4 persons"):
        print_loading.write_archive(config, tmp_path / "prints.npz", num_persons=9)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_pairs_makes_no_archive(config, tmp_path):
    config.data.source, config.data.paired_dir = "paired_folder", "pairs"
    with pytest.raises(
        UserError, match=r"config\.data\.source='paired_folder': the persons of pairs are not known"
    ):
        print_loading.write_archive(config, tmp_path / "prints.npz")


def test_a_finger_that_nobody_has_makes_no_archive(config, tmp_path):
    config.data.finger = "little"
    with pytest.raises(UserError, match="holds no print of a Right little finger"):
        print_loading.write_archive(config, tmp_path / "prints.npz")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_pairs_is_its_own_set_of_pairs(config, tmp_path):
    paths = pair_writing.write_pairs(print_loading.create_pairs(config), tmp_path)
    config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    assert print_loading.create_pairs(config).names == tuple(path.name for path in paths)


def test_a_folder_without_tensorflow_points_to_the_archive(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for name in (
        "fpgan_jax.data.socofing.socofing_reader",
        "fpgan_jax.data.socofing.socofing_dataset_builder",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("fpgan_jax.data.socofing.socofing_reader", raising=False)
    with pytest.raises(UserError, match=r"config\.data\.source='socofing': .* TensorFlow.*use \"npz\""):
        print_loading.load_prints(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"socofing_dir": ""}, r"config\.data\.socofing_dir: '' is not a folder"),
        ({"socofing_dir": "/nowhere"}, r"config\.data\.socofing_dir: '/nowhere' is not a folder"),
        ({"finger": "little"}, r"config\.data\.socofing_dir: .* holds no print of a Right little finger"),
        (
            {"num_persons": 5},
            r"config\.data\.num_persons: 5 are wanted, but .* has a Right index finger of 4",
        ),
        (
            {"persons": (2, 7)},
            r"config\.data\.persons: no Right index finger of 7; 4 persons have one, ids 2 to 12",
        ),
    ],
)
def test_refuses_a_config_by_its_field(config, fields, message):
    config.data.update(fields)
    with pytest.raises(UserError, match=message):
        print_loading.load_prints(config)


def test_refuses_a_person_asked_for_by_argument(config):
    with pytest.raises(UserError, match="persons: no Right index finger of 99"):
        print_loading.load_prints(config, persons=(99,))


def test_refuses_a_folder_without_real_and_points_to_the_right_one(config, socofing_folder, tmp_path):
    (tmp_path / "SOCOFing").symlink_to(socofing_folder)
    config.data.socofing_dir = str(tmp_path)
    with pytest.raises(UserError, match=r"holds no folder Real/; did you mean .*SOCOFing\?"):
        print_loading.load_prints(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"num_persons": 5},
            r"config\.data\.num_persons: 5 are wanted, but .*npz has a Right index finger of 4",
        ),
        ({"persons": (2, 7)}, r"config\.data\.persons: no Right index finger of 7; 4 persons have one"),
    ],
)
def test_an_archive_refuses_persons_as_its_folder_does(config, archive, fields, message):
    config.data.update({"source": "npz", "npz_file": archive} | fields)
    with pytest.raises(UserError, match=message):
        print_loading.load_prints(config)


def test_every_path_field_may_begin_with_a_tilde(config, archive, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, path in (
        ("prints", config.data.socofing_dir),
        ("tfds", config.data.tfds_dir),
        ("npz", archive),
    ):
        (tmp_path / name).symlink_to(path)
    config.data.socofing_dir, config.data.tfds_dir = "~/prints", "~/tfds"
    expected = print_loading.load_prints(config)
    pair_writing.write_pairs(print_loading.create_pairs(config), tmp_path)
    config.data.source, config.data.npz_file = "npz", "~/npz"
    np.testing.assert_array_equal(print_loading.load_prints(config).images, expected.images)
    config.data.source, config.data.paired_dir = "paired_folder", "~/train"
    assert len(print_loading.create_pairs(config)) == 3 * 4


@pytest.mark.parametrize("name", ["**", os.fsdecode(b"a\xff")])
def test_a_folder_that_tfds_cannot_use_is_named(config, tmp_path, name):
    config.data.tfds_dir = str(tmp_path / name)
    with pytest.raises(UserError, match=r"config\.data\.tfds_dir: TFDS cannot use "):
        print_loading.load_prints(config)
