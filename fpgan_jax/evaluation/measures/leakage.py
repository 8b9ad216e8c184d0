"""Owns the family "leakage": does a print, or its mirror image, match a training print, and is it a copy of one?"""

import dataclasses
import math

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher.gallery import ONE_IMPRESSION_REASON, average_comparisons
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.resolution import PreparedPrints, prepare_prints
from fpgan_jax.evaluation.measures.comparisons import (
    Comparisons,
    choose_comparisons,
    compare_with_gallery,
    create_match_rows,
)
from fpgan_jax.evaluation.measures.family import Family, join_notes
from fpgan_jax.evaluation.measures.measure import Headline, Measure
from fpgan_jax.evaluation.study.findings import REFUSED, Findings, MeasureRow, merge_findings
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
# The baseline is how often another impression of a training print's finger is as similar to it.
COPY_RATE = Measure(
    "{matcher}_copy_rate", "fraction", "lower", margin=0.05, baseline=((HELD_OUT,), (REFERENCE,))
)
COPY_THRESHOLD = Measure("{matcher}_copy_threshold", "score")
SOURCE_RATE = Measure("{matcher}_source_rate_at_far_{rate}", "fraction", "real", margin=0.05)
SOURCE_SCORE = Measure("{matcher}_source_score", "score", "real", margin=10)
MIRRORED = "_mirrored"
# A score above this quantile of real second impressions' scores is a copy's; it needs at least so many fingers.
COPY_QUANTILE = 0.95
MIN_COPY_FINGERS = 10


def measure(
    study: Study, data_config: ConfigDict, matcher: Matcher, *, has_mirrored: bool = True
) -> Findings:
    """Measure every collection; with NIST's matcher, for example:

    - `nbis_best_score`: a print's highest score against any print of the training; for a real print, of other fingers.
      `nbis_mirrored_best_score`: the same against their mirror images.
    - `nbis_leak_rate_at_far_F`, `nbis_mirrored_leak_rate_at_far_F`: share of prints whose best score is accepted. The
      threshold is that of single comparisons. The best of many passes more often by chance; the strangers' prints,
      `real_others`, show how often.
    - `nbis_copy_rate`: share of prints that score higher against a training print (other than themselves) than 95% of
      the pairs of two real impressions of one finger, that is, are more similar to it than a second impression.
      `nbis_copy_threshold` is that score. `real_held_out` shows how often real second impressions pass.
    - `nbis_source_score`, `nbis_source_rate_at_far_F`: a print's mean score against its own finger's training prints,
      and the share of these comparisons that are accepted. More impressions of a finger should pass.

    Returns:
      Measures, scores of each print, and the comparisons with the mirrored gallery ("identity" has the others).
    """
    prepared = prepare_prints(study, data_config)
    comparisons = compare_with_gallery(study, prepared, matcher)
    mirrored = _compare_with_mirrored(study, prepared, comparisons, matcher) if has_mirrored else None
    threshold = _create_copy_threshold_row(study, comparisons)
    findings = [Findings([threshold])]
    num_training = comparisons.gallery.num_reference
    for name, collection in study.collections.items():
        scores = comparisons.scores[name][:, :num_training]
        note = comparisons.describe_failures(name)
        copy_rate = _create_copy_row(comparisons, collection, _find_best(scores), threshold, note)
        is_own = find_same_person(collection.persons, comparisons.gallery.persons[:num_training])
        source = _measure_source(comparisons, collection, np.where(is_own, scores, np.nan))
        own_note = note
        if collection.role in REAL_ROLES:
            scores = np.where(is_own, np.nan, scores)
            own_note = join_notes("each against the other persons' prints", note)
        best = _measure_best(comparisons, collection, scores, (BEST_SCORE, LEAK_RATE), own_note)
        findings += [Findings([copy_rate]), source, best]
        if mirrored:
            scores = mirrored.scores[name]
            measures = MIRRORED_BEST_SCORE, MIRRORED_LEAK_RATE
            findings.append(_measure_best(comparisons, collection, scores, measures, note))
            findings.append(Findings(matches=create_match_rows(mirrored, collection, scores)))
    return merge_findings(findings)


def _compare_with_mirrored(
    study: Study, prepared: PreparedPrints, comparisons: Comparisons, matcher: Matcher
) -> Comparisons:
    """Compare every print that was compared with the gallery with the training prints' mirror images.

    Impostors and thresholds stay those of the gallery.
    """
    num_training = comparisons.gallery.num_reference
    images = np.ascontiguousarray(comparisons.gallery.images[:num_training, :, ::-1])
    gallery = dataclasses.replace(
        comparisons.gallery,
        images=images,
        persons=comparisons.gallery.persons[:num_training],
        collections=tuple(f"{name}{MIRRORED}" for name in comparisons.gallery.collections[:num_training]),
        filenames=comparisons.gallery.filenames[:num_training],
        is_held_out=comparisons.gallery.is_held_out[:num_training],
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


def _measure_best(
    comparisons: Comparisons,
    collection: PrintCollection,
    scores: np.ndarray,
    measures: tuple[Measure, Measure],
    note: str,
) -> Findings:
    """Create the rows of the best score and of the share accepted, which are the two measures."""
    best = _find_best(scores)
    found = FAMILY.describe(comparisons.bind(measures[0]), collection, best, note=note)
    rates = comparisons.summarize_accepted(FAMILY, measures[1], collection, best[:, None], note=note)
    return merge_findings([found, Findings(rates)])


def _measure_source(comparisons: Comparisons, collection: PrintCollection, scores: np.ndarray) -> Findings:
    reason = "none of its persons has another print in the training" if np.isnan(scores).all() else ""
    rates = comparisons.summarize_accepted(FAMILY, SOURCE_RATE, collection, scores, reason=reason)
    means = average_comparisons(scores)
    found = FAMILY.describe(comparisons.bind(SOURCE_SCORE), collection, means, reason=reason)
    return merge_findings([Findings(rates), found])


def _find_best(scores: np.ndarray) -> np.ndarray:
    """Find each print's highest score: [n, m] to [n], NaN if it was compared with nothing."""
    best = np.where(np.isnan(scores), -np.inf, scores).max(1, initial=-np.inf)
    return np.where(np.isinf(best), np.nan, best)


def _create_copy_threshold_row(study: Study, comparisons: Comparisons) -> MeasureRow:
    """Create the row of the score above which a print is a copy."""
    scores = comparisons.real_genuine_scores
    num_fingers = len(np.unique(comparisons.real_genuine_persons))
    taken, counts = comparisons.bind(COPY_THRESHOLD), (len(scores), num_fingers)
    if num_fingers >= MIN_COPY_FINGERS:
        threshold = float(np.quantile(scores, COPY_QUANTILE))
        note = f"{len(scores):,} pairs of two real impressions of one finger; {COPY_QUANTILE:.0%} score less"
        return FAMILY.create_row(taken, study.reference, threshold, counts, note=note)
    reason = f"{ONE_IMPRESSION_REASON}, so what two of them score is not known"
    if num_fingers:
        reason = (
            f"{num_fingers} fingers have several real impressions; {MIN_COPY_FINGERS} are needed to know what two of "
            "them score"
        )
    return FAMILY.create_row(taken, study.reference, math.nan, counts, note=reason, status=REFUSED)


def _create_copy_row(
    comparisons: Comparisons, collection: PrintCollection, best: np.ndarray, threshold: MeasureRow, note: str
) -> MeasureRow:
    is_copy = np.where(np.isnan(best), np.nan, best > threshold.value)
    reason = threshold.note if threshold.status == REFUSED else ""
    return FAMILY.summarize(comparisons.bind(COPY_RATE), collection, is_copy, note=note, reason=reason)


FAMILY: Family = Family(
    "leakage",
    "Leakage",
    "How similar is each synthetic print to the training prints and to their mirror images? A print that matches a "
    "training print reveals it; one that is more similar to it than a second impression of the finger is a copy.",
    measures=(
        *(BEST_SCORE, MIRRORED_BEST_SCORE, LEAK_RATE, MIRRORED_LEAK_RATE, COPY_RATE, COPY_THRESHOLD),
        *(SOURCE_RATE, SOURCE_SCORE),
    ),
    compute=lambda study, tools: FAMILY.compute_by_each(measure, study, tools),
    headlines=(
        # Not the source's rate: more impressions of a finger should match it.
        Headline(
            (LEAK_RATE,), "Do they reveal the training prints?", "match a training print", is_share=True
        ),
        Headline(
            (MIRRORED_LEAK_RATE,),
            "Do they reveal the training prints, mirrored?",
            "match a training print's mirror image",
            is_share=True,
        ),
        Headline(
            (COPY_RATE,),
            "Are they copies of training prints?",
            "are more similar to a training print than a second impression is",
            is_share=True,
        ),
    ),
    rank=1,
    # Altered impressions are copies of training prints, which this family looks for.
    baseline=((POPULATION,),),
    is_passed_by_any_image=True,
)
