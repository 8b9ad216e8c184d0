"""Owns the family "identity": does a matcher of minutiae take a print for its own person's?

Also what the other two families of scores share: the comparisons, real impostors, their thresholds, and which prints
can be compared at all. Does not own the matcher (`matching.py`) and the gallery (`matcher/gallery.py`), nor uniqueness
and leakage, which ask other questions of them (`uniqueness.py`, `leakage.py`).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.gallery import (
    Gallery,
    average_comparisons,
    create_gallery,
    explain_no_genuine,
)
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, PreparedPrints, prepare_prints
from fpgan_jax.evaluation.measures import summary
from fpgan_jax.evaluation.statistics import intervals, verification
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES, Impostors
from fpgan_jax.evaluation.study.findings import REFUSED, SKIPPED, Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    REAL_ROLES,
    PrintCollection,
    Study,
    find_same_person,
)

FAMILY = "identity"


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
      self_scores: collection -> float64 [n]; each print against itself.
      real_genuine_scores: float64 [g], of two real impressions of one finger, unaltered, each pair once.
      real_genuine_persons: int64 [g]; whose.
    """

    matcher: str
    gallery: Gallery
    scores: Mapping[str, np.ndarray]
    impostors: Impostors
    unaltered_impostors: Impostors
    thresholds: Mapping[float, float]
    threshold_intervals: Mapping[float, tuple[float, float]]
    is_same_image: Mapping[str, np.ndarray]
    self_scores: Mapping[str, np.ndarray]
    real_genuine_scores: np.ndarray
    real_genuine_persons: np.ndarray

    def find_failures(self, collection: str) -> np.ndarray:
        """Find the prints in which the matcher finds too little to compare: bool [n].

        Such a print is not even accepted as itself, at the laxest rate that there is a threshold for; where there is
        no threshold it scores nothing.
        """
        known = [threshold for threshold in self.thresholds.values() if not np.isnan(threshold)]
        return self.self_scores[collection] < min(known, default=1.0)

    def describe_failures(self, collection: str) -> str:
        """Say how many prints of a collection cannot be compared; "" where all can."""
        failures = self.find_failures(collection)
        count = int(failures.sum())
        return f"{count} of {len(failures)} prints cannot be compared (failure to enrol)" if count else ""

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
    - `nbis_genuine_score`: against the real impressions of the own finger that `Gallery.find_genuine` says, a print's
      mean. `nbis_impostor_score`: against other persons' real prints, a print's mean.
    - `nbis_match_rate_at_far_F`: share of these genuine comparisons that are accepted (true accept rate).
    - `nbis_eer`: of the collection's genuine against its impostor comparisons.
    - `nbis_rank_1`: share of prints of which a genuine comparison scores higher than all with other persons' prints.
    - `nbis_failure_to_enrol`: share of prints that are not accepted even as themselves, as `Comparisons.find_failures`
      says; they can match nobody, and every other rate counts them.

    Real against real is two impressions of one finger, or for want of them the altered impressions, which are the same
    scan. A print of a person who has no real print has an impostor score only.

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
    status = SKIPPED if isinstance(reason, ToolError) else REFUSED
    row = MeasureRow(family, measure, "all", nan, nan, nan, 0, 0, status=status, note=str(reason))
    return Findings([row])


def compare_with_gallery(study: Study, prepared: PreparedPrints, matcher: Matcher) -> Comparisons:
    """Compare every print of a study with everybody's real print, and set the thresholds.

    Args:
      study: the collections; of the population, as many as `num_gallery_fingers` of its settings leaves room for.
      prepared: its prints at 500 ppi.
      matcher: what compares.

    Returns:
      The comparisons.

    Raises:
      ToolError: the tool failed.
    """
    gallery = create_gallery(study, prepared)
    own = _compare_within(gallery, matcher)
    scores, self_scores = {}, {}
    for name, collection in study.collections.items():
        scores[name] = np.full((len(collection), len(gallery.images)), np.nan)
        itself = np.repeat(np.arange(len(collection))[:, None], 2, axis=1)
        images = prepared.images[name]
        self_scores[name] = matcher.compare(images, images, itself, f"{name}, each with itself")
        if collection.role in REAL_ROLES:
            places = gallery.find_places(collection)
            scores[name][places >= 0] = own[places[places >= 0]]
        else:
            pairs = np.argwhere(choose_comparisons(collection.persons, gallery, matcher.max_others))
            found = matcher.compare(images, gallery.images, pairs, f"matching {name}")
            scores[name][tuple(pairs.T)] = found
    is_other = gallery.persons[:, None] != gallery.persons[None, :]
    is_known = ~np.isnan(own)
    unaltered = _select_impostors(own, gallery.persons, gallery, np.triu(is_other & is_known, 1))
    genuine = np.nonzero(np.triu(~is_other, 1))
    altered = [
        _select_impostors(
            scores[name],
            collection.persons,
            gallery,
            gallery.find_impostors(collection) & ~np.isnan(scores[name]),
        )
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
        self_scores,
        own[genuine],
        gallery.persons[genuine[0]],
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


def create_match_rows(
    comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray
) -> list[MatchRow]:
    """Create a row a comparison; of the gallery's own prints each pair once."""
    gallery = comparisons.gallery
    places = gallery.find_places(collection)
    ends = np.where(places >= 0, places, len(gallery.images))
    rows = []
    for person, file, own_scores, end in zip(
        collection.persons, collection.filenames, scores, ends, strict=True
    ):
        rows += [
            MatchRow(
                comparisons.matcher, collection.name, int(person), file,
                gallery.collections[place], int(gallery.persons[place]), gallery.filenames[place], float(score),
            )
            for place, score in enumerate(own_scores[:end])
            if not np.isnan(score)
        ]  # fmt: skip
    return rows


def choose_comparisons(persons: np.ndarray, gallery: Gallery, max_others: int | None) -> np.ndarray:
    """Choose which prints are compared with which of the gallery.

    Args:
      persons: int [n].
      gallery: of m prints.
      max_others: prints of other fingers that each is compared with: half of them are the reference's, so that all
        prints are compared with as many of those; None is all.

    Returns:
      bool [n, m].
    """
    is_own = find_same_person(persons, gallery.persons)
    if max_others is None:
        return np.ones_like(is_own)
    chosen = is_own.copy()
    for start, stop in ((0, gallery.num_reference), (gallery.num_reference, len(gallery.persons))):
        length = stop - start
        count = min(length, max_others // 2)
        if count:
            # Evenly spread, and other ones for the next print.
            steps = np.arange(count) * length // count
            columns = start + (np.arange(len(persons))[:, None] + steps) % length
            chosen[np.arange(len(persons))[:, None], columns] = True
    return chosen


def _compare_within(gallery: Gallery, matcher: Matcher) -> np.ndarray:
    """Compare each two of the gallery's prints: float64 [m, m], symmetric, NaN on the diagonal.

    Of a slow matcher those of one finger, of as many pairs of fingers as the strictest rate needs, and as many others
    as any print is compared with.
    """
    images, persons = gallery.images, gallery.persons
    is_compared = choose_comparisons(persons, gallery, matcher.max_others)
    if matcher.max_others is not None:
        _, firsts = np.unique(persons, return_index=True)
        pairs = np.stack(np.triu_indices(len(firsts), 1), axis=1)
        count = min(len(pairs), verification.count_needed_impostors(min(FALSE_ACCEPT_RATES)))
        chosen = pairs[np.arange(count) * len(pairs) // max(count, 1)]
        is_compared[tuple(firsts[chosen].T)] = True
    first, second = np.nonzero(np.triu(is_compared | is_compared.T, 1))
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
            status=REFUSED, note=reason,
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
    genuine = np.where(gallery.find_genuine(collection), scores, np.nan)
    is_impostor = gallery.find_impostors(collection)
    # A print that is the other person's very image would be compared with itself.
    others = np.where(is_impostor & ~comparisons.is_same_image[collection.name], scores, np.nan)
    impostor_score, genuine_score = average_comparisons(others), average_comparisons(genuine)

    def summarise(name: str, values: np.ndarray, unit: str, better: str, note: str = "") -> MeasureRow:
        return summary.summarise(
            FAMILY, f"{prefix}_{name}", collection, values, unit=unit, better=better, note=note
        )

    def refuse(name: str, unit: str, better: str, why: str) -> MeasureRow:
        return summary.refuse(FAMILY, f"{prefix}_{name}", collection, why, unit=unit, better=better)

    measures = [
        summarise("impostor_score", impostor_score, "score", "lower"),
        summarise(
            "failure_to_enrol",
            comparisons.find_failures(collection.name).astype(np.float64),
            "fraction",
            "lower",
        ),
    ]
    images = summary.create_image_rows(f"{prefix}_impostor_score", collection, impostor_score)
    is_known = ~np.isnan(genuine_score)
    reason = "" if is_known.any() else explain_no_genuine(collection)
    note = summary.join_notes(
        gallery.describe_genuine(collection), comparisons.describe_failures(collection.name)
    )
    for rate in FALSE_ACCEPT_RATES:
        name = f"match_rate_at_far_{rate:g}"
        if why := reason or comparisons.describe_refusal(rate):
            measures.append(refuse(name, "fraction", "higher", why))
            continue
        is_accepted = np.where(np.isnan(genuine), np.nan, genuine >= comparisons.thresholds[rate])
        measures.append(summarise(name, average_comparisons(is_accepted), "fraction", "higher", note))
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
    measures.append(summarise("genuine_score", genuine_score, "score", "higher"))
    images += summary.create_image_rows(f"{prefix}_genuine_score", collection, genuine_score)
    measures.append(_create_error_row(prefix, collection, gallery, genuine, others))
    best = np.where(is_impostor & ~np.isnan(scores), scores, -np.inf).max(1, initial=-np.inf)
    best_genuine = np.where(np.isnan(genuine), -np.inf, genuine).max(1, initial=-np.inf)
    is_first = np.where(is_known, best_genuine > best, np.nan)
    note = f"in a gallery of {len(gallery.images)} prints of {len(np.unique(gallery.persons))} persons"
    if (is_impostor & np.isnan(scores))[is_known].any():
        measures.append(refuse("rank_1", "fraction", "higher", "not all of the gallery were compared"))
    else:
        measures.append(summarise("rank_1", is_first, "fraction", "higher", note))
    return measures, images


def _create_error_row(
    prefix: str, collection: PrintCollection, gallery: Gallery, genuine: np.ndarray, others: np.ndarray
) -> MeasureRow:
    """Create the equal error rate's row, of the prints that have a genuine comparison.

    genuine and others are float64 [n, m], NaN where there was no such comparison.
    """
    name = f"{prefix}_eer"
    is_genuine = ~np.isnan(genuine)
    is_known = is_genuine.any(1)
    impostors = _select_impostors(others, collection.persons, gallery, is_known[:, None] & ~np.isnan(others))
    if not len(impostors.scores):
        return summary.refuse(
            FAMILY, name, collection, "there is no other person", unit="fraction", better="lower"
        )
    scores, persons = genuine[is_genuine], collection.persons[np.nonzero(is_genuine)[0]]
    error = verification.compute_equal_error(scores, impostors.scores)
    interval = verification.compute_equal_error_interval(scores, persons, impostors)
    num_persons = intervals.count_persons(persons)
    note = summary.join_notes(
        f"{len(scores):,} genuine and {len(impostors.scores):,} impostor comparisons",
        intervals.describe_missing_interval(num_persons, interval),
    )
    return MeasureRow(
        FAMILY, name, collection.name, error.rate, *interval, int(is_known.sum()), num_persons, "fraction", "lower",
        note=note,
    )  # fmt: skip
