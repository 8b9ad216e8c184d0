"""Tests of the order of examples."""

import numpy as np
import pytest

from fpgan_jax.data import order
from fpgan_jax.errors import UserError


def indices_of_steps(num_steps, *, global_batch_size, num_examples, seed=0):
    return np.concatenate(
        [
            order.batch_indices(
                step, global_batch_size=global_batch_size, num_examples=num_examples, seed=seed
            )
            for step in range(num_steps)
        ]
    )


@pytest.mark.parametrize(("global_batch_size", "num_examples"), [(4, 10), (10, 10), (7, 3), (1, 5)])
def test_every_epoch_is_a_permutation_though_batches_straddle_epochs(global_batch_size, num_examples):
    num_epochs = 2 * global_batch_size  # ends where a batch ends
    indices = indices_of_steps(
        num_epochs * num_examples // global_batch_size,
        global_batch_size=global_batch_size,
        num_examples=num_examples,
    )
    epochs = np.sort(indices.reshape(num_epochs, num_examples))
    np.testing.assert_array_equal(epochs, np.tile(np.arange(num_examples), (num_epochs, 1)))


def test_epochs_differ():
    indices = indices_of_steps(3, global_batch_size=50, num_examples=50)
    assert len(np.unique(indices.reshape(3, 50), axis=0)) == 3


def test_seeds_differ():
    first, second = (indices_of_steps(1, global_batch_size=50, num_examples=50, seed=seed) for seed in (0, 1))
    assert (first != second).any()


def test_every_example_comes_first_equally_often():
    num_examples, num_epochs = 5, 4000
    indices = indices_of_steps(num_epochs, global_batch_size=num_examples, num_examples=num_examples)
    counts = np.bincount(indices[::num_examples], minlength=num_examples)
    # Binomial with p = 1/5: standard deviation sqrt(4000 x 0.2 x 0.8) = 25.3; five of them.
    assert np.abs(counts - 800).max() < 127


def test_a_far_step_is_known_without_those_before_it():
    indices = order.batch_indices(10**9, global_batch_size=3, num_examples=7, seed=0)
    assert (indices.shape, indices.dtype) == ((3,), np.int64)


def test_process_slices_tile_the_batch():
    indices = order.batch_indices(5, global_batch_size=12, num_examples=30, seed=0)
    slices = [order.slice_for_process(indices, process, 3) for process in range(3)]
    np.testing.assert_array_equal(np.concatenate(slices), indices)


def test_divides_a_batch():
    assert order.divide_batch("config.global_batch_size", 12, 3) == 4


@pytest.mark.parametrize("global_batch_size", [0, 4])
def test_refuses_a_batch_that_cannot_be_divided(global_batch_size):
    with pytest.raises(UserError, match=f"config.global_batch_size: {global_batch_size} is not"):
        order.divide_batch("config.global_batch_size", global_batch_size, 3)
