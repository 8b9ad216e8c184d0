"""Owns the family "uniqueness": within one collection, do the prints of two persons match, and those of one?

Does not compare with the real prints (`identity.py`, `leakage.py`).
"""

import itertools
import math

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher import nist_tools
from fpgan_jax.evaluation.matcher.gallery import average_comparisons
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.resolution import NoScaleError, prepare_prints
from fpgan_jax.evaluation.measures import identity, summary
from fpgan_jax.evaluation.measures.identity import Comparisons
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import Findings, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study

FAMILY = "uniqueness"
# Pairs of prints of a collection that are compared; more cost time and change little.
MAX_PAIRS = 2500


def measure(study: Study, data_config: ConfigDict, matcher: Matcher | None = None) -> Findings:
    """Measure every collection by NIST's MINDTCT and BOZORTH3.

    - `nbis_collision_rate_at_far_F`: share of pairs of prints, of two persons each, that are accepted as one person's.
      Pairs of persons count alike. The baseline is the real prints, of whom F is expected to.
    - `nbis_between_persons_score`: their mean score.
    - `nbis_within_person_rate_at_far_F`, `nbis_within_person_score`: the same of two prints of one person, a print's
      mean over the person's other prints: are they impressions of one finger?

    Args:
      study: what to measure.
      data_config: config.data of its prints.
      matcher: one that has matched some of it already; None makes one.

    Returns:
      Measures, and the comparisons of all but the real prints, which "identity" has; one skipped row where no matcher
      is installed.
    """
    try:
        matcher = matcher or Matcher(nist_tools.find_matching_tool())
        prepared = prepare_prints(study, data_config)
        comparisons = identity.compare_with_gallery(study, prepared, matcher)
        measures: list[MeasureRow] = []
        matches: list[MatchRow] = []
        for name, collection in study.collections.items():
            images = prepared.images[name]
            for measure_pairs in (_measure_between, _measure_within):
                rows, found = measure_pairs(comparisons, collection, images, matcher)
                measures += rows
                if name not in comparisons.gallery.collections:
                    matches += found
    except (ToolError, NoScaleError) as error:
        return identity.skip(FAMILY, "nbis_collision_rate_at_far_0.01", error)
    return Findings(measures, matches=matches)


def choose_pairs(persons: np.ndarray, max_pairs: int) -> tuple[list[np.ndarray], int]:
    """Choose as many prints a person as keep the pairs of prints of different persons few enough.

    Args:
      persons: int [n]; -1 is nobody known and left out.
      max_pairs: at least one print a person is chosen, whatever this says.

    Returns:
      (places, an array a person in the order of their ids; prints a person at most).
    """
    groups = summary.find_groups(persons, max_prints=len(persons))
    for num_prints in range(max((len(group) for group in groups), default=1), 1, -1):
        sizes = np.array([min(len(group), num_prints) for group in groups])
        if (sizes.sum() ** 2 - (sizes**2).sum()) // 2 <= max_pairs:
            return [group[:num_prints] for group in groups], num_prints
    return [group[:1] for group in groups], 1


def _measure_between(
    comparisons: Comparisons,
    collection: PrintCollection,
    images: np.ndarray,
    matcher: Matcher,
) -> tuple[list[MeasureRow], list[MatchRow]]:
    # Of a slow matcher one print a person.
    groups, num_prints = choose_pairs(collection.persons, 0 if matcher.max_others else MAX_PAIRS)
    prefix = comparisons.matcher
    names = [f"{prefix}_collision_rate_at_far_{rate:g}" for rate in FALSE_ACCEPT_RATES]
    score_name = f"{prefix}_between_persons_score"
    if len(groups) < 2:
        reason = "there are no two persons known"
        return [
            *(
                summary.refuse(FAMILY, name, collection, reason, unit="fraction", better="lower")
                for name in names
            ),
            summary.refuse(FAMILY, score_name, collection, reason, unit="score", better="lower"),
        ], []
    blocks = list(itertools.combinations(range(len(groups)), 2))
    pairs = [
        np.stack(np.meshgrid(groups[i], groups[j], indexing="ij"), axis=-1).reshape(-1, 2) for i, j in blocks
    ]
    scores = matcher.compare(images, images, np.concatenate(pairs), f"uniqueness, {collection.name}")
    parts = np.split(scores, np.cumsum([len(part) for part in pairs])[:-1])
    num_cut = sum(map(len, groups)) < int((collection.persons >= 0).sum())
    note = summary.join_notes(
        f"{len(scores):,} pairs of prints",
        f"the first {num_prints} of each person" if num_cut else "",
        comparisons.describe_failures(collection.name),
    )

    def create_row(name: str, values: list[float], unit: str) -> MeasureRow:
        matrix = np.zeros((len(groups), len(groups)))
        for (i, j), value in zip(blocks, values, strict=True):
            matrix[i, j] = matrix[j, i] = value
        compute = (
            intervals.compute_pair_rate_interval if unit == "fraction" else intervals.compute_pair_interval
        )
        value, *interval = compute(matrix)
        missing = intervals.describe_missing_interval(len(groups), interval)
        return MeasureRow(
            FAMILY, name, collection.name, value, *interval, sum(map(len, groups)), len(groups), unit, "lower",
            note=summary.join_notes(note, missing),
        )  # fmt: skip

    measures = []
    for name, rate in zip(names, FALSE_ACCEPT_RATES, strict=True):
        if why := comparisons.describe_refusal(rate):
            measures.append(summary.refuse(FAMILY, name, collection, why, unit="fraction", better="lower"))
        else:
            accepted = [float(np.mean(part >= comparisons.thresholds[rate])) for part in parts]
            measures.append(create_row(name, accepted, "fraction"))
    measures.append(create_row(score_name, [float(part.mean()) for part in parts], "score"))
    return measures, _create_match_rows(prefix, collection, np.concatenate(pairs), scores)


def _measure_within(
    comparisons: Comparisons,
    collection: PrintCollection,
    images: np.ndarray,
    matcher: Matcher,
) -> tuple[list[MeasureRow], list[MatchRow]]:
    prefix = f"{comparisons.matcher}_within_person"
    groups, num_prints = choose_within(collection.persons, MAX_PAIRS)
    pairs = np.array(
        [pair for group in groups for pair in itertools.combinations(group, 2)], np.int64
    ).reshape(-1, 2)
    reason = "" if len(pairs) else "no person has two prints"
    scores = matcher.compare(images, images, pairs, f"one person's, {collection.name}")
    note = summary.join_notes(
        f"{len(pairs):,} pairs of prints",
        f"at most {num_prints} of each person" if num_prints < len(collection) else "",
        comparisons.describe_failures(collection.name),
    )
    measures = []
    for name, values, unit, why in (
        *(
            (
                f"{prefix}_rate_at_far_{rate:g}",
                (scores >= comparisons.thresholds[rate]).astype(np.float64),
                "fraction",
                reason or comparisons.describe_refusal(rate),
            )
            for rate in FALSE_ACCEPT_RATES
        ),
        (f"{prefix}_score", scores, "score", reason),
    ):
        if why:
            measures.append(summary.refuse(FAMILY, name, collection, why, unit=unit, better="real"))
            continue
        matrix = np.full((len(collection), len(collection)), np.nan)
        matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = values
        means = average_comparisons(matrix)
        measures.append(
            summary.summarise(FAMILY, name, collection, means, unit=unit, better="real", note=note)
        )
    return measures, _create_match_rows(comparisons.matcher, collection, pairs, scores)


def choose_within(persons: np.ndarray, max_pairs: int) -> tuple[list[np.ndarray], int]:
    """Choose as many prints a person, two or more, as keep the pairs of prints of one person few enough.

    Args:
      persons: int [n]; -1 is nobody known and left out, and so are persons with one print.
      max_pairs: two prints a person are chosen, whatever this says.

    Returns:
      (places, an array a person; prints a person at most).
    """
    groups = [group for group in summary.find_groups(persons, max_prints=len(persons)) if len(group) > 1]
    num_prints = max((len(group) for group in groups), default=0)
    while num_prints > 2 and sum(math.comb(min(len(group), num_prints), 2) for group in groups) > max_pairs:
        num_prints -= 1
    return [group[:num_prints] for group in groups], num_prints


def _create_match_rows(
    matcher: str, collection: PrintCollection, pairs: np.ndarray, scores: np.ndarray
) -> list[MatchRow]:
    return [
        MatchRow(
            matcher, collection.name, int(collection.persons[i]), collection.filenames[i],
            collection.name, int(collection.persons[j]), collection.filenames[j], float(score),
        )
        for (i, j), score in zip(pairs, scores, strict=True)
    ]  # fmt: skip
