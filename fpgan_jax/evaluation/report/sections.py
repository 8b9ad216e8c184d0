"""The report's controls, utility and provenance, as values for their templates."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fpgan_jax.evaluation.controls.control_table import Verdict
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.report.names import NO_VALUE, format_value


class ControlTable(NamedTuple):
    """Which measure catches which control."""

    controls: Sequence[str]  # the columns
    # Measure -> (whether it is caught or None, note) for each control.
    decisions: Mapping[str, Sequence[tuple[bool | None, str]]]
    shares: Mapping[str, str]  # measure or control -> "caught/decided"
    notes: Sequence[Verdict]  # the rows that have one


def arrange_controls(rows: Sequence[Verdict]) -> ControlTable | None:
    """Arrange rows as in `EvaluationResults.controls`; None without rows."""
    if not rows:
        return None
    controls = list(dict.fromkeys(row.control for row in rows))
    measures = list(dict.fromkeys(row.measure for row in rows))
    by_place = {(control, measure): (caught, note) for control, measure, caught, note in rows}
    decisions = {
        measure: [by_place.get((control, measure), (None, "")) for control in controls]
        for measure in measures
    }
    shares = {
        name: _write_share([row.caught for row in rows if name in (row.control, row.measure)])
        for name in (*controls, *measures)
    }
    return ControlTable(controls, decisions, shares, [row for row in rows if row.note])


def _write_share(decisions: Sequence[bool | None]) -> str:
    decided = [caught for caught in decisions if caught is not None]
    return f"{sum(decided)}/{len(decided)}" if decided else NO_VALUE


def arrange_utility(
    rows: Sequence[utility_table.ResultRow],
) -> list[tuple[str, list[utility_table.Summary], list[utility_table.Difference]]]:
    """Arrange experiment 3's rows: each measure's title, means and differences."""
    if not rows:
        return []
    summaries = utility_table.compute_summaries(rows)
    differences = utility_table.compute_differences(summaries)
    return [
        (
            title,
            [one for one in summaries if one.measure == measure],
            [one for one in differences if one.measure == measure],
        )
        for measure, title in utility_table.MEASURES.items()
    ]


def format_provenance(value: Any) -> str:
    """Format a value of `EvaluationResults.provenance`; mappings as indented JSON."""
    if value is None:
        return "not available"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return format_value(value)
    indent = 2 if isinstance(value, Mapping) else None
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)
