"""Owns the table of what several matchers find in one study.

Does not measure (`identity.py`, `uniqueness.py` and `leakage.py` do).
"""

import math
from collections.abc import Sequence

from fpgan_jax.evaluation.measures import identity, leakage, uniqueness
from fpgan_jax.evaluation.measures.family import HEADLINE_RATE
from fpgan_jax.evaluation.study.findings import MEASURED, MeasureRow
from fpgan_jax.evaluation.study.print_collection import CONTROL, Study
from fpgan_jax.tables.report_table import ReportTable

# What the table sets side by side, at `HEADLINE_RATE`.
_MEASURES = (
    *(identity.MATCH_RATE, uniqueness.WITHIN_PERSON_RATE, uniqueness.COLLISION_RATE),
    *(leakage.LEAK_RATE, leakage.COPY_RATE, identity.FAILURE_TO_ENROL),
)
_EXPLANATION = (
    "Two matchers of different kinds judge the same prints, each at its own threshold for FAR 1%. Where their "
    "intervals do not overlap, what the row says holds for one of them only. The share of single decisions that "
    "differ is the measure matchers_disagree of the family identity."
)


def create_agreement_table(
    study: Study, measures: Sequence[MeasureRow], matchers: Sequence[str]
) -> ReportTable | None:
    """Set what two matchers measured side by side.

    Args:
      study: tells the controls, which are left out.
      measures: rows of all families.
      matchers: names; the first two count.

    Returns:
      A table of a row a measure and collection; None where there are not two that measured.
    """
    by_name = {(row.measure, row.collection): row for row in measures if row.status == MEASURED}
    cells = []
    for measure in _MEASURES:
        names = [measure.at(matcher=matcher, rate=HEADLINE_RATE).name for matcher in matchers[:2]]
        title = measure.at(rate=HEADLINE_RATE).name.removeprefix("{matcher}_")
        for name, collection in study.collections.items():
            pair = [by_name.get((own, name)) for own in names]
            if collection.role == CONTROL or len(pair) < 2 or None in pair:
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
    interval = f" [{row.low:.3g}, {row.high:.3g}]" if math.isfinite(row.low) else ""
    return f"{row.value:.3g}{interval}"
