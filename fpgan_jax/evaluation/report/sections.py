"""Owns the report's other parts: the summary, what was not measured, controls, utility, tables, what was run, words.

Does not measure. `measures.py` has all numbers, `prints.py` the pictures of prints.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.html import Content, Element, create_details, create_element, create_table
from fpgan_jax.evaluation.report.names import (
    NO_VALUE,
    WORDS,
    describe_collection,
    describe_family,
    describe_measure,
    format_difference,
    format_interval,
    format_range,
    format_value,
)
from fpgan_jax.evaluation.report.parts import (
    create_mark,
    create_section,
    create_status,
    create_verdict,
    write_counts,
)
from fpgan_jax.evaluation.report.summary import (
    Gap,
    Statement,
    describe_gaps,
    find_gaps,
    summarise,
    summarise_controls,
    summarise_utility,
)
from fpgan_jax.evaluation.study.findings import MeasureRow
from fpgan_jax.tables.report_table import ReportTable

E = create_element
_MAX_NAMED = 3
_WORDS_OF_DECISION = {True: "caught", False: "missed", None: "not decided"}


def create_summary(results: EvaluationResults) -> Element:
    """Create the answers in words, each beside its numbers, and on top what there is no answer to.

    Args:
      results: of which the measures, controls and utility are spoken of.

    Returns:
      The section.
    """
    answers, asked = [], ""
    for statement in create_statements(results):
        answers.append(_create_answer(results, statement, is_asked=statement.question != asked))
        asked = statement.question
    nothing = E("p", "Nothing was measured on synthetic prints, so there is nothing to sum up.")
    content = E("div", answers, class_="answers") if answers else nothing
    return create_section("summary", "In short", _create_warning(results), content)


def create_statements(results: EvaluationResults) -> list[Statement]:
    """Collect what the summary says.

    Args:
      results: as of `create_summary`.

    Returns:
      The statements in their order.
    """
    found = [summarise_controls(results.controls), summarise_utility(results.utility)]
    told = summarise(results.study, results.measures, results.verdicts)
    return [*told, *(one for one in found if one)]


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


def _create_answer(results: EvaluationResults, statement: Statement, *, is_asked: bool) -> Element:
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
    tiles = [_create_tile(results, row) for row in statement.synthetic]
    if statement.real:
        tiles.append(_create_real_tile(statement.real))
    return E("article", words, E("div", tiles, class_="tiles"), class_=class_)


def _create_tile(results: EvaluationResults, row: MeasureRow) -> Element:
    return E(
        "div",
        E(
            "p",
            create_mark(results.study, row.collection),
            describe_collection(row.collection),
            class_="name",
        ),
        E("p", format_value(row.value, row.unit), class_="value"),
        E("small", format_interval(row.low, row.high, row.unit) or "no interval"),
        E("small", write_counts(row.num_images, row.num_persons)),
        create_verdict(results.find_verdict(row), row.unit),
        class_="tile",
    )


def _create_real_tile(real: Sequence[MeasureRow]) -> Element:
    name = E("p", E("span", class_="mark real", aria_hidden="true"), "Real prints", class_="name")
    value = format_range([row.value for row in real], real[0].unit)
    lines = [
        E(
            "small",
            f"{describe_collection(row.collection)}: "
            f"{f'{format_value(row.value, row.unit)}, ' if len(real) > 1 else ''}"
            f"{format_interval(row.low, row.high, row.unit) or 'no interval'}, n = {row.num_images:,}",
        )
        for row in real
    ]
    return E("div", name, E("p", value, class_="value"), lines, class_="tile")


def create_gaps(results: EvaluationResults) -> Element | None:
    """Create the list of what has no number, and why.

    Args:
      results: whose measures are looked through.

    Returns:
      The section; None where everything has a number.
    """
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
        rows.append((create_status(gap.status), family, measures or "all", prints or NO_VALUE, gap.reason))
    return create_table(caption, ("", "Family", "Measure", "Prints", "Reason"), rows, class_="words")


def create_controls(controls: Sequence[tuple], pictures: Content = None) -> Element | None:
    """Create the table of which measure catches which control.

    Args:
      controls: as in `EvaluationResults`.
      pictures: of the controls, above the table.

    Returns:
      The section; None without controls.
    """
    if not controls:
        return None
    explanation = (
        "Prints with a known fault, measured like the synthetic ones. A measure catches a control (\u25cf) if it tells "
        "it from real prints, and misses it (\u25cb) if it does not. What no measure catches here may also be wrong "
        "with the synthetic prints."
    )
    notes = [
        (describe_measure(measure), describe_collection(control), _WORDS_OF_DECISION[caught], note)
        for control, measure, caught, note in controls
        if note
    ]
    header = ("Measure", "Control", "Decision", "From")
    table = create_table("What each decision is from", header, notes, class_="words")
    details = create_details("The numbers behind", table) if notes else None
    return create_section(
        "controls", "Would it notice?", E("p", explanation), pictures, _create_checks(controls), details
    )


def _create_checks(rows: Sequence[tuple]) -> Element:
    controls, measures = (list(dict.fromkeys(row[axis] for row in rows)) for axis in (0, 1))
    by_place = {(control, measure): (caught, note) for control, measure, caught, note in rows}
    body = []
    for measure in measures:
        found = [by_place.get((control, measure), (None, "")) for control in controls]
        share = _write_share([caught for caught, _ in found])
        body.append([describe_measure(measure), *(_create_check(*decision) for decision in found), share])
    totals = [
        _write_share([caught for name, _, caught, _ in rows if name == control]) for control in controls
    ]
    body.append(["Caught by", *totals, ""])
    names = [E("span", describe_collection(control), class_="upright") for control in controls]
    return create_table(
        "Which measure catches which control", ["Measure", *names, "Caught"], body, class_="checks"
    )


def _create_check(caught: bool | None, note: str) -> Element:
    words = _WORDS_OF_DECISION[caught]
    sign = {True: "\u25cf", False: "\u25cb", None: NO_VALUE}[caught]
    return E(
        "td",
        E("span", sign, aria_hidden="true"),
        E("span", words, class_="unseen"),
        class_={True: "caught", False: "missed", None: "open"}[caught],
        title=f"{words}: {note}" if note else words,
    )


def _write_share(decisions: Sequence[bool | None]) -> str:
    decided = [caught for caught in decisions if caught is not None]
    return f"{sum(decided)}/{len(decided)}" if decided else NO_VALUE


def create_utility(utility: Sequence[utility_table.ResultRow]) -> Element | None:
    """Create experiment 3's means and differences, two tables a measure.

    Args:
      utility: as in `EvaluationResults`.

    Returns:
      The section; None without rows.
    """
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
        count = write_counts(first.num_images, first.num_persons)
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
    """Create the tables that come as they are.

    Args:
      tables: as in `EvaluationResults`.

    Returns:
      The section; None without any.
    """
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

    Returns:
      The section.
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
