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
from fpgan_jax.evaluation.measures import identity
from fpgan_jax.evaluation.measures.family import Family, Headline, Measure, create_image_rows, join_notes
from fpgan_jax.evaluation.measures.identity import Comparisons, choose_comparisons
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import MEASURED, REFUSED, Findings, ImageRow, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import (
    HELD_OUT,
    POPULATION,
    REAL_ROLES,
    REFERENCE,
    PrintCollection,
    Study,
    find_same_person,
)

BEST_SCORE = Measure("{matcher}_best_score", "score", "lower", margin=5)
MIRRORED_BEST_SCORE = Measure("{matcher}_mirrored_best_score", "score", "lower", margin=5)
LEAK_RATE = Measure("{matcher}_leak_rate_at_far_{rate}", "fraction", "lower", margin=0.05)
MIRRORED_LEAK_RATE = Measure("{matcher}_mirrored_leak_rate_at_far_{rate}", "fraction", "lower", margin=0.05)
# Beside how often another impression of a training print's finger comes as near to it.
COPY_RATE = Measure(
    "{matcher}_copy_rate", "fraction", "lower", margin=0.05, baseline=((HELD_OUT,), (REFERENCE,))
)
COPY_THRESHOLD = Measure("{matcher}_copy_threshold", "score")
SOURCE_RATE = Measure("{matcher}_source_rate_at_far_{rate}", "fraction", "real", margin=0.05)
SOURCE_SCORE = Measure("{matcher}_source_score", "score", "real", margin=10)
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
        return FAMILY.skip(error)
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
        compared = [(to_training, False)]
        if mirrored:
            compared.append((mirrored.scores[name], True))
            matches += identity.create_match_rows(mirrored, collection, mirrored.scores[name])
        for scores, is_mirrored in compared:
            rows, image_rows = _measure_collection(comparisons, collection, scores, is_mirrored=is_mirrored)
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
    comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray, *, is_mirrored: bool
) -> tuple[list[MeasureRow], list[ImageRow]]:
    best_score = comparisons.bind(MIRRORED_BEST_SCORE if is_mirrored else BEST_SCORE)
    best = _find_best(scores)
    has_score = ~np.isnan(best)
    is_without_own = collection.role in REAL_ROLES and not is_mirrored
    note = join_notes(
        "each against the other persons' prints" if is_without_own else "",
        comparisons.describe_failures(collection.name),
    )
    measures = [FAMILY.summarize(best_score, collection, best, note=note)]
    for rate in FALSE_ACCEPT_RATES:
        leak_rate = comparisons.bind(MIRRORED_LEAK_RATE if is_mirrored else LEAK_RATE, rate)
        if why := comparisons.describe_refusal(rate):
            measures.append(FAMILY.refuse(leak_rate, collection, why))
            continue
        accepted = np.where(has_score, best >= comparisons.thresholds[rate], np.nan)
        measures.append(FAMILY.summarize(leak_rate, collection, accepted, note=note))
    return measures, create_image_rows(best_score, collection, best)


def _measure_source(
    comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray
) -> tuple[list[MeasureRow], list[ImageRow]]:
    rates = [(comparisons.bind(SOURCE_RATE, rate), rate) for rate in FALSE_ACCEPT_RATES]
    score = comparisons.bind(SOURCE_SCORE)
    if np.isnan(scores).all():
        reason = "none of its persons has another print in the training"
        refused = [*(taken for taken, _ in rates), score]
        return [FAMILY.refuse(taken, collection, reason) for taken in refused], []
    measures = []
    for source_rate, rate in rates:
        if why := comparisons.describe_refusal(rate):
            measures.append(FAMILY.refuse(source_rate, collection, why))
            continue
        accepted = np.where(np.isnan(scores), np.nan, scores >= comparisons.thresholds[rate])
        measures.append(FAMILY.summarize(source_rate, collection, average_comparisons(accepted)))
    means = average_comparisons(scores)
    measures.append(FAMILY.summarize(score, collection, means))
    return measures, create_image_rows(score, collection, means)


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
    num_scores = len(comparisons.real_genuine_scores)
    num_fingers = len(np.unique(comparisons.real_genuine_persons))
    note = f"{num_scores:,} pairs of two real impressions of one finger; {COPY_QUANTILE:.0%} score less"
    return FAMILY.create_row(
        comparisons.bind(COPY_THRESHOLD),
        study.reference.name,
        threshold,
        intervals.NO_INTERVAL,
        num_scores,
        num_fingers,
        status=REFUSED if reason else MEASURED,
        note=reason or note,
    )


def _create_copy_row(comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray) -> MeasureRow:
    taken = comparisons.bind(COPY_RATE)
    threshold, reason = _find_copy_threshold(comparisons)
    best = _find_best(scores)
    if reason:
        return FAMILY.refuse(taken, collection, reason)
    is_copy = np.where(np.isnan(best), np.nan, best > threshold)
    note = comparisons.describe_failures(collection.name)
    return FAMILY.summarize(taken, collection, is_copy, note=note)


FAMILY: Family = Family(
    "leakage",
    "Leakage",
    "How near is each synthetic print to the prints of the training, as they are and mirrored? A print that "
    "matches one gives it away; one that is nearer to it than a second impression of the finger comes is a copy.",
    measures=(
        *(BEST_SCORE, MIRRORED_BEST_SCORE, LEAK_RATE, MIRRORED_LEAK_RATE, COPY_RATE, COPY_THRESHOLD),
        *(SOURCE_RATE, SOURCE_SCORE),
    ),
    compute=lambda study, tools: FAMILY.compute_by_each(measure, study, tools),
    headlines=(
        # Not the source's rate: more impressions of a finger are to match it.
        Headline(
            (LEAK_RATE,), "Do they give the training prints away?", "match a training print", is_share=True
        ),
        Headline(
            (MIRRORED_LEAK_RATE,),
            "Do they give the training prints away, mirrored?",
            "match a training print's mirror image",
            is_share=True,
        ),
        Headline(
            (COPY_RATE,),
            "Are they copies of training prints?",
            "are nearer to a training print than a second impression comes",
            is_share=True,
        ),
    ),
    rank=1,
    # A copy of a training print is what is looked for, and an altered impression is such a copy.
    baseline=((POPULATION,),),
    is_passed_by_any_image=True,
)
