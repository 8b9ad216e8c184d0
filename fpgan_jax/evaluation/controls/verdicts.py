"""Owns the verdicts on prints beside real ones, by each measure: better, worse, equivalent or undecided."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fpgan_jax.evaluation.measures.families import find_baseline, find_measure
from fpgan_jax.evaluation.statistics import differences
from fpgan_jax.evaluation.statistics.differences import Difference
from fpgan_jax.evaluation.study.findings import ImageRow, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import SYNTHETIC, Study, find_role

Values = Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]


class Comparison(NamedTuple):
    """A row compared with the rows of real prints."""

    nearest: str  # the collection of real prints with the nearest number, from which the difference is
    difference: Difference
    margin: float  # largest difference that counts as equivalent; NaN where none is known
    verdict: str  # from `differences.judge`, over all collections of real prints


@dataclasses.dataclass(frozen=True)
class VerdictRow:
    """A `Comparison` of one collection by one measure, and its `Difference`, as a row of a table."""

    measure: str
    collection: str
    nearest: str
    difference: float
    low: float
    high: float
    num_paired: int
    margin: float
    verdict: str


def find_margin(measure: str, real_value: float) -> float:
    """Find the largest difference from the real prints' number that counts as equivalent; NaN if unknown."""
    found = find_measure(measure)
    return found.find_margin(real_value) if found else float("nan")


def choose_real(study: Study, rows: Sequence[MeasureRow]) -> list[MeasureRow]:
    """Choose a measure's measured rows of real prints, its baseline; may be empty."""
    if not rows:
        return []
    for roles in find_baseline(rows[0].family, rows[0].measure):
        found = [row for row in rows if is_measured(row) and find_role(study, row.collection) in roles]
        if found:
            return found
    return []


def collect_values(images: Iterable[ImageRow]) -> Values:
    """Collect the values of single prints: (measure, collection) -> (float64 [n], persons int64 [n])."""
    found: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for row in images:
        found.setdefault((row.measure, row.collection), []).append((row.value, row.person))
    columns = {place: zip(*pairs, strict=True) for place, pairs in found.items()}
    return {
        place: (np.array(values, np.float64), np.array(persons))
        for place, (values, persons) in columns.items()
    }


def compare(row: MeasureRow, real: Sequence[MeasureRow], values: Values) -> Comparison | None:
    """Compare a row with those of real prints; None without real prints, a number or a better direction.

    Where single prints have values, persons who are in both are compared with themselves. For rates, and for numbers
    that are not a mean over prints, the two intervals are combined as for independent samples.

    Args:
      row: what is judged.
      real: from `choose_real`.
      values: from `collect_values`.
    """
    if not real or not is_measured(row) or not row.better:
        return None
    found = [_subtract(row, other, values) for other in real]
    place = min(range(len(real)), key=lambda place: abs(row.value - real[place].value))
    margin = find_margin(row.measure, real[place].value)
    return Comparison(
        real[place].collection, found[place], margin, differences.judge(found, row.better, margin)
    )


def _subtract(row: MeasureRow, other: MeasureRow, values: Values) -> Difference:
    places = (row.measure, row.collection), (row.measure, other.collection)
    samples = [values[place] for place in places if place in values]
    # Near rates of 0 and 1 most persons' differences are 0, so that Student's interval is too narrow.
    if len(samples) == 2 and not all(_is_rate(sample) for sample, _ in samples):
        return differences.compute_difference(*samples[0], *samples[1])
    return differences.combine_intervals(*((one.value, one.low, one.high) for one in (row, other)))


def _is_rate(values: np.ndarray) -> bool:
    return bool(np.isin(values[~np.isnan(values)], (0, 1)).all())


def judge_synthetic(
    study: Study, measures: Sequence[MeasureRow], images: Sequence[ImageRow]
) -> list[VerdictRow]:
    """Judge every number of synthetic prints that has a better direction and a baseline, in the order of `measures`."""
    by_measure: dict[str, list[MeasureRow]] = {}
    for row in measures:
        by_measure.setdefault(row.measure, []).append(row)
    values = collect_values(images)
    found = []
    for measure, rows in by_measure.items():
        real = choose_real(study, rows)
        for row in rows:
            if find_role(study, row.collection) != SYNTHETIC:
                continue
            if comparison := compare(row, real, values):
                nearest, difference, margin, verdict = comparison
                found.append(VerdictRow(measure, row.collection, nearest, *difference, margin, verdict))
    return found
