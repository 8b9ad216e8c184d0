"""Owns the family "distribution": whether a collection's prints are distributed as real prints are.

Does not compute features (`features.py`) and does not look at identity: another person's prints are as good as one's
own.

Everything is measured against real prints of persons whom no generator saw. These are split by persons, at random: one
part is the reference of all collections, the other, with about as many persons as the study's own reference has, is
the row of the population, real against real. Persons are the units throughout, since ten prints of one person are
hardly more than one print: kernels are averaged over pairs of different persons, and everything else is computed on
one print a person at a time and averaged.

Every interval leaves persons of the collection and of the reference out in turn. It is for other samples of as many
persons: precision, recall, density, coverage and Frechet distance change with the number of persons.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import spatial

from fpgan_jax.evaluation.measures.family import (
    Family,
    Headline,
    Measure,
    create_image_rows,
    find_groups,
    join_notes,
)
from fpgan_jax.evaluation.measures.features import FeatureExtractor, create_hand_made_extractor
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, ImageRow, MeasureRow
from fpgan_jax.evaluation.study.loading import select
from fpgan_jax.evaluation.study.print_collection import POPULATION, PrintCollection, Study
from fpgan_jax.host.progress import create_progress

# Real prints of other persons: 20 to compare with, 10 held out.
MIN_POPULATION = 30
MIN_REFERENCE = 20
MIN_KID_PERSONS = 5
MIN_NEIGHBOUR_PERSONS = 10
# A covariance of fewer persons a dimension is mostly noise, and of fewer persons than dimensions it is singular.
PERSONS_PER_DIMENSION = 5
MAX_DIMENSIONS = 8
NUM_NEIGHBOURS = 3
NUM_DRAWS = 10
# Persons are left out by groups where there are more, for the sake of time.
MAX_GROUPS = 50

# Distances have no margin, as their scale is their features'.
KID = Measure("kid", "", "lower", "KID")
FRECHET = Measure("frechet_distance", "", "lower", "Fréchet distance")
FULL_FRECHET = Measure("frechet_distance_all_features", "", "lower", "Fréchet distance all features")
PRECISION = Measure("precision", "", "higher", margin=0.1)
RECALL = Measure("recall", "", "higher", margin=0.1)
# 1 for equal distributions, and above where prints crowd.
DENSITY = Measure("density", "", "real", margin=0.1)
COVERAGE = Measure("coverage", "", "higher", margin=0.1)
_NEIGHBOURS = (PRECISION, RECALL, DENSITY, COVERAGE)  # named as the fields of `Neighbourhoods`


class Neighbourhoods(NamedTuple):
    """What precision, recall, density and coverage are means of.

    Attributes:
      precision: bool [n]; whether each feature vector lies within a ball of the reference.
      recall: bool [m]; whether each reference vector lies within a ball of the others.
      density: float [n]; in how many balls of the reference each vector lies, divided by the number of neighbours.
      coverage: bool [m]; whether each reference vector's ball holds one of the others.
    """

    precision: np.ndarray
    recall: np.ndarray
    density: np.ndarray
    coverage: np.ndarray


def compute_kid(
    features: np.ndarray, groups: np.ndarray, reference: np.ndarray, reference_groups: np.ndarray
) -> tuple[float, float, float]:
    """Compute the kernel inception distance with its interval.

    Args:
      features: float [n, d].
      groups: int [n]; persons, -1 for nobody known.
      reference: float [m, d].
      reference_groups: int [m].

    Returns:
      (value, low, high): the unbiased estimate of the squared maximum mean discrepancy, which is below 0 half of the
      time for two samples of one distribution.

    Source: Binkowski, Sutherland, Arbel & Gretton 2018, section 4 (kernel (x.y / d + 1)^3); Gretton et al. 2012,
      equation 3; differs in: pairs are of different persons, each person weighs the same, and the features are whatever
      the caller has.
    """
    weights, reference_weights = _create_averages(groups), _create_averages(reference_groups)
    within = weights @ _compute_kernel(features, features) @ weights.T
    within_reference = reference_weights @ _compute_kernel(reference, reference) @ reference_weights.T
    across = weights @ _compute_kernel(features, reference) @ reference_weights.T

    def combine(counts, reference_counts):
        shares = counts / counts.sum(1, keepdims=True)
        reference_shares = reference_counts / reference_counts.sum(1, keepdims=True)
        return (
            intervals.average_pairs(within, counts)
            + intervals.average_pairs(within_reference, reference_counts)
            - 2 * np.einsum("rq,rq->r", shares @ across, reference_shares)
        )

    everybody, whole_reference = np.ones((1, len(within))), np.ones((1, len(within_reference)))
    value = float(combine(everybody, whole_reference)[0])
    left_out = [
        combine(*counts)
        for counts in (
            (intervals.leave_one_out(len(within)), whole_reference),
            (everybody, intervals.leave_one_out(len(within_reference))),
        )
    ]
    return value, *intervals.find_skewed_interval(value, *left_out)


def compute_frechet_distance(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Compute the Frechet distance of Gaussians with the samples' moments.

    Args:
      features: float [..., n, d].
      reference: float [..., m, d].

    Returns:
      float [...]: |mean - mean'|^2 + trace(C + C' - 2 (C C')^(1/2)), the covariances divided by n - 1.

    Source: Dowson & Landau 1982; Heusel et al. 2017, section 3; differs in: the features are whatever the caller has.
    """
    difference = features.mean(-2) - reference.mean(-2)
    covariance, reference_covariance = _compute_covariance(features), _compute_covariance(reference)
    # trace (C C')^(1/2) = the sum of the roots of the eigenvalues of the symmetric C^(1/2) C' C^(1/2).
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    crossed = np.linalg.eigvalsh(root @ reference_covariance @ root)
    traces = np.trace(covariance, axis1=-2, axis2=-1) + np.trace(reference_covariance, axis1=-2, axis2=-1)
    return (difference**2).sum(-1) + traces - 2 * np.sqrt(np.maximum(crossed, 0)).sum(-1)


def compute_neighbourhoods(
    features: np.ndarray, reference: np.ndarray, num_neighbours: int
) -> Neighbourhoods:
    """Compute what precision, recall, density and coverage are means of.

    The ball of a vector reaches to its k-th nearest neighbour in its own sample; what lies on the ball's surface lies
    within.

    Args:
      features: float [n, d], n > num_neighbours.
      reference: float [m, d], m > num_neighbours.
      num_neighbours: k.

    Returns:
      The four.

    Source: Kynkaanniemi et al. 2019, equations 1-2 (precision, recall); Naeem et al. 2020, equations 3-4 (density,
      coverage).
    """
    distances = spatial.distance.cdist(reference, features)
    within_reference = distances <= _find_radii(reference, num_neighbours)[:, None]
    return Neighbourhoods(
        precision=within_reference.any(0),
        recall=(distances <= _find_radii(features, num_neighbours)[None, :]).any(1),
        density=within_reference.sum(0) / num_neighbours,
        coverage=within_reference.any(1),
    )


def measure_frechet(
    features: np.ndarray, reference: np.ndarray, draws: np.ndarray, *, seed: int
) -> tuple[float, float, float]:
    """Compute the Frechet distance with its interval; arguments as of `measure_neighbourhoods`.

    Returns:
      (value, low, high).
    """

    def compute(is_kept: np.ndarray, is_kept_reference: np.ndarray) -> float:
        return float(
            compute_frechet_distance(features[draws[:, is_kept]], reference[is_kept_reference]).mean()
        )

    numbers = draws.shape[1], len(reference)
    value, left_out = _leave_out(compute, *numbers, seed)
    return value, *intervals.find_jackknife_interval(value, *left_out, bounds=(0.0, np.inf))


def measure_neighbourhoods(
    features: np.ndarray, persons: np.ndarray, reference: np.ndarray, draws: np.ndarray, *, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Compute precision, recall, density and coverage with their intervals.

    Args:
      features: float [n, d].
      persons: int [n]; -1 for nobody known.
      reference: float [m, d], one a person.
      draws: int [num_draws, num_persons]; places of one print a person, in the order of `intervals.number_persons`.
      seed: of the groups in which persons are left out.

    Returns:
      name -> (value, low, high).

    Source: as of `compute_neighbourhoods`; differs in: precision and density are of all prints, recall and coverage the
      mean of draws of one print a person.
    """
    numbers = intervals.number_persons(persons)

    def compute(is_kept: np.ndarray, is_kept_reference: np.ndarray) -> np.ndarray:
        kept = reference[is_kept_reference]
        whole = compute_neighbourhoods(features[is_kept[numbers]], kept, NUM_NEIGHBOURS)
        drawn = [compute_neighbourhoods(features[draw[is_kept]], kept, NUM_NEIGHBOURS) for draw in draws]
        return np.array(
            [
                whole.precision.mean(),
                np.mean([one.recall for one in drawn]),
                whole.density.mean(),
                np.mean([one.coverage for one in drawn]),
            ]
        )

    num_persons = draws.shape[1]
    values, left_out = _leave_out(compute, num_persons, len(reference), seed)
    found = {}
    for place, name in enumerate(("precision", "recall", "density", "coverage")):
        value, parts = float(values[place]), [part[:, place] for part in left_out]
        if name == "density":
            interval = intervals.find_jackknife_interval(value, *parts, bounds=(0.0, np.inf))
        else:
            size = num_persons if name == "precision" else len(reference)
            interval = intervals.find_rate_interval(value, *parts, max_size=size, size_if_certain=size)
        found[name] = (value, *interval)
    return found


def measure(study: Study, *, extractor: FeatureExtractor | None = None) -> Findings:
    """Measure every collection against real prints that no generator saw.

    - `kid`: the kernel inception distance in the extractor's features; 5 persons are needed.
    - `frechet_distance`: in the reference's first principal components, one for each 5 persons of the smallest of the
      study's reference and the two parts of the population, at least 2 and at most 8.
    - `frechet_distance_all_features`: refused with fewer than 5 persons a feature.
    - `precision`, `recall`, `density`, `coverage`: with 3 neighbours; 10 persons are needed.

    The reference's mean is taken off the features. Those of a network are divided by one number, the root mean square
    of their deviations in the reference: many of them are 0 for nearly every print, and divided by a deviation of its
    own, one that a reference of few prints hardly has outweighs all others. Hand-made features, of several units, are
    divided by their own deviations, and those that do not vary in the reference are left out. Of a person of the
    population the first print is taken, and a print that also lies in the collection is left out of
    the reference.

    Args:
      study: what to compare. With "real_others" of fewer than 30 persons everything is refused.
      extractor: of the features; the hand-made ones by default.

    Returns:
      Rows of all collections, and the precision and density of each print.

    Raises:
      UserError: the extractor takes no images of this size.
    """
    extractor = extractor or create_hand_made_extractor()
    population = next((c for c in study.collections.values() if c.role == POPULATION), None)
    if population is not None:
        groups = find_groups(population.persons, max_prints=1)
        population = select(population, np.concatenate([np.zeros(0, np.int64), *groups]))
    num_others = 0 if population is None else len(population)
    if num_others < MIN_POPULATION:
        reason = (
            f"needs real prints of {MIN_POPULATION} persons outside the reference; there are {num_others}"
        )
        return Findings(
            [FAMILY.refuse(taken, c, reason) for c in study.collections.values() for taken in FAMILY.measures]
        )
    num_own = intervals.count_persons(study.reference.persons)
    held_out, reference = _split(population, max(num_own, MIN_KID_PERSONS), study.seed)
    num_dimensions = min(num_own, len(held_out), len(reference)) // PERSONS_PER_DIMENSION
    reference_features = extractor.compute(reference.images)
    measures: list[MeasureRow] = []
    images: list[ImageRow] = []
    with create_progress(len(study.collections), "comparing distributions", "collections") as progress:
        for collection in study.collections.values():
            judged = held_out if collection.role == POPULATION else collection
            kept = ~_find_equal(reference.images, judged.images)
            if kept.sum() < MIN_REFERENCE:
                reason = f"all but {kept.sum()} of the {len(reference)} prints to compare with lie in it"
                measures += [FAMILY.refuse(taken, collection, reason) for taken in FAMILY.measures]
                progress.update(1)
                continue
            note = f"in {extractor.name}; against {kept.sum()} of the {len(population)} persons of {population.name}"
            if judged is held_out:
                note = f"{len(held_out)} of its persons, held out, {note}"
            elif not kept.all():
                note += f", without {(~kept).sum()} whose prints lie in it"
            comparison = _compare(study, judged, extractor, reference_features[kept], num_dimensions, note)
            measures += comparison.measures
            images += comparison.images
            progress.update(1)
    return Findings(measures, images)


def _compare(
    study: Study,
    collection: PrintCollection,
    extractor: FeatureExtractor,
    reference: np.ndarray,
    num_dimensions: int,
    note: str,
) -> Findings:
    """Measure one collection against the reference's features."""
    mean, std = reference.mean(0), reference.std(0)
    varies = std > 1e-9 * np.abs(mean).max(initial=1)
    if extractor.have_one_unit and varies.any():
        std, varies = np.full_like(std, np.sqrt(np.mean(std**2))), np.ones_like(varies)
    features = ((extractor.compute(collection.images) - mean) / np.where(varies, std, 1))[:, varies]
    reference = ((reference - mean) / np.where(varies, std, 1))[:, varies]
    groups = intervals.number_persons(collection.persons)
    draws = _draw_one_a_person(groups, study.seed)
    measures = [
        _measure_kid(collection, features, reference, note),
        _measure_frechet(study, collection, features, reference, draws, num_dimensions, note),
        _measure_full_frechet(study, collection, features, reference, draws, note),
    ]
    neighbours = _measure_neighbours(study, collection, features, reference, draws, note)
    return Findings([*measures, *neighbours.measures], neighbours.images)


def _measure_kid(
    collection: PrintCollection, features: np.ndarray, reference: np.ndarray, note: str
) -> MeasureRow:
    num_persons = intervals.count_persons(collection.persons)
    if num_persons < MIN_KID_PERSONS:
        return FAMILY.refuse(KID, collection, _name_shortage(num_persons, MIN_KID_PERSONS))
    interval = compute_kid(features, collection.persons, reference, np.arange(len(reference)))
    return _create_row(KID, collection, *interval, note)


def _measure_frechet(
    study: Study,
    collection: PrintCollection,
    features: np.ndarray,
    reference: np.ndarray,
    draws: np.ndarray,
    num_dimensions: int,
    note: str,
) -> MeasureRow:
    num_dimensions = min(num_dimensions, MAX_DIMENSIONS)
    needed = PERSONS_PER_DIMENSION * max(num_dimensions, 2)
    num_persons = draws.shape[1]
    if num_dimensions < 2 or num_persons < needed:
        num_persons = min(num_persons, intervals.count_persons(study.reference.persons))
        return FAMILY.refuse(FRECHET, collection, _name_shortage(num_persons, needed))
    axes = np.linalg.svd(reference, full_matrices=False)[2][:num_dimensions].T
    interval = measure_frechet(features @ axes, reference @ axes, draws, seed=study.seed)
    return _create_row(FRECHET, collection, *interval, f"{num_dimensions} principal components, {note}")


def _measure_full_frechet(
    study: Study,
    collection: PrintCollection,
    features: np.ndarray,
    reference: np.ndarray,
    draws: np.ndarray,
    note: str,
) -> MeasureRow:
    num_features = features.shape[1]
    num_persons = min(draws.shape[1], len(reference))
    if num_persons < PERSONS_PER_DIMENSION * num_features:
        return FAMILY.refuse(
            FULL_FRECHET,
            collection,
            f"{num_persons} persons give a covariance of {num_features} features a rank of at most "
            f"{min(num_persons - 1, num_features)}; {PERSONS_PER_DIMENSION * num_features} are needed",
        )
    interval = measure_frechet(features, reference, draws, seed=study.seed)
    return _create_row(FULL_FRECHET, collection, *interval, note)


def _leave_out(
    compute: Callable[[np.ndarray, np.ndarray], np.ndarray], num_persons: int, num_reference: int, seed: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Compute something of all persons, and without persons of either sample, at most `MAX_GROUPS` groups of them.

    Args:
      compute: of bool [num_persons] and bool [num_reference], who is kept.
      num_persons: of the collection.
      num_reference: of the reference.
      seed: of the groups.

    Returns:
      (of all, [without each group of the collection, without each group of the reference]).

    Source: Kott 2001 (the delete-a-group jackknife).
    """
    rng = np.random.default_rng(seed)
    keep = [
        rng.permutation(np.arange(number) % MAX_GROUPS) != np.arange(min(number, MAX_GROUPS))[:, None]
        for number in (num_persons, num_reference)
    ]
    everybody = np.ones(num_persons, bool), np.ones(num_reference, bool)
    left_out = [
        np.array([compute(kept, everybody[1]) for kept in keep[0]]),
        np.array([compute(everybody[0], kept) for kept in keep[1]]),
    ]
    return compute(*everybody), left_out


def _measure_neighbours(
    study: Study,
    collection: PrintCollection,
    features: np.ndarray,
    reference: np.ndarray,
    draws: np.ndarray,
    note: str,
) -> Findings:
    num_persons = draws.shape[1]
    if num_persons < MIN_NEIGHBOUR_PERSONS:
        reason = _name_shortage(num_persons, MIN_NEIGHBOUR_PERSONS)
        return Findings([FAMILY.refuse(taken, collection, reason) for taken in _NEIGHBOURS])
    found = measure_neighbourhoods(features, collection.persons, reference, draws, seed=study.seed)
    note = f"{note}; the interval is for other samples of as many persons"
    measures = [_create_row(taken, collection, *found[taken.name], note) for taken in _NEIGHBOURS]
    whole = compute_neighbourhoods(features, reference, NUM_NEIGHBOURS)
    images = [
        row
        for taken in (PRECISION, DENSITY)
        for row in create_image_rows(taken, collection, getattr(whole, taken.name).astype(np.float64))
    ]
    return Findings(measures, images)


def _split(
    population: PrintCollection, num_wanted: int, seed: int
) -> tuple[PrintCollection, PrintCollection]:
    """Split one print a person at random into those held out, a third at most, and the reference."""
    places = np.random.default_rng(seed).permutation(len(population))
    num_held_out = min(num_wanted, len(population) // 3)
    return select(population, np.sort(places[:num_held_out])), select(
        population, np.sort(places[num_held_out:])
    )


def _find_equal(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find which images stand among the others too, bool [n]."""
    known = {other.tobytes() for other in others}
    return np.array([image.tobytes() in known for image in images])


def _draw_one_a_person(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Draw places [NUM_DRAWS, num_persons]; a person's prints take turns, in an order of their own."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            np.resize(rng.permutation(np.flatnonzero(numbers == number)), NUM_DRAWS)
            for number in range(numbers.max() + 1)
        ],
        axis=1,
    )


def _create_row(
    taken: Measure, collection: PrintCollection, value: float, low: float, high: float, note: str
) -> MeasureRow:
    num_persons = intervals.count_persons(collection.persons)
    note = join_notes(note, intervals.describe_missing_interval(num_persons, (low, high)))
    return FAMILY.create_row(
        taken, collection.name, value, (low, high), len(collection), num_persons, note=note
    )


def _name_shortage(num_persons: int, needed: int) -> str:
    return f"{num_persons} persons; at least {needed} are needed"


def _create_averages(groups: np.ndarray) -> np.ndarray:
    """Create the matrix [num_persons, n] that averages over each person's rows."""
    numbers = intervals.number_persons(groups)
    is_own = numbers[None, :] == np.arange(numbers.max() + 1)[:, None]
    return is_own / is_own.sum(1, keepdims=True)


def _compute_kernel(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (features @ others.T / features.shape[1] + 1) ** 3


def _compute_covariance(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(-2, keepdims=True)
    return np.swapaxes(centred, -1, -2) @ centred / (features.shape[-2] - 1)


def _find_radii(features: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Find each vector's distance to its k-th nearest neighbour in its own sample."""
    distances = spatial.distance.cdist(features, features)
    # The nearest of all is the vector itself.
    return np.partition(distances, num_neighbours, axis=1)[:, num_neighbours]


FAMILY = Family(
    "distribution",
    "Distribution",
    "How alike two sets of prints are as sets, in features of a print that a network or a formula gives.",
    measures=(KID, FRECHET, FULL_FRECHET, *_NEIGHBOURS),
    compute=lambda study, tools: measure(study, extractor=tools.extractor),
    headlines=(Headline((KID,), "Are they spread as real prints are?", "The kernel distance (KID)"),),
    list_networks=lambda study: (study.feature_classifier,),
)
