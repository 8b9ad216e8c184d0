"""Owns the report's parts of all numbers: the measures, a matcher's scores, and the measures by epoch.

Does not measure.
"""

import collections
import math
from collections.abc import Mapping, Sequence

import numpy as np

from fpgan_jax.evaluation.controls.verdicts import VerdictRow, choose_real, find_margin
from fpgan_jax.evaluation.measures.families import FAMILIES
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.figures import (
    Dot,
    Line,
    choose_colour,
    draw_dots,
    draw_epochs,
    draw_scores,
    draw_spreads,
)
from fpgan_jax.evaluation.report.html import Content, Element, create_details, create_element, create_table
from fpgan_jax.evaluation.report.names import (
    NO_VALUE,
    describe_collection,
    describe_family,
    describe_measure,
    describe_unit,
    format_interval,
    format_value,
)
from fpgan_jax.evaluation.report.parts import (
    create_mark,
    create_section,
    create_status,
    create_verdict,
    find_thresholds,
    write_counts,
)
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

E = create_element
_ROLES = (SYNTHETIC, REFERENCE, HELD_OUT, POPULATION, BASELINE)  # in the order of the columns


def create_measures(results: EvaluationResults) -> Element | None:
    """Create all numbers, a table a family, with the controls and the spread over single prints.

    Args:
      results: whose measures and images are shown.

    Returns:
      The section; None without measures.
    """
    present = dict.fromkeys(row.family for row in results.measures)
    families = [
        *(name for name in FAMILIES if name in present),
        *(name for name in present if name not in FAMILIES),
    ]
    if not families:
        return None
    values: dict[tuple[str, str], list[float]] = {}
    for row in results.images:
        if math.isfinite(row.value):
            values.setdefault((row.measure, row.collection), []).append(row.value)
    return create_section(
        "measures",
        "Every measure",
        E(
            "p",
            "A row a measure, a column a set of prints, below each number its 95% interval. The small picture has "
            "the numbers of the row on one scale: ",
            E("span", class_="mark band", aria_hidden="true"),
            "real prints with their intervals, ",
            E("span", class_="mark training", aria_hidden="true"),
            "training noise, ",
            E("span", class_="mark new", aria_hidden="true"),
            "new noise, ",
            E("span", class_="mark control", aria_hidden="true"),
            "a stroke for each control, at the ends those beyond.",
        ),
        [
            _create_family(
                results, [row for row in results.measures if row.family == family], values, f"spread{number}"
            )
            for number, family in enumerate(families)
        ],
    )


def _create_family(
    results: EvaluationResults,
    rows: Sequence[MeasureRow],
    values: Mapping[tuple[str, str], Sequence[float]],
    prefix: str,
) -> Element:
    study = results.study
    family = rows[0].family
    names = list(dict.fromkeys(row.collection for row in rows))
    in_study = [name for name in study.collections if name in names]
    shown = [name for role in _ROLES for name in in_study if study.collections[name].role == role]
    # What is not of the study is shown if it holds a number; a skip of everything is told among the gaps.
    shown += dict.fromkeys(
        row.collection for row in rows if row.collection not in study.collections and is_measured(row)
    )
    controls = [name for name in in_study if study.collections[name].role == CONTROL]
    title = describe_family(family)
    content: list[Content] = [E("h3", title)]
    if family in FAMILIES:
        content.append(E("p", FAMILIES[family].explanation))
    if shown:
        content.append(
            _create_matrix(results, rows, shown, f"{title}: real and synthetic prints", has_dots=True)
        )
    if controls:
        table = _create_matrix(results, rows, controls, f"{title}: controls", has_dots=not shown)
        content.append(create_details("The same for the controls", table))
    units = {row.measure: row.unit for row in rows}
    content.append(_create_spreads(study, units, values, prefix))
    return E("section", content, id=f"family-{family}", class_="family")


class _Notes:
    """Numbers the notes of a table, equal ones once."""

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def create_mark(self, note: str) -> Element | None:
        """Create the number that stands for a note; None for an empty one."""
        return E("sup", str(self._numbers.setdefault(note, len(self._numbers) + 1))) if note else None

    def create_list(self) -> Element | None:
        """Create the list of all notes so far."""
        items = [E("li", note, value=str(number)) for note, number in self._numbers.items()]
        return E("ol", items, class_="notes") if items else None


def _create_matrix(
    results: EvaluationResults,
    rows: Sequence[MeasureRow],
    columns: Sequence[str],
    caption: str,
    *,
    has_dots: bool,
) -> list[Element]:
    """Create a table of a row a measure and a column a collection; what holds for most is told once."""
    study = results.study
    counts = {column: _find_usual_counts(rows, column) for column in columns}
    header: list[Content] = ["Measure"]
    for column in columns:
        count = E("small", write_counts(*counts[column])) if counts[column] else None
        header.append([create_mark(study, column), describe_collection(column), count])
    if has_dots:
        header.append("On one scale")
    notes = _Notes()
    body = []
    for measure in dict.fromkeys(row.measure for row in rows):
        of_measure = [row for row in rows if row.measure == measure]
        by_column = {row.collection: row for row in of_measure if row.collection in columns}
        if not by_column:
            continue
        real = choose_real(study, of_measure)
        shared = {row.note for row in by_column.values()}
        shared_note = shared.pop() if len(shared) == 1 else ""
        cells: list[Content] = [_create_measure_head(of_measure[0], real, notes.create_mark(shared_note))]
        for column in columns:
            row = by_column.get(column)
            if row is None:
                cells.append(NO_VALUE)
                continue
            mark = None if shared_note else notes.create_mark(row.note)
            cells.append(_create_number(row, results.find_verdict(row), mark, counts[column]))
        if has_dots:
            cells.append(E("td", _create_dots(study, of_measure, real)))
        body.append(cells)
    table = create_table(caption, header, body, class_="matrix")
    return [part for part in (table, notes.create_list()) if part is not None]


def _find_usual_counts(rows: Sequence[MeasureRow], collection: str) -> tuple[int, int] | None:
    """Find the numbers of prints and persons that most of a collection's measures are from."""
    counts = collections.Counter(
        (row.num_images, row.num_persons) for row in rows if row.collection == collection and is_measured(row)
    )
    return counts.most_common(1)[0][0] if counts else None


def _create_measure_head(row: MeasureRow, real: Sequence[MeasureRow], mark: Element | None) -> list[Content]:
    wish = {"higher": "higher is better", "lower": "lower is better", "real": "the nearer to real the better"}
    parts = [describe_unit(row.unit), wish.get(row.better, "")]
    if row.better and real:
        # Where real prints have several numbers, a margin that is a share of them is about that of the first.
        parts.append(describe_margin(find_margin(row.measure, real[0].value), row.unit))
    quiet = ", ".join(part for part in parts if part)
    return [describe_measure(row.measure), mark, E("small", quiet) if quiet else None]


def _create_number(
    row: MeasureRow,
    verdict: VerdictRow | None,
    mark: Element | None,
    usual_counts: tuple[int, int] | None,
) -> Element:
    if not is_measured(row):
        status = row.status if row.status in (REFUSED, SKIPPED) else "no value"
        return E("td", create_status(status), mark)
    counts = (row.num_images, row.num_persons)
    return E(
        "td",
        E("strong", format_value(row.value, "fraction" if row.unit == "fraction" else "")),
        mark,
        E("small", format_interval(row.low, row.high, row.unit) or "no interval"),
        E("small", write_counts(*counts)) if counts != usual_counts else None,
        create_verdict(verdict, row.unit),
    )


def _create_dots(study: Study, rows: Sequence[MeasureRow], real: Sequence[MeasureRow]) -> Element | None:
    order = {"control": 0, "new": 1, "training": 2}
    dots = [
        Dot(choose_colour(row.collection, find_role(study, row.collection)), row.value, row.low, row.high)
        for row in rows
        if is_measured(row) and math.isfinite(row.value) and find_role(study, row.collection)
    ]
    dots = sorted((dot for dot in dots if dot.colour in order), key=lambda dot: order[dot.colour])
    if not dots:
        return None
    num_controls = sum(dot.colour == "control" for dot in dots)
    spoken = f"{describe_measure(rows[0].measure)}: the numbers of this row, and {num_controls} controls"
    return draw_dots(dots, find_range(real), spoken=spoken)


def _create_spreads(
    study: Study, units: Mapping[str, str], values: Mapping[tuple[str, str], Sequence[float]], prefix: str
) -> Element | None:
    figures = []
    for number, (measure, unit) in enumerate(units.items()):
        groups = {
            describe_collection(name): (choose_colour(name, collection.role), np.array(values[measure, name]))
            for name, collection in study.collections.items()
            if (measure, name) in values
        }
        if groups:
            title = describe_measure(measure)
            svg = draw_spreads(title, unit, groups, prefix=f"{prefix}-{number}")
            figures.append(E("figure", svg))
    if not figures:
        return None
    note = (
        "Single prints: a thick bar holds the middle half, a thin one 90% of them, the stroke is the median."
    )
    return create_details("The spread over single prints", E("p", note), E("div", figures, class_="figures"))


def create_scores(results: EvaluationResults) -> Element | None:
    """Create the histograms of every matcher's scores with its thresholds.

    Args:
      results: whose matches are shown.

    Returns:
      The section; None without comparisons.
    """
    figures = []
    for number, matcher in enumerate(dict.fromkeys(row.matcher for row in results.matches)):
        groups = _group_scores(results, matcher)
        thresholds = find_thresholds(results.measures, matcher)
        if not groups:
            continue
        svg = draw_scores(groups, thresholds, matcher=matcher, prefix=f"scores{number}")
        lines = [f"{title}: {format_value(value)}" for title, value in thresholds.items()]
        passed = [
            f"{title}: "
            + ", ".join(
                f"{format_value(float(np.mean(scores >= value)), 'fraction')} reach {far}"
                for far, value in thresholds.items()
            )
            for title, (_, scores) in groups.items()
        ]
        caption = E(
            "figcaption",
            E("strong", matcher),
            f". Thresholds: {'; '.join(lines)}." if lines else ". No threshold was reported.",
            E("ul", [E("li", line) for line in passed]) if lines else None,
        )
        figures.append(E("figure", svg, caption))
    if not figures:
        return None
    return create_section(
        "scores",
        "Scores of the matchers",
        E(
            "p",
            "A score says how alike two prints are. Impostors are real prints of two persons, genuine are two real "
            "prints of one finger; what the synthetic prints score against their own person's real print should lie "
            "with the genuine ones. The lines are the scores from which a comparison passes, set on impostors.",
        ),
        E("div", figures, class_="figures"),
    )


def _group_scores(results: EvaluationResults, matcher: str) -> dict[str, tuple[str, np.ndarray]]:
    """Sort scores against real prints by what was compared: a title -> (colour, float64 [n])."""
    study = results.study
    groups: dict[str, tuple[str, list[float]]] = {
        "Impostors, real": ("real", []),
        "Genuine, real": ("real", []),
    }
    for row in results.matches:
        role = find_role(study, row.probe_collection)
        is_known = row.probe_person >= 0 and row.gallery_person >= 0
        gallery_role = find_role(study, row.gallery_collection)
        is_gallery = gallery_role in REAL_ROLES
        if row.matcher != matcher or not (is_known and is_gallery and math.isfinite(row.score)):
            continue
        is_own = row.probe_person == row.gallery_person
        if role in (*REAL_ROLES, BASELINE):
            groups["Genuine, real" if is_own else "Impostors, real"][1].append(row.score)
        elif role == SYNTHETIC and is_own:
            whose = "other impressions of their finger" if gallery_role == HELD_OUT else "their own"
            title = f"{describe_collection(row.probe_collection)}, to {whose}"
            colour = choose_colour(row.probe_collection, role)
            groups.setdefault(title, (colour, []))[1].append(row.score)
    return {title: (colour, np.array(scores)) for title, (colour, scores) in groups.items() if scores}


def create_epochs(results: EvaluationResults) -> Element | None:
    """Create the measures over the epochs of a training.

    Args:
      results: whose `measures_by_epoch` are shown.

    Returns:
      The section; None where no measure has numbers of two epochs.
    """
    rows_by_measure: dict[str, list[tuple[int, MeasureRow]]] = {}
    for epoch in sorted(results.measures_by_epoch):
        for row in results.measures_by_epoch[epoch]:
            if is_measured(row) and math.isfinite(row.value):
                rows_by_measure.setdefault(row.measure, []).append((epoch, row))
    figures = []
    for number, (measure, found) in enumerate(rows_by_measure.items()):
        if len({epoch for epoch, _ in found}) < 2:
            continue
        lines, cells = [], []
        for name in dict.fromkeys(row.collection for _, row in found):
            of_name = [(epoch, row) for epoch, row in found if row.collection == name]
            columns = zip(*((epoch, row.value, row.low, row.high) for epoch, row in of_name), strict=True)
            title = describe_collection(name)
            colour = choose_colour(name, find_role(results.study, name) or SYNTHETIC)
            lines.append(Line(title, colour, *map(np.array, columns)))
            cells += [
                (
                    title,
                    str(epoch),
                    format_value(row.value, row.unit),
                    format_interval(row.low, row.high, row.unit) or "no interval",
                    f"{row.num_images:,}",
                )
                for epoch, row in of_name
            ]
        unit = found[0][1].unit
        real = choose_real(results.study, [row for row in results.measures if row.measure == measure])
        title = describe_measure(measure)
        svg = draw_epochs(title, unit, lines, find_range(real), prefix=f"epochs{number}")
        table = create_table(
            f"{title} by epoch", ("Prints", "Epoch", title, "95% interval", "n"), cells, class_="plain"
        )
        figures.append(E("figure", svg, create_details("The numbers", table)))
    if not figures:
        return None
    return create_section(
        "epochs",
        "By epoch of the training",
        E(
            "p",
            "The same measures on what the generator drew after each of these epochs; bands are 95% intervals.",
        ),
        E("div", figures, class_="figures"),
    )
