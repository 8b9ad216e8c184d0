"""Owns what a sweep file is written with: lists of overrides, and how they are combined.

Does not know which fields there are; `runs.py` checks every override of every run.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fpgan_jax.errors import UserError

# A config field, as "data.noise_per" -> its value, for one run.
Overrides = dict[str, Any]
# Draws a value.
Draw = Callable[[np.random.Generator], Any]


def axis(field: str, values: Iterable[Any]) -> list[Overrides]:
    """Vary one field.

    Args:
      field: a config field, as "lambda_l1" or "data.noise_per".
      values: what it is set to.

    Returns:
      A dict a value.
    """
    return [{field: value} for value in values]


def seeds(num_seeds: int) -> list[Overrides]:
    """Vary `config.seed`, which the weights, the dropout and the augmentation are drawn from.

    Args:
      num_seeds: how many; they are 0, 1, ...

    Returns:
      A dict a seed.
    """
    return axis("seed", range(num_seeds))


def grid(*axes: Iterable[Overrides]) -> list[Overrides]:
    """Combine each with each; the last axis changes fastest.

    Args:
      axes: lists of overrides, of different fields.

    Returns:
      A dict a combination.

    Raises:
      UserError: two axes set the same field.
    """
    return [_merge(parts) for parts in itertools.product(*axes)]


def zip_axes(*axes: Iterable[Overrides]) -> list[Overrides]:
    """Combine the first with the first, the second with the second, and so on.

    Args:
      axes: equally long lists of overrides, of different fields.

    Returns:
      A dict a place.

    Raises:
      UserError: the axes are not equally long, or two set the same field.
    """
    lists = [list(overrides) for overrides in axes]
    lengths = sorted({len(overrides) for overrides in lists})
    if len(lengths) > 1:
        raise UserError(f"zip_axes: the axes have {', '.join(map(str, lengths))} values; give each as many")
    return [_merge(parts) for parts in zip(*lists, strict=True)]


def draw(num_runs: int, draws: Mapping[str, Draw], *, seed: int = 0) -> list[Overrides]:
    """Draw every field of every run at random, independently.

    Args:
      num_runs: how many; a longer list begins with the shorter one.
      draws: a field -> `uniform`, `log_uniform`, `choice`, or a function of a NumPy generator.
      seed: the same seed draws the same runs.

    Returns:
      A dict a run.

    Source: Bergstra & Bengio 2012, section 2; differs in: nothing.
    """
    generators = [np.random.default_rng((seed, index)) for index in range(num_runs)]
    return [{field: draw_one(generator) for field, draw_one in draws.items()} for generator in generators]


def uniform(low: float, high: float) -> Draw:
    """Create a draw from [low, high], to three significant digits, which name the run."""
    return lambda generator: _round(generator.uniform(low, high))


def log_uniform(low: float, high: float) -> Draw:
    """Create a draw from [low, high], low > 0, whose logarithm is uniform; to three significant digits."""
    return lambda generator: _round(math.exp(generator.uniform(math.log(low), math.log(high))))


def choice(values: Iterable[Any]) -> Draw:
    """Create a draw from some values, each as likely."""
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
