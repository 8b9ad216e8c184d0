"""Owns the output of a sweep: one CSV and one self-contained HTML page."""

import base64
import csv
import math
import os
import urllib.parse
from collections.abc import Mapping, Sequence

from fpgan_jax.evaluation.report.html import Content, Element, create_details, create_table, format_page
from fpgan_jax.evaluation.report.html import create_element as E
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.sweeps.overview import format_time
from fpgan_jax.sweeps.plots import draw_field
from fpgan_jax.sweeps.results import ResultTable, format_value
from fpgan_jax.sweeps.runs import count_states

# The first of these that a sweep has are shown and drawn; all others are in the CSV, and collapsed on the page.
_HEADLINES = (
    *(
        "similarity of synthesised",
        "similarity of new_noise",
        "gan best l1_loss",
        "gan l1_loss",
        "best l1_loss",
    ),
    *("l1_loss", "discriminator_loss", "best loss", "loss", "accuracy"),
)
_MAX_NUM_HEADLINES = 4


def write_csv(table: ResultTable, workdir: str) -> str:
    """Write one row per run: overrides, state, time, folder and every metric; return the path."""
    path = os.path.join(workdir, "results.csv")
    with write_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *table.fields, "state", "seconds", "message", *table.metrics, "folder"])
        for result in table.results:
            overrides = [format_value(result.overrides.get(field, "")) for field in table.fields]
            metrics = [result.metrics.get(name, "") for name in table.metrics]
            folder = os.path.abspath(os.path.join(workdir, result.name))
            record = [result.state, result.seconds, result.message]
            writer.writerow([result.name, *overrides, *record, *metrics, folder])
    return path


def write_page(table: ResultTable, workdir: str, origin: Mapping[str, str]) -> str:
    """Write the page: facts, means over seeds, one plot per swept field, failures, and all runs; return the path.

    `origin` has further facts about the sweep, such as its config, with their names.
    """
    path = os.path.join(workdir, "results.html")
    headlines = [name for name in _HEADLINES if name in table.metrics][:_MAX_NUM_HEADLINES]
    title = f"Sweep {os.path.basename(os.path.abspath(workdir))}"
    states = {result.name: result.state for result in table.results}
    facts = {"runs": f"{len(states)}: {count_states(states)}", **origin}
    shown = [E("div", E("dt", name), E("dd", text)) for name, text in facts.items()]
    head = E("header", E("h1", title), E("dl", shown, class_="facts"))
    sections = [
        _create_means(table, headlines),
        *(_create_plot(table, field, headlines) for field in table.swept),
        _create_reasons(table),
        _create_runs(table, headlines),
    ]
    with write_whole(path, errors="backslashreplace") as file:
        file.write(format_page(title, [head, E("main", sections)]))
    return path


def _create_section(title: str, *content: Content) -> Element:
    return E("section", E("h2", title), *content)


def _create_means(table: ResultTable, headlines: Sequence[str]) -> Element | None:
    if not table.groups:
        return None
    header = ["group", *table.swept, "runs", *headlines]
    rows: list[list[Content]] = [
        [
            f"{number}",
            *(format_value(group.overrides.get(field, "")) for field in table.swept),
            str(group.num_runs),
            *(_describe_mean(group.means.get(name)) for name in headlines),
        ]
        for number, group in enumerate(table.groups, start=1)
    ]
    text = "Finished runs that differ in seeds only, with the 95% interval of the mean over new seeds."
    if any(group.are_seeds_crossed for group in table.groups):
        text += (
            " Runs that share one seed and differ in another are not independent, so they have no interval; "
            "zip_axes in the sweep file changes both at once."
        )
    return _create_section("Means over seeds", E("p", text), create_table(text, header, rows))


def _describe_mean(mean: tuple[float, float, float] | None) -> list | str:
    if mean is None:
        return "-"
    middle, low, high = map(_format_number, mean)
    return [middle, None if math.isnan(mean[1]) else E("small", f"{low} to {high}")]


def _create_reasons(table: ResultTable) -> Element | None:
    rows: list[list[Content]] = [
        [_create_link(result.name, "log.txt"), result.state, result.message]
        for result in table.results
        if result.message
    ]
    if not rows:
        return None
    header = ["run (link to its log)", "state", "reason"]
    shown = create_table("Why runs did not finish", header, rows, class_="words")
    return _create_section("Runs that did not finish", shown)


def _create_runs(table: ResultTable, headlines: Sequence[str]) -> Element:
    everything = _create_runs_table("Every metric of every run", table, table.metrics)
    return _create_section(
        "Runs",
        _create_runs_table("One row per run", table, headlines),
        create_details("Every metric of every run, as in results.csv", everything),
    )


def _create_runs_table(caption: str, table: ResultTable, metrics: Sequence[str]) -> Element:
    header = ["run (link to its folder)", *table.fields, "state", *metrics, "time"]
    rows: list[list[Content]] = [
        [
            _create_link(result.name, ""),
            *(format_value(result.overrides.get(field, "")) for field in table.fields),
            result.state,
            *(_format_number(result.metrics.get(name, math.nan)) for name in metrics),
            format_time(result.seconds),
        ]
        for result in table.results
    ]
    return create_table(caption, header, rows, class_="plain")


def _create_link(name: str, file: str) -> Element:
    return E("a", name, href=f"{urllib.parse.quote(name)}/{file}")


def _create_plot(table: ResultTable, field: str, headlines: Sequence[str]) -> Element | None:
    figures = []
    for metric in headlines:
        if (picture := draw_field(table, field, metric)) is not None:
            source = f"data:image/svg+xml;base64,{base64.b64encode(picture).decode()}"
            figures.append(E("figure", E("img", src=source, alt=f"{metric} over {field}")))
    if not figures:
        return None
    key = "Gray: finished runs; blue: their means, with 95% intervals over seeds."
    return _create_section(f"Over {field}", E("p", key), E("div", figures, class_="figures"))


def _format_number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
