"""Tests of the batches that a training loop asks for."""

import numpy as np
import pytest

from fpgan_jax.data import feeding, input_pipeline, pairs
from fpgan_jax.errors import UserError


def assert_same_batches(batches, expected):
    for batch, other in zip(batches, expected, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def test_gan_batches_are_the_datasets(config):
    dataset = input_pipeline.make_gan_dataset(config, start_step=2, num_steps=3)
    assert_same_batches(feeding.create_gan_batches(config, 2, 3), list(dataset.as_numpy_iterator()))


def test_classifier_batches_are_the_datasets(config):
    dataset = input_pipeline.make_classifier_dataset(config, start_step=2, num_steps=3)
    assert_same_batches(feeding.create_classifier_batches(config, 2, 3), list(dataset.as_numpy_iterator()))


def test_batches_from_prints_are_those_of_tensorflow(config):
    prints = input_pipeline.load_prints(config)
    processes = {"process_index": 1, "process_count": 2}
    expected = list(feeding.create_gan_batches(config, 2, 3, **processes))
    batches = feeding.create_gan_batches_from_prints(config, prints, 2, 3, **processes)
    assert_same_batches(batches, expected)


def test_batches_from_prints_refuse_a_batch_that_cannot_be_divided(config):
    prints = input_pipeline.load_prints(config)
    with pytest.raises(UserError, match=r"config\.global_batch_size"):
        feeding.create_gan_batches_from_prints(config, prints, 0, 1, process_count=3)


def test_batches_come_from_pairs_at_hand(config):
    training_pairs = input_pipeline.create_pairs(config)
    expected = list(feeding.create_gan_batches(config, 0, 2))
    config.data.socofing_dir = ""
    assert_same_batches(feeding.create_gan_batches(config, 0, 2, training_pairs=training_pairs), expected)


def test_a_pair_that_vanishes_in_training_is_named(config, tmp_path):
    paths = pairs.write_pairs(input_pipeline.create_pairs(config), tmp_path)
    config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    batches = feeding.create_gan_batches(config, 0, 3)
    paths[5].unlink()
    with pytest.raises(UserError, match=rf"{paths[5].name}: cannot be read as an image"):
        list(batches)
