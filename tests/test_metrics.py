"""Metrics as sums and counts."""

import jax.numpy as jnp
import numpy as np

from fpgan_jax.metrics import Mean, compute_averages, create_means, merge_metrics


def test_batches_of_different_sizes_weigh_by_examples():
    steps = [create_means({"loss": jnp.float32(1.0)}, 1), create_means({"loss": jnp.float32(4.0)}, 2)]
    assert compute_averages(merge_metrics(steps)) == {"loss": (1 * 1 + 4 * 2) / 3}


def test_merging_in_two_parts_equals_merging_at_once():
    rng = np.random.default_rng(0)
    steps = [{"loss": Mean(np.float32(value), np.float32(7))} for value in rng.normal(size=100)]
    in_parts = merge_metrics([merge_metrics(steps[:37]), *steps[37:]])
    assert in_parts == merge_metrics(steps)


def test_nothing_counted_is_nan():
    assert np.isnan(compute_averages({"loss": Mean(0.0, 0.0)})["loss"])


def test_merging_nothing_is_empty():
    assert merge_metrics([]) == {}
