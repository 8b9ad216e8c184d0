"""Owns the table of what two matchers measured in one study."""

import math
from collections.abc import Sequence

from fpgan_jax.evaluation.measures import identity, leakage, uniqueness
from fpgan_jax.evaluation.measures.measure import HEADLINE_RATE
from fpgan_jax.evaluation.statistics.intervals import write_interval
from fpgan_jax.evaluation.study.findings import MEASURED, MeasureRow
from fpgan_jax.evaluation.study.print_collection import CONTROL, Study
from fpgan_jax.tables.report_table import ReportTable

# The table's measures, at `HEADLINE_RATE`.
_MEASURES = (
    *(identity.MATCH_RATE, uniqueness.WITHIN_PERSON_RATE, uniqueness.COLLISION_RATE),
    *(leakage.LEAK_RATE, leakage.COPY_RATE, identity.FAILURE_TO_ENROLL),
)
_EXPLANATION = (
    "Two matchers of different kinds judge the same prints, each at its own threshold for FAR 1%. If their intervals "
    "do not overlap, the row holds for one of them only. The share of single decisions that differ is the measure "
    "matchers_disagree of the family identity."
)


def create_agreement_table(
    study: Study, measures: Sequence[MeasureRow], matchers: Sequence[str]
) -> ReportTable | None:
    """Set the measures of the first two matchers side by side, except those of controls.

    There is no table without two matchers that measured.
    """
    by_name = {(row.measure, row.collection): row for row in measures if row.status == MEASURED}
    cells = []
    for measure in _MEASURES:
        names = [measure.at(matcher=matcher, rate=HEADLINE_RATE).name for matcher in matchers[:2]]
        title = measure.at(rate=HEADLINE_RATE).name.removeprefix("{matcher}_")
        for name, collection in study.collections.items():
            pair = [by_name[own, name] for own in names if (own, name) in by_name]
            if collection.role == CONTROL or len(pair) < 2:
                continue
            first, second = pair
            is_apart = first.high < second.low or second.high < first.low
            verdict = "they disagree" if is_apart else "" if math.isfinite(first.low) else "no interval"
            cells.append((title, name, *(_write_value(row) for row in pair), verdict))
    if not cells:
        return None
    header = ("measure", "collection", *matchers[:2], "verdict")
    return ReportTable("matchers", "Two matchers", _EXPLANATION, header, cells)


def _write_value(row: MeasureRow) -> str:
    return f"{row.value:.3g}{write_interval((row.low, row.high), '.3g')}"
