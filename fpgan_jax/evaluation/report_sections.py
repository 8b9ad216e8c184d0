"""Owns the report's parts about numbers: summary, gaps, measures, scores, epochs, controls, utility, what was run.

Does not measure; the pictures of single prints are in `report_prints.py`.
"""

import collections
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fpgan_jax.evaluation import report_figures, utility_table
from fpgan_jax.evaluation.measurements import REFUSED, SKIPPED, MeasureRow
from fpgan_jax.evaluation.print_collection import BASELINE, CONTROL, POPULATION, REFERENCE, SYNTHETIC, Study
from fpgan_jax.evaluation.report_contents import EvaluationResults, ReportTable
from fpgan_jax.evaluation.report_figures import Dot, Line, choose_colour
from fpgan_jax.evaluation.report_html import Content, Element, create_details, create_element, create_table
from fpgan_jax.evaluation.report_names import (
    FAMILIES,
    NO_VALUE,
    WORDS,
    describe_collection,
    describe_family,
    describe_measure,
    describe_unit,
    format_difference,
    format_interval,
    format_value,
)
from fpgan_jax.evaluation.report_summary import (
    ABOVE,
    BELOW,
    Gap,
    Statement,
    choose_real,
    compare_with_real,
    describe_gaps,
    find_gaps,
    find_range,
    find_role,
    is_measured,
    summarise,
    summarise_controls,
    summarise_utility,
)

E = create_element
_ROLES = (SYNTHETIC, REFERENCE, POPULATION, BASELINE)  # in the order of the columns
_MAX_NAMED = 3


def create_section(id_: str, title: str, *content: Content) -> Element:
    """Create a part of the report.

    Args:
      id_: where links lead.
      title: of the part.
      content: what stands in it.

    Returns:
      A "section" element.
    """
    return E("section", E("h2", title), *content, id=id_)


def create_summary(results: EvaluationResults) -> Element:
    """Create the answers in words, each beside its numbers, and on top what there is no answer to."""
    answers, asked = [], ""
    for statement in create_statements(results):
        answers.append(_create_answer(results.study, statement, is_asked=statement.question != asked))
        asked = statement.question
    nothing = E("p", "Nothing was measured on synthetic prints, so there is nothing to sum up.")
    content = E("div", answers, class_="answers") if answers else nothing
    return create_section("summary", "In short", _create_warning(results), content)


def create_statements(results: EvaluationResults) -> list[Statement]:
    """Collect what the summary says."""
    found = [summarise_controls(results.controls), summarise_utility(results.utility)]
    return [*summarise(results.study, results.measures), *(one for one in found if one)]


def _create_warning(results: EvaluationResults) -> Element | None:
    text = describe_gaps(find_gaps(results.study, results.measures))
    if not text:
        return None
    return E(
        "p",
        *(E("strong", "Not everything was measured. "), f"{text}. "),
        *(E("a", "The reasons", href="#gaps"), "."),
        class_="warning",
    )


def _create_answer(study: Study, statement: Statement, *, is_asked: bool) -> Element:
    is_family = statement.family not in ("controls", "utility")
    anchor = f"family-{statement.family}" if is_family else statement.family
    first, *others = statement.sentences
    words = E(
        "div",
        E("h3", statement.question) if is_asked else None,
        E("p", first),
        [E("p", sentence, class_=None if anchor == "utility" else "aside") for sentence in others],
        E("p", E("a", "All the numbers", href=f"#{anchor}"), class_="more"),
    )
    class_ = "answer" if is_asked else "answer follows"
    if not statement.synthetic:
        return E("article", words, class_=f"{class_} alone")
    tiles = [_create_tile(study, row, statement.real) for row in statement.synthetic]
    if statement.real:
        tiles.append(_create_real_tile(statement.real))
    return E("article", words, E("div", tiles, class_="tiles"), class_=class_)


def _create_tile(study: Study, row: MeasureRow, real: Sequence[MeasureRow]) -> Element:
    return E(
        "div",
        E("p", _create_mark(study, row.collection), describe_collection(row.collection), class_="name"),
        E("p", format_value(row.value, row.unit), class_="value"),
        E("small", format_interval(row.low, row.high, row.unit) or "no interval"),
        E("small", _write_counts(row.num_images, row.num_persons)),
        _create_verdict(row, real, study),
        class_="tile",
    )


def _create_real_tile(real: Sequence[MeasureRow]) -> Element:
    name = E("p", E("span", class_="mark real", aria_hidden="true"), "Real prints", class_="name")
    ordered = sorted(real, key=lambda row: row.value)
    ends = list(dict.fromkeys(format_value(row.value, row.unit) for row in (ordered[0], ordered[-1])))
    lines = [
        E(
            "small",
            f"{describe_collection(row.collection)}: "
            f"{f'{format_value(row.value, row.unit)}, ' if len(real) > 1 else ''}"
            f"{format_interval(row.low, row.high, row.unit) or 'no interval'}, n = {row.num_images:,}",
        )
        for row in real
    ]
    return E("div", name, E("p", "\u2013".join(ends), class_="value"), lines, class_="tile")


def _create_mark(study: Study, collection: str) -> Element:
    colour = choose_colour(collection, find_role(study, collection))
    return E("span", class_=f"mark {colour}", aria_hidden="true")


def _create_verdict(row: MeasureRow, real: Sequence[MeasureRow], study: Study) -> Element | None:
    verdict = compare_with_real(row, real)
    if find_role(study, row.collection) != SYNTHETIC or not verdict:
        return None
    is_worse = verdict in {"higher": (BELOW,), "lower": (ABOVE,), "real": (ABOVE, BELOW)}.get(row.better, ())
    sign = {BELOW: "\u25bc", ABOVE: "\u25b2"}.get(verdict, "\u2248")
    return E("span", f"{sign} {verdict}", class_=f"verdict{' worse' if is_worse else ''}")


def create_gaps(results: EvaluationResults) -> Element | None:
    """Create the list of what has no number, and why; None where everything has one."""
    gaps = find_gaps(results.study, results.measures)
    if not gaps:
        return None
    whole, partial = ([gap for gap in gaps if gap.is_whole == is_whole] for is_whole in (True, False))
    explanation = E(
        "p",
        *("A measure is ", E("em", "refused"), " where the prints cannot carry it, and "),
        *(E("em", "skipped"), " where its tool or its input is missing. Nothing else stands in for it."),
    )
    content: list[Content] = [explanation]
    if whole:
        content.append(_create_gap_table("Measures without a number", whole))
    if partial:
        table = _create_gap_table("Measures without a number for some prints", partial)
        content.append(create_details("Measured, but not on all sets of prints", table, is_open=not whole))
    return create_section("gaps", "What was not measured", content)


def _create_gap_table(caption: str, gaps: Sequence[Gap]) -> Element:
    rows = []
    for gap in gaps:
        prints = ", ".join(describe_collection(name) for name in gap.collections[:_MAX_NAMED])
        if len(gap.collections) > _MAX_NAMED:
            prints += f" and {len(gap.collections) - _MAX_NAMED} more"
        measures = ", ".join(describe_measure(name) for name in gap.measures)
        family = describe_family(gap.family)
        rows.append((_create_status(gap.status), family, measures or "all", prints or NO_VALUE, gap.reason))
    return create_table(caption, ("", "Family", "Measure", "Prints", "Reason"), rows, class_="words")


def _create_status(status: str) -> Element:
    return E("span", status, class_=f"status {status.replace(' ', '-')}")


def create_measures(results: EvaluationResults) -> Element | None:
    """Create all numbers, a table a family, with the controls and the spread over single prints."""
    study = results.study
    families = dict.fromkeys([name for name in FAMILIES if any(r.family == name for r in results.measures)])
    families |= dict.fromkeys(row.family for row in results.measures)
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
                study, [row for row in results.measures if row.family == family], values, f"spread{number}"
            )
            for number, family in enumerate(families)
        ],
    )


def _create_family(
    study: Study, rows: Sequence[MeasureRow], values: Mapping[tuple[str, str], Sequence[float]], prefix: str
) -> Element:
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
        content.append(E("p", FAMILIES[family][1]))
    if shown:
        content.append(
            _create_matrix(study, rows, shown, f"{title}: real and synthetic prints", has_dots=True)
        )
    if controls:
        table = _create_matrix(study, rows, controls, f"{title}: controls", has_dots=not shown)
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
    study: Study, rows: Sequence[MeasureRow], columns: Sequence[str], caption: str, *, has_dots: bool
) -> list[Element]:
    """Create a table of a row a measure and a column a collection; what holds for most is told once."""
    counts = {column: _find_usual_counts(rows, column) for column in columns}
    header: list[Content] = ["Measure"]
    for column in columns:
        count = E("small", _write_counts(*counts[column])) if counts[column] else None
        header.append([_create_mark(study, column), describe_collection(column), count])
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
        cells: list[Content] = [_create_measure_head(of_measure[0], notes.create_mark(shared_note))]
        for column in columns:
            row = by_column.get(column)
            if row is None:
                cells.append(NO_VALUE)
                continue
            mark = None if shared_note else notes.create_mark(row.note)
            cells.append(_create_number(study, row, real, mark, counts[column]))
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


def _create_measure_head(row: MeasureRow, mark: Element | None) -> list[Content]:
    wish = {"higher": "higher is better", "lower": "lower is better", "real": "the nearer to real the better"}
    quiet = ", ".join(part for part in (describe_unit(row.unit), wish.get(row.better, "")) if part)
    return [describe_measure(row.measure, row.unit), mark, E("small", quiet) if quiet else None]


def _create_number(
    study: Study,
    row: MeasureRow,
    real: Sequence[MeasureRow],
    mark: Element | None,
    usual_counts: tuple[int, int] | None,
) -> Element:
    if not is_measured(row):
        status = row.status if row.status in (REFUSED, SKIPPED) else "no value"
        return E("td", _create_status(status), mark)
    counts = (row.num_images, row.num_persons)
    return E(
        "td",
        E("strong", format_value(row.value, "fraction" if row.unit == "fraction" else "")),
        mark,
        E("small", format_interval(row.low, row.high, row.unit) or "no interval"),
        E("small", _write_counts(*counts)) if counts != usual_counts else None,
        _create_verdict(row, real, study),
    )


def _write_counts(num_images: int, num_persons: int) -> str:
    return f"n = {num_images:,}, {num_persons:,} person{'s' * (num_persons != 1)}"


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
    return report_figures.draw_dots(dots, find_range(real), spoken=spoken)


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
            title = describe_measure(measure, unit)
            svg = report_figures.draw_spreads(title, unit, groups, prefix=f"{prefix}-{number}")
            figures.append(E("figure", svg))
    if not figures:
        return None
    note = (
        "Single prints: a thick bar holds the middle half, a thin one 90% of them, the stroke is the median."
    )
    return create_details("The spread over single prints", E("p", note), E("div", figures, class_="figures"))


def find_thresholds(measures: Sequence[MeasureRow], matcher: str) -> dict[str, float]:
    """Find the scores from which a matcher's comparison passes.

    Args:
      measures: rows of all families; those whose measure is named after a matcher and a threshold are read, such as
        "nbis_threshold_at_far_0.01".
      matcher: as in `MatchRow.matcher`.

    Returns:
      "FAR 1%" and the like -> score, the strictest rate last.
    """
    prefix = f"{matcher}_threshold_at_far_"
    found = {
        float(row.measure.removeprefix(prefix)): row.value
        for row in measures
        if row.measure.startswith(prefix) and is_measured(row)
    }
    return {f"FAR {format_value(rate, 'fraction')}": found[rate] for rate in sorted(found, reverse=True)}


def create_scores(results: EvaluationResults) -> Element | None:
    """Create the histograms of every matcher's scores with its thresholds; None without comparisons."""
    figures = []
    for number, matcher in enumerate(dict.fromkeys(row.matcher for row in results.matches)):
        groups = _group_scores(results, matcher)
        thresholds = find_thresholds(results.measures, matcher)
        if not groups:
            continue
        svg = report_figures.draw_scores(groups, thresholds, matcher=matcher, prefix=f"scores{number}")
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
        is_gallery = find_role(study, row.gallery_collection) in (REFERENCE, POPULATION)
        if row.matcher != matcher or not (is_known and is_gallery and math.isfinite(row.score)):
            continue
        is_own = row.probe_person == row.gallery_person
        if role in (REFERENCE, POPULATION, BASELINE):
            groups["Genuine, real" if is_own else "Impostors, real"][1].append(row.score)
        elif role == SYNTHETIC and is_own:
            title = f"{describe_collection(row.probe_collection)}, to their own"
            colour = choose_colour(row.probe_collection, role)
            groups.setdefault(title, (colour, []))[1].append(row.score)
    return {title: (colour, np.array(scores)) for title, (colour, scores) in groups.items() if scores}


def create_epochs(results: EvaluationResults) -> Element | None:
    """Create the measures over the epochs; None where fewer than two epochs were measured."""
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
        title = describe_measure(measure, unit)
        svg = report_figures.draw_epochs(title, unit, lines, find_range(real), prefix=f"epochs{number}")
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


def create_controls(results: EvaluationResults, pictures: Content = None) -> Element | None:
    """Create the table of which measure catches which control; None where nothing was decided.

    Args:
      results: whose `controls` are shown.
      pictures: of the controls.
    """
    if not results.controls:
        return None
    controls = list(dict.fromkeys(row[0] for row in results.controls))
    measures = list(dict.fromkeys(row[1] for row in results.controls))
    by_place = {(control, measure): (caught, note) for control, measure, caught, note in results.controls}
    rows, notes = [], []
    for measure in measures:
        cells: list[Content] = [describe_measure(measure)]
        for control in controls:
            caught, note = by_place.get((control, measure), (None, ""))
            sign, words, class_ = {
                True: ("●", "caught", "caught"),
                False: ("○", "missed", "missed"),
                None: (NO_VALUE, "not decided", "open"),
            }[None if caught is None else bool(caught)]
            cells.append(
                E(
                    "td",
                    E("span", sign, aria_hidden="true"),
                    E("span", words, class_="unseen"),
                    class_=class_,
                    title=f"{words}{f': {note}' if note else ''}",
                )
            )
            if note:
                notes.append((describe_measure(measure), describe_collection(control), words, note))
        decided = [by_place[control, measure][0] for control in controls if (control, measure) in by_place]
        cells.append(_write_share_of([caught for caught in decided if caught is not None]))
        rows.append(cells)
    totals: list[Content] = ["Caught by"]
    for control in controls:
        decided = [
            caught for name, _, caught, _ in results.controls if name == control and caught is not None
        ]
        totals.append(_write_share_of(decided))
    header = [
        "Measure",
        *(E("span", describe_collection(control), class_="upright") for control in controls),
        "Caught",
    ]
    table = create_table(
        "Which measure catches which control", header, [*rows, [*totals, ""]], class_="checks"
    )
    return create_section(
        "controls",
        "Would it notice?",
        E(
            "p",
            "Prints with a known fault, measured like the synthetic ones. A measure catches a control (●) if it tells "
            "it from real prints, and misses it (○) if it does not. What no measure catches in these rows could also "
            "be wrong with the synthetic prints.",
        ),
        pictures,
        table,
        create_details(
            "The numbers behind",
            create_table(
                "What each decision is from",
                ("Measure", "Control", "Decision", "From"),
                notes,
                class_="words",
            ),
        )
        if notes
        else None,
    )


def _write_share_of(decided: Sequence[bool]) -> str:
    return f"{sum(map(bool, decided))}/{len(decided)}" if decided else NO_VALUE


def create_utility(utility: Sequence[utility_table.ResultRow]) -> Element | None:
    """Create experiment 3's means and differences, two tables a measure; None without rows."""
    if not utility:
        return None
    summaries = utility_table.compute_summaries(utility)
    differences = utility_table.compute_differences(summaries)
    content: list[Content] = [
        E(
            "p",
            "A classifier of persons, trained on each condition with equal numbers of updates, and tested on "
            "impressions that no training saw.",
        ),
        E("ul", [E("li", line) for line in utility_table.describe(utility).splitlines()], class_="quiet"),
    ]
    for measure, title in utility_table.MEASURES.items():
        content += [
            E("h3", title[:1].upper() + title[1:]),
            _create_means([row for row in summaries if row.measure == measure], title),
            _create_differences([row for row in differences if row.measure == measure], title),
        ]
    return create_section("utility", "Does training on them help?", content)


def _create_means(summaries: Sequence[utility_table.Summary], title: str) -> Element:
    conditions = list(dict.fromkeys(row.condition for row in summaries))
    by_place = {(row.test_set, row.condition): row for row in summaries}
    rows = []
    for test_set in dict.fromkeys(row.test_set for row in summaries):
        first = by_place[test_set, conditions[0]]
        count = _write_counts(first.num_images, first.num_persons)
        cells: list[Content] = [[describe_collection(test_set), E("small", count)]]
        for condition in conditions:
            row = by_place[test_set, condition]
            interval = format_interval(row.low, row.high, "fraction") or "no interval"
            cells.append(E("td", E("strong", format_value(row.mean, "fraction")), E("small", interval)))
        rows.append(cells)
    num_seeds = len(summaries[0].values)
    header = ["Tested on", *([condition, E("small", f"{num_seeds} seeds")] for condition in conditions)]
    return create_table(f"Means: {title}", header, rows, class_="matrix")


def _create_differences(differences: Sequence[utility_table.Difference], title: str) -> Element | None:
    pairs = list(dict.fromkeys((row.condition, row.other) for row in differences))
    by_place = {(row.test_set, row.condition, row.other): row for row in differences}
    rows = []
    for test_set in dict.fromkeys(row.test_set for row in differences):
        cells: list[Content] = [describe_collection(test_set)]
        for pair in pairs:
            row = by_place[(test_set, *pair)]
            interval = format_interval(row.low, row.high, "points")
            cells.append(
                E(
                    "td",
                    E("strong", format_difference(row.mean, "fraction")),
                    E("small", interval or "no interval"),
                    E("span", row.verdict, class_=f"verdict{' worse' if row.high < 0 else ''}")
                    if interval
                    else None,
                )
            )
        rows.append(cells)
    header = ["Tested on", *(f"{condition} minus {other}" for condition, other in pairs)]
    return create_table(f"Differences: {title}", header, rows, class_="matrix") if rows else None


def create_tables(tables: Sequence[ReportTable]) -> Element | None:
    """Create the tables that come as they are; None without any."""
    if not tables:
        return None
    content = [
        [
            E("h3", table.title),
            E("p", table.explanation),
            create_table(table.title, table.header, table.cells, class_="plain"),
        ]
        for table in tables
    ]
    return create_section("tables", "More tables", content)


def create_run(provenance: Mapping[str, Any], filenames: Sequence[str]) -> Element:
    """Create what was run, and which files stand beside the report.

    Args:
      provenance: as in `EvaluationResults`.
      filenames: the tables' files.
    """
    plain = {name: value for name, value in provenance.items() if not isinstance(value, Mapping)}
    nested = {name: value for name, value in provenance.items() if isinstance(value, Mapping)}
    content: list[Content] = []
    if plain:
        content.append(_create_definitions(plain))
    for name, value in nested.items():
        title = describe_measure(name)
        is_flat = not any(isinstance(part, Mapping) for part in value.values())
        if name == "config" or not is_flat:
            text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
            body: Element = E("pre", E("code", text), tabindex="0")
        else:
            body = _create_definitions(value)
        content.append(create_details(title, body))
    if not provenance:
        content.append(E("p", "Nothing was handed over about the run."))
    files = E(
        "p", "The numbers stand beside this file as ", _join([E("code", name) for name in filenames]), "."
    )
    return create_section("run", "What was run", files if filenames else None, content)


def _create_definitions(values: Mapping[str, Any]) -> Element:
    pairs = []
    for name, value in values.items():
        if value is None:
            text = "not there"
        elif isinstance(value, str):
            text = value
        elif isinstance(value, float):
            text = format_value(value)
        else:
            text = json.dumps(value, ensure_ascii=False, default=str)
        pairs.append(E("div", E("dt", str(name).replace("_", " ")), E("dd", E("code", text))))
    return E("dl", pairs, class_="facts")


def _join(parts: Sequence[Content]) -> list[Content]:
    joined: list[Content] = []
    for place, part in enumerate(parts):
        joined += [", " if place else None, part]
    return joined


def create_words() -> Element:
    """Create the list of words that a reader may not know."""
    pairs = [E("div", E("dt", word), E("dd", meaning)) for word, meaning in WORDS]
    return create_section("words", "Words", E("dl", pairs, class_="words"))
