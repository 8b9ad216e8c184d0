"""Tests of the way from the config to batches."""

import numpy as np
import pytest
import tensorflow as tf

from fpgan_jax.data import input_pipeline, noise, pairs, preprocessing
from fpgan_jax.errors import UserError
from tests.data.conftest import RIGHT_INDEX_PERSONS, make_print_pixels


def make_batches(config, start_step=0, num_steps=3, **kwargs):
    dataset = input_pipeline.make_gan_dataset(config, start_step=start_step, num_steps=num_steps, **kwargs)
    return list(dataset.as_numpy_iterator())


def assert_same_batches(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def test_lists_everyone_with_the_finger_by_number(config):
    assert input_pipeline.list_persons(config) == RIGHT_INDEX_PERSONS


def test_lists_no_one_where_a_split_is_missing(config):
    assert input_pipeline.list_persons(config, "altered_hard") == ()


def test_selects_the_first_persons_by_number(config):
    assert tuple(input_pipeline.load_prints(config).persons) == (2, 3, 10)


def test_selects_named_persons(config):
    config.data.persons = (12, 2)
    assert tuple(input_pipeline.load_prints(config).persons) == (2, 12)


def test_selects_another_finger(config):
    config.data.hand, config.data.num_persons = "Left", 1
    assert tuple(input_pipeline.load_prints(config).persons) == (1,)


def test_loads_the_preprocessed_prints_of_the_training_set(config):
    prints = input_pipeline.load_prints(config)
    assert prints.persons.tolist() == [2, 3, 10]
    assert prints.filenames == tuple(f"{p}_Right_index_finger.BMP" for p in ("2__F", "3__M", "10__M"))
    expected = preprocessing.preprocess_print(make_print_pixels(10), config.data)
    np.testing.assert_array_equal(prints.images[2], expected)


def test_loads_other_persons(config):
    assert input_pipeline.load_prints(config, persons=(12,)).persons.tolist() == [12]


def test_loads_the_altered_prints_there_are(config):
    prints = input_pipeline.load_prints(config, split="altered_easy")
    assert prints.persons.tolist() == [2, 2, 10]
    assert [name.split("_")[-1] for name in prints.filenames] == ["CR.BMP", "Zcut.BMP", "Obl.BMP"]


def test_loads_nothing_where_an_altered_folder_is_missing(config):
    prints = input_pipeline.load_prints(config, split="altered_hard")
    assert (prints.images.shape, prints.persons.shape) == ((0, 32, 32, 1), (0,))


def test_counts_the_pairs(config):
    assert len(input_pipeline.create_pairs(config)) == 12


def test_batches_have_the_shapes_and_types_promised(config):
    config.data.num_channels = 3
    dataset = input_pipeline.make_gan_dataset(config, start_step=0, num_steps=1)
    image = tf.TensorSpec((4, 32, 32, 3), tf.uint8)
    number = tf.TensorSpec((4,), tf.int32)
    assert dataset.element_spec == {
        "noise_image": image,
        "real_image": image,
        "person": number,
        "replica": number,
    }


def test_a_batch_holds_the_prints_and_noises_of_its_persons_and_replicas(config):
    prints = input_pipeline.load_prints(config)
    image_of = dict(zip(prints.persons.tolist(), prints.images, strict=True))
    (batch,) = make_batches(config, start_step=1, num_steps=1)
    for row in range(4):
        person, replica = int(batch["person"][row]), int(batch["replica"][row])
        np.testing.assert_array_equal(batch["real_image"][row], image_of[person])
        expected = noise.create_noise_image(
            0, person, replica, size=32, num_channels=1, distribution="uniform"
        )
        np.testing.assert_array_equal(batch["noise_image"][row], expected)


def test_an_epoch_holds_every_pair_once(config):
    batches = make_batches(config)
    identities = {(int(p), int(r)) for b in batches for p, r in zip(b["person"], b["replica"], strict=True)}
    assert identities == {(p, r) for p in (2, 3, 10) for r in range(4)}


def test_a_dataset_from_a_step_goes_on_where_the_whole_one_is(config):
    config.global_batch_size = 5  # batches straddle the epochs of 12
    whole = make_batches(config, num_steps=8)
    assert_same_batches(make_batches(config, start_step=5, num_steps=3), whole[5:])


def test_process_slices_tile_the_global_batch(config):
    whole = make_batches(config)
    slices = [make_batches(config, process_index=index, process_count=2) for index in range(2)]
    joined = [
        {name: np.concatenate([first[name], second[name]]) for name in first}
        for first, second in zip(*slices, strict=True)
    ]
    assert_same_batches(joined, whole)


def test_pairs_on_disk_train_as_those_in_memory(config, tmp_path):
    direct = make_batches(config, num_steps=4)
    pairs.write_pairs(input_pipeline.create_pairs(config), tmp_path)
    config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    assert_same_batches(make_batches(config, num_steps=4), direct)


def test_classifier_batches_hold_prints_with_their_labels(config):
    prints = input_pipeline.load_prints(config)
    dataset = input_pipeline.make_classifier_dataset(config, start_step=0, num_steps=3)
    batches = list(dataset.as_numpy_iterator())
    labels = np.concatenate([batch["label"] for batch in batches])
    # Three prints, four in a batch: every print once in each epoch.
    np.testing.assert_array_equal(np.sort(labels.reshape(4, 3)), [[0, 1, 2]] * 4)
    images = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_array_equal(images, prints.images[labels])


def test_classifier_batches_go_on_where_the_whole_dataset_is(config):
    whole, rest = (
        list(
            input_pipeline.make_classifier_dataset(config, start_step=s, num_steps=6 - s).as_numpy_iterator()
        )
        for s in (0, 4)
    )
    assert_same_batches(rest, whole[4:])


def test_tensorflow_is_kept_off_the_gpus():
    assert tf.config.get_visible_devices("GPU") == []


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
        make_batches(config)


def test_refuses_a_person_asked_for_by_argument(config):
    with pytest.raises(UserError, match="persons: no Right index finger of 99"):
        input_pipeline.load_prints(config, persons=(99,))


def test_refuses_a_folder_without_real_and_points_to_the_right_one(config, socofing_folder, tmp_path):
    (tmp_path / "SOCOFing").symlink_to(socofing_folder)
    config.data.socofing_dir = str(tmp_path)
    with pytest.raises(UserError, match=r"holds no folder Real/; did you mean .*SOCOFing\?"):
        input_pipeline.load_prints(config)


def test_refuses_a_batch_that_the_processes_cannot_divide(config):
    with pytest.raises(UserError, match=r"config\.global_batch_size: 4 is not"):
        make_batches(config, process_count=3)


def test_refuses_a_classifier_batch_that_the_processes_cannot_divide(config):
    with pytest.raises(UserError, match=r"config\.classifier\.global_batch_size: 4 is not"):
        input_pipeline.make_classifier_dataset(config, start_step=0, num_steps=1, process_count=3)
