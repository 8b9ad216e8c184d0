"""Owns the rigid alignment of two prints by their minutiae, and which minutiae they then have in common."""

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, spatial

from fpgan_jax.evaluation.matcher.nist_tools import Minutiae

# Two minutiae are the same within this distance, about a ridge, and turn, two of MINDTCT's directions.
MAX_DISTANCE = 10.0  # pixels
MAX_TURN = math.radians(22.5)
# Size of the bins for votes.
_BIN = 12.0  # pixels
_TURN_BIN = math.radians(22.5)
_NUM_CANDIDATES = 8
_NUM_REFINEMENTS = 3
# Pixels around its outermost minutiae that a print also covers: about two ridges.
_MARGIN = 20.0


class Common(NamedTuple):
    """What two aligned prints have in common."""

    pairs: np.ndarray  # int64 [k, 2]; indices of the common minutiae in the first and the second print
    num_first: int  # minutiae of the first print in the area that the second covers
    num_second: int  # minutiae of the second print in the area that the first covers
    # Radians in (-pi, pi] that turn the first print onto the second, from +x toward the bottom; NaN, like what
    # follows, with fewer than two pairs.
    turn: float = math.nan
    shift: float = math.nan  # pixels by which the middle of the common minutiae moves
    residual: float = math.nan  # root mean square distance of the common minutiae after alignment, pixels


def align(first: Minutiae, second: Minutiae) -> Common:
    """Turn and shift one print so that it shares as many minutiae as possible with the other.

    Every pair of minutiae, one of each print, votes for the rotation and shift that would map one onto the other. The
    most frequent ones are refined by least squares, and the one with the most common minutiae wins. Prints of different
    fingers have an alignment too, which shows what chance gives.

    Returns:
      The common minutiae, one to one, within `MAX_DISTANCE` and `MAX_TURN`; an ending may be paired with a bifurcation,
      since a little ink turns one into the other.

    Source: Ratha et al. 1996, section 3 (the vote for rotation and shift); differs in: no scale, and the refinement.
    """
    if len(first.x) < 2 or len(second.x) < 2:
        return Common(np.zeros((0, 2), np.int64), 0, 0)
    points, others = _stack(first), _stack(second)
    # Directions count toward the top, points turn toward the bottom.
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
    """Return the matrix that turns points by an angle from +x toward +y, down."""
    return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])


def _vote(points: np.ndarray, others: np.ndarray, turns: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Return the rotations and shifts with the most votes, in descending order."""
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
        # With the neighboring bins, so that a cluster on an edge is not cut.
        is_near = (turn_bins == key[0]) & (np.abs(bins[:, 1:] - key[1:]) <= 1).all(1)
        turn = math.atan2(sines.ravel()[is_near].mean(), cosines.ravel()[is_near].mean())
        found.append((turn, np.median(shifts[is_near], axis=0)))
    return found


def _pair(distances: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Pair the same minutiae one to one: distances and turns [n, m], pixels and radians, to indices [k, 2]."""
    # Directions come in steps, so that turns may be at the limit up to rounding.
    is_same_way = np.abs((turns + math.pi) % (2 * math.pi) - math.pi) <= MAX_TURN + 1e-9
    is_near = (distances <= MAX_DISTANCE) & is_same_way
    # The most pairs, and among these the nearest.
    first, second = optimize.linear_sum_assignment(np.where(is_near, distances - 1e3 * MAX_DISTANCE, 0.0))
    return np.stack([first, second], axis=1)[is_near[first, second]]


def _fit(points: np.ndarray, others: np.ndarray) -> tuple[float, np.ndarray]:
    """Fit a rotation and a shift by least squares."""
    own, other = points - points.mean(0), others - others.mean(0)
    covariance = own.T @ other
    turn = math.atan2(covariance[0, 1] - covariance[1, 0], covariance[0, 0] + covariance[1, 1])
    return turn, others.mean(0) - _rotation(turn) @ points.mean(0)


def _covers(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find which points [n, 2] are in the hull of others [m, 2] widened by `_MARGIN`: bool [n]."""
    try:
        hull = spatial.ConvexHull(others)
    except spatial.QhullError:  # fewer than three, or all on a line
        return spatial.KDTree(others).query(points)[0] <= _MARGIN
    return (points @ hull.equations[:, :2].T + hull.equations[:, 2] <= _MARGIN).all(1)
