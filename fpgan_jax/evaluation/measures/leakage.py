"""Owns the family "leakage": does a print, or its mirror image, match a training print, and is it a copy of one?

Does not tell whether that is wanted: a synthetic print that keeps its person's identity gives that person away.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.gallery import ONE_IMPRESSION_REASON, Gallery, average_comparisons
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, PreparedPrints, prepare_prints
from fpgan_jax.evaluation.measures import identity, summary
from fpgan_jax.evaluation.measures.identity import Comparisons, choose_comparisons
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import MEASURED, REFUSED, Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import REAL_ROLES, PrintCollection, Study, find_same_person

FAMILY = "leakage"
MIRRORED = "_mirrored"
# A score above this quantile of real second impressions' is a copy's. Fewer fingers cannot tell it.
COPY_QUANTILE = 0.95
MIN_COPY_FINGERS = 10


def measure(
    study: Study, data_config: ConfigDict, matcher: Matcher | None = None, *, has_mirrored: bool = True
) -> Findings:
    """Measure every collection by NIST's MINDTCT and BOZORTH3.

    - `nbis_best_score`: of a print, its highest score against any print of the training; a real print's own finger is
      left out. `nbis_mirrored_best_score`: the same, against their mirrored copies.
    - `nbis_leak_rate_at_far_F`, `nbis_mirrored_leak_rate_at_far_F`: share of prints whose best score is accepted. The
      threshold is that of single comparisons; the best of many passes more often by chance, and how often is what
      prints of strangers, `real_others`, score here.
    - `nbis_copy_rate`: share of prints that score higher against a training print (other than themselves) than 95% of
      the pairs of two real impressions of one finger do: that near to its source no second impression comes.
      `nbis_copy_threshold` is that score. How often real second impressions pass is what `real_held_out` scores here.
    - `nbis_source_score`, `nbis_source_rate_at_far_F`: a print's mean score against its own finger's training prints,
      and the share of these comparisons that are accepted. More impressions of a finger are to pass.

    Args:
      study: what to measure; its reference is the training gallery.
      data_config: config.data of its prints.
      matcher: one that has matched some of it already; None makes one.
      has_mirrored: False leaves out the mirrored prints.

    Returns:
      Measures, scores a print, and the comparisons with the mirrored gallery ("identity" has the others); one skipped
      row where no matcher is installed.
    """
    try:
        matcher = matcher or Matcher(nist_tools.find_matching_tool())
        prepared = prepare_prints(study, data_config)
        comparisons = identity.compare_with_gallery(study, prepared, matcher)
        mirrored = compare_with_mirrored(study, prepared, comparisons, matcher) if has_mirrored else None
    except (ToolError, NoScaleError) as error:
        return identity.skip(FAMILY, "nbis_leak_rate_at_far_0.01", error)
    measures: list[MeasureRow] = [_create_copy_threshold_row(study, comparisons)]
    images: list[ImageRow] = []
    matches: list[MatchRow] = []
    for name, collection in study.collections.items():
        num_training = comparisons.gallery.num_reference
        to_training = comparisons.scores[name][:, :num_training]
        measures.append(_create_copy_row(comparisons, collection, to_training))
        is_own = find_same_person(collection.persons, comparisons.gallery.persons[:num_training])
        rows, image_rows = _measure_source(comparisons, collection, np.where(is_own, to_training, np.nan))
        measures += rows
        images += image_rows
        if collection.role in REAL_ROLES:
            to_training = np.where(is_own, np.nan, to_training)
        compared = [("", to_training)]
        if mirrored:
            compared.append(("mirrored_", mirrored.scores[name]))
            matches += identity.create_match_rows(mirrored, collection, mirrored.scores[name])
        for word, scores in compared:
            rows, image_rows = _measure_collection(comparisons, collection, scores, word)
            measures += rows
            images += image_rows
    return Findings(measures, images, matches)


def compare_with_mirrored(
    study: Study, prepared: PreparedPrints, comparisons: Comparisons, matcher: Matcher
) -> Comparisons:
    """Compare every print that was compared with the gallery with the training prints' mirror images.

    Args:
      study: the collections.
      prepared: its prints at 500 ppi.
      comparisons: with the gallery.
      matcher: what compares.

    Returns:
      The same matcher, impostors and thresholds, with another gallery; NaN where there was no comparison.

    Raises:
      ToolError: the tool failed.
    """
    num_training = comparisons.gallery.num_reference
    images = np.ascontiguousarray(comparisons.gallery.images[:num_training, :, ::-1])
    gallery = Gallery(
        images,
        comparisons.gallery.persons[:num_training],
        tuple(f"{name}{MIRRORED}" for name in comparisons.gallery.collections[:num_training]),
        comparisons.gallery.filenames[:num_training],
        comparisons.gallery.is_held_out[:num_training],
        num_training,
    )
    scores = {}
    for name, known in comparisons.scores.items():
        persons = study.collections[name].persons
        is_compared = choose_comparisons(persons, gallery, matcher.max_others)
        pairs = np.argwhere(is_compared & ~np.isnan(known).all(1)[:, None])
        scores[name] = np.full((len(known), num_training), np.nan)
        scores[name][tuple(pairs.T)] = matcher.compare(
            prepared.images[name], images, pairs, f"mirrored, {name}"
        )
    return dataclasses.replace(comparisons, gallery=gallery, scores=scores, is_same_image={})


def _measure_collection(
    comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray, word: str
) -> tuple[list[MeasureRow], list[ImageRow]]:
    prefix = f"{comparisons.matcher}_{word}"
    best = _find_best(scores)
    has_score = ~np.isnan(best)
    note = "each against the other persons' prints" if collection.role in REAL_ROLES and not word else ""
    note = summary.join_notes(note, comparisons.describe_failures(collection.name))
    measures = [
        summary.summarise(
            FAMILY, f"{prefix}best_score", collection, best, unit="score", better="lower", note=note
        )
    ]
    for rate in FALSE_ACCEPT_RATES:
        name = f"{prefix}leak_rate_at_far_{rate:g}"
        if why := comparisons.describe_refusal(rate):
            measures.append(summary.refuse(FAMILY, name, collection, why, unit="fraction", better="lower"))
            continue
        accepted = np.where(has_score, best >= comparisons.thresholds[rate], np.nan)
        measures.append(
            summary.summarise(FAMILY, name, collection, accepted, unit="fraction", better="lower", note=note)
        )
    return measures, summary.create_image_rows(f"{prefix}best_score", collection, best)


def _measure_source(
    comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray
) -> tuple[list[MeasureRow], list[ImageRow]]:
    prefix = f"{comparisons.matcher}_source"
    names = [f"{prefix}_rate_at_far_{rate:g}" for rate in FALSE_ACCEPT_RATES]
    if np.isnan(scores).all():
        reason = "none of its persons has another print in the training"
        return [
            *(
                summary.refuse(FAMILY, name, collection, reason, unit="fraction", better="real")
                for name in names
            ),
            summary.refuse(FAMILY, f"{prefix}_score", collection, reason, unit="score", better="real"),
        ], []
    measures = []
    for name, rate in zip(names, FALSE_ACCEPT_RATES, strict=True):
        if why := comparisons.describe_refusal(rate):
            measures.append(summary.refuse(FAMILY, name, collection, why, unit="fraction", better="real"))
            continue
        accepted = np.where(np.isnan(scores), np.nan, scores >= comparisons.thresholds[rate])
        shares = average_comparisons(accepted)
        measures.append(summary.summarise(FAMILY, name, collection, shares, unit="fraction", better="real"))
    means = average_comparisons(scores)
    measures.append(
        summary.summarise(FAMILY, f"{prefix}_score", collection, means, unit="score", better="real")
    )
    return measures, summary.create_image_rows(f"{prefix}_score", collection, means)


def _find_best(scores: np.ndarray) -> np.ndarray:
    """Find each print's highest score: [n, m] to [n], NaN where it was compared with nothing."""
    best = np.where(np.isnan(scores), -np.inf, scores).max(1, initial=-np.inf)
    return np.where(np.isinf(best), np.nan, best)


def _find_copy_threshold(comparisons: Comparisons) -> tuple[float, str]:
    """Return the score above which a print is a copy, or NaN and the reason."""
    num_fingers = len(np.unique(comparisons.real_genuine_persons))
    if not num_fingers:
        return float("nan"), f"{ONE_IMPRESSION_REASON}, so what two of them score is not known"
    if num_fingers < MIN_COPY_FINGERS:
        return float("nan"), (
            f"{num_fingers} fingers have several real impressions; {MIN_COPY_FINGERS} are needed to know what two "
            "of them score"
        )
    return float(np.quantile(comparisons.real_genuine_scores, COPY_QUANTILE)), ""


def _create_copy_threshold_row(study: Study, comparisons: Comparisons) -> MeasureRow:
    threshold, reason = _find_copy_threshold(comparisons)
    name, scores = f"{comparisons.matcher}_copy_threshold", comparisons.real_genuine_scores
    num_fingers = len(np.unique(comparisons.real_genuine_persons))
    nan = float("nan")
    return MeasureRow(
        FAMILY, name, study.reference.name, threshold, nan, nan, len(scores), num_fingers, "score",
        status=REFUSED if reason else MEASURED,
        note=reason or f"{len(scores):,} pairs of two real impressions of one finger; {COPY_QUANTILE:.0%} score less",
    )  # fmt: skip


def _create_copy_row(comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray) -> MeasureRow:
    name = f"{comparisons.matcher}_copy_rate"
    threshold, reason = _find_copy_threshold(comparisons)
    best = _find_best(scores)
    if reason:
        return summary.refuse(FAMILY, name, collection, reason, unit="fraction", better="lower")
    is_copy = np.where(np.isnan(best), np.nan, best > threshold)
    note = comparisons.describe_failures(collection.name)
    return summary.summarise(FAMILY, name, collection, is_copy, unit="fraction", better="lower", note=note)
