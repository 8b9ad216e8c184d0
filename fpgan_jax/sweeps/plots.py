"""Owns the plots of a sweep: its metrics over one field.

Does not choose the metrics; `page.py` does.
"""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fpgan_jax.sweeps.results import Result, ResultTable, format_value

# More lines in one plot cannot be told apart.
_MAX_NUM_LINES = 8
# Numbers further apart than this stand on a logarithmic axis.
_LOG_RATIO = 20


def draw_field(table: ResultTable, field: str, metric: str) -> bytes | None:
    """Draw a metric over one field: a dot a finished run, and the means for each choice of the others.

    A line joins the means where the field's values are numbers.

    Args:
      table: the results.
      field: one of `table.swept`.
      metric: its name.

    Returns:
      An SVG, the same for the same numbers; None where no finished run has the metric.
    """
    finished = [
        result
        for result in table.results
        if result.state == "finished" and field in result.overrides and metric in result.metrics
    ]
    if not finished:
        return None
    figure = Figure(figsize=(4.2, 3.0), layout="constrained")
    _draw(figure.subplots(), table, field, metric, finished)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if any(labels):
        figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=8, frameon=False)
    return _format_svg(figure)


def _draw(axes: Axes, table: ResultTable, field: str, name: str, results: Sequence[Result]) -> None:
    values = list(dict.fromkeys(format_value(result.overrides[field]) for result in results))
    numbers = {format_value(result.overrides[field]): result.overrides[field] for result in results}
    is_number = all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers.values()
    )
    places = numbers if is_number else {value: index for index, value in enumerate(values)}
    axes.scatter(
        [places[format_value(result.overrides[field])] for result in results],
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
            label = ", ".join(f"{key}={format_value(value)}" for key, value in others.items())
            place = places[format_value(group.overrides[field])]
            lines.setdefault(label, []).append((place, *group.means[name]))
    if len(lines) <= _MAX_NUM_LINES:
        for label, points in lines.items():
            x, mean, low, high = zip(*sorted(points), strict=True)
            errors = [
                [b - a for a, b in zip(low, mean, strict=True)],
                [b - a for a, b in zip(mean, high, strict=True)],
            ]
            axes.errorbar(
                x,
                mean,
                yerr=errors,
                marker="o",
                markersize=4,
                capsize=3,
                linestyle="-" if is_number else "none",
                linewidth=1.2,
                label=label,
            )
    if not is_number:
        axes.set_xticks(range(len(values)), values, rotation=20 if max(map(len, values)) > 8 else 0)
    else:
        _scale_axis(axes, sorted(numbers.values()))
    axes.set(xlabel=field, title=name)
    axes.margins(x=0.15)
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
