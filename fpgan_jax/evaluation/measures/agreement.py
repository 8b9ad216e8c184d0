"""Owns what several matchers find in one study, and where they disagree.

Does not know what a family measures (`identity.py`, `uniqueness.py`, `leakage.py`).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.evaluation.matcher.matching import Matcher
from fpgan_jax.evaluation.matcher.nist_tools import ToolError
from fpgan_jax.evaluation.matcher.tools import find_tool
from fpgan_jax.evaluation.measures import summary
from fpgan_jax.evaluation.study.findings import MEASURED, SKIPPED, Findings, MatchRow, MeasureRow
from fpgan_jax.evaluation.study.print_collection import CONTROL, Study
from fpgan_jax.tables.report_table import ReportTable

_RATE = 0.01
_THRESHOLD = f"threshold_at_far_{_RATE:g}"
# What the table sets side by side.
_MEASURES = (
    f"match_rate_at_far_{_RATE:g}",
    f"within_person_rate_at_far_{_RATE:g}",
    f"collision_rate_at_far_{_RATE:g}",
    f"leak_rate_at_far_{_RATE:g}",
    "copy_rate",
    "failure_to_enrol",
)
# What a family's skipped row is named after.
_FIRST_MEASURES = {
    "identity": f"match_rate_at_far_{_RATE:g}",
    "uniqueness": f"collision_rate_at_far_{_RATE:g}",
    "leakage": f"leak_rate_at_far_{_RATE:g}",
}
_EXPLANATION = (
    "Two matchers of different kinds judge the same prints, each at its own threshold for FAR 1%. Where their "
    "intervals do not overlap, what the row says holds for one of them only. The share of single decisions that "
    "differ is the measure matchers_disagree of the family identity."
)


def find_matchers(names: Sequence[str]) -> dict[str, Matcher | ToolError]:
    """Find the matchers of config.evaluation.matchers: a name -> the matcher, or why there is none."""
    found: dict[str, Matcher | ToolError] = {}
    for name in names:
        try:
            found[name] = Matcher(find_tool(name))
        except ToolError as error:
            found[name] = error
    return found


def measure_by_each(
    family: str,
    measure: Callable[[Study, ConfigDict, Matcher], Findings],
    study: Study,
    data_config: ConfigDict,
    matchers: Mapping[str, Matcher | ToolError],
) -> Findings:
    """Measure a family by each matcher.

    Args:
      family: its name.
      measure: its function.
      study: what to measure.
      data_config: config.data of its prints.
      matchers: of `find_matchers`.

    Returns:
      The findings of all, one skipped row for each that is not installed; of the identity family by two matchers also
      the share of genuine decisions in which the first two differ.
    """
    findings = [
        _skip(family, name, matcher)
        if isinstance(matcher, ToolError)
        else measure(study, data_config, matcher)
        for name, matcher in matchers.items()
    ]
    measures = [row for found in findings for row in found.measures]
    matches = [row for found in findings for row in found.matches]
    if family == "identity" and len(matchers) > 1:
        measures += compare_decisions(study, measures, matches, list(matchers)[:2])
    return Findings(measures, [row for found in findings for row in found.images], matches)


def _skip(family: str, name: str, reason: ToolError) -> Findings:
    nan, measure = float("nan"), f"{name}_{_FIRST_MEASURES[family]}"
    return Findings(
        [MeasureRow(family, measure, "all", nan, nan, nan, 0, 0, status=SKIPPED, note=str(reason))]
    )


def compare_decisions(
    study: Study, measures: Sequence[MeasureRow], matches: Sequence[MatchRow], matchers: Sequence[str]
) -> list[MeasureRow]:
    """Compare two matchers' decisions on prints of one finger, at FAR 1%.

    Args:
      study: whose prints they are.
      measures: rows of both, with their thresholds.
      matches: rows of both.
      matchers: two names.

    Returns:
      `matchers_disagree_at_far_0.01` of every collection of which both have compared prints with real ones of their
      finger; none where a matcher has no threshold.
    """
    thresholds = {row.measure: row.value for row in measures if row.status == MEASURED}
    names = [f"{matcher}_{_THRESHOLD}" for matcher in matchers]
    if not all(name in thresholds for name in names):
        return []
    decisions: list[dict[tuple, bool]] = [{}, {}]
    for row in matches:
        if row.matcher in matchers and row.probe_person == row.gallery_person >= 0:
            key = (row.probe_collection, row.probe_filename, row.gallery_collection, row.gallery_filename)
            number = matchers.index(row.matcher)
            decisions[number][key] = row.score >= thresholds[names[number]]
    by_print: dict[tuple[str, str], list[tuple[bool, bool]]] = {}
    for key, is_accepted in decisions[0].items():
        if key in decisions[1]:
            by_print.setdefault(key[:2], []).append((is_accepted, decisions[1][key]))
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
            rows.append(
                summary.summarise(
                    "identity",
                    f"matchers_disagree_at_far_{_RATE:g}",
                    collection,
                    shares,
                    unit="fraction",
                    note=note,
                )
            )
    return rows


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
        for name, collection in study.collections.items():
            pair = [by_name.get((f"{matcher}_{measure}", name)) for matcher in matchers[:2]]
            if collection.role == CONTROL or len(pair) < 2 or None in pair:
                continue
            first, second = pair
            is_apart = first.high < second.low or second.high < first.low
            verdict = "they disagree" if is_apart else "" if math.isfinite(first.low) else "no interval"
            cells.append((measure, name, *(_write_value(row) for row in pair), verdict))
    if not cells:
        return None
    header = ("measure", "collection", *matchers[:2], "verdict")
    return ReportTable("matchers", "Two matchers", _EXPLANATION, header, cells)


def _write_value(row: MeasureRow) -> str:
    interval = f" [{row.low:.3g}, {row.high:.3g}]" if math.isfinite(row.low) else ""
    return f"{row.value:.3g}{interval}"
