"""Owns the family "distribution": whether a collection's prints are distributed as real prints are.

Everything is measured against real prints of persons whom no generator saw. These are split by persons, at random: one
part is the reference of all collections; the other, with about as many persons as the study's own reference, is the
population's row, real against real. Persons are the units throughout, since ten prints of one person are hardly more
than one print: kernels are averaged over pairs of different persons, and everything else is computed on one print per
person at a time and averaged.

Every interval leaves out persons of the collection and of the reference in turn. It is for other samples of as many
persons: precision, recall, density, coverage and Frechet distance change with the number of persons.
"""

from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.measures import distances
from fpgan_jax.evaluation.measures.family import Family, create_image_rows, find_groups, track_collections
from fpgan_jax.evaluation.measures.features import FeatureExtractor
from fpgan_jax.evaluation.measures.measure import Headline, Measure
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.study.findings import Findings, MeasureRow, merge_findings
from fpgan_jax.evaluation.study.loading import select
from fpgan_jax.evaluation.study.print_collection import POPULATION, PrintCollection, Study

# Real prints of other persons: 20 to compare with, 10 held out.
MIN_POPULATION = 30
MIN_REFERENCE = 20
MIN_KID_PERSONS = 5
MIN_NEIGHBOR_PERSONS = 10
# A covariance of fewer persons per dimension is mostly noise, and of fewer persons than dimensions it is singular.
PERSONS_PER_DIMENSION = 5
MAX_DIMENSIONS = 8
NUM_DRAWS = 10

# Distances have no margin, as their scale is their features'.
KID = Measure("kid", "", "lower", "KID")
FRECHET = Measure("frechet_distance", "", "lower", "Fréchet distance")
FULL_FRECHET = Measure("frechet_distance_all_features", "", "lower", "Fréchet distance all features")
PRECISION = Measure("precision", "", "higher", margin=0.1)
RECALL = Measure("recall", "", "higher", margin=0.1)
# 1 for equal distributions, and higher if prints cluster.
DENSITY = Measure("density", "", "real", margin=0.1)
COVERAGE = Measure("coverage", "", "higher", margin=0.1)
_NEIGHBORS = (PRECISION, RECALL, DENSITY, COVERAGE)  # named as the fields of `distances.Neighborhoods`


def measure(study: Study, extractor: FeatureExtractor) -> Findings:
    """Measure every collection against real prints that no generator saw.

    - `kid`: the kernel inception distance in the extractor's features; 5 persons are needed.
    - `frechet_distance`: in the reference's first principal components, one for each 5 persons of the smallest of the
      study's reference and the two parts of the population, at least 2 and at most 8.
    - `frechet_distance_all_features`: refused with fewer than 5 persons per feature.
    - `precision`, `recall`, `density`, `coverage`: with 3 neighbors; 10 persons are needed.

    Of a person of the population the first print is taken, and a print that is also in the collection is left out of
    the reference. With fewer than 30 persons in "real_others" everything is refused. Precision and density are also
    those of each print.

    Raises:
      UserError: the extractor does not take images of this size.
    """
    population = next((c for c in study.collections.values() if c.role == POPULATION), None)
    if population is not None:
        population = select(population, [int(group[0]) for group in find_groups(population.persons)])
    if population is None or len(population) < MIN_POPULATION:
        num_others = len(population) if population else 0
        reason = (
            f"needs real prints of {MIN_POPULATION} persons outside the reference; there are {num_others}"
        )
        return merge_findings(FAMILY.refuse_all(c, reason) for c in study.collections.values())
    num_own = intervals.count_persons(study.reference.persons)
    held_out, reference = _split(population, max(num_own, MIN_KID_PERSONS), study.seed)
    num_dimensions = min(min(num_own, len(held_out), len(reference)) // PERSONS_PER_DIMENSION, MAX_DIMENSIONS)
    reference_features = extractor.compute(reference.images)
    findings = []
    for collection in track_collections(study, "comparing distributions"):
        judged = held_out if collection.role == POPULATION else collection
        known = {image.tobytes() for image in judged.images}
        kept = np.array([image.tobytes() not in known for image in reference.images])
        if kept.sum() < MIN_REFERENCE:
            reason = f"all but {kept.sum()} of the {len(reference)} prints to compare with lie in it"
            findings.append(FAMILY.refuse_all(collection, reason))
            continue
        note = (
            f"in {extractor.name}; against {kept.sum()} of the {len(population)} persons of {population.name}"
        )
        if judged is held_out:
            note = f"{len(held_out)} of its persons, held out, {note}"
        elif not kept.all():
            note += f", without {(~kept).sum()} whose prints lie in it"
        samples = _create_samples(judged, extractor, reference_features[kept], study.seed, note)
        frechet = _measure_frechet(samples, num_dimensions, num_own)
        rows = [_measure_kid(samples), frechet, _measure_full_frechet(samples)]
        findings += [Findings(rows), _measure_neighbors(samples)]
    return merge_findings(findings)


class _Samples(NamedTuple):
    """A collection's features beside the reference's."""

    collection: PrintCollection
    features: np.ndarray  # float [n, d]
    reference: np.ndarray  # float [m, d], one print per person
    draws: np.ndarray  # int [NUM_DRAWS, num_persons], places of one print per person
    seed: int  # of the groups in which persons are left out
    note: str  # of the rows

    @property
    def num_persons(self) -> int:
        return self.draws.shape[1]


def _create_samples(
    collection: PrintCollection, extractor: FeatureExtractor, reference: np.ndarray, seed: int, note: str
) -> _Samples:
    """Standardize the features of a collection and of the reference by the reference's moments."""
    mean, std = reference.mean(0), reference.std(0)
    # Features that do not vary in the reference are left out.
    varies = std > 1e-9 * np.abs(mean).max(initial=1)
    if extractor.have_one_unit and varies.any():
        # Many features of a network are 0 for nearly every print. Divided by its own deviation, a feature that a small
        # reference hardly has would outweigh all others; so all are divided by their root mean square deviation.
        std, varies = np.full_like(std, np.sqrt(np.mean(std**2))), np.ones_like(varies)
    features, reference = (
        ((each - mean) / np.where(varies, std, 1))[:, varies]
        for each in (extractor.compute(collection.images), reference)
    )
    draws = _draw_prints(intervals.number_persons(collection.persons), seed)
    return _Samples(collection, features, reference, draws, seed, note)


def _measure_kid(samples: _Samples) -> MeasureRow:
    if samples.num_persons < MIN_KID_PERSONS:
        reason = _name_shortage(samples.num_persons, MIN_KID_PERSONS)
        return FAMILY.refuse(KID, samples.collection, reason)
    persons, others = samples.collection.persons, np.arange(len(samples.reference))
    number = distances.compute_kid(samples.features, persons, samples.reference, others)
    return _create_row(KID, samples, number)


def _measure_frechet(samples: _Samples, num_dimensions: int, num_own: int) -> MeasureRow:
    needed = PERSONS_PER_DIMENSION * max(num_dimensions, 2)
    if num_dimensions < 2 or samples.num_persons < needed:
        reason = _name_shortage(min(samples.num_persons, num_own), needed)
        return FAMILY.refuse(FRECHET, samples.collection, reason)
    axes = np.linalg.svd(samples.reference, full_matrices=False)[2][:num_dimensions].T
    number = distances.measure_frechet(
        samples.features @ axes, samples.reference @ axes, samples.draws, seed=samples.seed
    )
    return _create_row(FRECHET, samples, number, f"{num_dimensions} principal components, {samples.note}")


def _measure_full_frechet(samples: _Samples) -> MeasureRow:
    num_features = samples.features.shape[1]
    num_persons = min(samples.num_persons, len(samples.reference))
    if num_persons < PERSONS_PER_DIMENSION * num_features:
        reason = (
            f"{num_persons} persons give a covariance of {num_features} features a rank of at most "
            f"{min(num_persons - 1, num_features)}; {PERSONS_PER_DIMENSION * num_features} are needed"
        )
        return FAMILY.refuse(FULL_FRECHET, samples.collection, reason)
    number = distances.measure_frechet(samples.features, samples.reference, samples.draws, seed=samples.seed)
    return _create_row(FULL_FRECHET, samples, number)


def _measure_neighbors(samples: _Samples) -> Findings:
    collection = samples.collection
    if samples.num_persons < MIN_NEIGHBOR_PERSONS:
        reason = _name_shortage(samples.num_persons, MIN_NEIGHBOR_PERSONS)
        return Findings([FAMILY.refuse(taken, collection, reason) for taken in _NEIGHBORS])
    found = distances.measure_neighborhoods(
        samples.features, collection.persons, samples.reference, samples.draws, seed=samples.seed
    )
    note = f"{samples.note}; the interval is for other samples of as many persons"
    whole = distances.compute_neighborhoods(samples.features, samples.reference, distances.NUM_NEIGHBORS)
    return Findings(
        [_create_row(taken, samples, found[taken.name], note) for taken in _NEIGHBORS],
        [
            *create_image_rows(PRECISION, collection, whole.precision),
            *create_image_rows(DENSITY, collection, whole.density),
        ],
    )


def _split(
    population: PrintCollection, num_wanted: int, seed: int
) -> tuple[PrintCollection, PrintCollection]:
    """Split the prints at random into those held out, a third at most, and the reference."""
    places = np.random.default_rng(seed).permutation(len(population))
    num_held_out = min(num_wanted, len(population) // 3)
    held_out, reference = np.split(places, [num_held_out])
    return select(population, np.sort(held_out)), select(population, np.sort(reference))


def _draw_prints(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Draw one print per person, places [NUM_DRAWS, num_persons]; a person's prints take turns in a random order."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            np.resize(rng.permutation(np.flatnonzero(numbers == number)), NUM_DRAWS)
            for number in range(numbers.max() + 1)
        ],
        axis=1,
    )


def _create_row(taken: Measure, samples: _Samples, number: distances.Number, note: str = "") -> MeasureRow:
    value, low, high = number
    counts = len(samples.collection), samples.num_persons
    note = note or samples.note
    return FAMILY.create_row(taken, samples.collection, value, counts, interval=(low, high), note=note)


def _name_shortage(num_persons: int, needed: int) -> str:
    return f"{num_persons} persons; at least {needed} are needed"


FAMILY = Family(
    "distribution",
    "Distribution",
    "How similar two sets of prints are, by features of each print from a network or a formula.",
    measures=(KID, FRECHET, FULL_FRECHET, *_NEIGHBORS),
    compute=lambda study, tools: measure(study, tools.extractor),
    headlines=(Headline((KID,), "Are they distributed like real ones?", "The kernel distance (KID)"),),
    list_networks=lambda study: (study.feature_classifier,),
)
