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
    config, start_step: int, num_steps: int, *, process_index: int = 0, process_count: int = 1
) -> Iterator[Batch]:
    """Iterate over the batches of pairs from one step on.

    Args:
      config: as in configs/pix2pix_socofing.py.
      start_step: the first batch's step.
      num_steps: number of batches.
      process_index: of this process.
      process_count: number of processes; each gets its rows of every global batch.

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
    make_batch = pairs.bind_batches(
        pairs.ReplicatedPrints(prints, config.data),
        config,
        process_index=process_index,
        process_count=process_count,
    )
    return (make_batch(step) for step in range(start_step, start_step + num_steps))
