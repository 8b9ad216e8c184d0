"""Owns distances of two samples of feature vectors, with intervals that leave out persons of either sample."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import spatial

from fpgan_jax.evaluation.statistics import intervals

NUM_NEIGHBORS = 3
# Of more persons, groups are left out instead, to save time.
MAX_GROUPS = 50

Number = tuple[float, float, float]  # value, low, high


class Neighborhoods(NamedTuple):
    """The values whose means are precision, recall, density and coverage, of n vectors and m of the reference."""

    precision: np.ndarray  # bool [n], whether a vector is in a ball of the reference
    recall: np.ndarray  # bool [m], whether a reference vector is in a ball of the others
    density: np.ndarray  # float [n], number of the reference's balls around a vector, over that of neighbors
    coverage: np.ndarray  # bool [m], whether the ball of a reference vector contains one of the others


def compute_kid(
    features: np.ndarray, groups: np.ndarray, reference: np.ndarray, reference_groups: np.ndarray
) -> Number:
    """Compute the kernel inception distance with its interval.

    Args:
      features: float [n, d].
      groups: int [n]; persons, -1 if unknown.
      reference: float [m, d].
      reference_groups: int [m]; persons.

    Returns:
      (value, low, high): the unbiased estimate of the squared maximum mean discrepancy, which is below 0 half of the
      time for two samples of one distribution.

    Source: Binkowski, Sutherland, Arbel & Gretton 2018, section 4 (kernel (x.y / d + 1)^3); Gretton et al. 2012,
      equation 3; differs in: pairs are of different persons, each person has equal weight, and the features are the
      caller's.
    """
    weights, reference_weights = _create_averages(groups), _create_averages(reference_groups)
    within = weights @ _compute_kernel(features, features) @ weights.T
    within_reference = reference_weights @ _compute_kernel(reference, reference) @ reference_weights.T
    across = weights @ _compute_kernel(features, reference) @ reference_weights.T

    def combine(counts: np.ndarray, reference_counts: np.ndarray) -> np.ndarray:
        shares = counts / counts.sum(1, keepdims=True)
        reference_shares = reference_counts / reference_counts.sum(1, keepdims=True)
        return (
            intervals.average_pairs(within, counts)
            + intervals.average_pairs(within_reference, reference_counts)
            - 2 * np.einsum("rq,rq->r", shares @ across, reference_shares)
        )

    everybody, whole_reference = np.ones((1, len(within))), np.ones((1, len(within_reference)))
    value = float(combine(everybody, whole_reference)[0])
    left_out = (
        combine(intervals.leave_one_out(len(within)), whole_reference),
        combine(everybody, intervals.leave_one_out(len(within_reference))),
    )
    return value, *intervals.find_skewed_interval(value, *left_out)


def compute_frechet_distance(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute the Frechet distance of Gaussians with the samples' moments.

    Args:
      features: float [..., n, d].
      reference: float [..., m, d].

    Returns:
      float [...]: |mean - mean'|^2 + trace(C + C' - 2 (C C')^(1/2)), the covariances divided by n - 1.

    Source: Dowson & Landau 1982; Heusel et al. 2017, section 3; differs in: the features are the caller's.
    """
    difference = features.mean(-2) - reference.mean(-2)
    covariance, reference_covariance = _compute_covariance(features), _compute_covariance(reference)
    # trace (C C')^(1/2) = the sum of the roots of the eigenvalues of the symmetric C^(1/2) C' C^(1/2).
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    crossed = np.linalg.eigvalsh(root @ reference_covariance @ root)
    traces = np.trace(covariance, axis1=-2, axis2=-1) + np.trace(reference_covariance, axis1=-2, axis2=-1)
    return (difference**2).sum(-1) + traces - 2 * np.sqrt(np.maximum(crossed, 0)).sum(-1)


def compute_neighborhoods(features: np.ndarray, reference: np.ndarray, num_neighbors: int) -> Neighborhoods:
    """Compute the values whose means are precision, recall, density and coverage.

    The ball of a vector reaches to its k-th nearest neighbor in its own sample, and its surface is part of it. Features
    are float [n, d], the reference float [m, d], both of more than k vectors.

    Source: Kynkaanniemi et al. 2019, equations 1-2 (precision, recall); Naeem et al. 2020, equations 3-4 (density,
      coverage).
    """
    distances = spatial.distance.cdist(reference, features)
    within_reference = distances <= _find_radii(reference, num_neighbors)[:, None]
    return Neighborhoods(
        precision=within_reference.any(0),
        recall=(distances <= _find_radii(features, num_neighbors)[None, :]).any(1),
        density=within_reference.sum(0) / num_neighbors,
        coverage=within_reference.any(1),
    )


def measure_frechet(features: np.ndarray, reference: np.ndarray, draws: np.ndarray, *, seed: int) -> Number:
    """Compute the Frechet distance, averaged over draws, with its interval; arguments as in `measure_neighborhoods`."""

    def compute(is_kept: np.ndarray, is_kept_reference: np.ndarray) -> float:
        kept = features[draws[:, is_kept]]
        return float(compute_frechet_distance(kept, reference[is_kept_reference]).mean())

    value, *left_out = _leave_out(compute, draws.shape[1], len(reference), seed)
    interval = intervals.find_jackknife_interval(float(value), *left_out, bounds=(0.0, np.inf))
    return float(value), *interval


def measure_neighborhoods(
    features: np.ndarray, persons: np.ndarray, reference: np.ndarray, draws: np.ndarray, *, seed: int
) -> dict[str, Number]:
    """Compute precision, recall, density and coverage with their intervals.

    Args:
      features: float [n, d].
      persons: int [n]; -1 if unknown.
      reference: float [m, d], one print per person.
      draws: int [num_draws, num_persons]; places of one print per person, in the order of `intervals.number_persons`.
      seed: of the groups in which persons are left out.

    Source: as in `compute_neighborhoods`; differs in: precision and density are of all prints, recall and coverage the
      mean of draws of one print per person.
    """
    numbers = intervals.number_persons(persons)

    def compute(is_kept: np.ndarray, is_kept_reference: np.ndarray) -> np.ndarray:
        kept = reference[is_kept_reference]
        whole = compute_neighborhoods(features[is_kept[numbers]], kept, NUM_NEIGHBORS)
        drawn = [compute_neighborhoods(features[draw[is_kept]], kept, NUM_NEIGHBORS) for draw in draws]
        return np.array(
            [
                whole.precision.mean(),
                np.mean([one.recall for one in drawn]),
                whole.density.mean(),
                np.mean([one.coverage for one in drawn]),
            ]
        )

    num_persons = draws.shape[1]
    values, *left_out = _leave_out(compute, num_persons, len(reference), seed)
    found = {}
    for place, name in enumerate(Neighborhoods._fields):
        value, parts = float(values[place]), [part[:, place] for part in left_out]
        if name == "density":
            interval = intervals.find_jackknife_interval(value, *parts, bounds=(0.0, np.inf))
        else:
            size = num_persons if name == "precision" else len(reference)
            interval = intervals.find_rate_interval(value, *parts, max_size=size, size_if_certain=size)
        found[name] = (value, *interval)
    return found


def _leave_out(
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray | float],
    num_persons: int,
    num_reference: int,
    seed: int,
) -> list[np.ndarray]:
    """Compute something of all persons, and without groups of the one sample and of the other.

    compute takes bool [num_persons] and bool [num_reference], who is kept. There are at most `MAX_GROUPS` groups (Kott
    2001, the delete-a-group jackknife).
    """
    rng = np.random.default_rng(seed)
    keep, keep_reference = (
        rng.permutation(np.arange(number) % MAX_GROUPS) != np.arange(min(number, MAX_GROUPS))[:, None]
        for number in (num_persons, num_reference)
    )
    everybody, whole_reference = np.ones(num_persons, bool), np.ones(num_reference, bool)
    return [
        np.array(compute(everybody, whole_reference)),
        np.array([compute(kept, whole_reference) for kept in keep]),
        np.array([compute(everybody, kept) for kept in keep_reference]),
    ]


def _create_averages(groups: np.ndarray) -> np.ndarray:
    """Create the matrix [num_persons, n] that averages over each person's rows."""
    numbers = intervals.number_persons(groups)
    is_own = numbers[None, :] == np.arange(numbers.max() + 1)[:, None]
    return is_own / is_own.sum(1, keepdims=True)


def _compute_kernel(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (features @ others.T / features.shape[1] + 1) ** 3


def _compute_covariance(features: np.ndarray) -> np.ndarray:
    centered = features - features.mean(-2, keepdims=True)
    return np.swapaxes(centered, -1, -2) @ centered / (features.shape[-2] - 1)


def _find_radii(features: np.ndarray, num_neighbors: int) -> np.ndarray:
    """Find each vector's distance to its k-th nearest neighbor in its own sample."""
    distances = spatial.distance.cdist(features, features)
    # The nearest of all is the vector itself.
    return np.partition(distances, num_neighbors, axis=1)[:, num_neighbors]
