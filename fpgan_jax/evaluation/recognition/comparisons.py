"""Owns what a recogniser is worth on a test set: every pair of its prints compared, finger by finger.

Does not train (`training.py`) or average over seeds (`table.py`).
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.experiments import impression_trial
from fpgan_jax.evaluation.statistics import verification
from fpgan_jax.evaluation.statistics.verification import Impostors

POOLED = "all"
# Scores are whole numbers, as thresholds are.
_COSINE_UNITS = 10_000
# Ids of one set's fingers are below it.
_FINGERS_A_SET = 10**9


@dataclasses.dataclass(frozen=True)
class FingerRow:
    """How one finger of a test set is recognised by one recogniser; one row of the CSV.

    Attributes:
      arm: what the recogniser was trained on.
      seed: of its training.
      test_set: the set's name, or `POOLED`.
      finger: its id.
      num_genuine: pairs of its prints.
      tar_1: share of them accepted at a false accept rate of 1% of the set; NaN where the set has too few pairs of
        fingers for it.
      tar_01: the same of 0.1%.
      equal_error: mean of its false reject and false accept rates, at the threshold of the set's equal error rate.
    """

    arm: str
    seed: int
    test_set: str
    finger: int
    num_genuine: int
    tar_1: float
    tar_01: float
    equal_error: float


class Comparisons(NamedTuple):
    """All pairs of a test set's prints.

    Attributes:
      genuine_scores: float64 [g], whole numbers.
      genuine_fingers: int64 [g].
      impostors: all pairs of two fingers' prints.
    """

    genuine_scores: np.ndarray
    genuine_fingers: np.ndarray
    impostors: Impostors


def compare_all(embeddings: np.ndarray, fingers: np.ndarray) -> Comparisons:
    """Compare every two prints.

    Args:
      embeddings: float32 [n, size], of length 1.
      fingers: int64 [n].

    Returns:
      Cosines in units of 1/10,000, each pair once: the score is the same either way.
    """
    scores = np.rint(_COSINE_UNITS * (embeddings @ embeddings.T).astype(np.float64))
    genuine = impression_trial.choose_genuine(fingers)
    first, second = np.triu_indices(len(fingers), 1)
    is_impostor = fingers[first] != fingers[second]
    first, second = first[is_impostor], second[is_impostor]
    return Comparisons(
        scores[tuple(genuine.T)],
        fingers[genuine[:, 0]],
        Impostors(scores[first, second], np.stack([fingers[first], fingers[second]], axis=1)),
    )


def pool(sets: Sequence[Comparisons]) -> Comparisons:
    """Put sets together under one threshold; fingers of two sets are not compared, as these may be the same."""
    offsets = [place * _FINGERS_A_SET for place in range(len(sets))]
    return Comparisons(
        np.concatenate([one.genuine_scores for one in sets]),
        np.concatenate([one.genuine_fingers + o for one, o in zip(sets, offsets, strict=True)]),
        Impostors(
            np.concatenate([one.impostors.scores for one in sets]),
            np.concatenate([one.impostors.persons + o for one, o in zip(sets, offsets, strict=True)]),
        ),
    )


def measure_fingers(found: Comparisons, *, arm: str, seed: int, test_set: str) -> list[FingerRow]:
    """Measure each finger at the set's thresholds.

    Args:
      found: of a set in which some finger has two prints, and of two fingers or more.
      arm: for the rows.
      seed: for the rows.
      test_set: for the rows.

    Returns:
      A row a finger of which there are two prints.
    """
    genuine, impostors = found.genuine_scores, found.impostors
    num_pairs = impostors.count_pairs()
    thresholds = [
        verification.find_threshold(impostors.scores, rate)
        if num_pairs >= verification.count_needed_impostors(rate)
        else np.nan
        for rate in verification.FALSE_ACCEPT_RATES
    ]
    equal = verification.compute_equal_error(genuine, impostors.scores).threshold
    # An impostor comparison is both fingers'.
    places = np.concatenate(impostors.persons.T)
    is_accepted = np.tile(impostors.scores >= equal, 2)
    rows = []
    for finger in np.unique(found.genuine_fingers):
        own = genuine[found.genuine_fingers == finger]
        tar_1, tar_01 = (float("nan") if np.isnan(t) else float((own >= t).mean()) for t in thresholds)
        error = ((own < equal).mean() + is_accepted[places == finger].mean()) / 2
        rows.append(FingerRow(arm, seed, test_set, int(finger), len(own), tar_1, tar_01, float(error)))
    return rows
