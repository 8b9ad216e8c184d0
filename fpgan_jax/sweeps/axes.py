"""Owns the functions for writing a sweep file: lists of overrides, and their combinations."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fpgan_jax.errors import UserError

# Config field, such as "data.noise_per" -> value, for one run.
Overrides = dict[str, Any]
# Draws one value at random.
Draw = Callable[[np.random.Generator], Any]


def axis(field: str, values: Iterable[Any]) -> list[Overrides]:
    """Vary one config field, such as "lambda_l1" or "data.noise_per": one dict per value."""
    return [{field: value} for value in values]


def seeds(num_seeds: int) -> list[Overrides]:
    """Vary `config.seed` (weights, dropout, augmentation) from 0 to `num_seeds` - 1: one dict per seed."""
    return axis("seed", range(num_seeds))


def grid(*axes: Iterable[Overrides]) -> list[Overrides]:
    """Combine all axes with one another; the last one changes fastest.

    Raises:
      UserError: two axes set the same field.
    """
    return [_merge(parts) for parts in itertools.product(*axes)]


def zip_axes(*axes: Iterable[Overrides]) -> list[Overrides]:
    """Combine the first entries of all axes, the second ones, and so on.

    Raises:
      UserError: the lengths differ, or two axes set the same field.
    """
    lists = [list(overrides) for overrides in axes]
    lengths = sorted({len(overrides) for overrides in lists})
    if len(lengths) > 1:
        raise UserError(
            f"zip_axes: the axes have {', '.join(map(str, lengths))} values; give all the same number"
        )
    return [_merge(parts) for parts in zip(*lists, strict=True)]


def draw(num_runs: int, draws: Mapping[str, Draw], *, seed: int = 0) -> list[Overrides]:
    """Draw every field of every run independently at random; a larger `num_runs` adds runs at the end.

    Args:
      num_runs: number of runs.
      draws: config field -> `uniform`, `log_uniform`, `choice`, or a function of a NumPy generator.
      seed: of the random numbers.

    Source: Bergstra & Bengio 2012, section 2; differs in: nothing.
    """
    generators = [np.random.default_rng((seed, index)) for index in range(num_runs)]
    return [{field: draw_one(generator) for field, draw_one in draws.items()} for generator in generators]


def uniform(low: float, high: float) -> Draw:
    """Create a draw from [low, high], rounded to three significant digits to keep the run's name short."""
    return lambda generator: _round(generator.uniform(low, high))


def log_uniform(low: float, high: float) -> Draw:
    """Create a log-uniform draw from [low, high], low > 0, rounded to three significant digits."""
    return lambda generator: _round(math.exp(generator.uniform(math.log(low), math.log(high))))


def choice(values: Iterable[Any]) -> Draw:
    """Create a draw from some values with equal probability."""
    values = list(values)
    return lambda generator: values[generator.integers(len(values))]


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _merge(parts: Iterable[Overrides]) -> Overrides:
    merged: Overrides = {}
    for part in parts:
        if common := sorted(merged.keys() & part.keys()):
            raise UserError(f"{common[0]}: set by two axes of the sweep; leave it to one")
        merged |= part
    return merged
