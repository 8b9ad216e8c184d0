"""Owns the spread of a number over the seeds of GANs and classifiers, and the part of each kind of seed in it."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

# Two seeds that agree by chance would claim certainty, and two that do not have an interval of 13 deviations.
MIN_SEEDS = 3
_TAIL = 0.025
_ROUNDING = 1e-9  # relative


class Spread(NamedTuple):
    """The mean of a table of GAN seeds and classifier seeds, its 95% interval, and standard deviations of the cells.

    A number that does not exist is NaN.
    """

    mean: float
    low: float
    high: float
    std_gan: float  # due to the GAN's seed; 0 if nothing shows beyond the rest
    std_classifier: float  # the same of the classifier's seed
    std_rest: float  # due to the two together and to everything else that differs from cell to cell


def compute_spread(table: np.ndarray) -> Spread:
    """Split the spread of a table of crossed seeds into the parts of each kind of seed.

    Two-way random effects without repetition, by the method of moments: cell = mean + GAN seed's effect + classifier
    seed's effect + rest. A negative component is set to 0 and left out of the interval's variance.

    Args:
      table: float [num_gan_seeds, num_classifier_seeds], finite; a trained GAN's prints scored by a trained
        classifier.

    Returns:
      The spread. The interval is for new seeds of both kinds, by the t distribution with Satterthwaite's degrees of
      freedom; NaN if all cells agree. With one seed of a kind, that kind's deviation and the rest are NaN, the other
      deviation includes the rest, and the interval is for that one seed only (NaN with fewer than `MIN_SEEDS` of the
      other kind). A single cell has only a mean.

    Raises:
      ValueError: the table is empty, not two-dimensional, or not finite.

    Source: Searle, Casella & McCulloch 1992, section 4.4 (analysis-of-variance estimators); Satterthwaite 1946.
    """
    table = np.asarray(table, np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"expected finite values [num_gan_seeds, num_classifier_seeds], got {table.shape}")
    if 1 in table.shape:
        return _compute_line_spread(table)
    mean, (num_rows, num_columns) = float(table.mean()), table.shape
    row_effects = table.mean(1) - mean
    column_effects = table.mean(0) - mean
    rest = table - mean - row_effects[:, None] - column_effects
    # In the order rows, columns, rest.
    freedoms = np.array([num_rows - 1, num_columns - 1, (num_rows - 1) * (num_columns - 1)])
    squares = np.array(
        [num_columns * (row_effects**2).sum(), num_rows * (column_effects**2).sum(), (rest**2).sum()]
    )
    mean_squares = squares / freedoms
    variance_gan = max(0.0, (mean_squares[0] - mean_squares[2]) / num_columns)
    variance_classifier = max(0.0, (mean_squares[1] - mean_squares[2]) / num_rows)
    # The variance of the mean as a sum of mean squares: rows + columns - rest if both kinds show.
    shows = np.array([variance_gan > 0, variance_classifier > 0])
    signs = np.array([*shows, 1 - shows.sum()], np.float64)
    terms = signs * mean_squares / table.size
    if terms.sum() > 0:
        freedom = terms.sum() ** 2 / (terms**2 / freedoms).sum()
        freedom = max(freedom, freedoms[signs != 0].min())
    else:
        freedom = freedoms[2]
    low, high = _compute_t_interval(table, terms.sum(), freedom)
    stds = (float(v**0.5) for v in (variance_gan, variance_classifier, mean_squares[2]))
    return Spread(mean, low, high, *stds)


def average(table: np.ndarray) -> tuple[float, float, float]:
    """Return the mean and the ends of its interval as `compute_spread` does; NaN if a number is not finite.

    For a table with one seed of a kind the interval is Student's t.
    """
    if not np.isfinite(table).all():
        return math.nan, math.nan, math.nan
    mean, low, high = compute_spread(table)[:3]
    return mean, low, high


def _compute_line_spread(table: np.ndarray) -> Spread:
    """Compute the spread of a table with one seed of a kind."""
    mean, nan = float(table.mean()), math.nan
    if table.size == 1:
        return Spread(mean, nan, nan, nan, nan, nan)
    line = table.ravel()
    std = float(line.std(ddof=1))
    low, high = nan, nan
    if line.size >= MIN_SEEDS:
        low, high = _compute_t_interval(line, std**2 / line.size, line.size - 1)
    std_gan, std_classifier = (nan, std) if len(table) == 1 else (std, nan)
    return Spread(mean, low, high, std_gan, std_classifier, nan)


def _compute_t_interval(table: np.ndarray, variance: float, freedom: float) -> tuple[float, float]:
    """Return the interval of the mean; NaN if all cells are equal except for rounding."""
    if not variance > (_ROUNDING * max(1e-3, np.abs(table).max())) ** 2:
        return math.nan, math.nan
    half = float(stats.t.ppf(1 - _TAIL, freedom) * np.sqrt(variance))
    return float(table.mean()) - half, float(table.mean()) + half
