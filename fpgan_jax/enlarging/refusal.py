"""Owns the refusal of new fingers that match a training print, its mirror image, or an earlier new finger.

New fingers are compared whole: windows of a small sensor's shape have false minutiae at their edges. Against 500 prints
of SOCOFing and their mirror images, 15 of 20 other real prints scored above 27 at least once; so did the windows of 18
of 20 new fingers, and none of the same fingers whole.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from fpgan_jax.enlarging.finger_sources import Finger
from fpgan_jax.errors import UserError
from fpgan_jax.evaluation.matcher.matching import Matcher

# BOZORTH3's score that 1% of windows of different fingers exceed.
MAX_SCORE = 27
EARLIER, TRAINING, MIRRORED = "earlier", "training", "mirrored_training"
# Candidates compared at once.
_BLOCK = 16
# Per wanted finger. Without a limit it would not end where nearly all are refused.
_MAX_CANDIDATES = 20


@dataclasses.dataclass(frozen=True)
class FingerRow:
    """The result of checking a new finger: its highest score, and the file or source of the other print."""

    number: int
    source: str
    is_refused: int  # 1 or 0
    score: float
    kind: str  # of the other print: "earlier", "training" or "mirrored_training"
    other: str


def choose_fingers(
    candidates: Iterator[Finger],
    num_fingers: int,
    *,
    load_print: Callable[[str], np.ndarray],
    training_images: np.ndarray,
    training_names: Sequence[str],
    matcher: Matcher,
    known: Iterable[FingerRow] = (),
) -> list[FingerRow]:
    """Take new fingers in order, and refuse those that match a training print or an earlier finger.

    Args:
      candidates: from the first.
      num_fingers: how many are wanted.
      load_print: `Finger.source` -> uint8 [height, width] at 500 ppi, all of one shape.
      training_images: uint8 [n, height, width] at 500 ppi.
      training_names: their n files.
      matcher: whose scores are BOZORTH3's.
      known: earlier results, of the first candidates.

    Returns:
      A row per candidate, up to the last one wanted.

    Raises:
      UserError: nearly all are refused.
      ToolError: as in `Matcher.compare`.
    """
    rows = list(known)
    candidates = itertools.islice(candidates, len(rows), _MAX_CANDIDATES * num_fingers)
    accepted = [row for row in rows if not row.is_refused][:num_fingers]
    while len(accepted) < num_fingers:
        block = list(itertools.islice(candidates, min(_BLOCK, num_fingers - len(accepted))))
        if not block:
            raise UserError(
                f"--num_identities={num_fingers}: of {len(rows)} new fingers {len(rows) - len(accepted)} match a "
                "training print or another new finger; ask for fewer"
            )
        prints = np.stack([load_print(finger.source) for finger in block])
        # Mirroring the new fingers gives the scores of mirroring the training prints, of which there are more.
        scores = {
            kind: _compare_all(matcher, probes, training_images, "new fingers against training prints")
            for kind, probes in ((TRAINING, prints), (MIRRORED, prints[:, :, ::-1]))
        }
        earlier = np.stack([*(load_print(row.source) for row in accepted), *prints])
        scores[EARLIER] = _compare_all(matcher, prints, earlier, "new fingers against one another")
        names = {
            TRAINING: training_names,
            MIRRORED: training_names,
            EARLIER: [row.source for row in accepted] + [finger.source for finger in block],
        }
        # Within the block, a finger is only compared with accepted fingers before it.
        is_accepted = np.arange(len(names[EARLIER])) < len(accepted)
        first = len(accepted)
        for place, finger in enumerate(block):
            scores[EARLIER][place, ~is_accepted] = 0
            row = _create_row(finger, {kind: scores[kind][place] for kind in scores}, names)
            rows.append(row)
            if not row.is_refused:
                is_accepted[first + place] = True
                accepted.append(row)
    return rows


def _create_row(
    finger: Finger, scores: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]
) -> FingerRow:
    kind = max(scores, key=lambda kind: scores[kind].max(initial=0))
    best = int(scores[kind].argmax())
    score = float(scores[kind][best])
    return FingerRow(finger.number, finger.source, int(score > MAX_SCORE), score, kind, names[kind][best])


def _compare_all(matcher: Matcher, probes: np.ndarray, gallery: np.ndarray, label: str) -> np.ndarray:
    """Score every probe with every print of a gallery: float64 [n, m]."""
    pairs = np.stack(np.meshgrid(np.arange(len(probes)), np.arange(len(gallery)), indexing="ij"), axis=-1)
    return matcher.compare(probes, gallery, pairs.reshape(-1, 2), label).reshape(len(probes), len(gallery))


def describe_choice(rows: Sequence[FingerRow]) -> str:
    """Say how many fingers were refused, and why."""
    refused = [row for row in rows if row.is_refused]
    kinds = {kind: sum(row.kind == kind for row in refused) for kind in (EARLIER, TRAINING, MIRRORED)}
    reasons = ", ".join(f"{count} by {kind.replace('_', ' ')}" for kind, count in kinds.items() if count)
    return (
        f"{len(rows) - len(refused)} new fingers, {len(refused)} refused{f' ({reasons})' if reasons else ''}"
    )
