"""Writes the report of an evaluation: one self-contained HTML file, and its tables next to it."""

import math
import os
from collections.abc import Sequence

from fpgan_jax.evaluation.controls.verdicts import VerdictRow
from fpgan_jax.evaluation.experiments import utility_table
from fpgan_jax.evaluation.report import measures, names, sections, summary
from fpgan_jax.evaluation.report.contents import EvaluationResults
from fpgan_jax.evaluation.report.figures import choose_color
from fpgan_jax.evaluation.report.html import create_environment, make_printable
from fpgan_jax.evaluation.report.prints import Album
from fpgan_jax.evaluation.study.findings import MeasureRow
from fpgan_jax.evaluation.study.print_collection import BASELINE, SYNTHETIC, find_role
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.tables import formats
from fpgan_jax.tables.report_table import ReportTable

REPORT_FILENAME = "report.html"
MEASURES_HEADER = (
    *("family", "measure", "collection", "value", "low", "high", "unit", "n", "persons", "better"),
    *("status", "note"),
)
VERDICTS_HEADER = (
    *("measure", "collection", "verdict", "difference", "low", "high"),
    *("from", "persons paired", "margin"),
)
# A section's template and id -> its title in the navigation, and its heading; in the order of the page.
_TITLES = {
    "summary": ("Summary", "Summary"),
    "gaps": ("Not measured", "What was not measured"),
    "persons": ("Persons", "Person by person"),
    "worst": ("Worst cases", "Worst cases"),
    "scores": ("Scores", "Scores of the matchers"),
    "measures": ("Measures", "Every measure"),
    "epochs": ("Epochs", "By epoch of the training"),
    "controls": ("Controls", "Do the measures detect known faults?"),
    "utility": ("Utility", "Does training on synthetic prints help?"),
    "tables": ("Tables", "More tables"),
    "run": ("Run", "What was run"),
    "words": ("Glossary", "Glossary"),
}
_ALWAYS = ("summary", "run", "words")
_TEMPLATES = create_environment(
    "fpgan_jax.evaluation.report",
    collection=names.describe_collection,
    counts=names.describe_counts,
    describe_difference=summary.describe_difference,
    describe_utility=utility_table.describe,
    difference=names.format_difference,
    family=names.describe_family,
    interval=lambda row, unit: names.format_interval(row.low, row.high, unit) or "no interval",
    measure=names.describe_measure,
    provenance=sections.format_provenance,
    range=names.format_range,
    value=names.format_value,
)


def write_report(results: EvaluationResults, out_dir: str) -> str:
    """Write the report and its tables.

    Args:
      results: any part may be missing.
      out_dir: gets report.html, and measures, verdicts, controls, measures_by_epoch and each of `results.tables` as
        .{txt,md,csv,tex} if they have rows; made if missing.

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
    """Create the tables that become files; those without rows are left out."""
    words = {True: "caught", False: "missed", None: "not decided"}
    controls = list(dict.fromkeys(row.control for row in results.controls))
    decisions = {(row.measure, row.control): words[row.caught] for row in results.controls}
    control_cells = [
        (measure, *(decisions.get((measure, control), "") for control in controls))
        for measure in dict.fromkeys(row.measure for row in results.controls)
    ]
    by_epoch = sorted(results.measures_by_epoch.items())
    epoch_cells = [(str(epoch), *_create_cells(row)) for epoch, rows in by_epoch for row in rows]
    tables = (
        ReportTable("measures", "", "", MEASURES_HEADER, [_create_cells(row) for row in results.measures]),
        ReportTable(
            "verdicts", "", "", VERDICTS_HEADER, [_create_verdict_cells(row) for row in results.verdicts]
        ),
        ReportTable("controls", "", "", ("measure", *controls), control_cells),
        ReportTable("measures_by_epoch", "", "", ("epoch", *MEASURES_HEADER), epoch_cells),
    )
    return [*(table for table in tables if table.cells), *results.tables]


def _create_cells(row: MeasureRow) -> tuple[str, ...]:
    return (
        *(row.family, row.measure, row.collection, *_format_numbers(row.value, row.low, row.high), row.unit),
        *(str(row.num_images), str(row.num_persons), row.better, row.status, row.note),
    )


def _create_verdict_cells(row: VerdictRow) -> tuple[str, ...]:
    numbers = _format_numbers(row.difference, row.low, row.high)
    margin = _format_numbers(row.margin)
    return (row.measure, row.collection, row.verdict, *numbers, row.nearest, str(row.num_paired), *margin)


def _format_numbers(*values: float) -> list[str]:
    return ["" if math.isnan(value) else f"{value:.6g}" for value in values]


def format_report(results: EvaluationResults, table_names: Sequence[str] = ()) -> str:
    """Format the page: the HTML.

    Args:
      results: any part may be missing.
      table_names: of the tables that are next to it.
    """
    album = Album(results)
    gaps = summary.find_gaps(results.study, results.measures)
    contents = {
        "summary": _list_statements(results),
        "gaps": gaps,
        "persons": album.create_cards(),
        "worst": album.find_worst_cases(),
        "scores": measures.draw_matchers(results),
        "measures": measures.arrange_families(results),
        "epochs": measures.draw_measures_by_epoch(results),
        "controls": sections.arrange_controls(results.controls),
        "utility": sections.arrange_utility(results.utility),
        "tables": results.tables,
        "run": results.provenance,
        "words": None,
    }
    shown = {name: content for name, content in contents.items() if content or name in _ALWAYS}
    absent = [titles[0] for name, titles in _TITLES.items() if name not in (*shown, "gaps", "tables")]
    return _TEMPLATES.get_template("report.html").render(
        results=results,
        title=results.title,
        facts=_collect_facts(results),
        absent=", ".join(absent).lower(),
        titles=_TITLES,
        sections=shown,
        gaps=summary.describe_gaps(gaps),
        album=album,
        control_pictures=album.draw_controls(),
        table_files=[f"{name}.{{{','.join(formats.FORMATS)}}}" for name in table_names],
        color=lambda name: choose_color(name, find_role(results.study, name)),
        verdicts={(row.measure, row.collection): row for row in results.verdicts},
        no_value=names.NO_VALUE,
    )


def format_summary(results: EvaluationResults) -> str:
    """Format the questions and answers, and what was not measured, for a terminal."""
    lines = []
    for statement in _list_statements(results):
        lines += [statement.question, *(f"  {text}" for text in statement.sentences)]
    gaps = summary.describe_gaps(summary.find_gaps(results.study, results.measures))
    lines.append(f"Not measured: {gaps}." if gaps else "")
    return make_printable("\n".join(lines)).strip()


def _list_statements(results: EvaluationResults) -> list[summary.Statement]:
    found = [summary.summarize_controls(results.controls), summary.summarize_utility(results.utility)]
    statements = summary.summarize(results.study, results.measures, results.verdicts)
    return [*statements, *(one for one in found if one)]


def _collect_facts(results: EvaluationResults) -> dict[str, str]:
    def count(role: str, prefix: str = "") -> str:
        return ", ".join(
            f"{len(collection):,} {prefix}{names.lower(names.describe_collection(collection.name))}"
            for collection in results.study.collections.values()
            if collection.role == role
        )

    reference = results.study.reference
    height, width = reference.images.shape[1:]
    date, commit = (str(results.provenance.get(name) or "") for name in ("date", "commit"))
    facts = {
        "Synthetic prints": count(SYNTHETIC, "from ") or "none",
        "Real training prints": f"{len(reference):,} of {len(set(reference.persons.tolist())):,} persons",
        "Real against real": count(BASELINE) or "none",
        "Pixels": f"{width} \u00d7 {height}",
        "Date": date[:19].replace("T", " "),
        "Commit": commit[:20],
    }
    return {name: value for name, value in facts.items() if value}
