"""Owns 95% intervals of numbers that come from few persons.

Does not know what the numbers measure. Prints of one person are not independent, so the unit is the person: intervals
are Student's t on what leaving one person out changes (the jackknife), and exact ones for rates. `docs/statistics.md`
says how often each holds the truth, and how often the percentile bootstrap does.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

MIN_PERSONS = 3
UNBOUNDED = (-np.inf, np.inf)
NO_INTERVAL = (float("nan"), float("nan"))
_TAIL = 0.025
# Of the value; a smaller standard error is the rounding of equal numbers.
_ROUNDING = 1e-9


def compute_interval(
    values: np.ndarray,
    groups: np.ndarray,
    *,
    statistic: Callable[[np.ndarray], float] = np.mean,
    bounds: tuple[float, float] = UNBOUNDED,
) -> tuple[float, float]:
    """Compute a statistic's interval by leaving out one person at a time.

    Of a mean over equally many prints a person it is Student's t interval of the persons' means.

    Args:
      values: float [n] or [n, ...]; what each print has. A row with a NaN is left out.
      groups: int [n]; each print's person. A print of nobody known (-1) counts as a person of its own.
      statistic: of float [m, ...].
      bounds: what the statistic cannot exceed; the interval is cut there.

    Returns:
      (low, high). (NaN, NaN) with fewer than `MIN_PERSONS` persons, where leaving one out changes nothing (an interval
      of no width would claim certainty), or where it leaves the statistic undefined.

    Raises:
      ValueError: values and groups are of different length.

    Source: Student 1908; Tukey 1958 (jackknife); Efron & Tibshirani 1993, section 11.5; differs in: whole persons are
      left out.
    """
    values, groups = _drop_missing(values, groups)
    if count_persons(groups) < MIN_PERSONS:
        return NO_INTERVAL
    left_out = leave_persons_out(values, groups, statistic)
    return find_jackknife_interval(float(statistic(values)), left_out, bounds=bounds)


def find_jackknife_interval(
    value: float, *left_out: np.ndarray, bounds: tuple[float, float] = UNBOUNDED
) -> tuple[float, float]:
    """Find the interval of a statistic of one or several independent samples.

    Args:
      value: of all persons.
      *left_out: a sample each, float [num_persons]; the statistic without each of its persons in turn.
      bounds: as of `compute_interval`.

    Returns:
      (low, high); NaN as of `compute_interval`.

    Source: Satterthwaite 1946 (degrees of freedom of several samples).
    """
    variance, freedom = _combine_variances([_compute_jackknife(part) for part in left_out])
    if not variance > (_ROUNDING * abs(value)) ** 2:
        return NO_INTERVAL
    half = float(stats.t.ppf(1 - _TAIL, freedom) * np.sqrt(variance))
    return max(value - half, bounds[0]), min(value + half, bounds[1])


def find_skewed_interval(value: float, *left_out: np.ndarray) -> tuple[float, float]:
    """Find the interval of a statistic that scatters the more the larger it is, and may be below 0.

    That of `find_jackknife_interval`, of the inverse hyperbolic sine of the statistic in standard errors: of the
    statistic itself near 0, and of its logarithm far from it.

    Args:
      value: as of `find_jackknife_interval`.
      *left_out: as of `find_jackknife_interval`.

    Returns:
      (low, high); NaN as of `compute_interval`.
    """
    variance, _ = _combine_variances([_compute_jackknife(part) for part in left_out])
    if not variance > 0:
        return NO_INTERVAL
    scale = np.sqrt(variance)
    ends = find_jackknife_interval(
        np.arcsinh(value / scale), *(np.arcsinh(part / scale) for part in left_out)
    )
    return float(scale * np.sinh(ends[0])), float(scale * np.sinh(ends[1]))


def compute_rate_interval(is_true: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Compute the exact interval of a rate at the size that the sample is worth.

    Args:
      is_true: bool or 0 and 1 [n]; whether each print counts. NaN is left out.
      groups: int [n]; as of `compute_interval`.

    Returns:
      (low, high), in [0, 1]. Where all prints agree, persons are what is counted: 50 of 50 prints of 5 persons give
      (0.48, 1), as 5 of 5 do. (NaN, NaN) with fewer than `MIN_PERSONS` persons.

    Raises:
      ValueError: values and groups are of different length.

    Source: Korn & Graubard 1998; differs in: persons in place of prints where all prints agree.
    """
    values, groups = _drop_missing(is_true, groups)
    num_persons = count_persons(groups)
    if num_persons < MIN_PERSONS:
        return NO_INTERVAL
    left_out, rate = leave_persons_out(values, groups), float(values.mean())
    return find_rate_interval(rate, left_out, max_size=len(values), size_if_certain=num_persons)


def compute_pair_interval(
    matrix: np.ndarray, *, bounds: tuple[float, float] = UNBOUNDED
) -> tuple[float, float, float]:
    """Compute the mean over pairs of different persons, with its interval.

    Each person is in many pairs, so that an interval from the pairs as if they were independent is far too narrow.

    Args:
      matrix: float [num_persons, num_persons], finite but for the diagonal, which is not used; such as distances or
        mean scores. It need not be symmetric.
      bounds: as of `compute_interval`.

    Returns:
      (mean, low, high); all NaN with fewer than two persons, low and high as of `compute_interval`.
    """
    mean, left_out = _leave_persons_out_of_pairs(matrix)
    return mean, *(
        NO_INTERVAL if left_out is None else find_jackknife_interval(mean, left_out, bounds=bounds)
    )


def compute_pair_rate_interval(matrix: np.ndarray) -> tuple[float, float, float]:
    """Compute a rate over pairs of different persons, with its exact interval.

    Args:
      matrix: as of `compute_pair_interval`; a pair's share of comparisons that count, in [0, 1].

    Returns:
      (rate, low, high). Where all pairs agree, the pairs of persons are what is counted, however many prints each has.
      NaN as of `compute_pair_interval`.

    Source: as of `compute_rate_interval`, at most at the number of pairs of persons.
    """
    rate, left_out = _leave_persons_out_of_pairs(matrix)
    num_pairs = len(matrix) * (len(matrix) - 1) // 2
    if left_out is None:
        return rate, *NO_INTERVAL
    return rate, *find_rate_interval(rate, left_out, max_size=num_pairs, size_if_certain=num_pairs)


def find_rate_interval(
    rate: float, *left_out: np.ndarray, max_size: int, size_if_certain: int
) -> tuple[float, float]:
    """Find the exact interval of a rate at the size that its spread between persons is worth.

    Args:
      rate: of all persons, in [0, 1].
      *left_out: as of `find_jackknife_interval`.
      max_size: more than this the sample is never worth.
      size_if_certain: what it is worth where the rate is 0 or 1 and shows no spread.

    Returns:
      (low, high), in [0, 1].

    Source: Korn & Graubard 1998.
    """
    if rate in (0, 1):
        return compute_exact_interval(rate, size_if_certain)
    variance, freedom = _combine_variances([_compute_jackknife(part) for part in left_out])
    size = float(max_size)
    if variance > 0:
        ratio = stats.t.ppf(1 - _TAIL, max_size - 1) / stats.t.ppf(1 - _TAIL, freedom)
        size = min(size, rate * (1 - rate) / variance * ratio**2)
    return compute_exact_interval(rate, size)


def compute_exact_interval(rate: float, size: float) -> tuple[float, float]:
    """Compute Clopper and Pearson's interval of a rate.

    Args:
      rate: in [0, 1].
      size: of the sample; need not be a whole number.

    Returns:
      (low, high), in [0, 1].

    Source: Clopper & Pearson 1934; Korn & Graubard 1998 (sizes that are not whole).
    """
    count = rate * size
    low = stats.beta.ppf(_TAIL, count, size - count + 1) if rate > 0 else 0.0
    high = stats.beta.ppf(1 - _TAIL, count + 1, size - count) if rate < 1 else 1.0
    return float(low), float(high)


def average_pairs(matrix: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Average over the pairs of different persons, each person taken so many times.

    Args:
      matrix: [num_persons, num_persons]; as in `compute_pair_interval`.
      counts: [m, num_persons]; whole numbers.

    Returns:
      float [m]; NaN where there is no pair.
    """
    matrix = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    num_pairs = counts.sum(1) ** 2 - (counts**2).sum(1)
    sums = np.einsum("rp,rp->r", counts @ matrix, counts)
    return np.divide(sums, num_pairs, out=np.full(len(counts), np.nan), where=num_pairs > 0)


def leave_persons_out(
    values: np.ndarray, groups: np.ndarray, statistic: Callable[[np.ndarray], float] = np.mean
) -> np.ndarray:
    """Compute a statistic without each person in turn.

    Args:
      values: float [n] or [n, ...], without NaN.
      groups: int [n]; as of `compute_interval`.
      statistic: as of `compute_interval`.

    Returns:
      float64 [num_persons]; NaN of a single person's mean.
    """
    numbers = number_persons(groups)
    if statistic is np.mean and values.ndim == 1:
        sums, sizes = np.bincount(numbers, values), np.bincount(numbers)
        rest = sizes.sum() - sizes
        return np.divide(sums.sum() - sums, rest, out=np.full(len(sums), np.nan), where=rest > 0)
    places = range(int(numbers.max(initial=-1)) + 1)
    return np.array([statistic(values[numbers != number]) for number in places], np.float64)


def leave_one_out(num_persons: int) -> np.ndarray:
    """Return the counts without each person in turn: int64 [num_persons, num_persons], 1 but for the diagonal."""
    return 1 - np.eye(num_persons, dtype=np.int64)


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


def count_persons(groups: np.ndarray) -> int:
    """Count persons, each print of nobody known (-1) as one.

    Args:
      groups: int [n].

    Returns:
      How many.
    """
    numbers = number_persons(groups)
    return int(numbers.max()) + 1 if len(numbers) else 0


def describe_missing_interval(num_persons: int, interval: tuple[float, float]) -> str:
    """Say why there is no interval, for a row's note.

    Args:
      num_persons: of the sample, as `count_persons` counts them.
      interval: (low, high).

    Returns:
      A sentence, or "" where there is an interval.
    """
    if not np.isnan(interval).any():
        return ""
    if num_persons >= MIN_PERSONS:
        return (
            f"no interval: leaving out any of the {num_persons} persons changes nothing, or leaves no number"
        )
    return (
        f"no interval: {num_persons} person{'s' * (num_persons != 1)}, and fewer than {MIN_PERSONS} give none"
    )


def _drop_missing(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows without a NaN, and their persons."""
    values, groups = np.asarray(values, np.float64), np.asarray(groups)
    if len(values) != len(groups):
        raise ValueError(f"{len(values)} values and {len(groups)} groups")
    is_there = ~np.isnan(values.reshape(len(values), -1)).any(1) if len(values) else np.zeros(0, bool)
    return values[is_there], groups[is_there]


def _leave_persons_out_of_pairs(matrix: np.ndarray) -> tuple[float, np.ndarray | None]:
    """Return (the mean over pairs, the same without each person in turn, None of too few persons)."""
    num_persons = len(matrix)
    if num_persons < 2:
        return float("nan"), None
    mean = float(average_pairs(matrix, np.ones((1, num_persons)))[0])
    if num_persons < MIN_PERSONS:
        return mean, None
    return mean, average_pairs(matrix, leave_one_out(num_persons))


def _compute_jackknife(left_out: np.ndarray) -> tuple[float, int]:
    """Return (the statistic's variance, its degrees of freedom)."""
    freedom = len(left_out) - 1
    return freedom / len(left_out) * float(((left_out - left_out.mean()) ** 2).sum()), freedom


def _combine_variances(parts: list[tuple[float, int]]) -> tuple[float, float]:
    variance = sum(part for part, _ in parts)
    # Relative to the sum, as a square of a small number may be 0.
    shares = sum((part / variance) ** 2 / freedom for part, freedom in parts) if variance > 0 else np.nan
    return variance, 1 / shares
