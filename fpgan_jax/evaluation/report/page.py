"""Owns the report of an evaluation: one HTML file that needs nothing but itself, and its tables beside it.

Does not measure, and does not say what the numbers mean (`summary.py`).
"""

import math
import os
from collections.abc import Sequence

from fpgan_jax.evaluation.controls.verdicts import VerdictRow
from fpgan_jax.evaluation.report import measures, prints, sections
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.html import Element, create_element, format_page, make_printable
from fpgan_jax.evaluation.report.names import describe_collection, lower
from fpgan_jax.evaluation.report.summary import describe_gaps, find_gaps
from fpgan_jax.evaluation.study.findings import MeasureRow
from fpgan_jax.evaluation.study.print_collection import BASELINE, SYNTHETIC
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.tables import formats
from fpgan_jax.tables.report_table import ReportTable

REPORT_FILENAME = "report.html"
MEASURES_HEADER = (
    *("family", "measure", "collection", "value", "low", "high", "unit", "n", "persons", "better"),
    *("status", "note"),
)
VERDICTS_HEADER = (
    *("measure", "collection", "verdict", "difference", "low", "high", "from", "persons paired", "margin"),
)
# In the order of the page; the short titles of its navigation.
_TITLES = {
    "summary": "In short",
    "gaps": "Not measured",
    "persons": "Persons",
    "worst": "Worst cases",
    "scores": "Scores",
    "measures": "Measures",
    "epochs": "Epochs",
    "controls": "Controls",
    "utility": "Utility",
    "tables": "Tables",
    "run": "Run",
    "words": "Words",
}
E = create_element


def write_report(results: EvaluationResults, out_dir: str) -> str:
    """Write the report and its tables.

    Args:
      results: whatever was found; any part may be missing.
      out_dir: gets report.html, and measures, verdicts, controls, measures_by_epoch and each of `results.tables` as
        .{txt,md,csv,tex} where there are rows; made if missing.

    Returns:
      The path of the HTML file.
    """
    os.makedirs(out_dir, exist_ok=True)
    tables = create_tables(results)
    for table in tables:
        formats.write_table(out_dir, table.name, table.header, table.cells)
    path = os.path.join(out_dir, REPORT_FILENAME)
    with write_whole(path) as file:
        file.write(format_report(results, [table.name for table in tables]))
    return path


def create_tables(results: EvaluationResults) -> list[ReportTable]:
    """Create the tables that become files.

    Args:
      results: as of `write_report`.

    Returns:
      "measures", "verdicts", "controls" and "measures_by_epoch" where there are rows, and `results.tables`.
    """
    tables = []
    if results.measures:
        cells = [_create_cells(row) for row in results.measures]
        tables.append(ReportTable("measures", "", "", MEASURES_HEADER, cells))
    if results.verdicts:
        tables.append(
            ReportTable(
                "verdicts", "", "", VERDICTS_HEADER, list(map(_create_verdict_cells, results.verdicts))
            )
        )
    if results.controls:
        words = {True: "caught", False: "missed", None: "not decided"}
        controls = dict.fromkeys(row[0] for row in results.controls)
        by_place = {(row[1], row[0]): words[row[2]] for row in results.controls}
        cells = [
            (measure, *(by_place.get((measure, control), "") for control in controls))
            for measure in dict.fromkeys(row[1] for row in results.controls)
        ]
        tables.append(ReportTable("controls", "", "", ("measure", *controls), cells))
    if any(results.measures_by_epoch.values()):
        cells = [
            (str(epoch), *_create_cells(row))
            for epoch, rows in sorted(results.measures_by_epoch.items())
            for row in rows
        ]
        tables.append(ReportTable("measures_by_epoch", "", "", ("epoch", *MEASURES_HEADER), cells))
    return [*tables, *results.tables]


def _create_cells(row: MeasureRow) -> tuple[str, ...]:
    numbers = ["" if math.isnan(value) else f"{value:.6g}" for value in (row.value, row.low, row.high)]
    return (
        *(row.family, row.measure, row.collection, *numbers, row.unit),
        *(str(row.num_images), str(row.num_persons), row.better, row.status, row.note),
    )


def _create_verdict_cells(row: VerdictRow) -> tuple[str, ...]:
    difference, low, high, margin = (
        "" if math.isnan(value) else f"{value:.6g}"
        for value in (row.difference, row.low, row.high, row.margin)
    )
    return (
        *(row.measure, row.collection, row.verdict, difference, low, high),
        *(row.nearest, str(row.num_paired), margin),
    )


def format_report(results: EvaluationResults, table_names: Sequence[str] = ()) -> str:
    """Format the page.

    Args:
      results: as of `write_report`.
      table_names: of the tables that lie beside it.

    Returns:
      The HTML.
    """
    gallery = prints.Gallery(results)
    filenames = [f"{name}.{{{','.join(formats.FORMATS)}}}" for name in table_names]
    shown = [
        sections.create_summary(results),
        sections.create_gaps(results),
        prints.create_persons(gallery),
        prints.create_worst(gallery),
        measures.create_scores(results),
        measures.create_measures(results),
        measures.create_epochs(results),
        sections.create_controls(results.controls, prints.create_control_pictures(gallery)),
        sections.create_utility(results.utility),
        sections.create_tables(results.tables),
        sections.create_run(results.provenance, filenames),
        sections.create_words(),
    ]
    shown = [section for section in shown if section is not None]
    names = [section.get("id") for section in shown]
    links = [E("a", _TITLES[name], href=f"#{name}") for name in names]
    absent = [
        title for name, title in _TITLES.items() if name not in names and name not in ("gaps", "tables")
    ]
    body = [
        E("a", "To the content", href="#summary", class_="skip"),
        _create_header(results, absent),
        E("nav", links, aria_label="Parts of the report"),
        E("main", shown),
    ]
    return format_page(results.title, body)


def format_summary(results: EvaluationResults) -> str:
    """Format the summary for a terminal.

    Args:
      results: as of `write_report`.

    Returns:
      Questions and answers, and what was not measured.
    """
    lines = []
    for statement in sections.create_statements(results):
        lines += [statement.question, *(f"  {text}" for text in statement.sentences)]
    gaps = describe_gaps(find_gaps(results.study, results.measures))
    lines.append(f"Not measured: {gaps}." if gaps else "")
    return make_printable("\n".join(lines)).strip()


def _create_header(results: EvaluationResults, absent: Sequence[str]) -> Element:
    collections = results.study.collections.values()

    def count(role: str, prefix: str = "") -> str:
        return ", ".join(
            f"{len(collection):,} {prefix}{lower(describe_collection(collection.name))}"
            for collection in collections
            if collection.role == role
        )

    reference = results.study.reference
    height, width = reference.images.shape[1:]
    facts = [
        ("Synthetic prints", count(SYNTHETIC, "of ") or "none"),
        (
            "Real prints of the training",
            f"{len(reference):,} of {len(set(reference.persons.tolist())):,} persons",
        ),
        ("Real against real", count(BASELINE) or "none"),
        ("Pixels", f"{width} \u00d7 {height}"),
    ]
    provenance = {name: str(results.provenance.get(name) or "") for name in ("date", "commit")}
    facts += [("Date", provenance["date"][:19].replace("T", " ")), ("Commit", provenance["commit"][:20])]
    return E(
        "header",
        E("h1", results.title),
        E("dl", [E("div", E("dt", n), E("dd", value)) for n, value in facts if value], class_="facts head"),
        E("p", f"Not part of this run: {', '.join(absent).lower()}.", class_="quiet") if absent else None,
    )
