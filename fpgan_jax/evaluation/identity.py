"""Owns the family "identity": does a matcher of minutiae take a print for its own person's?

Also what the other two families of scores share: the gallery, real impostors and their thresholds. Does not own the
matcher (`matching.py`), nor uniqueness and leakage, which ask other questions of it (`uniqueness.py`, `leakage.py`).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation import measurements, nist_tools, summary
from fpgan_jax.evaluation.matching import Matcher
from fpgan_jax.evaluation.measurements import Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.nist_tools import ToolError
from fpgan_jax.evaluation.print_collection import BASELINE, POPULATION, REFERENCE, PrintCollection, Study
from fpgan_jax.evaluation.resolution import NoScaleError, PreparedPrints, prepare_prints
from fpgan_jax.evaluation.statistics import intervals, verification
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES, Impostors

FAMILY = "identity"
# Persons; more cost time and change little.
MAX_GALLERY = 60
REFERENCE_REASON = "it is the reference: SOCOFing has one real impression a finger"


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Everybody's real print, one a person, for a probe to be compared with.

    Attributes:
      images: uint8 [m, height, width], at 500 ppi.
      persons: int [m]; the reference's come first.
      collections: m names, "real" or "real_others".
      filenames: m names.
      num_reference: how many are the reference's.
    """

    images: np.ndarray
    persons: np.ndarray
    collections: tuple[str, ...]
    filenames: tuple[str, ...]
    num_reference: int


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """A study's scores against the gallery, and what real impostors among them tell.

    Attributes:
      matcher: its name.
      gallery: what was compared with.
      scores: collection -> float64 [n, m]; NaN where a print meets itself, as the gallery's own do.
      impostors: of real prints (altered ones too) against other persons' real prints, each pair of prints once.
      unaltered_impostors: those of them that are between unaltered prints.
      thresholds: false accept rate -> score from which a comparison is accepted; NaN where the impostors are too few.
      threshold_intervals: false accept rate -> (low, high), where the threshold would be for other persons.
      is_same_image: collection -> bool [n, m]; a print and one of the gallery that are the same image.
    """

    matcher: str
    gallery: Gallery
    scores: Mapping[str, np.ndarray]
    impostors: Impostors
    unaltered_impostors: Impostors
    thresholds: Mapping[float, float]
    threshold_intervals: Mapping[float, tuple[float, float]]
    is_same_image: Mapping[str, np.ndarray]

    def describe_refusal(self, false_accept_rate: float) -> str:
        """Say why there is no threshold at a rate; "" where there is one."""
        needed = verification.count_needed_impostors(false_accept_rate)
        num_pairs = self.impostors.count_pairs()
        if num_pairs >= needed:
            return ""
        return (
            f"a FAR of {false_accept_rate:.3g} cannot be told from real prints of {num_pairs:,} pairs of persons; "
            f"{needed:,} are needed (rule of 3)"
        )


def measure(study: Study, data_config: ConfigDict, matcher: Matcher | None = None) -> Findings:
    """Measure every collection by NIST's MINDTCT and BOZORTH3.

    - `nbis_threshold_at_far_F`: the score from which a comparison is accepted: the greater of those that real
      impostors give, the altered ones among them, and the unaltered ones alone, of those that are enough.
    - `nbis_genuine_score`: against the own person's reference print. `nbis_impostor_score`: against other persons'
      real prints, a print's mean.
    - `nbis_match_rate_at_far_F`: share of prints that are accepted as their own person (true accept rate).
    - `nbis_eer`: of the collection's genuine against its impostor scores.
    - `nbis_rank_1`: share of prints whose own person scores highest of all in the gallery, alone.

    Real against real is the altered impressions: they are the same scan, altered. A print of a person who has no
    reference print has an impostor score only. A print of fewer than 10 minutiae scores 0 against any.

    Args:
      study: what to measure.
      data_config: config.data of its prints.
      matcher: one that has matched some of it already; None makes one.

    Returns:
      Measures, scores a print, and each comparison with the gallery; one row where there is no matcher or
      no scale.
    """
    try:
        comparisons = compare_with_gallery(study, *_prepare(study, data_config, matcher))
    except (ToolError, NoScaleError) as error:
        return skip(FAMILY, "nbis_match_rate_at_far_0.01", error)
    measures = [_create_threshold_row(study, comparisons, rate) for rate in FALSE_ACCEPT_RATES]
    images: list[ImageRow] = []
    matches: list[MatchRow] = []
    for name, collection in study.collections.items():
        rows, image_rows = _measure_collection(study, comparisons, collection)
        measures += rows
        images += image_rows
        matches += create_match_rows(comparisons, collection, comparisons.scores[name])
    return Findings(measures, images, matches)


def _prepare(
    study: Study, data_config: ConfigDict, matcher: Matcher | None
) -> tuple[PreparedPrints, Matcher]:
    matcher = matcher or Matcher(nist_tools.find_matching_tool())
    return prepare_prints(study, data_config), matcher


def skip(family: str, measure: str, reason: ToolError | NoScaleError) -> Findings:
    """Create the findings of a family that cannot be measured: one row that says why, for all collections.

    Args:
      family: as in `MeasureRow`.
      measure: the family's first.
      reason: a missing tool makes the row a skipped one, prints that have no scale a refused one.

    Returns:
      The row.
    """
    nan = float("nan")
    status = measurements.SKIPPED if isinstance(reason, ToolError) else measurements.REFUSED
    row = MeasureRow(family, measure, "all", nan, nan, nan, 0, 0, status=status, note=str(reason))
    return Findings([row])


def compare_with_gallery(study: Study, prepared: PreparedPrints, matcher: Matcher) -> Comparisons:
    """Compare every print of a study with everybody's real print, and set the thresholds.

    Args:
      study: the collections; of the population, as many as `MAX_GALLERY` leaves room for.
      prepared: its prints at 500 ppi.
      matcher: what compares.

    Returns:
      The comparisons.

    Raises:
      ToolError: the tool failed.
    """
    gallery = create_gallery(study, prepared)
    num_others = len(gallery.images) - gallery.num_reference
    own = _compare_within(gallery.images, matcher)
    scores = {}
    for name, collection in study.collections.items():
        scores[name] = np.full((len(collection), len(gallery.images)), np.nan)
        if collection.role == REFERENCE:
            scores[name][:] = own[: gallery.num_reference]
        elif collection.role == POPULATION:
            scores[name][:num_others] = own[gallery.num_reference :]
        else:
            pairs = np.stack(np.indices(scores[name].shape), axis=-1).reshape(-1, 2)
            found = matcher.compare(prepared.images[name], gallery.images, pairs, f"matching {name}")
            scores[name] = found.reshape(scores[name].shape)
    is_unaltered = np.triu(gallery.persons[:, None] != gallery.persons[None, :], 1)
    unaltered = _select_impostors(own, gallery.persons, gallery, is_unaltered)
    altered = [
        _select_impostors(scores[name], collection.persons, gallery, find_impostors(collection, gallery))
        for name, collection in study.collections.items()
        if collection.role == BASELINE
    ]
    impostors = Impostors(*(np.concatenate(parts) for parts in zip(unaltered, *altered, strict=True)))
    thresholds = {
        rate: _find_stricter_threshold(study, (unaltered, impostors), rate) for rate in FALSE_ACCEPT_RATES
    }
    return Comparisons(
        matcher.name,
        gallery,
        scores,
        impostors,
        unaltered,
        {rate: value for rate, (value, *_) in thresholds.items()},
        {rate: interval for rate, (_, *interval) in thresholds.items()},
        {name: _find_same_images(prepared.images[name], gallery.images) for name in study.collections},
    )


def _select_impostors(
    scores: np.ndarray, persons: np.ndarray, gallery: Gallery, is_chosen: np.ndarray
) -> Impostors:
    """Select comparisons of prints with the gallery, each with its two persons."""
    rows, columns = np.nonzero(is_chosen)
    return Impostors(scores[rows, columns], np.stack([persons[rows], gallery.persons[columns]], axis=1))


def _find_stricter_threshold(
    study: Study, pools: Sequence[Impostors], rate: float
) -> tuple[float, float, float]:
    """Find the greatest of the thresholds of those pools that are large enough, with its interval; NaN if none is.

    An altered impression scores less against other persons' prints than an unaltered one, which the prints to be
    judged are more like.
    """
    needed = verification.count_needed_impostors(rate)
    enough = [pool for pool in pools if pool.count_pairs() >= needed]
    if not enough:
        return (float("nan"),) * 3
    pool = max(enough, key=lambda pool: verification.find_threshold(pool.scores, rate))
    interval = verification.find_threshold_interval(
        pool, rate, num_resamples=study.settings.num_resamples, seed=study.seed
    )
    return verification.find_threshold(pool.scores, rate), *interval


def _find_same_images(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find which images are the very same: bool [n, m]."""
    found = [image.tobytes() for image in images], [image.tobytes() for image in others]
    return np.array([[own == other for other in found[1]] for own in found[0]]).reshape(
        len(images), len(others)
    )


def create_gallery(study: Study, prepared: PreparedPrints) -> Gallery:
    """Put everybody's real print together: the reference, then the population's first, `MAX_GALLERY` at most."""
    names = [name for name, c in study.collections.items() if c.role == REFERENCE]
    names += [name for name, c in study.collections.items() if c.role == POPULATION]
    num_reference = len(study.reference)
    numbers = {name: len(study.collections[name]) for name in names}
    if len(names) > 1:
        numbers[names[1]] = min(numbers[names[1]], max(0, MAX_GALLERY - num_reference))
    return Gallery(
        np.concatenate([prepared.images[name][: numbers[name]] for name in names]),
        np.concatenate([study.collections[name].persons[: numbers[name]] for name in names]),
        tuple(name for name in names for _ in range(numbers[name])),
        tuple(file for name in names for file in study.collections[name].filenames[: numbers[name]]),
        num_reference,
    )


def find_impostors(collection: PrintCollection, gallery: Gallery) -> np.ndarray:
    """Find which comparisons are of two known and different persons: bool [n, m]."""
    persons = collection.persons[:, None]
    return (persons != gallery.persons[None, :]) & (persons >= 0) & (gallery.persons[None, :] >= 0)


def create_match_rows(
    comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray
) -> list[MatchRow]:
    """Create a row a comparison; of the gallery's own prints each pair once."""
    gallery = comparisons.gallery
    places = {
        entry: place for place, entry in enumerate(zip(gallery.collections, gallery.filenames, strict=True))
    }
    rows = []
    for person, file, own_scores in zip(collection.persons, collection.filenames, scores, strict=True):
        own_place = places.get((collection.name, file), len(gallery.images))
        rows += [
            MatchRow(
                comparisons.matcher, collection.name, int(person), file,
                gallery.collections[place], int(gallery.persons[place]), gallery.filenames[place], float(score),
            )
            for place, score in enumerate(own_scores[:own_place])
            if not np.isnan(score)
        ]  # fmt: skip
    return rows


def _compare_within(images: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Compare each two of some prints: float64 [m, m], symmetric, NaN on the diagonal."""
    first, second = np.triu_indices(len(images), 1)
    scores = np.full((len(images), len(images)), np.nan)
    found = matcher.compare(images, images, np.stack([first, second], axis=1), "matching real")
    scores[first, second] = scores[second, first] = found
    return scores


def _create_threshold_row(study: Study, comparisons: Comparisons, rate: float) -> MeasureRow:
    num_scores = len(comparisons.impostors.scores)
    name = f"{comparisons.matcher}_threshold_at_far_{rate:g}"
    num_persons = intervals.count_persons(comparisons.gallery.persons)
    nan = float("nan")
    if reason := comparisons.describe_refusal(rate):
        return MeasureRow(
            FAMILY, name, study.reference.name, nan, nan, nan, num_scores, num_persons, "score",
            status=measurements.REFUSED, note=reason,
        )  # fmt: skip
    threshold = comparisons.thresholds[rate]
    counts = [
        f"{int((pool.scores >= threshold).sum()):,} of {len(pool.scores):,}"
        for pool in (comparisons.impostors, comparisons.unaltered_impostors)
    ]
    note = (
        f"{counts[0]} real impostor comparisons reach it, {counts[1]} of those between unaltered prints, of "
        f"{comparisons.impostors.count_pairs():,} pairs of persons"
    )
    interval = comparisons.threshold_intervals[rate]
    return MeasureRow(
        FAMILY, name, study.reference.name, threshold, *interval, num_scores, num_persons, "score", note=note
    )


def _measure_collection(
    study: Study, comparisons: Comparisons, collection: PrintCollection
) -> tuple[list[MeasureRow], list[ImageRow]]:
    gallery, prefix = comparisons.gallery, comparisons.matcher
    scores = comparisons.scores[collection.name]
    genuine = _find_genuine(collection, gallery, scores)
    is_impostor = find_impostors(collection, gallery)
    # A print that is the other person's very image would be compared with itself.
    others = np.where(is_impostor & ~comparisons.is_same_image[collection.name], scores, np.nan)
    has_others = ~np.isnan(others).all(1)
    impostor = np.full(len(collection), np.nan)
    impostor[has_others] = np.nanmean(others[has_others], axis=1)

    def summarise(name: str, values: np.ndarray, unit: str, better: str, note: str = "") -> MeasureRow:
        return summary.summarise(
            FAMILY, f"{prefix}_{name}", collection, values, unit=unit, better=better, note=note
        )

    measures = [summarise("impostor_score", impostor, "score", "lower")]
    images = summary.create_image_rows(f"{prefix}_impostor_score", collection, impostor)
    is_known = ~np.isnan(genuine)
    reason = ""
    if not is_known.any():
        is_reference = collection is study.reference
        reason = REFERENCE_REASON if is_reference else "none of its persons has another real print"

    def refuse(name: str, unit: str, better: str, why: str) -> MeasureRow:
        return summary.refuse(FAMILY, f"{prefix}_{name}", collection, why, unit=unit, better=better)

    for rate in FALSE_ACCEPT_RATES:
        name = f"match_rate_at_far_{rate:g}"
        if why := reason or comparisons.describe_refusal(rate):
            measures.append(refuse(name, "fraction", "higher", why))
            continue
        accepted = np.where(is_known, genuine >= comparisons.thresholds[rate], np.nan)
        measures.append(summarise(name, accepted, "fraction", "higher"))
    if reason:
        measures += [
            refuse(name, unit, better, reason)
            for name, unit, better in (
                ("genuine_score", "score", "higher"),
                ("eer", "fraction", "lower"),
                ("rank_1", "fraction", "higher"),
            )
        ]
        return measures, images
    measures.append(summarise("genuine_score", genuine, "score", "higher"))
    images += summary.create_image_rows(f"{prefix}_genuine_score", collection, genuine)
    measures.append(_create_error_row(prefix, collection, gallery, genuine, others))
    best = np.where(is_impostor & ~np.isnan(scores), scores, -np.inf).max(1, initial=-np.inf)
    is_first = np.where(is_known, genuine > best, np.nan)
    note = f"in a gallery of {len(gallery.images)} persons"
    measures.append(summarise("rank_1", is_first, "fraction", "higher", note))
    return measures, images


def _find_genuine(collection: PrintCollection, gallery: Gallery, scores: np.ndarray) -> np.ndarray:
    """Return each print's score against its own person in the gallery, NaN where there is none: float64 [n]."""
    places = {int(person): place for place, person in enumerate(gallery.persons) if person >= 0}
    own = np.array([places.get(int(person), -1) for person in collection.persons], np.int64)
    return np.where(own >= 0, np.take_along_axis(scores, np.maximum(own, 0)[:, None], axis=1)[:, 0], np.nan)


def _create_error_row(
    prefix: str, collection: PrintCollection, gallery: Gallery, genuine: np.ndarray, others: np.ndarray
) -> MeasureRow:
    """Create the equal error rate's row, of the prints whose own person is in the gallery."""
    name = f"{prefix}_eer"
    is_known = ~np.isnan(genuine)
    impostors = _select_impostors(others, collection.persons, gallery, is_known[:, None] & ~np.isnan(others))
    if not len(impostors.scores):
        return summary.refuse(
            FAMILY, name, collection, "there is no other person", unit="fraction", better="lower"
        )
    persons = collection.persons[is_known]
    error = verification.compute_equal_error(genuine[is_known], impostors.scores)
    interval = verification.compute_equal_error_interval(genuine[is_known], persons, impostors)
    num_persons = intervals.count_persons(persons)
    note = summary.join_notes(
        f"{len(persons):,} genuine and {len(impostors.scores):,} impostor comparisons",
        intervals.describe_missing_interval(num_persons, interval),
    )
    return MeasureRow(
        FAMILY, name, collection.name, error.rate, *interval, len(persons), num_persons, "fraction", "lower",
        note=note,
    )  # fmt: skip
