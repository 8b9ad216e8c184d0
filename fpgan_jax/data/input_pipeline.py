"""Batches made by tf.data, in threads ahead of the training."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from fpgan_jax.data import tensorflow_setup
from fpgan_jax.errors import UserError

tensorflow_setup.keep_off_gpus()


def create_batches(
    create_batch: Callable[[int], dict[str, np.ndarray]],
    steps: range,
    batch_size: int,
    example: Mapping[str, tuple[tuple[int, ...], np.dtype]],
) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over the batches of steps.

    Args:
      create_batch: step -> batch; called in threads, in any order.
      steps: with a step size of 1.
      batch_size: examples per batch.
      example: name -> (shape, dtype) of one example's part of a batch.
    """

    def create_arrays(step: np.ndarray) -> list[np.ndarray]:
        batch = create_batch(int(step))
        return [batch[name] for name in example]

    @tf.autograph.experimental.do_not_convert
    def create_tensors(step: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = tf.numpy_function(create_arrays, [step], [dtype for _, dtype in example.values()])
        return {
            name: tf.ensure_shape(tensor, (batch_size, *shape))
            for (name, (shape, _)), tensor in zip(example.items(), tensors, strict=True)
        }

    dataset = tf.data.Dataset.range(steps.start, steps.stop)
    dataset = dataset.map(create_tensors, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return _iterate(dataset.prefetch(tf.data.AUTOTUNE))


def _iterate(dataset: tf.data.Dataset) -> Iterator[dict[str, np.ndarray]]:
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        # TensorFlow passes on only the text of what a mapped Python function raises.
        _, is_user_error, text = error.message.partition(f"{UserError.__name__}: ")
        if not is_user_error:
            raise
        raise UserError(text.splitlines()[0]) from error
