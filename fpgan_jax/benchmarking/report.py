"""Owns the output of a benchmark: one JSON line per row, and tables of the rows."""

import contextlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fpgan_jax.host.whole_file import write_whole


class RowWriter:
    """Appends rows to a file as they come, so that an interrupted run keeps its rows.

    Attributes:
      rows: the rows of this run.
      earlier_rows: the rows that the file had before.
    """

    def __init__(self, path: str | None):
        """Create the file if missing; its tables go beside it. None writes nothing."""
        self.rows: list[dict[str, Any]] = []
        self.earlier_rows: list[dict[str, Any]] = []
        self._path = pathlib.Path(path) if path else None
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self.earlier_rows = read_rows(self._path)
            open(self._path, "a").close()  # fails now if it cannot be written

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row, and write it and the tables to disk before returning."""
        self.rows.append(dict(row))
        if self._path:
            with open(self._path, "a") as file:
                file.write(json.dumps(row) + "\n")
            with write_whole(self._path.with_suffix(".md")) as file:
                file.write(format_rows(self.rows, markdown=True) + "\n")


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file, without incomplete lines of a killed process; an empty list if it does not exist."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def format_rows(rows: Sequence[Mapping[str, Any]], *, markdown: bool = False) -> str:
    """Format the rows of a run as one table per kind, with blank lines between."""
    rows, tables = [part for row in rows for part in _split_profile(row)], []
    for kind, columns in _COLUMNS.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        if of_kind:
            used = [name for name, read in columns.items() if any(read(row) is not None for row in of_kind)]
            cells = [[columns[name](row) or "" for name in used] for row in of_kind]
            tables.append(format_table(used, cells, markdown))
    return "\n\n".join(tables)


def _split_profile(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Split a row that holds a profile into rows of several kinds."""
    profile = row.get("profile")
    if not profile:
        return [row]
    case = {name: row.get(name) for name in (*_CASE_FIELDS, "steps_per_dispatch")}
    if "error" in profile:
        return [row, case | {"kind": "failed", "error": f"--profile: {profile['error']}"}]
    kernels = [case | kernel | {"kind": "kernel_time"} for kernel in profile["largest"]]
    return [row, case | profile | {"kind": "profile"}, *kernels]


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """Format a table, without a final newline; the first column is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def align(cells: Sequence[str]) -> list[str]:
        return [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]

    lines = [align(cells) for cells in (header, *rows)]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * width if place == 0 else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def format_number(value: float | None) -> str | None:
    """Format a number with three significant digits, a larger one as an integer, without exponent; None stays None."""
    if value and abs(value) < 100:
        return np.format_float_positional(value, precision=3, unique=False, fractional=False).rstrip(".")
    return None if value is None else f"{value:.0f}"


def _number(name: str, scale: float = 1.0) -> Callable:
    return lambda row: None if row.get(name) is None else format_number(row[name] * scale)


def _text(name: str) -> Callable:
    return lambda row: None if row.get(name) is None else str(row[name])


def _format_quartiles(row: Mapping[str, Any]) -> str | None:
    return f"{format_number(row['ms_q1'])}-{format_number(row['ms_q3'])}" if "ms_q1" in row else None


def _of_kind(name: str, *kinds: str) -> Callable:
    return lambda row: format_number(sum(row[name].get(kind, 0) for kind in kinds))


def _shorten(text: str, length: int, *, at_end: bool = False) -> str:
    if len(text) <= length:
        return text
    return "…" + text[1 - length :] if at_end else text[: length - 1] + "…"


def _ratio(variant: str) -> Callable:
    def read(row):
        if "error" in row.get("peers", {}).get(variant, {}):
            return "failed"
        ratio = row.get("ratios", {}).get(variant)
        return ratio and (
            f"{format_number(ratio['median'])} ({format_number(ratio['low'])}-{format_number(ratio['high'])})"
        )

    return read


def _format_compile_seconds(row: Mapping[str, Any]) -> str | None:
    seconds = format_number(row.get("compile_seconds"))
    return f"{seconds} (cached)" if row.get("is_compile_cached") else seconds


def _format_difference(row: Mapping[str, Any]) -> str | None:
    difference = row.get("largest_difference")
    return None if difference is None else f"{100 * difference:.2g}%"


def _format_ceiling(row: Mapping[str, Any]) -> str:
    return f"{format_number(row['per_second'] / 1e9)} {'GB/s' if row['ceiling'] == 'copy' else 'GFLOP/s'}"


_CASE_FIELDS = ("name", "image_size", "num_features", "batch_size", "dtype")
_CASE_COLUMNS = {
    "case": _text("name"),
    "size": _text("image_size"),
    "features": lambda row: str(row["num_features"]) if row.get("num_features") else None,
    "batch": _text("batch_size"),
    "dtype": _text("dtype"),
}
_PROGRAM_COLUMNS = _CASE_COLUMNS | {"steps a call": _text("steps_per_dispatch")}
# kind of row -> heading -> content of the cell; a column without content is left out.
_COLUMNS: Mapping[str, Mapping[str, Callable]] = {
    "program": _PROGRAM_COLUMNS
    | {
        "ms": _number("ms_median"),
        "quartiles": _format_quartiles,
        "images/s": _number("images_per_second"),
        "GFLOP": _number("flop", 1e-9),
        "% FLOP/s": _number("percent_of_flop_ceiling"),
        "% bytes/s": _number("percent_of_bandwidth_ceiling"),
        "peak MiB": _number("peak_memory_bytes", 2**-20),
        "compile s": _format_compile_seconds,
        "eager / ours": _ratio("eager"),
        "compile / ours": _ratio("compile"),
    },
    "compiled": _PROGRAM_COLUMNS
    | {
        "kernels": _number("kernels"),
        "convolutions": _of_kind("kernels_of", "convolution"),
        "GB": _number("gigabytes"),
        "GB transposed, copied": _of_kind("gigabytes_of", "transposition", "copy"),
        "ms by bytes": _number("bandwidth_ms"),
        "peak MiB": _number("peak_memory_bytes", 2**-20),
    },
    "kernel": _PROGRAM_COLUMNS
    | {
        "kind": _text("kernel_kind"),
        "GB": _number("gigabytes"),
        "%": _number("percent"),
        "shape": lambda row: _shorten(row["shape"], 40),
        "operation": lambda row: _shorten(row["operation"], 60, at_end=True),
    },
    "input": _CASE_COLUMNS
    | {
        "ms": _number("ms_median"),
        "batches/s": _number("batches_per_second"),
        "images/s": _number("images_per_second"),
        "resident step ms": _number("resident_ms_median"),
        "fed step ms": _number("fed_ms_median"),
        "waiting": lambda row: f"{row['wait_fraction']:.1%}",
    },
    "synthesis": _CASE_COLUMNS
    | {
        "device images/s": _number("device_images_per_second"),
        "encoder images/s": _number("encoder_images_per_second"),
        "end to end images/s": _number("images_per_second"),
        "% of possible": _number("percent_of_possible"),
        "limit": _text("limit"),
        "bytes an image": _number("bytes_per_image"),
        "days for 100 million": _number("days_for_many"),
        "TB for 100 million": _number("terabytes_for_many"),
    },
    "ceiling": {"ceiling": _text("ceiling"), "at most": _format_ceiling},
    "profile": _PROGRAM_COLUMNS
    | {
        "us a step, traced": _number("us_per_step"),
        "of these busy": _number("busy_us_per_step"),
        "kernels a step": _number("kernels_per_step"),
    },
    "kernel_time": _PROGRAM_COLUMNS
    | {
        "us a step": _number("us_per_step"),
        "%": _number("percent"),
        "runs a step": _number("runs_per_step"),
        "operation": lambda row: _shorten(row["operation"], 40),
        "kernel": lambda row: _shorten(row["kernel"], 60),
    },
    "parity": _CASE_COLUMNS
    | {
        "steps": _text("num_steps"),
        "largest difference from the CPU": _format_difference,
        "of": _text("metric"),
        "agrees": lambda row: None if "error" in row else "yes" if row["agrees"] else "NO",
        "error": _text("error"),
    },
    "failed": _CASE_COLUMNS | {"error": _text("error")},
    "start_up": {
        "what": _text("what"),
        "seconds": _number("seconds"),
        "runs": _text("count"),
        "error": _text("error"),
    },
    "weak_scaling": {
        "case": _text("name"),
        "devices": _text("num_devices"),
        "batch a device": _text("per_device_batch_size"),
        "ms": _number("ms_median"),
        "ms a device-example": _number("ms_per_device_example"),
        "overhead": lambda row: f"{row['overhead']:.1%}",
    },
    "all_reduce": {
        "all-reduce": _text("network"),
        "devices": _text("num_devices"),
        "MB a device": _number("bytes_per_device", 1e-6),
        "link": _text("link"),
        "ms": _number("seconds", 1e3),
        "% of step": _number("percent_of_step"),
    },
}
