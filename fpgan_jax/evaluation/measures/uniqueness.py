"""Owns the family "uniqueness": within one collection, do the prints of two persons match, and those of one?"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher.gallery import average_comparisons
from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.resolution import prepare_prints
from fpgan_jax.evaluation.measures.comparisons import Comparisons, compare_with_gallery, create_pair_rows
from fpgan_jax.evaluation.measures.family import Family, find_groups, join_notes
from fpgan_jax.evaluation.measures.measure import Headline, Measure
from fpgan_jax.evaluation.statistics import intervals
from fpgan_jax.evaluation.statistics.verification import FALSE_ACCEPT_RATES
from fpgan_jax.evaluation.study.findings import Findings, MeasureRow, merge_findings
from fpgan_jax.evaluation.study.print_collection import PrintCollection, Study

COLLISION_RATE = Measure("{matcher}_collision_rate_at_far_{rate}", "fraction", "lower", margin=0.01)
BETWEEN_PERSONS_SCORE = Measure("{matcher}_between_persons_score", "score", "lower", margin=2)
WITHIN_PERSON_RATE = Measure("{matcher}_within_person_rate_at_far_{rate}", "fraction", "real", margin=0.05)
WITHIN_PERSON_SCORE = Measure("{matcher}_within_person_score", "score", "real", margin=10)
# Pairs of prints of a collection that are compared; more take time and change little.
MAX_PAIRS = 2500


def measure(study: Study, data_config: ConfigDict, matcher: Matcher) -> Findings:
    """Measure every collection; with NIST's matcher, for example:

    - `nbis_collision_rate_at_far_F`: share of pairs of two persons' prints that are accepted as one person's. Every
      pair of persons has equal weight. The baseline is the real prints; a fraction F of them matches by construction.
    - `nbis_between_persons_score`: their mean score.
    - `nbis_within_person_rate_at_far_F`, `nbis_within_person_score`: the same for two prints of one person, as a
      print's mean over the person's other prints: are they impressions of one finger?

    Returns:
      Measures, and the comparisons of all except the real prints, which "identity" has.
    """
    prepared = prepare_prints(study, data_config)
    comparisons = compare_with_gallery(study, prepared, matcher)
    findings = []
    for name, collection in study.collections.items():
        is_real = name in comparisons.gallery.collections
        for measure_pairs in (_measure_between, _measure_within):
            found = measure_pairs(comparisons, collection, prepared.images[name], matcher)
            findings.append(Findings(found.measures) if is_real else found)
    return merge_findings(findings)


def choose_pairs(persons: np.ndarray, max_pairs: int) -> tuple[list[np.ndarray], int]:
    """Choose as many prints per person as keep the pairs of prints of different persons few enough.

    At least one print is chosen of each known person of int [n].

    Returns:
      (an array of places for each person in the order of their ids, the most prints per person).
    """
    return _limit_prints(
        find_groups(persons), 1, lambda sizes: (sizes.sum() ** 2 - (sizes**2).sum()) // 2, max_pairs
    )


def choose_within(persons: np.ndarray, max_pairs: int) -> tuple[list[np.ndarray], int]:
    """Choose prints as `choose_pairs` does, but by pairs of prints of one person.

    At least two prints per person are chosen, and persons with one print are left out.
    """
    groups = [group for group in find_groups(persons) if len(group) > 1]
    return _limit_prints(groups, 2, lambda sizes: (sizes * (sizes - 1) // 2).sum(), max_pairs)


def _limit_prints(
    groups: list[np.ndarray], min_prints: int, count_pairs: Callable[[np.ndarray], int], max_pairs: int
) -> tuple[list[np.ndarray], int]:
    sizes = np.array([len(group) for group in groups], np.int64)
    num_prints = int(sizes.max(initial=min_prints))
    while num_prints > min_prints and count_pairs(np.minimum(sizes, num_prints)) > max_pairs:
        num_prints -= 1
    return [group[:num_prints] for group in groups], num_prints


def list_pairs(groups: Sequence[np.ndarray]) -> np.ndarray:
    """List the pairs within each group of places: int64 [k, 2]."""
    pairs = [pair for group in groups for pair in itertools.combinations(group, 2)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _measure_between(
    comparisons: Comparisons, collection: PrintCollection, images: np.ndarray, matcher: Matcher
) -> Findings:
    # A slow matcher compares one print per person.
    groups, num_prints = choose_pairs(collection.persons, 0 if matcher.max_others else MAX_PAIRS)
    if len(groups) < 2:
        taken = [comparisons.bind(COLLISION_RATE, rate) for rate in FALSE_ACCEPT_RATES]
        taken.append(comparisons.bind(BETWEEN_PERSONS_SCORE))
        reason = "there are no two persons known"
        return Findings([FAMILY.refuse(each, collection, reason) for each in taken])
    blocks = np.stack(np.triu_indices(len(groups), 1), axis=1)
    pairs = [
        np.stack(np.meshgrid(groups[i], groups[j], indexing="ij"), axis=-1).reshape(-1, 2) for i, j in blocks
    ]
    scores = matcher.compare(images, images, np.concatenate(pairs), f"uniqueness, {collection.name}")
    parts = np.split(scores, np.cumsum([len(part) for part in pairs])[:-1])
    num_chosen = sum(map(len, groups))
    is_cut = num_chosen < int((collection.persons >= 0).sum())
    note = join_notes(
        f"{len(scores):,} pairs of prints",
        f"the first {num_prints} of each person" if is_cut else "",
        comparisons.describe_failures(collection.name),
    )

    def create_row(taken: Measure, values: list[float]) -> MeasureRow:
        matrix = np.zeros((len(groups), len(groups)))
        matrix[tuple(blocks.T)] = values
        matrix += matrix.T
        value, low, high = intervals.compute_pair_interval(matrix, is_rate=taken.unit == "fraction")
        counts = num_chosen, len(groups)
        return FAMILY.create_row(taken, collection, value, counts, interval=(low, high), note=note)

    measures = []
    for rate in FALSE_ACCEPT_RATES:
        collision_rate = comparisons.bind(COLLISION_RATE, rate)
        if reason := comparisons.describe_refusal(rate):
            measures.append(FAMILY.refuse(collision_rate, collection, reason))
        else:
            accepted = [float(np.mean(part >= comparisons.thresholds[rate])) for part in parts]
            measures.append(create_row(collision_rate, accepted))
    mean_score = comparisons.bind(BETWEEN_PERSONS_SCORE)
    measures.append(create_row(mean_score, [float(part.mean()) for part in parts]))
    matches = create_pair_rows(comparisons.matcher, collection, np.concatenate(pairs), scores)
    return Findings(measures, matches=matches)


def _measure_within(
    comparisons: Comparisons, collection: PrintCollection, images: np.ndarray, matcher: Matcher
) -> Findings:
    groups, num_prints = choose_within(collection.persons, MAX_PAIRS)
    pairs = list_pairs(groups)
    reason = "" if len(pairs) else "no person has two prints"
    scores = matcher.compare(images, images, pairs, f"one person's, {collection.name}")
    note = join_notes(
        f"{len(pairs):,} pairs of prints",
        f"at most {num_prints} of each person" if num_prints < len(collection) else "",
        comparisons.describe_failures(collection.name),
    )
    matrix = np.full((len(collection), len(collection)), np.nan)
    matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = scores
    rates = comparisons.summarize_accepted(
        FAMILY, WITHIN_PERSON_RATE, collection, matrix, note=note, reason=reason
    )
    taken, means = comparisons.bind(WITHIN_PERSON_SCORE), average_comparisons(matrix)
    mean_score = FAMILY.summarize(taken, collection, means, note=note, reason=reason)
    matches = create_pair_rows(comparisons.matcher, collection, pairs, scores)
    return Findings([*rates, mean_score], matches=matches)


FAMILY: Family = Family(
    "uniqueness",
    "Uniqueness",
    "Do the synthetic prints of two persons match each other? They should not. And those of one person? They "
    "should, as often as real impressions of one finger.",
    measures=(COLLISION_RATE, BETWEEN_PERSONS_SCORE, WITHIN_PERSON_RATE, WITHIN_PERSON_SCORE),
    compute=lambda study, tools: FAMILY.compute_by_each(measure, study, tools),
    headlines=(
        Headline((COLLISION_RATE,), "Are they different persons?", "match another person's", is_share=True),
        Headline(
            (WITHIN_PERSON_RATE,),
            "Do one person's prints match one another?",
            "match another print of their person",
            is_share=True,
        ),
    ),
    rank=1,
    is_passed_by_any_image=True,
)
