"""Owns what a set of scores is worth: thresholds at a false accept rate, true accept rates, the equal error rate.

Thresholds and the equal error rate have intervals for other persons.

Does not know where scores come from (`matching.py`). A comparison is accepted where its score reaches the threshold.
"""

import math
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.statistics import intervals

FALSE_ACCEPT_RATES = (0.01, 0.001)
# Of the rule of 3: where none of n comparisons is accepted, the rate is below 3 / n at 95%.
_RULE = 3
# Of the draws of persons.
_MIN_DEFINED = 0.95


class Impostors(NamedTuple):
    """Comparisons of two persons' prints.

    Attributes:
      scores: float64 [n].
      persons: int64 [n, 2]; whose prints were compared.
    """

    scores: np.ndarray
    persons: np.ndarray

    def count_pairs(self) -> int:
        """Count the distinct pairs of persons: copies of a print add comparisons and no pair."""
        return len(np.unique(np.sort(self.persons, axis=1), axis=0))


class EqualError(NamedTuple):
    """Where as many impostors are accepted as genuine ones are rejected.

    Attributes:
      rate: mean of both rates there, in [0, 1].
      threshold: the score.
    """

    rate: float
    threshold: float


def count_needed_impostors(false_accept_rate: float) -> int:
    """Count the pairs of persons without which a false accept rate cannot be told.

    Args:
      false_accept_rate: in (0, 1].

    Returns:
      3 / rate: 300 for 1%, 3,000 for 0.1%.

    Source: the rule of 3, ISO/IEC 19795-1, annex B; differs in: it is for independent comparisons; pairs that share a
      person are worth somewhat less, and further prints of the same pair next to nothing.
    """
    # Rounded, as 3 / 0.001 need not be 3,000 to the last bit.
    return math.ceil(round(_RULE / false_accept_rate, 6))


def find_threshold(impostor_scores: np.ndarray, false_accept_rate: float) -> float:
    """Find the lowest threshold at which no more than a share of the impostors is accepted.

    Args:
      impostor_scores: whole numbers, float [n], at least one.
      false_accept_rate: the share, in [0, 1).

    Returns:
      A whole number.

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
) -> tuple[float, float]:
    """Find where `find_threshold` would be for other persons, by drawing persons.

    A comparison is taken as often as its two persons together: once a draw of the one and a draw of the other.

    Args:
      impostors: at least one comparison.
      false_accept_rate: as of `find_threshold`.
      num_resamples: such as 2000.
      seed: of the draws.

    Returns:
      (low, high): the middle 95% of the thresholds; NaN with fewer than `intervals.MIN_PERSONS` persons, or where more
      than 5% of the draws hold no comparison.

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
    if len(thresholds) < _MIN_DEFINED * num_resamples:
        return intervals.NO_INTERVAL
    low, high = np.percentile(thresholds, (2.5, 97.5))
    return float(low), float(high)


def compute_equal_error(genuine_scores: np.ndarray, impostor_scores: np.ndarray) -> EqualError:
    """Compute the equal error rate.

    Args:
      genuine_scores: float [n], finite.
      impostor_scores: float [m], finite.

    Returns:
      Of the thresholds among the scores, that with the smallest difference of the two rates, the lowest of equals;
      NaN where either is empty.

    Source: Maio et al. 2002 (FVC2000), section 3; differs in: the mean of the two rates at the nearest threshold, in
      place of the interval that they give.
    """
    if not len(genuine_scores) or not len(impostor_scores):
        return EqualError(float("nan"), float("nan"))
    genuine, impostor = np.sort(genuine_scores), np.sort(impostor_scores)
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    false_accepts = 1 - np.searchsorted(impostor, thresholds) / len(impostor)
    false_rejects = np.searchsorted(genuine, thresholds) / len(genuine)
    place = int(np.argmin(np.abs(false_accepts - false_rejects)))
    return EqualError(float((false_accepts[place] + false_rejects[place]) / 2), float(thresholds[place]))


def compute_equal_error_interval(
    genuine_scores: np.ndarray, genuine_persons: np.ndarray, impostors: Impostors
) -> tuple[float, float]:
    """Compute the equal error rate's interval: that of the mean of both error rates at its threshold.

    Args:
      genuine_scores: float [n], finite.
      genuine_persons: int [n].
      impostors: with finite scores.

    Returns:
      (low, high), in [0, 1]; NaN with fewer than `intervals.MIN_PERSONS` persons, or where one of them has all
      comparisons of a kind.

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
