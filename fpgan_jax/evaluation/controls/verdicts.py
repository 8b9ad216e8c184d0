"""Owns how prints stand to real ones by each measure: better, worse, equivalent or undecided.

Does not measure, and does not know how a difference is told from none (`statistics/differences.py`).
"""

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
    """A row beside the rows of real prints.

    Attributes:
      nearest: the collection of real prints whose number is nearest.
      difference: from that.
      margin: a difference of no account; NaN where none is known.
      verdict: of `differences.judge`, beside all of them.
    """

    nearest: str
    difference: Difference
    margin: float
    verdict: str


@dataclasses.dataclass(frozen=True)
class VerdictRow:
    """How one collection stands to real prints by one measure; as of `Comparison`.

    Attributes:
      measure: as in `MeasureRow`.
      collection: what is judged.
      nearest: as of `Comparison`.
      difference: the collection's number minus that of `nearest`, over the persons compared.
      low: lower end of its 95% interval; NaN where there is none.
      high: upper end.
      num_paired: persons who were compared each with themself; 0 where the two were taken as independent samples.
      margin: as of `Comparison`.
      verdict: as of `Comparison`.
    """

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
    """Find what difference of a measure is of no account.

    Args:
      measure: its name.
      real_value: what real prints have.

    Returns:
      At least 0; NaN where none is known.
    """
    found = find_measure(measure)
    return found.find_margin(real_value) if found else float("nan")


def choose_real(study: Study, rows: Sequence[MeasureRow]) -> list[MeasureRow]:
    """Choose a measure's rows of real prints that its other rows are compared with.

    Args:
      study: tells the roles.
      rows: of one measure.

    Returns:
      Measured rows; may be empty.
    """
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
    return {
        place: (
            np.array([value for value, _ in pairs], np.float64),
            np.array([person for _, person in pairs]),
        )
        for place, pairs in found.items()
    }


def compare(row: MeasureRow, real: Sequence[MeasureRow], values: Values) -> Comparison | None:
    """Compare a row with those of real prints.

    Where single prints have values, persons who are in both are compared each with themself. Of rates, and of what is
    not a mean over prints, the two intervals are combined, as of independent samples.

    Args:
      row: measured, and with a better direction.
      real: of `choose_real`.
      values: of `collect_values`.

    Returns:
      The comparison; None where there is nothing to compare.
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
    # Of rates near 0 and 1 most persons' differences are 0, of which Student's interval is too narrow.
    if len(samples) == 2 and not all(_is_rate(sample) for sample, _ in samples):
        return differences.compute_difference(*samples[0], *samples[1])
    return differences.combine_intervals(*((one.value, one.low, one.high) for one in (row, other)))


def _is_rate(values: np.ndarray) -> bool:
    return bool(np.isin(values[~np.isnan(values)], (0, 1)).all())


def judge_synthetic(
    study: Study, measures: Sequence[MeasureRow], images: Sequence[ImageRow]
) -> list[VerdictRow]:
    """Judge every number of synthetic prints that has a better direction.

    Args:
      study: tells the roles.
      measures: rows of all families.
      images: values of single prints.

    Returns:
      A row a measure and collection, in the order of `measures`; what has no real prints beside it is left out.
    """
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
