"""Owns the rigid alignment of two prints by their minutiae, and which minutiae they then have in common.

Does not score how alike two prints are (`matching.py`) and does not find minutiae (`nist_tools.py`).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, spatial

from fpgan_jax.evaluation.matcher.nist_tools import Minutiae

# Two minutiae that are this near and point this near the same way are the same: about a ridge, and two directions.
MAX_DISTANCE = 10.0
MAX_TURN = math.radians(22.5)
# Alignments are voted for in bins of this many pixels and this many radians, MINDTCT's two directions.
_BIN = 12.0
_TURN_BIN = math.radians(22.5)
_NUM_CANDIDATES = 8
_NUM_REFINEMENTS = 3
# Pixels beyond a print's outermost minutiae that it still covers: about two ridges.
_MARGIN = 20.0


class Common(NamedTuple):
    """What two aligned prints have in common.

    Attributes:
      pairs: int64 [k, 2]; places of the minutiae that are the same.
      num_first: the first print's minutiae that the second covers.
      num_second: the second print's minutiae that the first covers.
      turn: radians in (-pi, pi] that turn the first print onto the second, from +x towards the bottom; NaN with fewer
        than two pairs.
      shift: pixels by which the middle of the common minutiae moves; NaN likewise.
      residual: pixels, root mean square distance of the common minutiae once aligned; NaN likewise.
    """

    pairs: np.ndarray
    num_first: int
    num_second: int
    turn: float = math.nan
    shift: float = math.nan
    residual: float = math.nan


def align(first: Minutiae, second: Minutiae) -> Common:
    """Turn and shift one print so that as many minutiae as can be are the same in both.

    Every two minutiae, one of each print, vote for the rotation and shift that lay one on the other; those with the
    most votes are refined by least squares, and the one with the most common minutiae is taken. Prints of different
    fingers have an alignment too, which says how much chance gives.

    Args:
      first: of one print.
      second: of the other.

    Returns:
      The common minutiae, one to one, no further apart than `MAX_DISTANCE` and `MAX_TURN`; a pair may be of an ending
      and a bifurcation, which a little ink makes of each other.

    Source: Ratha et al. 1996, section 3 (the vote for rotation and shift); differs in: no scale, and the refinement.
    """
    if len(first.x) < 2 or len(second.x) < 2:
        return Common(np.zeros((0, 2), np.int64), 0, 0)
    points, others = _stack(first), _stack(second)
    # Directions count from +x towards the top, points turn towards the bottom.
    turns = first.direction[:, None] - second.direction[None, :]
    best, best_pairs = points, np.zeros((0, 2), np.int64)
    for turn, shift in _vote(points, others, turns):
        for _ in range(_NUM_REFINEMENTS):
            moved = points @ _rotation(turn).T + shift
            pairs = _pair(spatial.distance.cdist(moved, others), turns - turn)
            if len(pairs) > len(best_pairs):
                best, best_pairs = moved, pairs
            if len(pairs) < 2:
                break
            turn, shift = _fit(points[pairs[:, 0]], others[pairs[:, 1]])
    counts = int(_covers(best, others).sum()), int(_covers(others, best).sum())
    if len(best_pairs) < 2:
        return Common(best_pairs, *counts)
    own, other = points[best_pairs[:, 0]], others[best_pairs[:, 1]]
    turn, shift = _fit(own, other)
    residual = math.sqrt(((own @ _rotation(turn).T + shift - other) ** 2).sum(1).mean())
    return Common(best_pairs, *counts, turn, math.dist(own.mean(0), other.mean(0)), residual)


def _stack(minutiae: Minutiae) -> np.ndarray:
    return np.stack([minutiae.x, minutiae.y], axis=1).astype(np.float64)


def _rotation(turn: float) -> np.ndarray:
    """Return the matrix that turns points by an angle from +x towards +y, down."""
    return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])


def _vote(points: np.ndarray, others: np.ndarray, turns: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Return the rotations and shifts with the most votes, the most first."""
    cosines, sines = np.cos(turns), np.sin(turns)
    x, y = points.T[..., None]
    moved = np.stack([cosines * x - sines * y, sines * x + cosines * y], axis=-1)
    shifts = (others[None] - moved).reshape(-1, 2)
    num_turns = round(2 * math.pi / _TURN_BIN)
    turn_bins = np.rint(turns.ravel() / _TURN_BIN) % num_turns
    bins = np.stack([turn_bins, *np.rint(shifts / _BIN).T], axis=1).astype(np.int64)
    keys, counts = np.unique(bins, axis=0, return_counts=True)
    found = []
    for key in keys[np.argsort(-counts, kind="stable")[:_NUM_CANDIDATES]]:
        # With the neighbouring bins, or what lies on an edge would be cut.
        is_near = (turn_bins == key[0]) & (np.abs(bins[:, 1:] - key[1:]) <= 1).all(1)
        turn = math.atan2(sines.ravel()[is_near].mean(), cosines.ravel()[is_near].mean())
        found.append((turn, np.median(shifts[is_near], axis=0)))
    return found


def _pair(distances: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Pair minutiae that are the same, one to one: [n, m] pixels and radians to places [k, 2]."""
    # Directions come in steps, whose sums are rounded.
    is_same_way = np.abs((turns + math.pi) % (2 * math.pi) - math.pi) <= MAX_TURN + 1e-9
    is_near = (distances <= MAX_DISTANCE) & is_same_way
    # As many pairs as can be; of as many, the nearest.
    first, second = optimize.linear_sum_assignment(np.where(is_near, distances - 1e3 * MAX_DISTANCE, 0.0))
    return np.stack([first, second], axis=1)[is_near[first, second]]


def _fit(points: np.ndarray, others: np.ndarray) -> tuple[float, np.ndarray]:
    """Fit a rotation and a shift by least squares."""
    own, other = points - points.mean(0), others - others.mean(0)
    covariance = own.T @ other
    turn = math.atan2(covariance[0, 1] - covariance[1, 0], covariance[0, 0] + covariance[1, 1])
    return turn, others.mean(0) - _rotation(turn) @ points.mean(0)


def _covers(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which points the hull of others covers, widened by `_MARGIN`: [n, 2] and [m, 2] to bool [n]."""
    try:
        hull = spatial.ConvexHull(others)
    except spatial.QhullError:  # fewer than three, or all on a line
        return spatial.KDTree(others).query(points)[0] <= _MARGIN
    return (points @ hull.equations[:, :2].T + hull.equations[:, 2] <= _MARGIN).all(1)
