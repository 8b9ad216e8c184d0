"""Owns the plots of a sweep: a metric over one field."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpgan_jax.sweeps.results import ResultTable, format_value

# More lines in one plot are hard to distinguish.
_MAX_NUM_LINES = 8
# From this ratio of the largest to the smallest number on, the axis is logarithmic.
_LOG_RATIO = 20


def draw_field(table: ResultTable, field: str, metric: str) -> bytes | None:
    """Draw a metric over one field: finished runs as dots, and the means for each combination of the other fields.

    A line joins the means if the values of the field are numbers.

    Returns:
      An SVG, identical for identical numbers; None if no finished run has the metric.
    """
    finished = [
        result
        for result in table.results
        if result.state == "finished" and field in result.overrides and metric in result.metrics
    ]
    if not finished:
        return None
    figure = Figure(figsize=(4.2, 3.0), layout="constrained")
    axes = figure.subplots()
    numbers = {format_value(result.overrides[field]): result.overrides[field] for result in finished}
    is_number = all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers.values()
    )
    places = numbers if is_number else {text: index for index, text in enumerate(numbers)}
    x = [places[format_value(result.overrides[field])] for result in finished]
    axes.scatter(x, [result.metrics[metric] for result in finished], s=12, color="0.6", zorder=1)
    _draw_means(axes, _list_means(table, field, metric, places), linestyle="-" if is_number else "none")
    if is_number:
        _scale_axis(axes, sorted(numbers.values()))
    else:
        axes.set_xticks(range(len(places)), list(places), rotation=20 if max(map(len, places)) > 8 else 0)
    axes.set(xlabel=field, title=metric)
    axes.margins(x=0.15)
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if any(labels):
        figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=8, frameon=False)
    return _format_svg(figure)


def _list_means(
    table: ResultTable, field: str, metric: str, places: Mapping[str, float]
) -> dict[str, list[tuple[float, ...]]]:
    """Return label of the other fields -> (place on the axis, mean, low, high) of each group."""
    lines: dict[str, list[tuple[float, ...]]] = {}
    for group in table.groups:
        if field in group.overrides and metric in group.means:
            others = {
                key: value for key, value in group.overrides.items() if key != field and key in table.swept
            }
            label = ", ".join(f"{key}={format_value(value)}" for key, value in others.items())
            place = places[format_value(group.overrides[field])]
            lines.setdefault(label, []).append((place, *group.means[metric]))
    return lines


def _draw_means(axes: Axes, lines: Mapping[str, list[tuple[float, ...]]], *, linestyle: str) -> None:
    if len(lines) > _MAX_NUM_LINES:
        return
    for label, points in lines.items():
        x, mean, low, high = np.transpose(sorted(points))
        style: dict[str, Any] = {
            "marker": "o",
            "markersize": 4,
            "capsize": 3,
            "linestyle": linestyle,
            "linewidth": 1.2,
        }
        axes.errorbar(x, mean, yerr=[mean - low, high - mean], label=label, **style)


def _scale_axis(axes: Axes, numbers: Sequence[float]) -> None:
    """Make the axis logarithmic if the numbers are non-negative and far apart; 0 gets a linear part of its own."""
    positive = [number for number in numbers if number > 0]
    if numbers[0] < 0 or not positive or positive[-1] / positive[0] < _LOG_RATIO:
        return
    if numbers[0] > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=positive[0])


def _format_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without a date and with a fixed salt, the same numbers give the same file. Text stays text.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sweep"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
