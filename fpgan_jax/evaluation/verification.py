"""Owns what a set of scores is worth: thresholds at a false accept rate, true accept rates, the equal error rate.

Does not know where scores come from (`matching.py`). A comparison is accepted where its score reaches the threshold.
"""

import math
from typing import NamedTuple

import numpy as np

FALSE_ACCEPT_RATES = (0.01, 0.001)
# Of the rule of 3: where none of n comparisons is accepted, the rate is below 3 / n at 95%.
_RULE = 3


class EqualError(NamedTuple):
    """Where as many impostors are accepted as genuine ones are rejected.

    Attributes:
      rate: mean of both rates there, in [0, 1].
      threshold: the score.
    """

    rate: float
    threshold: float


def count_needed_impostors(false_accept_rate: float) -> int:
    """Count the impostor comparisons without which a false accept rate cannot be told.

    Args:
      false_accept_rate: in (0, 1].

    Returns:
      3 / rate: 300 for 1%, 3,000 for 0.1%.

    Source: the rule of 3, ISO/IEC 19795-1, annex B; differs in: it is for independent comparisons; those of few
      persons, each compared with all others, are worth fewer.
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


def compute_accept_rate(scores: np.ndarray, threshold: float) -> float:
    """Compute the share of comparisons that are accepted; of no comparisons NaN."""
    return float(np.mean(np.asarray(scores) >= threshold)) if len(scores) else float("nan")


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
