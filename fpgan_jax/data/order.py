"""Which examples make up which batch: a pure function of the step."""

import functools

import numpy as np

from fpgan_jax.errors import UserError


def batch_indices(step: int, *, global_batch_size: int, num_examples: int, seed: int) -> np.ndarray:
    """Return the examples of one batch, without computing the batches before it.

    Each epoch is a permutation. The epochs follow one another and are cut into batches, so a batch may straddle two
    epochs, and no example is dropped.

    Returns:
      [global_batch_size], int64, in [0, num_examples).
    """
    positions = np.arange(step * global_batch_size, (step + 1) * global_batch_size, dtype=np.int64)
    epochs, offsets = np.divmod(positions, num_examples)
    indices = np.empty(global_batch_size, np.int64)
    for epoch in np.unique(epochs):
        in_epoch = epochs == epoch
        indices[in_epoch] = _permutation(seed, int(epoch), num_examples)[offsets[in_epoch]]
    return indices


def divide_batch(field: str, global_batch_size: int, process_count: int) -> int:
    """Return how many of a batch's examples one process gets.

    Raises:
      UserError: the batch is empty or cannot be divided; `field` is the batch size's name in the message.
    """
    if global_batch_size < 1 or global_batch_size % process_count:
        raise UserError(
            f"{field}: {global_batch_size} is not a positive multiple of {process_count} processes"
        )
    return global_batch_size // process_count


def slice_for_process(indices: np.ndarray, process_index: int, process_count: int) -> np.ndarray:
    """Return one process's rows of a batch: [global_batch_size / process_count]."""
    return np.split(indices, process_count)[process_index]


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    # Sorting raw Philox words gives the same order in every version of NumPy; its own shuffle may not.
    bit_generator = np.random.Philox(key=np.array([seed, epoch], np.uint64))
    permutation = np.argsort(bit_generator.random_raw(num_examples), kind="stable")
    permutation.setflags(write=False)
    return permutation
