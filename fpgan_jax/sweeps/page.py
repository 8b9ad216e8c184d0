"""Owns the output of a sweep: one CSV and one self-contained HTML page.

Does not compute the results (`results.py`).
"""

import base64
import csv
import math
import os
from collections.abc import Mapping, Sequence

from fpgan_jax.evaluation.report.html import create_environment
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.sweeps.overview import format_time
from fpgan_jax.sweeps.plots import draw_field
from fpgan_jax.sweeps.results import ResultTable, format_value
from fpgan_jax.sweeps.runs import count_states

CSV_FILENAME = "results.csv"
PAGE_FILENAME = "results.html"

# The first of these that a sweep has are shown and drawn; all others are in the CSV, and collapsed on the page.
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


def write_csv(table: ResultTable, workdir: str) -> str:
    """Write one row per run: overrides, state, time, folder and every metric; return the path.

    Args:
      table: the results.
      workdir: folder of the sweep.
    """
    path = os.path.join(workdir, CSV_FILENAME)
    with write_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", *table.fields, "state", "seconds", "message", *table.metrics, "folder"])
        for result in table.results:
            overrides = [format_value(result.overrides.get(field, "")) for field in table.fields]
            metrics = [result.metrics.get(name, "") for name in table.metrics]
            folder = os.path.abspath(os.path.join(workdir, result.name))
            writer.writerow(
                [result.name, *overrides, result.state, result.seconds, result.message, *metrics, folder]
            )
    return path


def write_page(table: ResultTable, workdir: str, origin: Mapping[str, str]) -> str:
    """Write the page: all runs, means over seeds, one plot per swept field, and failures; return the path.

    Args:
      table: the results.
      workdir: folder of the sweep.
      origin: name -> text of facts about the sweep, such as its config.
    """
    path = os.path.join(workdir, PAGE_FILENAME)
    headlines = [name for name in _HEADLINES if name in table.metrics][:_MAX_NUM_HEADLINES]
    states = {result.name: result.state for result in table.results}
    plots = {field: _draw_plots(table, field, headlines) for field in table.swept}
    text = _TEMPLATES.get_template("sweep.html").render(
        title=f"Sweep {os.path.basename(os.path.abspath(workdir))}",
        facts={"runs": f"{len(states)}: {count_states(states)}", **origin},
        table=table,
        headlines=headlines,
        plots={field: pictures for field, pictures in plots.items() if pictures},
    )
    with write_whole(path, errors="backslashreplace") as file:
        file.write(text)
    return path


def _draw_plots(table: ResultTable, field: str, metrics: Sequence[str]) -> dict[str, str]:
    """Draw each metric over a field: its name -> base64 of an SVG."""
    pictures = {metric: draw_field(table, field, metric) for metric in metrics}
    return {
        metric: base64.b64encode(picture).decode()
        for metric, picture in pictures.items()
        if picture is not None
    }


def _format_number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


_TEMPLATES = create_environment(
    "fpgan_jax.sweeps", number=_format_number, time=format_time, value=format_value
)
