"""Owns whether two numbers differ: their difference with its interval, and the verdict by a margin of equivalence.

The margin comes from the caller (`verdicts.py`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.statistics import intervals

BETTER, WORSE, EQUIVALENT, UNDECIDED = "better", "worse", "equivalent", "undecided"


class Difference(NamedTuple):
    """One number minus another, with its 95% interval, or NaN without an interval."""

    value: float
    low: float
    high: float
    num_paired: int = 0  # persons in both samples, if these were compared person by person


def compute_difference(
    values: np.ndarray, persons: np.ndarray, other_values: np.ndarray, other_persons: np.ndarray
) -> Difference:
    """Compute the difference of two means over prints, paired by person if enough persons are in both samples.

    With fewer than `intervals.MIN_PERSONS` common persons the samples are taken as independent. The difference is NaN
    if a sample has no value.

    Args:
      values: float [n]; NaN is left out.
      persons: int [n]; -1 is unknown.
      other_values: float [m]; what is subtracted.
      other_persons: int [m].

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
        return Difference(math.nan, math.nan, math.nan)
    means = [float(values.mean()) for values, _ in samples]
    left_out = [intervals.leave_persons_out(*sample) for sample in samples]
    value = means[0] - means[1]
    if min(map(len, left_out)) < intervals.MIN_PERSONS:
        return Difference(value, *intervals.NO_INTERVAL)
    interval = intervals.find_jackknife_interval(value, left_out[0] - means[1], means[0] - left_out[1])
    return Difference(value, *interval)


def combine_intervals(number: tuple[float, float, float], other: tuple[float, float, float]) -> Difference:
    """Subtract a number with its interval from another, each as (value, low, high).

    The interval is for independent samples; it is too wide if both numbers are of the same persons.

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
    """Compare prints with real ones by two one-sided tests at 2.5% each, that is, by the 95% intervals.

    - equivalent: at most the margin below some set of real prints, and at most the margin above some set.
    - better, worse: on that side of every set of real prints.
    - undecided: this sample shows none of these.

    Args:
      differences: from each set of real prints.
      better: "higher", "lower", or "real" (either side of the real prints is worse).
      margin: a negligible difference, at least 0; NaN if unknown, and then nothing is equivalent.

    Raises:
      ValueError: `better` is another word.

    Source: Schuirmann 1987 (two one-sided tests); Berger 1982 (being worse than all needs no correction).
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
