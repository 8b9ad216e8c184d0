"""Owns the forms of a sweep's results: one CSV, and one HTML page that needs nothing beside itself.

Does not compute them; `results.py` does.
"""

import base64
import csv
import io
import math
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpgan_jax.sweeps.overview import format_time
from fpgan_jax.sweeps.results import Result, ResultTable
from fpgan_jax.sweeps.runs import count_states
from fpgan_jax.whole_file import write_whole

CSV_FILENAME = "results.csv"
PAGE_FILENAME = "results.html"

# What is shown first and drawn, of what there is; all the rest is in the CSV and folded away on the page.
_HEADLINES = (
    "similarity of synthesised",
    "similarity of new_noise",
    "gan best l1_loss",
    "gan l1_loss",
    "best l1_loss",
    "l1_loss",
    "discriminator_loss",
    "best loss",
    "loss",
    "accuracy",
)
_MAX_NUM_HEADLINES = 4
# More lines in one plot cannot be told apart.
_MAX_NUM_LINES = 8
# Numbers further apart than this stand on a logarithmic axis.
_LOG_RATIO = 20

_STYLE = """
:root { color-scheme: light dark; --faint: color-mix(in srgb, currentColor 14%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0.3rem 0; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--faint); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.failed, td.interrupted { font-weight: bold; } td.failed { color: #c62828; }
small { display: block; opacity: 0.7; }
img { max-width: 100%; background: #fff; border-radius: 4px; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_csv(table: ResultTable, workdir: str) -> str:
    """Write a row a run: overrides, state, time, folder and every metric.

    Args:
      table: the results.
      workdir: the sweep's folder.

    Returns:
      The file's path.
    """
    path = os.path.join(workdir, CSV_FILENAME)
    with write_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *table.fields, "state", "seconds", "message", *table.metrics, "folder"])
        for result in table.results:
            overrides = [_format_value(result.overrides.get(field, "")) for field in table.fields]
            metrics = [result.metrics.get(name, "") for name in table.metrics]
            folder = os.path.abspath(os.path.join(workdir, result.name))
            writer.writerow(
                [result.name, *overrides, result.state, result.seconds, result.message, *metrics, folder]
            )
    return path


def write_page(table: ResultTable, workdir: str, origin: Mapping[str, str]) -> str:
    """Write the page: a row a run, means over seeds, a plot a swept field, and what failed.

    Args:
      table: the results.
      workdir: the sweep's folder.
      origin: what the sweep was made of; name -> text.

    Returns:
      The file's path.
    """
    path = os.path.join(workdir, PAGE_FILENAME)
    headlines = [name for name in _HEADLINES if name in table.metrics][:_MAX_NUM_HEADLINES]
    title = f"Sweep {os.path.basename(os.path.abspath(workdir))}"
    states = {result.name: result.state for result in table.results}
    body = [
        _create("h1", title),
        _create("p", f"{len(states)} runs: {count_states(states)}. ", *_describe_origin(origin)),
        *_create_means(table, headlines),
        *(part for field in table.swept for part in _create_plot(table, field, headlines)),
        *_create_runs(table, headlines),
    ]
    with write_whole(path, errors="backslashreplace") as file:
        file.write(_format_page(title, body))
    return path


def _describe_origin(origin: Mapping[str, str]) -> list:
    return [part for name, text in origin.items() for part in (f"{name}: ", _create("code", text), "; ")][:-1]


def _create_means(table: ResultTable, headlines: Sequence[str]) -> list:
    if not table.groups:
        return []
    rows = [
        [
            *(_format_value(group.overrides.get(field, "")) for field in table.swept),
            str(group.num_runs),
            *(_describe_mean(group.means.get(name)) for name in headlines),
        ]
        for group in table.groups
    ]
    caption = "Mean of the finished runs that differ by seeds only, with its 95% interval for other seeds."
    return [
        _create("h2", "Means over seeds"),
        _create_table(caption, [*table.swept, "runs", *headlines], rows),
    ]


def _describe_mean(mean: tuple[float, float, float] | None) -> list | str:
    if mean is None:
        return "-"
    middle, low, high = map(_format_number, mean)
    return [middle, None if math.isnan(mean[1]) else _create("small", f"{low} to {high}")]


def _create_runs(table: ResultTable, headlines: Sequence[str]) -> list:
    def create_rows(metrics: Sequence[str]) -> list[list]:
        return [
            [
                _create("a", result.name, href=f"{urllib.parse.quote(result.name)}/"),
                *(_format_value(result.overrides.get(field, "")) for field in table.fields),
                _create("td", result.state, class_=result.state),
                *(_format_number(result.metrics.get(name, math.nan)) for name in metrics),
                format_time(result.seconds),
            ]
            for result in table.results
        ]

    header = ["run", *table.fields, "state"]
    reasons = [
        _create(
            "p", _create("a", result.name, href=f"{urllib.parse.quote(result.name)}/log.txt"), f": {text}"
        )
        for result in table.results
        if (text := result.message)
    ]
    return [
        *([_create("h2", "What did not finish"), *reasons] if reasons else []),
        _create("h2", "Runs"),
        _create_table("A row a run.", [*header, *headlines, "time"], create_rows(headlines)),
        _create(
            "details",
            _create("summary", "Every metric of every run"),
            _create_table(
                "As in results.csv.", [*header, *table.metrics, "time"], create_rows(table.metrics)
            ),
        ),
    ]


def _create_plot(table: ResultTable, field: str, headlines: Sequence[str]) -> list:
    """Draw each headline metric over one field; a dot a run, a line for each choice of the other fields."""
    finished = [
        result for result in table.results if result.state == "finished" and field in result.overrides
    ]
    headlines = [name for name in headlines if any(name in result.metrics for result in finished)]
    if not headlines:
        return []
    figure = Figure(figsize=(3.4 * len(headlines), 3.0), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(headlines), squeeze=False)[0], headlines, strict=True):
        _draw(axes, table, field, name, [result for result in finished if name in result.metrics])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels and any(labels):
        figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=8, frameon=False)
    caption = f"{', '.join(headlines)} over {field}"
    key = ": a dot a finished run; a line through the means, with their 95% intervals over seeds."
    source = f"data:image/svg+xml;base64,{base64.b64encode(_format_svg(figure)).decode()}"
    return [
        _create("h2", f"Over {field}"),
        _create("figure", _create("img", src=source, alt=caption), _create("figcaption", caption + key)),
    ]


def _draw(axes: Axes, table: ResultTable, field: str, name: str, results: Sequence[Result]) -> None:
    values = list(dict.fromkeys(_format_value(result.overrides[field]) for result in results))
    numbers = {_format_value(result.overrides[field]): result.overrides[field] for result in results}
    is_number = all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers.values()
    )
    places = numbers if is_number else {value: index for index, value in enumerate(values)}
    axes.scatter(
        [places[_format_value(result.overrides[field])] for result in results],
        [result.metrics[name] for result in results],
        s=12,
        color="0.6",
        zorder=1,
    )
    lines: dict[str, list] = {}
    for group in table.groups:
        if field in group.overrides and name in group.means:
            others = {
                key: value for key, value in group.overrides.items() if key != field and key in table.swept
            }
            label = ", ".join(f"{key}={_format_value(value)}" for key, value in others.items())
            place = places[_format_value(group.overrides[field])]
            lines.setdefault(label, []).append((place, *group.means[name]))
    if len(lines) <= _MAX_NUM_LINES:
        for label, points in lines.items():
            x, mean, low, high = zip(*sorted(points), strict=True)
            errors = [
                [b - a for a, b in zip(low, mean, strict=True)],
                [b - a for a, b in zip(mean, high, strict=True)],
            ]
            axes.errorbar(
                x, mean, yerr=errors, marker="o", markersize=4, capsize=3, linewidth=1.2, label=label
            )
    if not is_number:
        axes.set_xticks(range(len(values)), values, rotation=20 if max(map(len, values)) > 8 else 0)
    else:
        _scale_axis(axes, sorted(numbers.values()))
    axes.set(xlabel=field, title=name)
    axes.title.set_size(10)
    axes.grid(alpha=0.3)


def _scale_axis(axes: Axes, numbers: Sequence[float]) -> None:
    """Make an axis logarithmic if numbers from 0 on are far apart; 0 itself has a place of its own left of them."""
    positive = [number for number in numbers if number > 0]
    if numbers[0] < 0 or not positive or positive[-1] / positive[0] < _LOG_RATIO:
        return
    if numbers[0] > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=positive[0])


def _format_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Text stays text; no date, so that the same numbers give the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sweep"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _create(tag: str, *content: Any, **attributes: str) -> ElementTree.Element:
    """Create an element; text in it is escaped when it is written."""
    names = {name.rstrip("_"): value for name, value in attributes.items()}
    element = ElementTree.Element(tag, names)
    for part in content:
        _append(element, part)
    return element


def _append(element: ElementTree.Element, part: Any) -> None:
    if isinstance(part, list):
        for inner in part:
            _append(element, inner)
    elif isinstance(part, ElementTree.Element):
        element.append(part)
    elif part is not None:
        text = "".join(character if character.isprintable() else "\ufffd" for character in part)
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text


def _create_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> ElementTree.Element:
    head = _create("tr", *(_create("th", cell, scope="col") for cell in header))
    body = [
        _create("tr", *(cell if getattr(cell, "tag", "") == "td" else _create("td", cell) for cell in row))
        for row in rows
    ]
    table = _create("table", _create("caption", caption), _create("thead", head), _create("tbody", *body))
    return _create("div", table, class_="scroll", tabindex="0", role="region")


def _format_page(title: str, body: Sequence[ElementTree.Element]) -> str:
    head = _create(
        "head",
        _create("meta", charset="utf-8"),
        _create("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _create("meta", **{"http-equiv": "Content-Security-Policy"}, content=_POLICY),
        _create("link", rel="icon", href="data:,"),
        _create("title", title),
    )
    style = ElementTree.SubElement(head, "style")
    style.text = _STYLE
    page = _create("html", head, _create("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{ElementTree.tostring(page, encoding='unicode', method='html')}\n"


def _format_value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _format_number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
