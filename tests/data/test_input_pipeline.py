"""Batches that tf.data makes for a source."""

import numpy as np
import pytest
import tensorflow as tf

from fpgan_jax.data import feeding, input_pipeline, noise, pair_writing, print_loading
from tests.data.conftest import assert_same_batches


def make_batches(config, start_step=0, num_steps=3, **kwargs):
    return list(feeding.create_gan_source(config).create_batches(start_step, num_steps, **kwargs))


def test_batches_have_the_shapes_and_types_promised(config):
    config.data.num_channels = 3
    (batch,) = make_batches(config, num_steps=1)
    image, number = ((4, 32, 32, 3), np.uint8), ((4,), np.int32)
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in batch.items()} == {
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


def test_batches_from_a_step_on_are_those_of_the_whole(config):
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
    pair_writing.write_pairs(print_loading.create_pairs(config), tmp_path)
    config.data.source, config.data.paired_dir = "paired_folder", str(tmp_path / "train")
    assert_same_batches(make_batches(config, num_steps=4), direct)


def test_classifier_batches_hold_prints_with_their_labels(config):
    prints = print_loading.load_prints(config)
    source = feeding.create_classifier_source(config)
    batches = list(source.create_batches(0, 3))
    labels = np.concatenate([batch["label"] for batch in batches])
    # Three prints, four in a batch: every print once in each epoch.
    np.testing.assert_array_equal(np.sort(labels.reshape(4, 3)), [[0, 1, 2]] * 4)
    images = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_array_equal(images, prints.images[labels])
    assert_same_batches(source.create_batches(1, 2), batches[1:])


def test_an_error_that_is_no_users_mistake_is_raised_as_it_is():
    def fail(step):
        raise ValueError(f"step {step}")

    batches = input_pipeline.create_batches(fail, range(2), 1, {"label": ((), np.dtype(np.int32))})
    with pytest.raises(tf.errors.OpError, match="step 0"):
        list(batches)


def test_tensorflow_is_kept_off_the_gpus():
    assert tf.config.get_visible_devices("GPU") == []
