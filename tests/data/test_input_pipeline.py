"""Tests of tf.data batches."""

import numpy as np
import pytest
import tensorflow as tf

from fpgan_jax.data import input_pipeline, noise, pairs, print_loading
from fpgan_jax.errors import UserError


def make_batches(config, start_step=0, num_steps=3, **kwargs):
    dataset = input_pipeline.make_gan_dataset(config, start_step=start_step, num_steps=num_steps, **kwargs)
    return list(dataset.as_numpy_iterator())


def assert_same_batches(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


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
    prints = print_loading.load_prints(config)
    image_of = dict(zip(prints.persons.tolist(), prints.images, strict=True))
    (batch,) = make_batches(config, start_step=1, num_steps=1)
    for row in range(4):
        person, replica = int(batch["person"][row]), int(batch["replica"][row])
        np.testing.assert_array_equal(batch["real_image"][row], image_of[person])
        expected = noise.create_noise_image(0, person, replica, shape=(32, 32, 1), distribution="uniform")
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
    pairs.write_pairs(print_loading.create_pairs(config), tmp_path)
    config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    assert_same_batches(make_batches(config, num_steps=4), direct)


def test_classifier_batches_hold_prints_with_their_labels(config):
    prints = print_loading.load_prints(config)
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


def test_refuses_a_batch_that_the_processes_cannot_divide(config):
    with pytest.raises(UserError, match=r"config\.global_batch_size: 4 is not"):
        make_batches(config, process_count=3)


def test_refuses_a_classifier_batch_that_the_processes_cannot_divide(config):
    with pytest.raises(UserError, match=r"config\.classifier\.global_batch_size: 4 is not"):
        input_pipeline.make_classifier_dataset(config, start_step=0, num_steps=1, process_count=3)
