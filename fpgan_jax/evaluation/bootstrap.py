"""Owns how sure a number is: bootstrap intervals over persons, and the spread due to each kind of seed.

Does not know what the numbers measure. Prints of one person are not independent, so persons are what is drawn.

A percentile interval is too narrow for few persons: of normal values, one that claims 95% holds the truth in 85% of
the cases with 5 persons, in 90% with 10, in 92% with 13 (the t distribution at 1.96 sqrt((n - 1) / n)).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

# Two persons give three different resamples: no interval.
MIN_PERSONS = 3
PERCENTILES = (2.5, 97.5)
# A statistic that more resamples than this leave undefined has no interval.
MAX_UNDEFINED_SHARE = 0.05


class Spread(NamedTuple):
    """The mean of a table of GAN seeds and classifier seeds, and what makes its cells differ.

    Attributes:
      mean: of all cells.
      low: lower end of the mean's 95% interval.
      high: upper end.
      std_gan: standard deviation due to the GAN's seed; 0 where none shows beyond the rest.
      std_classifier: due to the classifier's seed, alike.
      std_rest: due to the two together and to whatever else differs from cell to cell.
    """

    mean: float
    low: float
    high: float
    std_gan: float
    std_classifier: float
    std_rest: float


def compute_interval(
    values: np.ndarray,
    groups: np.ndarray,
    *,
    statistic: Callable[[np.ndarray], float] = np.mean,
    num_resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Compute the percentile bootstrap's 95% interval by drawing whole persons.

    Args:
      values: float [n] or [n, ...]; what each print has. A row with a NaN is left out, and with it a person who has
        nothing else.
      groups: int [n]; each print's person. A print of nobody known (-1) counts as a person of its own.
      statistic: of float [m, ...], the rows of the persons drawn, a person drawn twice twice; the mean is computed
        for all resamples at once.
      num_resamples: such as 2000.
      seed: of the draws; the same seed and groups draw the same persons.

    Returns:
      (low, high). (NaN, NaN) with fewer than `MIN_PERSONS` persons (`describe_missing_interval` has the words), or
      where more than 5% of the resamples leave the statistic NaN; fewer are left out. Where all values are equal, as
      a share of 0 or 1, the interval has no width: n persons alike are still compatible with a share of 3 / n others.

    Raises:
      ValueError: values and groups are of different length.

    Source: Efron & Tibshirani 1993, chapter 13 (percentile interval); differs in: whole persons are drawn (Davison &
      Hinkley 1997, section 3.8).
    """
    values, groups = _drop_missing(values, groups)
    statistics = _resample((values,), (groups,), statistic, num_resamples, seed)
    return find_percentile_interval(statistics[0])


def compute_difference_interval(
    values: np.ndarray,
    groups: np.ndarray,
    other_values: np.ndarray,
    other_groups: np.ndarray,
    *,
    statistic: Callable[[np.ndarray], float] = np.mean,
    num_resamples: int,
    seed: int,
) -> tuple[float, float, float]:
    """Compute the difference of two samples of the same persons, with its interval: each draw is of both at once.

    The two may have any number of prints a person. Persons whom only one of them has are left out, and so are prints
    of nobody known (-1), which have no counterpart.

    Args:
      values: float [n] or [n, ...]; as in `compute_interval`.
      groups: int [n].
      other_values: float [m] or [m, ...]; what is subtracted.
      other_groups: int [m].
      statistic: as in `compute_interval`.
      num_resamples: as in `compute_interval`.
      seed: as in `compute_interval`.

    Returns:
      (statistic(values) - statistic(other_values) of the common persons, low, high); low and high are NaN as in
      `compute_interval`, the difference is NaN where there is no common person.

    Raises:
      ValueError: values and groups are of different length.
    """
    samples = [_drop_missing(values, groups), _drop_missing(other_values, other_groups)]
    common = np.intersect1d(samples[0][1], samples[1][1])
    common = common[common >= 0]
    if not len(common):
        return (float("nan"),) * 3
    kept = [(v[np.isin(g, common)], g[np.isin(g, common)]) for v, g in samples]
    statistics = _resample(*zip(*kept, strict=True), statistic, num_resamples, seed)
    difference = float(statistic(kept[0][0])) - float(statistic(kept[1][0]))
    return difference, *find_percentile_interval(statistics[0] - statistics[1])


def compute_pair_interval(matrix: np.ndarray, *, num_resamples: int, seed: int) -> tuple[float, float, float]:
    """Compute the mean over pairs of different persons, with the interval that drawing persons gives.

    Each person is in many pairs, so that an interval from the pairs as if they were independent is far too narrow. A
    person drawn twice makes no pair with themself.

    Args:
      matrix: float [num_persons, num_persons], finite but for the diagonal, which is not used; such as distances or
        mean scores. It need not be symmetric.
      num_resamples: as in `compute_interval`.
      seed: as in `compute_interval`.

    Returns:
      (mean, low, high); all NaN with fewer than two persons, low and high with fewer than `MIN_PERSONS`.
    """
    num_persons = len(matrix)
    if num_persons < 2:
        return (float("nan"),) * 3
    mean = float(average_pairs(matrix, np.ones((1, num_persons)))[0])
    if num_persons < MIN_PERSONS:
        return mean, float("nan"), float("nan")
    counts = draw_counts(num_persons, num_resamples=num_resamples, seed=seed)
    return mean, *find_percentile_interval(average_pairs(matrix, counts))


def average_pairs(matrix: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average over the pairs of different persons, each person taken as often as they were drawn.

    Args:
      matrix: [num_persons, num_persons]; as in `compute_pair_interval`.
      counts: [num_resamples, num_persons]; of `draw_counts`.

    Returns:
      float [num_resamples]; NaN where one person alone was drawn.
    """
    matrix = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    num_pairs = counts.sum(1) ** 2 - (counts**2).sum(1)
    sums = np.einsum("rp,rp->r", counts @ matrix, counts)
    return np.divide(sums, num_pairs, out=np.full(len(counts), np.nan), where=num_pairs > 0)


def draw_persons(groups: np.ndarray, *, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw whole persons with replacement, as `compute_interval` does, for what is not a statistic of rows.

    Args:
      groups: int [n], not empty; as in `compute_interval`.
      num_resamples: how many draws.
      seed: of the draws.

    Yields:
      int64 [m]: places in `groups`, all of those of each person drawn.
    """
    numbers = number_persons(groups)
    members = [np.flatnonzero(numbers == number) for number in range(_count(numbers))]
    for drawn in _draw(len(members), num_resamples, seed):
        yield np.concatenate([members[number] for number in drawn])


def draw_counts(num_persons: int, *, num_resamples: int, seed: int) -> np.ndarray:
    """Draw how often each person is drawn, for statistics that are sums over persons or pairs of them.

    Args:
      num_persons: at least 1.
      num_resamples: how many draws.
      seed: of the draws; they are those of `draw_persons`.

    Returns:
      int64 [num_resamples, num_persons]; each row adds up to num_persons.
    """
    drawn = _draw(num_persons, num_resamples, seed) + num_persons * np.arange(num_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=num_resamples * num_persons)
    return counts.reshape(num_resamples, num_persons)


def number_persons(groups: np.ndarray) -> np.ndarray:
    """Number the persons from 0, in the order of their ids, each print of nobody known (-1) apart.

    Args:
      groups: int [n].

    Returns:
      int64 [n].
    """
    groups = np.array(groups, np.int64)
    unknown = groups < 0
    groups[unknown] = -1 - np.arange(unknown.sum())
    return np.unique(groups, return_inverse=True)[1].reshape(-1)


def find_percentile_interval(statistics: np.ndarray) -> tuple[float, float]:
    """Find the ends of the middle 95% of resampled statistics.

    Args:
      statistics: float [num_resamples].

    Returns:
      (low, high); (NaN, NaN) where more than 5% are NaN.
    """
    undefined = np.isnan(statistics)
    if not len(statistics) or undefined.mean() > MAX_UNDEFINED_SHARE:
        return float("nan"), float("nan")
    low, high = np.percentile(statistics[~undefined], PERCENTILES)
    return float(low), float(high)


def count_persons(groups: np.ndarray) -> int:
    """Count persons as the bootstrap does: each print of nobody known (-1) is one.

    Args:
      groups: int [n].

    Returns:
      How many.
    """
    return _count(number_persons(groups))


def describe_missing_interval(num_persons: int) -> str:
    """Say why there is no interval, for a row's note.

    Args:
      num_persons: of the sample, as `count_persons` counts them.

    Returns:
      A sentence, or "" where there are enough persons.
    """
    if num_persons >= MIN_PERSONS:
        return ""
    return (
        f"no interval: {num_persons} person{'s' * (num_persons != 1)}, and fewer than {MIN_PERSONS} give none"
    )


def compute_spread(table: np.ndarray) -> Spread:
    """Split the spread of a table of crossed seeds into what each kind of seed does.

    Two-way random effects without repetition, by the method of moments: cell = mean + GAN seed's effect + classifier
    seed's effect + rest. A component that comes out negative is 0 and is left out of the interval's variance.

    Args:
      table: float [num_gan_seeds, num_classifier_seeds], finite; a trained GAN's prints scored by a trained
        classifier.

    Returns:
      The spread. The interval is for new seeds of both kinds, by the t distribution with Satterthwaite's degrees of
      freedom. With one seed of a kind, that kind's deviation and the rest are NaN, the other's holds the rest too,
      and the interval is for that one seed only; of one cell there is but the mean.

    Raises:
      ValueError: the table is empty, not two-dimensional, or holds what is not finite.

    Source: Searle, Casella & McCulloch 1992, section 4.4 (analysis-of-variance estimators); Satterthwaite 1946.
    """
    table = np.asarray(table, np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"expected finite values [num_gan_seeds, num_classifier_seeds], got {table.shape}")
    mean, nan = float(table.mean()), float("nan")
    num_rows, num_columns = table.shape
    if 1 in table.shape:
        line = table.ravel()
        if line.size == 1:
            return Spread(mean, nan, nan, nan, nan, nan)
        std = float(line.std(ddof=1))
        low, high = _compute_t_interval(mean, std**2 / line.size, line.size - 1)
        return Spread(mean, low, high, *((nan, std) if num_rows == 1 else (std, nan)), nan)
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
    # The variance of the mean as a sum of mean squares: rows + columns - rest where both kinds show.
    shows = np.array([variance_gan > 0, variance_classifier > 0])
    signs = np.array([*shows, 1 - shows.sum()], np.float64)
    terms = signs * mean_squares / table.size
    if terms.sum() > 0:
        freedom = terms.sum() ** 2 / (terms**2 / freedoms).sum()
        freedom = max(freedom, freedoms[signs != 0].min())
    else:
        freedom = freedoms[2]
    low, high = _compute_t_interval(mean, terms.sum(), freedom)
    return Spread(
        mean, low, high, *(float(v**0.5) for v in (variance_gan, variance_classifier, mean_squares[2]))
    )


def _compute_t_interval(mean: float, variance: float, freedom: float) -> tuple[float, float]:
    half = float(stats.t.ppf(PERCENTILES[1] / 100, freedom) * np.sqrt(variance))
    return mean - half, mean + half


def _drop_missing(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, groups = np.asarray(values, np.float64), np.asarray(groups)
    if len(values) != len(groups):
        raise ValueError(f"{len(values)} values and {len(groups)} groups")
    is_there = ~np.isnan(values.reshape(len(values), -1)).any(1) if len(values) else np.zeros(0, bool)
    return values[is_there], groups[is_there]


def _count(numbers: np.ndarray) -> int:
    return int(numbers.max()) + 1 if len(numbers) else 0


def _draw(num_persons: int, num_resamples: int, seed: int) -> np.ndarray:
    """Draw persons' numbers, int64 [num_resamples, num_persons]."""
    return np.random.default_rng(seed).integers(num_persons, size=(num_resamples, num_persons))


def _resample(
    samples: tuple[np.ndarray, ...],
    groups: tuple[np.ndarray, ...],
    statistic: Callable[[np.ndarray], float],
    num_resamples: int,
    seed: int,
) -> np.ndarray:
    """Compute the statistic of each sample [num_samples, num_resamples]; all are of the same persons."""
    num_persons = count_persons(groups[0])
    if num_persons < MIN_PERSONS:
        return np.full((len(samples), num_resamples), np.nan)
    if statistic is np.mean and all(values.ndim == 1 for values in samples):
        times = draw_counts(num_persons, num_resamples=num_resamples, seed=seed)
        means = []
        for values, persons in zip(samples, groups, strict=True):
            numbers = number_persons(persons)
            means.append(times @ np.bincount(numbers, values) / (times @ np.bincount(numbers)))
        return np.stack(means)
    return np.array(
        [
            [
                float(statistic(values[places]))
                for places in draw_persons(persons, num_resamples=num_resamples, seed=seed)
            ]
            for values, persons in zip(samples, groups, strict=True)
        ]
    )
