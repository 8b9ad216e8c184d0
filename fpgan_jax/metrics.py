"""Owns metrics as (sum, count) pairs: they are added across devices and steps and divided once."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Mean(NamedTuple):
    """A mean that is not yet divided: the sum of the values, and their number; float scalars."""

    total: jax.Array | np.ndarray | float
    count: jax.Array | np.ndarray | float  # type: ignore[assignment]  # hides tuple.count, which nobody calls


Metrics = Mapping[str, Mean]


def create_means(averages: Mapping[str, jax.Array], batch_size: int) -> dict[str, Mean]:
    """Turn averages over one batch into means, with float32 fields, that weigh by examples."""
    count = jnp.float32(batch_size)
    return {name: Mean(value.astype(jnp.float32) * count, count) for name, value in averages.items()}


def merge_metrics(metrics: Iterable[Metrics]) -> dict[str, Mean]:
    """Add the metrics of several steps, one after the other, in float64 on the host; empty if there are no steps.

    Adding in order makes the result independent of where a checkpoint divided the steps.
    """
    merged: dict[str, Mean] = {}
    for step_metrics in metrics:
        for name, mean in step_metrics.items():
            old = merged.get(name, Mean(np.float64(0), np.float64(0)))
            merged[name] = Mean(old.total + np.float64(mean.total), old.count + np.float64(mean.count))
    return merged


def compute_averages(metrics: Metrics) -> dict[str, float]:
    """Divide each sum by its count; nan if nothing was counted."""
    return {
        name: float(mean.total) / float(mean.count) if mean.count else float("nan")
        for name, mean in metrics.items()
    }
