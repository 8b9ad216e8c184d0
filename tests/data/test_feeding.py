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
    assert_same_batches(
        feeding.create_gan_source(config).create_batches(2, 3), list(dataset.as_numpy_iterator())
    )


def test_classifier_batches_are_the_datasets(config):
    dataset = input_pipeline.make_classifier_dataset(config, start_step=2, num_steps=3)
    assert_same_batches(
        feeding.create_classifier_source(config).create_batches(2, 3), list(dataset.as_numpy_iterator())
    )


@pytest.mark.parametrize(
    ("create", "create_from_prints"),
    [
        (feeding.create_gan_source, feeding.create_gan_source_from_prints),
        (feeding.create_classifier_source, feeding.create_classifier_source_from_prints),
    ],
    ids=["gan", "classifier"],
)
def test_batches_from_prints_are_those_of_tensorflow(config, create, create_from_prints):
    processes = {"process_index": 1, "process_count": 2}
    expected = list(create(config).create_batches(2, 3, **processes))
    source = create_from_prints(config, input_pipeline.load_prints(config))
    assert_same_batches(source.create_batches(2, 3, **processes), expected)


@pytest.mark.parametrize(
    ("create_from_prints", "field"),
    [
        (feeding.create_gan_source_from_prints, r"config\.global_batch_size"),
        (feeding.create_classifier_source_from_prints, r"config\.classifier\.global_batch_size"),
    ],
)
def test_batches_from_prints_refuse_a_batch_that_cannot_be_divided(config, create_from_prints, field):
    source = create_from_prints(config, input_pipeline.load_prints(config))
    with pytest.raises(UserError, match=field):
        source.create_batches(0, 1, process_count=3)


def test_a_source_tells_its_pairs_and_persons(config):
    assert feeding.create_gan_source(config).pair_ids == [(p, r) for p in (2, 3, 10) for r in range(4)]
    assert feeding.create_classifier_source(config).persons == (2, 3, 10)


def test_samples_are_of_different_persons(config):
    samples = feeding.create_gan_source(config).load_samples(2)
    assert (samples["person"].tolist(), samples["replica"].tolist()) == ([2, 3], [0, 0])


def test_samples_of_a_small_set_are_all_there_is(config):
    assert len(feeding.create_gan_source(config).load_samples(9)["person"]) == 3


def test_a_pair_that_vanishes_in_training_is_named(config, tmp_path):
    paths = pairs.write_pairs(input_pipeline.create_pairs(config), tmp_path)
    config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    batches = feeding.create_gan_source(config).create_batches(0, 3)
    paths[5].unlink()
    with pytest.raises(UserError, match=rf"{paths[5].name}: cannot be read as an image"):
        list(batches)
