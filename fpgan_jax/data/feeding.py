"""Owns the batches that a training loop asks for: NumPy dicts, one a step.

Does not import TensorFlow unless the batches come from it: a host without TensorFlow trains from arrays
of its own. Does not put batches on devices; `fpgan_jax.parallel` does.
"""

from collections.abc import Iterator

import numpy as np

from fpgan_jax.data import order, pairs
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError

Batch = dict[str, np.ndarray]


def create_gan_batches(
    config,
    start_step: int,
    num_steps: int,
    *,
    process_index: int = 0,
    process_count: int = 1,
    training_pairs: pairs.Pairs | None = None,
) -> Iterator[Batch]:
    """Iterate over the batches of pairs from one step on.

    Args:
      config: as in configs/pix2pix_socofing.py.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.
      training_pairs: as of `input_pipeline.create_pairs`, where they are at hand.

    Returns:
      num_steps dicts as of `input_pipeline.make_gan_dataset`.

    Raises:
      UserError: as `input_pipeline.make_gan_dataset`; later, a pair file has become unreadable.
    """
    from fpgan_jax.data import input_pipeline

    dataset = input_pipeline.make_gan_dataset(
        config,
        start_step=start_step,
        num_steps=num_steps,
        process_index=process_index,
        process_count=process_count,
        training_pairs=training_pairs,
    )
    return _iterate(dataset)


def create_classifier_batches(
    config, start_step: int, num_steps: int, *, process_index: int = 0, process_count: int = 1
) -> Iterator[Batch]:
    """Iterate over the batches of real prints and labels from one step on.

    Args:
      config: as in configs/pix2pix_socofing.py.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.

    Returns:
      num_steps dicts as of `input_pipeline.make_classifier_dataset`.

    Raises:
      UserError: as `input_pipeline.make_classifier_dataset`.
    """
    from fpgan_jax.data import input_pipeline

    dataset = input_pipeline.make_classifier_dataset(
        config,
        start_step=start_step,
        num_steps=num_steps,
        process_index=process_index,
        process_count=process_count,
    )
    return _iterate(dataset)


def create_gan_batches_from_prints(
    config,
    prints: PrintSet,
    start_step: int,
    num_steps: int,
    *,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Iterate over the same batches as `create_gan_batches`, from prints in memory, without TensorFlow.

    Args:
      config: as in configs/pix2pix_socofing.py.
      prints: of the training set, preprocessed.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.

    Returns:
      num_steps dicts as of `input_pipeline.make_gan_dataset`.

    Raises:
      UserError: the batch cannot be divided.
    """
    order.divide_batch("config.global_batch_size", config.global_batch_size, process_count)
    training_pairs = pairs.ReplicatedPrints(prints, config.data)
    return (
        pairs.create_batch_of_step(
            step, training_pairs, config, process_index=process_index, process_count=process_count
        )
        for step in range(start_step, start_step + num_steps)
    )


def _iterate(dataset) -> Iterator[Batch]:
    import tensorflow as tf

    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        # TensorFlow passes on only the text of what a mapped Python function raises.
        _, is_user_error, text = error.message.partition(f"{UserError.__name__}: ")
        if not is_user_error:
            raise
        raise UserError(text.splitlines()[0]) from error
