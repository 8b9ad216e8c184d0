"""Owns tf.data batches: pairs, or prints with their labels, read ahead of the training.

Does not load prints (`print_loading.py`), put batches on devices (`parallel.py`) or change them at random
(`augmentation.py`).
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data import order, pairs, print_loading, prints, tensorflow_setup
from fpgan_jax.data.prints import PrintSet

tensorflow_setup.keep_off_gpus()


def make_gan_dataset(
    config: ConfigDict,
    *,
    start_step: int,
    num_steps: int,
    process_index: int = 0,
    process_count: int = 1,
    training_pairs: pairs.Pairs | None = None,
) -> tf.data.Dataset:
    """Make the batches of pairs from one step on; a batch depends on its step only.

    Args:
      config: as in configs/pix2pix_socofing.py; global_batch_size is over all processes.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.
      training_pairs: as of `print_loading.create_pairs`, where they are at hand.

    Returns:
      A dataset of batches as of `pairs.create_batch`, with b = global_batch_size / process_count.

    Raises:
      UserError: as `print_loading.load_prints`, or the batch cannot be divided.
    """
    if training_pairs is None:
        training_pairs = print_loading.create_pairs(config)
    batch_size = order.divide_batch("config.global_batch_size", config.global_batch_size, process_count)
    number = tf.TensorSpec((batch_size,), tf.int32)
    element_spec = {
        "noise_image": tf.TensorSpec((batch_size, *condition_shape(config.data)), tf.uint8),
        "real_image": tf.TensorSpec((batch_size, *image_shape(config.data)), tf.uint8),
        "person": number,
        "replica": number,
    }
    create_batch = functools.partial(
        pairs.create_batch_of_step,
        pairs=training_pairs,
        config=config,
        process_index=process_index,
        process_count=process_count,
    )
    return _make_dataset(create_batch, element_spec, start_step, num_steps)


def make_classifier_dataset(
    config: ConfigDict,
    *,
    start_step: int,
    num_steps: int,
    process_index: int = 0,
    process_count: int = 1,
    training_prints: PrintSet | None = None,
) -> tf.data.Dataset:
    """Make the batches of real prints and labels from one step on; a batch depends on its step only.

    Args:
      config: as in configs/pix2pix_socofing.py; classifier.global_batch_size is over all processes.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.
      training_prints: as of `print_loading.load_prints`, where they are at hand.

    Returns:
      A dataset of {"image": [b, height, width, channels] uint8, "label": [b] int32}; the label is the
      person's place among the set's ids.

    Raises:
      UserError: as `print_loading.load_prints`, or the batch cannot be divided.
    """
    if training_prints is None:
        training_prints = print_loading.load_prints(config)
    global_batch_size = config.classifier.global_batch_size
    batch_size = order.divide_batch("config.classifier.global_batch_size", global_batch_size, process_count)
    create_batch = functools.partial(
        prints.create_labelled_batch,
        prints=training_prints,
        config=config,
        process_index=process_index,
        process_count=process_count,
    )
    element_spec = {
        "image": tf.TensorSpec((batch_size, *image_shape(config.data)), tf.uint8),
        "label": tf.TensorSpec((batch_size,), tf.int32),
    }
    return _make_dataset(create_batch, element_spec, start_step, num_steps)


def _make_dataset(
    create_batch: Callable[[int], dict[str, np.ndarray]],
    element_spec: dict[str, tf.TensorSpec],
    start_step: int,
    num_steps: int,
) -> tf.data.Dataset:
    """Map a pure function of the step over the steps."""

    def create_arrays(step: np.ndarray) -> list[np.ndarray]:
        batch = create_batch(int(step))
        return [batch[name] for name in element_spec]

    @tf.autograph.experimental.do_not_convert
    def create_tensors(step: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = tf.numpy_function(create_arrays, [step], [spec.dtype for spec in element_spec.values()])
        return {
            name: tf.ensure_shape(tensor, spec.shape)
            for (name, spec), tensor in zip(element_spec.items(), tensors, strict=True)
        }

    steps = tf.data.Dataset.range(start_step, start_step + num_steps)
    batches = steps.map(create_tensors, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)
