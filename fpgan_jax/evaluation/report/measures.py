"""The report's numbers as values for their templates: the measures, the matchers' scores, and measures by epoch."""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from fpgan_jax.evaluation.controls.verdicts import choose_real, collect_values, find_margin
from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.report import figures, names
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.figures import choose_color
from fpgan_jax.evaluation.report.names import describe_collection, format_value
from fpgan_jax.evaluation.report.summary import describe_margin, find_range
from fpgan_jax.evaluation.study.findings import REFUSED, SKIPPED, MeasureRow, is_measured
from fpgan_jax.evaluation.study.print_collection import (
    BASELINE,
    CONTROL,
    HELD_OUT,
    POPULATION,
    REAL_ROLES,
    REFERENCE,
    SYNTHETIC,
    Study,
    find_role,
)

_ROLES = (SYNTHETIC, REFERENCE, HELD_OUT, POPULATION, BASELINE)  # in the order of the columns


class Cell(NamedTuple):
    """A number of a matrix."""

    row: MeasureRow
    status: str  # why there is none; "" otherwise
    note: int  # its number in the matrix's notes, from 1; 0 without a note
    has_unusual_counts: bool  # whether it is of other numbers of prints than most of its column


class MatrixLine(NamedTuple):
    """A measure's numbers; `note` is about all of them, `quiet` its unit and wish, `dots` the picture or ""."""

    measure: str
    note: int
    quiet: str
    cells: Sequence[Cell | None]
    dots: str


class Matrix(NamedTuple):
    """A line per measure, and a column per collection with the (prints, persons) of most of its numbers."""

    caption: str
    columns: Mapping[str, tuple[int, int] | None]
    has_dots: bool
    lines: Sequence[MatrixLine]
    notes: Sequence[str]


class FamilyPart(NamedTuple):
    """A family's numbers of real and synthetic prints and of controls, and its spreads over single prints."""

    name: str
    explanation: str
    prints: Matrix | None
    controls: Matrix | None
    spreads: Sequence[Markup]


def arrange_families(results: EvaluationResults) -> list[FamilyPart]:
    """Arrange the numbers by family, known families first."""
    present = dict.fromkeys(row.family for row in results.measures)
    families = [name for name in FAMILIES if name in present]
    families += [name for name in present if name not in FAMILIES]
    values = {
        place: finite
        for place, (found, _) in collect_values(results.images).items()
        if len(finite := found[np.isfinite(found)])
    }
    parts = []
    for number, family in enumerate(families):
        rows = [row for row in results.measures if row.family == family]
        title = names.describe_family(family)
        shown, controls = _choose_columns(results.study, rows)
        has_dots = not shown
        parts.append(
            FamilyPart(
                family,
                FAMILIES[family].explanation if family in FAMILIES else "",
                _arrange(results, rows, shown, f"{title}: real and synthetic prints", has_dots=True),
                _arrange(results, rows, controls, f"{title}: controls", has_dots=has_dots),
                _draw_spreads(results.study, rows, values, f"spread{number}"),
            )
        )
    return parts


def _choose_columns(study: Study, rows: Sequence[MeasureRow]) -> tuple[list[str], list[str]]:
    """Choose the collections of real and synthetic prints, and those of controls."""
    present = {row.collection for row in rows}
    in_study = [name for name in study.collections if name in present]
    shown = [name for role in _ROLES for name in in_study if find_role(study, name) == role]
    # A collection outside the study is shown only if it has a number; otherwise it is among the gaps.
    shown += dict.fromkeys(
        row.collection for row in rows if row.collection not in study.collections and is_measured(row)
    )
    return shown, [name for name in in_study if find_role(study, name) == CONTROL]


def _arrange(
    results: EvaluationResults,
    rows: Sequence[MeasureRow],
    columns: Sequence[str],
    caption: str,
    *,
    has_dots: bool,
) -> Matrix | None:
    if not columns:
        return None
    study = results.study
    usual_counts = {column: _find_usual_counts(rows, column) for column in columns}
    notes: dict[str, int] = {"": 0}
    lines = []
    for measure in dict.fromkeys(row.measure for row in rows):
        of_measure = [row for row in rows if row.measure == measure]
        by_column = {row.collection: row for row in of_measure if row.collection in columns}
        if not by_column:
            continue
        # A note that all numbers share is given once.
        all_notes = {row.note for row in by_column.values()}
        shared = all_notes.pop() if len(all_notes) == 1 else ""
        line_note = notes.setdefault(shared, len(notes))
        cells: list[Cell | None] = []
        for column in columns:
            row = by_column.get(column)
            if row is None:
                cells.append(None)
                continue
            status = row.status if row.status in (REFUSED, SKIPPED) else "no value"
            note = 0 if shared else notes.setdefault(row.note, len(notes))
            is_unusual = (row.num_images, row.num_persons) != usual_counts[column]
            cells.append(Cell(row, "" if is_measured(row) else status, note, is_unusual))
        real = choose_real(study, of_measure)
        dots = _draw_dots(study, of_measure, real) if has_dots else ""
        lines.append(MatrixLine(measure, line_note, _describe_wish(of_measure[0], real), cells, dots))
    return Matrix(caption, usual_counts, has_dots, lines, list(notes)[1:])


def _find_usual_counts(rows: Sequence[MeasureRow], collection: str) -> tuple[int, int] | None:
    """Find the numbers of prints and persons that most of a collection's measures are from."""
    counts = collections.Counter(
        (row.num_images, row.num_persons) for row in rows if row.collection == collection and is_measured(row)
    )
    return counts.most_common(1)[0][0] if counts else None


def _describe_wish(row: MeasureRow, real: Sequence[MeasureRow]) -> str:
    wish = {"higher": "higher is better", "lower": "lower is better", "real": "closer to real is better"}
    parts = [names.describe_unit(row.unit), wish.get(row.better, "")]
    if row.better and real:
        # If real prints have several numbers, a relative margin is shown for the first.
        parts.append(describe_margin(find_margin(row.measure, real[0].value), row.unit))
    return ", ".join(filter(None, parts))


def _draw_dots(study: Study, rows: Sequence[MeasureRow], real: Sequence[MeasureRow]) -> str:
    order = {"control": 0, "new": 1, "training": 2}
    dots = [
        figures.Dot(
            choose_color(row.collection, find_role(study, row.collection)), row.value, row.low, row.high
        )
        for row in rows
        if is_measured(row) and math.isfinite(row.value) and find_role(study, row.collection)
    ]
    dots = sorted((dot for dot in dots if dot.color in order), key=lambda dot: order[dot.color])
    if not dots:
        return ""
    num_controls = sum(dot.color == "control" for dot in dots)
    description = (
        f"{names.describe_measure(rows[0].measure)}: the numbers of this row, and {num_controls} controls"
    )
    return figures.draw_dots(dots, find_range(real), description=description)


def _draw_spreads(
    study: Study, rows: Sequence[MeasureRow], values: Mapping[tuple[str, str], np.ndarray], prefix: str
) -> list[Markup]:
    drawn = []
    for number, (measure, unit) in enumerate({row.measure: row.unit for row in rows}.items()):
        groups = {
            describe_collection(name): (choose_color(name, collection.role), values[measure, name])
            for name, collection in study.collections.items()
            if (measure, name) in values
        }
        if groups:
            drawn.append(
                figures.draw_spreads(
                    names.describe_measure(measure), unit, groups, prefix=f"{prefix}-{number}"
                )
            )
    return drawn


class ScoreFigure(NamedTuple):
    """Histograms of a matcher's scores, its thresholds, and the share of each histogram that reaches them."""

    matcher: str
    svg: Markup
    thresholds: Sequence[str]
    shares: Sequence[str]


def draw_matchers(results: EvaluationResults) -> list[ScoreFigure]:
    """Draw the scores of every matcher that has some."""
    drawn = []
    for number, matcher in enumerate(dict.fromkeys(row.matcher for row in results.matches)):
        groups = _group_scores(results, matcher)
        if not groups:
            continue
        thresholds = results.find_thresholds(matcher)
        svg = figures.draw_scores(groups, thresholds, matcher=matcher, prefix=f"scores{number}")
        shares = []
        for title, (_, scores) in groups.items():
            passing = [
                f"{format_value(float(np.mean(scores >= threshold)), 'fraction')} pass at {far}"
                for far, threshold in thresholds.items()
            ]
            shares.append(f"{title}: {', '.join(passing)}")
        lines = [f"{title}: {format_value(value)}" for title, value in thresholds.items()]
        drawn.append(ScoreFigure(matcher, svg, lines, shares))
    return drawn


def _group_scores(results: EvaluationResults, matcher: str) -> dict[str, tuple[str, np.ndarray]]:
    """Sort scores against real prints by what was compared: a title -> (color, float64 [n])."""
    study = results.study
    groups: dict[str, tuple[str, list[float]]] = {
        "Impostor, real": ("real", []),
        "Genuine, real": ("real", []),
    }
    for row in results.matches:
        role, gallery_role = (
            find_role(study, name) for name in (row.probe_collection, row.gallery_collection)
        )
        is_known = row.probe_person >= 0 and row.gallery_person >= 0
        if row.matcher != matcher or not (
            is_known and gallery_role in REAL_ROLES and math.isfinite(row.score)
        ):
            continue
        if role in (*REAL_ROLES, BASELINE):
            groups["Genuine, real" if row.is_genuine else "Impostor, real"][1].append(row.score)
        elif role == SYNTHETIC and row.is_genuine:
            whose = "other impressions of their finger" if gallery_role == HELD_OUT else "their own"
            title = f"{describe_collection(row.probe_collection)}, to {whose}"
            color = choose_color(row.probe_collection, role)
            groups.setdefault(title, (color, []))[1].append(row.score)
    return {title: (color, np.array(scores)) for title, (color, scores) in groups.items() if scores}


class EpochFigure(NamedTuple):
    """A measure over the epochs, as a figure and as the cells of a table."""

    title: str
    svg: Markup
    cells: Sequence[Sequence[str]]


def draw_measures_by_epoch(results: EvaluationResults) -> list[EpochFigure]:
    """Draw every measure that has numbers of two epochs."""
    rows_by_measure: dict[str, list[tuple[int, MeasureRow]]] = {}
    for epoch in sorted(results.measures_by_epoch):
        for row in results.measures_by_epoch[epoch]:
            if is_measured(row) and math.isfinite(row.value):
                rows_by_measure.setdefault(row.measure, []).append((epoch, row))
    drawn = []
    for number, (measure, found) in enumerate(rows_by_measure.items()):
        if len({epoch for epoch, _ in found}) < 2:
            continue
        lines, cells = [], []
        for name in dict.fromkeys(row.collection for _, row in found):
            of_name = [(epoch, row) for epoch, row in found if row.collection == name]
            title = describe_collection(name)
            columns = zip(*((epoch, row.value, row.low, row.high) for epoch, row in of_name), strict=True)
            color = choose_color(name, find_role(results.study, name) or SYNTHETIC)
            lines.append(figures.Line(title, color, *map(np.array, columns)))
            for epoch, row in of_name:
                interval = names.format_interval(row.low, row.high, row.unit) or "no interval"
                value = format_value(row.value, row.unit)
                cells.append((title, str(epoch), value, interval, f"{row.num_images:,}"))
        real = choose_real(results.study, [row for row in results.measures if row.measure == measure])
        title = names.describe_measure(measure)
        svg = figures.draw_epochs(title, found[0][1].unit, lines, find_range(real), prefix=f"epochs{number}")
        drawn.append(EpochFigure(title, svg, cells))
    return drawn
