"""Owns 95% intervals of numbers that come from few persons.

Prints of one person are not independent, so persons are left out one at a time (the jackknife): intervals are Student's
t of what that changes, and exact ones for rates. `docs/statistics.md` says how often each contains the truth.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

Interval = tuple[float, float]

MIN_PERSONS = 3
UNBOUNDED: Interval = (-np.inf, np.inf)
NO_INTERVAL: Interval = (float("nan"), float("nan"))
_TAIL = 0.025
# Relative to the value; a smaller standard error is the rounding of equal numbers.
_ROUNDING = 1e-9


def compute_interval(
    values: np.ndarray,
    groups: np.ndarray,
    *,
    statistic: Callable[[np.ndarray], float] = np.mean,
    bounds: Interval = UNBOUNDED,
) -> Interval:
    """Compute a statistic's interval by leaving out one person at a time.

    For a mean over equally many prints per person this is Student's t interval of the persons' means.

    Args:
      values: float [n] or [n, ...], one row per print, without NaN.
      groups: int [n], each print's person. A print of an unknown person (-1) counts as a person of its own.
      statistic: of float [m, ...].
      bounds: the statistic's range, to which the interval is clipped.

    Returns:
      (low, high). (NaN, NaN) with fewer than `MIN_PERSONS` persons, if leaving one out changes nothing (an interval of
      no width would claim certainty), or if it makes the statistic NaN.

    Source: Student 1908; Tukey 1958 (jackknife); Efron & Tibshirani 1993, section 11.5; differs in: whole persons are
      left out.
    """
    if count_persons(groups) < MIN_PERSONS:
        return NO_INTERVAL
    left_out = leave_persons_out(values, groups, statistic)
    return find_jackknife_interval(float(statistic(values)), left_out, bounds=bounds)


def find_jackknife_interval(value: float, *left_out: np.ndarray, bounds: Interval = UNBOUNDED) -> Interval:
    """Find the interval of a statistic of independent samples; bounds and result are those of `compute_interval`.

    Args:
      value: the statistic of all persons.
      *left_out: for each sample float [num_persons], the statistic without each person.

    Source: Satterthwaite 1946 (degrees of freedom of several samples).
    """
    variance, freedom = _compute_variance(left_out)
    if not variance > (_ROUNDING * abs(value)) ** 2:
        return NO_INTERVAL
    half = float(stats.t.ppf(1 - _TAIL, freedom) * np.sqrt(variance))
    return max(value - half, bounds[0]), min(value + half, bounds[1])


def find_skewed_interval(value: float, *left_out: np.ndarray) -> Interval:
    """Find the interval of a statistic whose spread grows with it, and which may be below 0.

    It is the interval of the inverse hyperbolic sine of the statistic in standard errors: near 0 the statistic's own,
    far from it that of its logarithm. Arguments and result are those of `find_jackknife_interval`.
    """
    variance, _ = _compute_variance(left_out)
    if not variance > 0:
        return NO_INTERVAL
    scale = np.sqrt(variance)
    low, high = find_jackknife_interval(
        np.arcsinh(value / scale), *(np.arcsinh(part / scale) for part in left_out)
    )
    return float(scale * np.sinh(low)), float(scale * np.sinh(high))


def compute_rate_interval(is_true: np.ndarray, groups: np.ndarray) -> Interval:
    """Compute the exact interval, in [0, 1], of a rate at the sample's effective size.

    Args:
      is_true: bool or 0 and 1 [n], one per print.
      groups: int [n], as in `compute_interval`.

    Returns:
      (low, high). If all prints agree, persons are counted: 50 of 50 prints of 5 persons give (0.48, 1), as 5 of 5 do.
      (NaN, NaN) with fewer than `MIN_PERSONS` persons.

    Source: Korn & Graubard 1998; differs in: persons instead of prints if all prints agree.
    """
    num_persons = count_persons(groups)
    if num_persons < MIN_PERSONS:
        return NO_INTERVAL
    left_out, rate = leave_persons_out(is_true, groups), float(is_true.mean())
    return find_rate_interval(rate, left_out, max_size=len(is_true), size_if_certain=num_persons)


def compute_pair_interval(matrix: np.ndarray, *, is_rate: bool = False) -> tuple[float, float, float]:
    """Compute the mean over pairs of different persons, with its interval.

    Each person is in many pairs; an interval that takes the pairs as independent is far too narrow.

    Args:
      matrix: float [num_persons, num_persons], finite except on the diagonal, which is not used; such as distances or
        mean scores. It need not be symmetric.
      is_rate: whether the matrix has the share of each pair's comparisons that count. The interval is then the exact
        one of `compute_rate_interval`; if all pairs agree, pairs of persons are counted, however many prints each has.

    Returns:
      (mean, low, high). All NaN with fewer than two persons; low and high NaN as in `compute_interval`.
    """
    num_persons = len(matrix)
    mean = float(average_pairs(matrix, np.ones((1, num_persons)))[0])
    if num_persons < MIN_PERSONS:
        return mean, *NO_INTERVAL
    left_out = average_pairs(matrix, leave_one_out(num_persons))
    if not is_rate:
        return mean, *find_jackknife_interval(mean, left_out)
    num_pairs = num_persons * (num_persons - 1) // 2
    return mean, *find_rate_interval(mean, left_out, max_size=num_pairs, size_if_certain=num_pairs)


def find_rate_interval(rate: float, *left_out: np.ndarray, max_size: int, size_if_certain: int) -> Interval:
    """Find the exact interval of a rate at the effective size, which follows from the spread between persons.

    Args:
      rate: of all persons, in [0, 1].
      *left_out: as in `find_jackknife_interval`.
      max_size: limit of the effective size.
      size_if_certain: the size if the rate is 0 or 1 and shows no spread.

    Source: Korn & Graubard 1998.
    """
    if rate in (0, 1):
        return _compute_exact_interval(rate, size_if_certain)
    variance, freedom = _compute_variance(left_out)
    size = float(max_size)
    if variance > 0:
        ratio = stats.t.ppf(1 - _TAIL, max_size - 1) / stats.t.ppf(1 - _TAIL, freedom)
        size = min(size, rate * (1 - rate) / variance * ratio**2)
    return _compute_exact_interval(rate, size)


def _compute_exact_interval(rate: float, size: float) -> Interval:
    # Clopper & Pearson 1934; Korn & Graubard 1998 for sizes that are not whole numbers.
    count = rate * size
    low = stats.beta.ppf(_TAIL, count, size - count + 1) if rate > 0 else 0.0
    high = stats.beta.ppf(1 - _TAIL, count + 1, size - count) if rate < 1 else 1.0
    return float(low), float(high)


def average_pairs(matrix: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average the matrix of `compute_pair_interval` over pairs of different persons.

    counts is [m, num_persons], how often each person is taken; the result is float [m], NaN without any pair.
    """
    matrix = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    num_pairs = counts.sum(1) ** 2 - (counts**2).sum(1)
    sums = np.einsum("rp,rp->r", counts @ matrix, counts)
    return np.divide(sums, num_pairs, out=np.full(len(counts), np.nan), where=num_pairs > 0)


def leave_persons_out(
    values: np.ndarray, groups: np.ndarray, statistic: Callable[[np.ndarray], float] = np.mean
) -> np.ndarray:
    """Compute a statistic without each person in turn: float64 [num_persons], NaN for the mean of a single person.

    Arguments are those of `compute_interval`.
    """
    numbers = number_persons(groups)
    if statistic is np.mean and values.ndim == 1:
        sums, sizes = np.bincount(numbers, values), np.bincount(numbers)
        rest = sizes.sum() - sizes
        return np.divide(sums.sum() - sums, rest, out=np.full(len(sums), np.nan), where=rest > 0)
    return np.array(
        [statistic(values[numbers != number]) for number in range(count_persons(groups))], np.float64
    )


def leave_one_out(num_persons: int) -> np.ndarray:
    """Return the counts without each person in turn: int64 [num_persons, num_persons], 0 on the diagonal, else 1."""
    return 1 - np.eye(num_persons, dtype=np.int64)


def number_persons(groups: np.ndarray) -> np.ndarray:
    """Number the persons from 0, in the order of their ids: int [n] to int64 [n].

    Each print of an unknown person (-1) has a number of its own.
    """
    groups = np.array(groups, np.int64)
    unknown = groups < 0
    groups[unknown] = -1 - np.arange(unknown.sum())
    return np.unique(groups, return_inverse=True)[1].reshape(-1)


def count_persons(groups: np.ndarray) -> int:
    """Count the persons of int [n]; each print of an unknown person (-1) counts as one."""
    return int(number_persons(groups).max(initial=-1)) + 1


def write_interval(interval: Interval, form: str) -> str:
    """Write an interval after its number, such as " [0.1, 0.3]" for the form ".1f"; "" if there is none."""
    low, high = interval
    return "" if np.isnan(interval).any() else f" [{low:{form}}, {high:{form}}]"


def describe_missing_interval(num_persons: int, interval: Interval) -> str:
    """Say why there is no interval, for a row's note; "" if there is one."""
    if not np.isnan(interval).any():
        return ""
    if num_persons >= MIN_PERSONS:
        return (
            f"no interval: leaving out any of the {num_persons} persons changes nothing, or leaves no number"
        )
    return (
        f"no interval: {num_persons} person{'s' * (num_persons != 1)}, and fewer than {MIN_PERSONS} give none"
    )


def _compute_variance(left_out: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """Return (the statistic's variance by the jackknife, its degrees of freedom)."""
    variances = [(len(part) - 1) / len(part) * float(((part - part.mean()) ** 2).sum()) for part in left_out]
    variance = sum(variances)
    if not variance > 0:
        return variance, np.nan
    # Relative to the sum, as the square of a small number may be 0.
    shares = [(part / variance) ** 2 for part in variances]
    return variance, 1 / sum(share / (len(part) - 1) for share, part in zip(shares, left_out, strict=True))
