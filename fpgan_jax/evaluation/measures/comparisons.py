"""Owns the comparisons of a study's prints with the gallery: scores, real impostors, thresholds and failures to enroll.

The families identity, uniqueness, leakage and variation share them.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fpgan_jax.evaluation.matcher.gallery import Gallery, average_comparisons, create_gallery
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.resolution import PreparedPrints
from fpgan_jax.evaluation.measures.family import Family
from fpgan_jax.evaluation.measures.measure import Measure
from fpgan_jax.evaluation.statistics import verification
from fpgan_jax.evaluation.statistics.intervals import NO_INTERVAL, Interval
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES, Impostors
from fpgan_jax.evaluation.study.findings import MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    REAL_ROLES,
    PrintCollection,
    Study,
    find_same_person,
)


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """A study's scores against the gallery, and the thresholds that real impostors among them give."""

    matcher: str
    gallery: Gallery  # of m prints
    # A collection -> float64 [n, m]; NaN without a comparison, as of a print of the gallery with itself.
    scores: Mapping[str, np.ndarray]
    # Of real prints (altered ones too) against other persons' real prints, each pair of prints once.
    impostors: Impostors
    unaltered_impostors: Impostors  # those of them that are between unaltered prints
    # A false accept rate -> lowest accepted score, NaN with too few impostors; its interval for other persons.
    thresholds: Mapping[float, float]
    threshold_intervals: Mapping[float, Interval]
    is_same_image: Mapping[str, np.ndarray]  # a collection -> bool [n, m]
    self_scores: Mapping[str, np.ndarray]  # a collection -> float64 [n], each print against itself
    # Float64 [g] of two unaltered real impressions of one finger, each pair once; int64 [g], whose.
    real_genuine_scores: np.ndarray
    real_genuine_persons: np.ndarray

    def bind(self, measure: Measure, rate: float | None = None) -> Measure:
        """Fill in a measure's matcher and, if it has one, its false accept rate."""
        return measure.at(matcher=self.matcher, rate=rate)

    def find_failures(self, collection: str) -> np.ndarray:
        """Find the prints in which the matcher finds too little to compare: bool [n].

        They are not even accepted as themselves, at the least strict rate with a threshold; without any threshold they
        score nothing.
        """
        known = [threshold for threshold in self.thresholds.values() if not np.isnan(threshold)]
        return self.self_scores[collection] < min(known, default=1.0)

    def describe_failures(self, collection: str) -> str:
        """Say how many prints of a collection cannot be compared; "" if all can."""
        failures = self.find_failures(collection)
        count = int(failures.sum())
        return f"{count} of {len(failures)} prints cannot be compared (failure to enrol)" if count else ""

    def describe_refusal(self, false_accept_rate: float) -> str:
        """Say why there is no threshold at a rate; "" if there is one."""
        needed = verification.count_needed_impostors(false_accept_rate)
        num_pairs = self.impostors.count_pairs()
        if num_pairs >= needed:
            return ""
        return (
            f"a FAR of {false_accept_rate:.3g} cannot be told from real prints of {num_pairs:,} pairs of persons; "
            f"{needed:,} are needed (rule of 3)"
        )

    def summarize_accepted(
        self,
        family: Family,
        measure: Measure,
        collection: PrintCollection,
        scores: np.ndarray,
        note: str = "",
        reason: str = "",
    ) -> list[MeasureRow]:
        """Create the rows, one for each false accept rate, of the accepted share of each print's comparisons.

        scores are float [n, m], NaN without a comparison; the others are those of `Family.summarize`.
        """
        rows = []
        for rate in FALSE_ACCEPT_RATES:
            why = reason or self.describe_refusal(rate)
            accepted = np.where(np.isnan(scores), np.nan, scores >= self.thresholds[rate])
            shares = average_comparisons(accepted)
            rows.append(family.summarize(self.bind(measure, rate), collection, shares, note=note, reason=why))
        return rows


def compare_with_gallery(study: Study, prepared: PreparedPrints, matcher: Matcher) -> Comparisons:
    """Compare every print of a study with the gallery of real prints, and set the thresholds.

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
    unaltered = select_impostors(own, gallery.persons, gallery, np.triu(is_other & ~np.isnan(own), 1))
    altered = []
    for name, collection in study.collections.items():
        if collection.role == BASELINE:
            is_chosen = gallery.find_impostors(collection) & ~np.isnan(scores[name])
            altered.append(select_impostors(scores[name], collection.persons, gallery, is_chosen))
    impostors = Impostors(*(np.concatenate(parts) for parts in zip(unaltered, *altered, strict=True)))
    thresholds = {
        rate: _find_stricter_threshold(study, (unaltered, impostors), rate) for rate in FALSE_ACCEPT_RATES
    }
    genuine = np.nonzero(np.triu(~is_other, 1))
    return Comparisons(
        matcher=matcher.name,
        gallery=gallery,
        scores=scores,
        impostors=impostors,
        unaltered_impostors=unaltered,
        thresholds={rate: threshold for rate, (threshold, _) in thresholds.items()},
        threshold_intervals={rate: interval for rate, (_, interval) in thresholds.items()},
        is_same_image={
            name: _find_same_images(prepared.images[name], gallery.images) for name in study.collections
        },
        self_scores=self_scores,
        real_genuine_scores=own[genuine],
        real_genuine_persons=gallery.persons[genuine[0]],
    )


def select_impostors(
    scores: np.ndarray, persons: np.ndarray, gallery: Gallery, is_chosen: np.ndarray
) -> Impostors:
    """Select comparisons of n prints with m of the gallery, by bool [n, m], each with its two persons."""
    rows, columns = np.nonzero(is_chosen)
    return Impostors(scores[rows, columns], np.stack([persons[rows], gallery.persons[columns]], axis=1))


def _find_stricter_threshold(study: Study, pools: Sequence[Impostors], rate: float) -> tuple[float, Interval]:
    """Return the highest threshold of the pools that are large enough, with its interval; NaN if none is."""
    # An altered impression scores less against other persons' prints than an unaltered one, and the prints to be judged
    # are more like unaltered ones.
    needed = verification.count_needed_impostors(rate)
    enough = [pool for pool in pools if pool.count_pairs() >= needed]
    if not enough:
        return float("nan"), NO_INTERVAL
    pool = max(enough, key=lambda pool: verification.find_threshold(pool.scores, rate))
    interval = verification.find_threshold_interval(
        pool, rate, num_resamples=study.settings.num_resamples, seed=study.seed
    )
    return verification.find_threshold(pool.scores, rate), interval


def _find_same_images(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find which pairs are the same image: bool [n, m]."""
    own, other = ([image.tobytes() for image in each] for each in (images, others))
    return np.array([[first == second for second in other] for first in own]).reshape(len(own), len(other))


def create_match_rows(
    comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray
) -> list[MatchRow]:
    """Create a row for each comparison; each pair of the gallery's own prints once."""
    gallery = comparisons.gallery
    places = gallery.find_places(collection)
    ends = np.where(places >= 0, places, len(gallery.images))
    is_row = ~np.isnan(scores) & (np.arange(scores.shape[1]) < ends[:, None])
    return [
        MatchRow(
            comparisons.matcher, collection.name, int(collection.persons[i]), collection.filenames[i],
            gallery.collections[j], int(gallery.persons[j]), gallery.filenames[j], float(scores[i, j]),
        )
        for i, j in np.argwhere(is_row)
    ]  # fmt: skip


def create_pair_rows(
    matcher: str, collection: PrintCollection, pairs: np.ndarray, scores: np.ndarray
) -> list[MatchRow]:
    """Create a row for each pair, indices int [p, 2], of one collection's prints."""
    return [
        MatchRow(
            matcher, collection.name, int(collection.persons[i]), collection.filenames[i],
            collection.name, int(collection.persons[j]), collection.filenames[j], float(score),
        )
        for (i, j), score in zip(pairs, scores, strict=True)
    ]  # fmt: skip


def choose_comparisons(persons: np.ndarray, gallery: Gallery, max_others: int | None) -> np.ndarray:
    """Choose which prints, of persons int [n], are compared with which of the gallery: bool [n, m].

    max_others is the number of prints of other fingers that each print is compared with; None is all. Half of them are
    the reference's, so that all prints are compared with as many of these.
    """
    is_own = find_same_person(persons, gallery.persons)
    if max_others is None:
        return np.ones_like(is_own)
    chosen = is_own.copy()
    for start, stop in ((0, gallery.num_reference), (gallery.num_reference, len(gallery.persons))):
        length = stop - start
        count = min(length, max_others // 2)
        if count:
            # Evenly spread, and different ones for the next print.
            steps = np.arange(count) * length // count
            columns = start + (np.arange(len(persons))[:, None] + steps) % length
            chosen[np.arange(len(persons))[:, None], columns] = True
    return chosen


def _compare_within(gallery: Gallery, matcher: Matcher) -> np.ndarray:
    """Compare all pairs of the gallery's prints: float64 [m, m], symmetric, NaN on the diagonal."""
    images, persons = gallery.images, gallery.persons
    is_compared = choose_comparisons(persons, gallery, matcher.max_others)
    if matcher.max_others is not None:
        # A slow matcher also compares as many pairs of fingers as the strictest rate needs.
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
