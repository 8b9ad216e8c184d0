"""Owns whether two numbers differ: their difference with its interval, and the verdict by a margin of equivalence.

Does not know what the numbers measure, or which margin is right for it (`verdicts.py`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.statistics import intervals

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"


class Difference(NamedTuple):
    """One number minus another.

    Attributes:
      value: the difference.
      low: lower end of its 95% interval; NaN where there is none.
      high: upper end.
      num_paired: persons whom both numbers have and who were compared each with themself; 0 where none were.
    """

    value: float
    low: float
    high: float
    num_paired: int = 0


def compute_difference(
    values: np.ndarray, persons: np.ndarray, other_values: np.ndarray, other_persons: np.ndarray
) -> Difference:
    """Compute the difference of two means over prints, paired by person where enough persons are in both.

    Args:
      values: float [n]; NaN is left out.
      persons: int [n]; -1 is nobody known.
      other_values: float [m]; what is subtracted.
      other_persons: int [m].

    Returns:
      The mean over the common persons of the differences of their means; with fewer than `intervals.MIN_PERSONS` common
      persons, the difference of the two means, as of independent samples. NaN where a side has no value.

    Source: Student 1908 (paired t); Welch 1947 (independent samples).
    """
    samples = [
        (values[~np.isnan(values)], persons[~np.isnan(values)])
        for values, persons in ((values, persons), (other_values, other_persons))
    ]
    common = np.intersect1d(samples[0][1], samples[1][1])
    common = common[common >= 0]
    if len(common) >= intervals.MIN_PERSONS:
        first, second = (
            np.array([values[persons == person].mean() for person in common]) for values, persons in samples
        )
        difference = first - second
        return Difference(
            float(difference.mean()), *intervals.compute_interval(difference, common), len(common)
        )
    if not len(samples[0][0]) or not len(samples[1][0]):
        return Difference(*(float("nan"),) * 3)
    means = [float(values.mean()) for values, _ in samples]
    left_out = [intervals.leave_persons_out(*sample) for sample in samples]
    value = means[0] - means[1]
    if min(map(len, left_out)) < intervals.MIN_PERSONS:
        return Difference(value, *intervals.NO_INTERVAL)
    interval = intervals.find_jackknife_interval(value, left_out[0] - means[1], means[0] - left_out[1])
    return Difference(value, *interval)


def combine_intervals(number: tuple[float, float, float], other: tuple[float, float, float]) -> Difference:
    """Compute the difference of two numbers of which only the intervals are known.

    Args:
      number: (value, low, high).
      other: alike; what is subtracted.

    Returns:
      The difference, its interval as of independent samples: too wide where the same persons move both the same way.

    Source: Zou & Donner 2008, equation 4 (MOVER).
    """
    (value, low, high), (other_value, other_low, other_high) = number, other
    difference = value - other_value
    return Difference(
        difference,
        difference - math.hypot(value - low, other_high - other_value),
        difference + math.hypot(high - value, other_value - other_low),
    )


def judge(differences: Sequence[Difference], better: str, margin: float) -> str:
    """Decide how prints stand to real ones.

    By two one-sided tests at 2.5% each, that is, by the 95% intervals:
    - equivalent: no more than the margin below some set of real prints, and no more than that above some set.
    - better, worse: on that side of every set of real prints.
    - undecided: this sample shows none of it.

    Args:
      differences: from each set of real prints.
      better: "higher", "lower", or "real" (on either side of real prints is worse).
      margin: a difference of no account, at least 0; NaN where none is known, which leaves nothing equivalent.

    Returns:
      `EQUIVALENT`, `BETTER`, `WORSE` or `UNDECIDED`.

    Raises:
      ValueError: `better` is another word.

    Source: Schuirmann 1987 (two one-sided tests); Berger 1982 (to be worse than all needs no correction).
    """
    if better not in ("higher", "lower", "real"):
        raise ValueError(f"better is {better!r}; one of higher, lower, real")
    if not differences:
        return UNDECIDED
    if any(one.low > -margin for one in differences) and any(one.high < margin for one in differences):
        return EQUIVALENT
    is_above = all(one.low > 0 for one in differences)
    is_below = all(one.high < 0 for one in differences)
    if not (is_above or is_below):
        return UNDECIDED
    if better == "real":
        return WORSE
    return BETTER if is_above == (better == "higher") else WORSE
