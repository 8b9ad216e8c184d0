"""Owns the family "identity": does a print match its own person, according to a matcher of minutiae?"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher.gallery import average_comparisons, explain_no_genuine
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.resolution import prepare_prints
from fpgan_jax.evaluation.measures.comparisons import (
    Comparisons,
    compare_with_gallery,
    create_match_rows,
    select_impostors,
)
from fpgan_jax.evaluation.measures.family import Family, Tools, join_notes
from fpgan_jax.evaluation.measures.measure import HEADLINE_RATE, Headline, Measure
from fpgan_jax.evaluation.statistics import intervals, verification
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import (
    MEASURED,
    REFUSED,
    Findings,
    MatchRow,
    MeasureRow,
    merge_findings,
)
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    HELD_OUT,
    POPULATION,
    REFERENCE,
    PrintCollection,
    Study,
)

THRESHOLD = Measure("{matcher}_threshold_at_far_{rate}", "score")
MATCH_RATE = Measure("{matcher}_match_rate_at_far_{rate}", "fraction", "higher", margin=0.05)
GENUINE_SCORE = Measure("{matcher}_genuine_score", "score", "higher", margin=10)
IMPOSTOR_SCORE = Measure("{matcher}_impostor_score", "score", "lower", margin=2)
EQUAL_ERROR_RATE = Measure("{matcher}_eer", "fraction", "lower", "{matcher} EER", margin=0.02)
RANK_1 = Measure("{matcher}_rank_1", "fraction", "higher", margin=0.05)
FAILURE_TO_ENROLL = Measure(
    "{matcher}_failure_to_enrol",
    "fraction",
    "lower",
    "{matcher} failure to enroll",
    margin=0.02,
    baseline=((REFERENCE, HELD_OUT, POPULATION),),
)
MATCHERS_DISAGREE = Measure("matchers_disagree_at_far_{rate}", "fraction")


def measure(study: Study, data_config: ConfigDict, matcher: Matcher) -> Findings:
    """Measure every collection; with NIST's matcher, for example:

    - `nbis_threshold_at_far_F`: the lowest accepted score: the higher of the thresholds of all real impostors and of
      the unaltered ones alone, if each are enough.
    - `nbis_genuine_score`: a print's mean score against its finger's impressions of `Gallery.find_genuine`.
      `nbis_impostor_score`: its mean score against other persons' real prints.
    - `nbis_match_rate_at_far_F`: share of the genuine comparisons that are accepted (true accept rate).
    - `nbis_eer`: of the collection's genuine and impostor comparisons.
    - `nbis_rank_1`: share of prints with a genuine comparison that scores higher than all with other persons' prints.
    - `nbis_failure_to_enrol`: share of prints that are not even accepted as themselves, by `Comparisons.find_failures`.
      They match nobody, and every other rate counts them.

    Real prints are compared with other impressions of their finger. If there are none, the altered impressions, which
    are the same scan, show what real prints score. A print of a person without a real print has an impostor score only.
    """
    comparisons = compare_with_gallery(study, prepare_prints(study, data_config), matcher)
    findings = [Findings([_create_threshold_row(study, comparisons, rate) for rate in FALSE_ACCEPT_RATES])]
    for name, collection in study.collections.items():
        findings.append(_measure_collection(comparisons, collection))
        findings.append(
            Findings(matches=create_match_rows(comparisons, collection, comparisons.scores[name]))
        )
    return merge_findings(findings)


def _create_threshold_row(study: Study, comparisons: Comparisons, rate: float) -> MeasureRow:
    taken = comparisons.bind(THRESHOLD, rate)
    counts = len(comparisons.impostors.scores), intervals.count_persons(comparisons.gallery.persons)
    if reason := comparisons.describe_refusal(rate):
        return FAMILY.create_row(taken, study.reference, math.nan, counts, status=REFUSED, note=reason)
    threshold = comparisons.thresholds[rate]
    reached, reached_unaltered = (
        f"{int((pool.scores >= threshold).sum()):,} of {len(pool.scores):,}"
        for pool in (comparisons.impostors, comparisons.unaltered_impostors)
    )
    note = (
        f"{reached} real impostor comparisons reach it, {reached_unaltered} of those between unaltered prints, of "
        f"{comparisons.impostors.count_pairs():,} pairs of persons"
    )
    interval = comparisons.threshold_intervals[rate]
    return FAMILY.create_row(taken, study.reference, threshold, counts, interval=interval, note=note)


def _measure_collection(comparisons: Comparisons, collection: PrintCollection) -> Findings:
    gallery, name = comparisons.gallery, collection.name
    scores = comparisons.scores[name]
    genuine = np.where(gallery.find_genuine(collection), scores, np.nan)
    is_impostor = gallery.find_impostors(collection)
    # A print that is another person's very image would be compared with itself.
    others = np.where(is_impostor & ~comparisons.is_same_image[name], scores, np.nan)
    impostor_score = FAMILY.describe(
        comparisons.bind(IMPOSTOR_SCORE), collection, average_comparisons(others)
    )
    failures = comparisons.find_failures(name).astype(np.float64)
    failure = FAMILY.summarize(comparisons.bind(FAILURE_TO_ENROLL), collection, failures)
    reason = explain_no_genuine(collection) if np.isnan(genuine).all() else ""
    note = join_notes(gallery.describe_genuine(collection), comparisons.describe_failures(name))
    match_rates = comparisons.summarize_accepted(
        FAMILY, MATCH_RATE, collection, genuine, note=note, reason=reason
    )
    genuine_score = FAMILY.describe(
        comparisons.bind(GENUINE_SCORE), collection, average_comparisons(genuine), reason=reason
    )
    if reason:
        refused = comparisons.bind(EQUAL_ERROR_RATE), comparisons.bind(RANK_1)
        rates = [FAMILY.refuse(taken, collection, reason) for taken in refused]
    else:
        everyone = np.where(is_impostor, scores, -np.inf)
        rates = [
            _create_error_row(comparisons, collection, genuine, others),
            _create_rank_row(comparisons, collection, genuine, everyone),
        ]
    return merge_findings([impostor_score, Findings([failure, *match_rates]), genuine_score, Findings(rates)])


def _create_error_row(
    comparisons: Comparisons, collection: PrintCollection, genuine: np.ndarray, others: np.ndarray
) -> MeasureRow:
    """Create the equal error rate's row, of the prints that have a genuine comparison.

    genuine and others are float64 [n, m], NaN without such a comparison.
    """
    taken = comparisons.bind(EQUAL_ERROR_RATE)
    is_genuine = ~np.isnan(genuine)
    is_known = is_genuine.any(1)
    is_chosen = is_known[:, None] & ~np.isnan(others)
    impostors = select_impostors(others, collection.persons, comparisons.gallery, is_chosen)
    if not len(impostors.scores):
        return FAMILY.refuse(taken, collection, "there is no other person")
    scores, persons = genuine[is_genuine], collection.persons[np.nonzero(is_genuine)[0]]
    error = verification.compute_equal_error(scores, impostors.scores)
    interval = verification.compute_equal_error_interval(scores, persons, impostors)
    note = f"{len(scores):,} genuine and {len(impostors.scores):,} impostor comparisons"
    counts = int(is_known.sum()), intervals.count_persons(persons)
    return FAMILY.create_row(taken, collection, error.rate, counts, interval=interval, note=note)


def _create_rank_row(
    comparisons: Comparisons, collection: PrintCollection, genuine: np.ndarray, others: np.ndarray
) -> MeasureRow:
    """Create the rank-1 row; others are -inf for prints that are not known to be another person's."""
    taken, gallery = comparisons.bind(RANK_1), comparisons.gallery
    is_known = ~np.isnan(genuine).all(1)
    if np.isnan(others)[is_known].any():
        return FAMILY.refuse(taken, collection, "not all of the gallery were compared")
    best, best_genuine = (
        np.where(np.isnan(found), -np.inf, found).max(1, initial=-np.inf) for found in (others, genuine)
    )
    is_first = np.where(is_known, best_genuine > best, np.nan)
    note = f"in a gallery of {len(gallery.images)} prints of {len(np.unique(gallery.persons))} persons"
    return FAMILY.summarize(taken, collection, is_first, note=note)


def _compute(study: Study, tools: Tools) -> Findings:
    found = FAMILY.compute_by_each(measure, study, tools)
    if len(tools.matchers) < 2:
        return found
    disagreement = compare_decisions(study, found.measures, found.matches, list(tools.matchers)[:2])
    return dataclasses.replace(found, measures=[*found.measures, *disagreement])


def compare_decisions(
    study: Study, measures: Sequence[MeasureRow], matches: Sequence[MatchRow], matchers: Sequence[str]
) -> list[MeasureRow]:
    """Compare two matchers' decisions on pairs of prints of one finger, at FAR 1%, from their rows.

    Returns:
      `matchers_disagree_at_far_0.01` of every collection with prints that both have compared with real ones of their
      finger; nothing if a matcher has no threshold.
    """
    values = {row.measure: row.value for row in measures if row.status == MEASURED}
    names = {matcher: THRESHOLD.at(matcher=matcher, rate=HEADLINE_RATE).name for matcher in matchers}
    if not all(name in values for name in names.values()):
        return []
    thresholds = {matcher: values[name] for matcher, name in names.items()}
    decisions: dict[tuple, dict[str, bool]] = {}
    for row in matches:
        if row.matcher in thresholds and row.is_genuine:
            pair = (row.probe_collection, row.probe_filename, row.gallery_collection, row.gallery_filename)
            decisions.setdefault(pair, {})[row.matcher] = row.score >= thresholds[row.matcher]
    by_print: dict[tuple[str, str], list[list[bool]]] = {}
    for pair, is_accepted in decisions.items():
        if len(is_accepted) == 2:
            by_print.setdefault(pair[:2], []).append([is_accepted[matcher] for matcher in matchers])
    rows = []
    for name, collection in study.collections.items():
        of_print = [np.array(by_print.get((name, filename), ())) for filename in collection.filenames]
        shares = np.array(
            [np.mean(pairs[:, 0] != pairs[:, 1]) if len(pairs) else np.nan for pairs in of_print]
        )
        if not np.isnan(shares).all():
            pairs = np.concatenate([pairs for pairs in of_print if len(pairs)])
            only = [np.mean(pairs[:, first] & ~pairs[:, 1 - first]) for first in (0, 1)]
            note = "; ".join(
                f"{share:.1%} are accepted by {matcher} alone"
                for share, matcher in zip(only, matchers, strict=True)
            )
            taken = MATCHERS_DISAGREE.at(rate=HEADLINE_RATE)
            rows.append(FAMILY.summarize(taken, collection, shares, note=note))
    return rows


FAMILY = Family(
    "identity",
    "Identity",
    "Do independent matchers accept a print as its own person's? The threshold is set on comparisons of different "
    "real persons (impostors), so that only a known share of them passes.",
    measures=(
        *(THRESHOLD, MATCH_RATE, GENUINE_SCORE, IMPOSTOR_SCORE, EQUAL_ERROR_RATE, RANK_1),
        *(FAILURE_TO_ENROLL, MATCHERS_DISAGREE),
    ),
    compute=_compute,
    headlines=(
        Headline(
            (MATCH_RATE,), "Do they keep the finger's identity?", "match their own person", is_share=True
        ),
    ),
    rank=1,
    # The gallery contains the reference itself.
    baseline=((HELD_OUT,), (BASELINE,), (REFERENCE, POPULATION)),
)
