"""Owns a recognizer's error rates on a test set: every pair of prints is compared, and rates are per finger."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.statistics import verification
from fpgan_jax.evaluation.statistics.verification import Impostors

POOLED = "all"
# Scores are whole numbers, as thresholds are.
_COSINE_UNITS = 10_000
# Ids of fingers in one set are smaller.
FINGERS_PER_SET = 10**9


@dataclasses.dataclass(frozen=True)
class FingerRow:
    """How well one recognizer recognizes one finger of a test set; one row of the CSV."""

    arm: str
    seed: int
    test_set: str  # the set's name, or `POOLED`
    finger: int
    num_genuine: int  # pairs of its prints
    # Share of them accepted at a false accept rate of 1% on the set; NaN if the set has too few pairs of fingers.
    tar_1: float
    tar_01: float  # the same at 0.1%
    # Mean of its false reject and false accept rates, at the set's threshold for equal ones.
    equal_error: float


class Comparisons(NamedTuple):
    """All pairs of a test set's prints."""

    genuine_scores: np.ndarray  # float64 [g], whole numbers
    genuine_fingers: np.ndarray  # int64 [g]
    impostors: Impostors  # pairs of prints of two fingers


def compare_all(embeddings: np.ndarray, fingers: np.ndarray) -> Comparisons:
    """Compare every pair of prints once, by the cosine in units of 1/10,000.

    Args:
      embeddings: float32 [n, size], of length 1.
      fingers: int64 [n].
    """
    scores = np.rint(_COSINE_UNITS * (embeddings @ embeddings.T).astype(np.float64))
    places = np.triu_indices(len(fingers), 1)
    scores, pairs = scores[places], np.stack([fingers[place] for place in places], axis=1)
    is_genuine = pairs[:, 0] == pairs[:, 1]
    return Comparisons(
        scores[is_genuine], pairs[is_genuine, 0], Impostors(scores[~is_genuine], pairs[~is_genuine])
    )


def pool(sets: Sequence[Comparisons]) -> Comparisons:
    """Put sets under one threshold; fingers of different sets are not compared, since they may be the same."""
    offsets = [place * FINGERS_PER_SET for place in range(len(sets))]
    fingers = [one.genuine_fingers + offset for one, offset in zip(sets, offsets, strict=True)]
    persons = [one.impostors.persons + offset for one, offset in zip(sets, offsets, strict=True)]
    return Comparisons(
        np.concatenate([one.genuine_scores for one in sets]),
        np.concatenate(fingers),
        Impostors(np.concatenate([one.impostors.scores for one in sets]), np.concatenate(persons)),
    )


def measure_fingers(found: Comparisons, *, arm: str, seed: int, test_set: str) -> list[FingerRow]:
    """Measure each finger that has two prints, at the set's thresholds.

    The set needs two fingers or more. arm, seed and test_set are those of the rows.
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
    # An impostor comparison counts for both fingers.
    places = np.concatenate(impostors.persons.T)
    is_accepted = np.tile(impostors.scores >= equal, 2)
    rows = []
    for finger in np.unique(found.genuine_fingers):
        own = genuine[found.genuine_fingers == finger]
        tar_1, tar_01 = (float("nan") if np.isnan(t) else float((own >= t).mean()) for t in thresholds)
        error = ((own < equal).mean() + is_accepted[places == finger].mean()) / 2
        rows.append(FingerRow(arm, seed, test_set, int(finger), len(own), tar_1, tar_01, float(error)))
    return rows
