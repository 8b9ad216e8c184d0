"""Owns thresholds at a false accept rate and the equal error rate of a set of scores, with intervals for other persons.

A comparison is accepted if its score is at least the threshold.
"""

import math
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.statistics.intervals import Interval

FALSE_ACCEPT_RATES = (0.01, 0.001)


class Impostors(NamedTuple):
    """Comparisons of two persons' prints."""

    scores: np.ndarray  # float64 [n]
    persons: np.ndarray  # int64 [n, 2], whose prints were compared

    def count_pairs(self) -> int:
        """Count the distinct pairs of persons: copies of a print add comparisons but no pair."""
        return len(np.unique(np.sort(self.persons, axis=1), axis=0))


class EqualError(NamedTuple):
    """The score at which as many impostors are accepted as genuine comparisons are rejected."""

    rate: float  # mean of both rates there, in [0, 1]
    threshold: float


def count_needed_impostors(false_accept_rate: float) -> int:
    """Count the pairs of persons that a false accept rate, in (0, 1], needs: 300 for 1%, 3,000 for 0.1%.

    Source: the rule of 3, ISO/IEC 19795-1, annex B; differs in: it is for independent comparisons; pairs that share a
      person are worth somewhat less, and further prints of the same pair almost nothing.
    """
    # If none of n comparisons is accepted, the rate is below 3 / n at 95%. Rounded, as 3 / 0.001 need not be 3,000 to
    # the last bit.
    return math.ceil(round(3 / false_accept_rate, 6))


def find_threshold(impostor_scores: np.ndarray, false_accept_rate: float) -> float:
    """Find the lowest whole threshold at which at most a share, in [0, 1), of the impostors is accepted.

    Raises:
      ValueError: there is no score.
    """
    if not len(impostor_scores):
        raise ValueError("no impostor scores")
    descending = np.sort(impostor_scores)[::-1]
    num_accepted = math.floor(round(false_accept_rate * len(descending), 6))
    # The first score that must be rejected.
    return float(math.floor(descending[num_accepted]) + 1)


def find_threshold_interval(
    impostors: Impostors, false_accept_rate: float, *, num_resamples: int, seed: int
) -> Interval:
    """Find the interval of `find_threshold` for other persons, by the bootstrap over persons.

    A comparison is counted as often as its two persons were drawn together: the draws of one times those of the other.

    Returns:
      (low, high): the middle 95% of the thresholds. NaN with fewer than `intervals.MIN_PERSONS` persons, or if more
      than 5% of the draws contain no comparison.

    Source: Efron & Tibshirani 1993, chapter 13 (percentile interval); differs in: whole persons are drawn (Davison &
      Hinkley 1997, section 3.8).
    """
    persons, places = np.unique(impostors.persons, return_inverse=True)
    if len(persons) < intervals.MIN_PERSONS:
        return intervals.NO_INTERVAL
    order = np.argsort(-impostors.scores, kind="stable")
    descending, places = impostors.scores[order], places.reshape(-1, 2)[order]
    rng = np.random.default_rng(seed)
    thresholds = []
    for _ in range(num_resamples):
        times = np.bincount(rng.integers(len(persons), size=len(persons)), minlength=len(persons))
        accepted = np.cumsum(times[places[:, 0]] * times[places[:, 1]])
        if accepted[-1]:
            # The first score that must be rejected, as in `find_threshold`.
            place = np.searchsorted(accepted, round(false_accept_rate * accepted[-1], 6), side="right")
            thresholds.append(math.floor(descending[place]) + 1)
    if len(thresholds) < 0.95 * num_resamples:
        return intervals.NO_INTERVAL
    low, high = np.percentile(thresholds, (2.5, 97.5))
    return float(low), float(high)


def compute_equal_error(genuine_scores: np.ndarray, impostor_scores: np.ndarray) -> EqualError:
    """Compute the equal error rate of finite scores, float [n] and [m].

    Its threshold is the score with the smallest difference of the two rates, the lowest if there are several. Both are
    NaN if there are no scores of a kind.

    Source: Maio et al. 2002 (FVC2000), section 3; differs in: the mean of the two rates at the nearest threshold
      instead of an interval.
    """
    if not len(genuine_scores) or not len(impostor_scores):
        return EqualError(math.nan, math.nan)
    genuine, impostor = np.sort(genuine_scores), np.sort(impostor_scores)
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    false_accepts = 1 - np.searchsorted(impostor, thresholds) / len(impostor)
    false_rejects = np.searchsorted(genuine, thresholds) / len(genuine)
    place = int(np.argmin(np.abs(false_accepts - false_rejects)))
    return EqualError(float((false_accepts[place] + false_rejects[place]) / 2), float(thresholds[place]))


def compute_equal_error_interval(
    genuine_scores: np.ndarray, genuine_persons: np.ndarray, impostors: Impostors
) -> Interval:
    """Compute the equal error rate's interval: that of the mean of both error rates at its threshold.

    It is NaN with fewer than `intervals.MIN_PERSONS` genuine persons, int [n], or if one of them has all comparisons of
    a kind.

    Source: Korn & Graubard 1998, by the jackknife over persons, who are left out of both kinds of comparisons.
    """
    persons = np.unique(genuine_persons)
    error = compute_equal_error(genuine_scores, impostors.scores)
    if len(persons) < intervals.MIN_PERSONS or math.isnan(error.rate):
        return intervals.NO_INTERVAL
    is_rejected, is_accepted = genuine_scores < error.threshold, impostors.scores >= error.threshold
    left_out = []
    for person in persons:
        genuine, impostor = genuine_persons != person, (impostors.persons != person).all(1)
        if not impostor.any():
            return intervals.NO_INTERVAL
        left_out.append((is_rejected[genuine].mean() + is_accepted[impostor].mean()) / 2)
    return intervals.find_rate_interval(
        error.rate, np.array(left_out), max_size=len(genuine_scores), size_if_certain=len(persons)
    )
