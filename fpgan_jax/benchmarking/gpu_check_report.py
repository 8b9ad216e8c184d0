"""Owns the results folder of a check on a GPU: rows as JSON lines, a log, and the report in Markdown.

Does not run anything; `gpu_check.py` does.
"""

import collections
import json
import os
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fpgan_jax.benchmarking import report
from fpgan_jax.host.whole_file import write_whole

BENCHMARK_FILE = "benchmark.jsonl"
_ROWS_FILE, _LOG_FILE, _REPORT_FILE = "steps.jsonl", "steps.log", "gpu_check.md"
# Of the paper's set: what a training is judged by, besides its tables.
_PAPER_FILES = {
    "timing.json": "timing.json",
    "*/gan/metrics.csv": "gan_metrics.csv",
    "*/figure3.png": "figure3.png",
}


def locate_results(workdir: str | os.PathLike) -> pathlib.Path:
    """Return the folder of a check's results."""
    return pathlib.Path(workdir).absolute() / "results"


class Results:
    """The results of one check, which one call or several may bring together.

    Attributes:
      log_path: file for what the steps print.
    """

    def __init__(self, workdir: str, out_dir: str | None, *, paper_dir: pathlib.Path):
        """Args: the check's folder; a folder that gets a copy of the results, or None; that of the paper's set."""
        self._folder = locate_results(workdir)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._out_dir, self._paper_dir = out_dir and pathlib.Path(out_dir), paper_dir
        self.log_path = self._folder / _LOG_FILE

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row, with the time."""
        with open(self._folder / _ROWS_FILE, "a") as file:
            file.write(
                json.dumps(dict(row) | {"at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}) + "\n"
            )

    def read_status(self, step: str) -> str:
        """Return what became of a step when it was last run: "" if it never was."""
        rows = report.read_rows(self._folder / _ROWS_FILE)
        found = [row["status"] for row in rows if row["kind"] == "step" and row["step"] == step]
        return found[-1] if found else ""

    def count_benchmark_rows(self) -> int:
        """Count the rows of all benchmarks so far."""
        return len(report.read_rows(self._folder / BENCHMARK_FILE))

    def has_case_not_begun(self, num_rows: int) -> bool:
        """Tell whether a benchmark had no time for a case, in the rows after the first `num_rows`."""
        rows = report.read_rows(self._folder / BENCHMARK_FILE)[num_rows:]
        return any(row.get("is_not_begun") for row in rows)

    def write_report(self) -> str:
        """Write the report of everything so far, and copy the results; return the report."""
        for pattern, name in _PAPER_FILES.items():
            for path in self._paper_dir.glob(pattern):
                shutil.copy(path, self._folder / name)
        rows = report.read_rows(self._folder / _ROWS_FILE)
        text = format_report(rows, report.read_rows(self._folder / BENCHMARK_FILE), self._read_paper_tables())
        with write_whole(self._folder / _REPORT_FILE) as file:
            file.write(text)
        if self._out_dir:
            self._out_dir.mkdir(parents=True, exist_ok=True)
            for path in self._folder.iterdir():
                # Tables of the last benchmark alone: all of them are in the report.
                if path.name != f"{pathlib.Path(BENCHMARK_FILE).stem}.md":
                    shutil.copy(path, self._out_dir / path.name)
        return text

    def _read_paper_tables(self) -> str:
        paths = [self._paper_dir / f"{name}.md" for name in ("table2", "controls")]
        return "\n\n".join(path.read_text().strip() for path in paths if path.exists())


def format_report(
    rows: Sequence[Mapping[str, Any]], benchmark_rows: Sequence[Mapping[str, Any]], paper_tables: str
) -> str:
    """Format what is known as Markdown: the tables of each card, the paper's set, and the steps.

    Args:
      rows: the check's own.
      benchmark_rows: of `launch.benchmark`.
      paper_tables: of the paper's set, as Markdown; "" if there are none yet.

    Returns:
      The report.
    """
    machines = {row["machine"]["device"]: row for row in rows if row["kind"] == "machine"}
    parts = []
    for device, row in machines.items():
        parts.append(f"## {device}{' (rehearsal on a CPU: the times mean nothing)' * row['is_tiny']}")
        parts.append(_describe_machine(row))
        # A case without time is begun by the next call, or the steps say so.
        of_device = [
            found
            for found in benchmark_rows
            if found["machine"]["device"] == device and not found.get("is_not_begun")
        ]
        own_flags = row["machine"]["environment"].get("XLA_FLAGS", "")
        by_flags = collections.defaultdict(list)
        for found in of_device:
            by_flags[found["machine"]["environment"].get("XLA_FLAGS", "")].append(found)
        for flags, found in by_flags.items():
            parts += [f"With `XLA_FLAGS={flags}`:"] * (flags != own_flags)
            parts.append(report.format_rows(found, markdown=True))
    if paper_tables:
        parts += ["### The paper's set", paper_tables]
    commands = [row for row in rows if row["kind"] == "command"]
    if commands:
        lines = [
            f"- {row['step']}: {row['status']}, {row['seconds']:.1f} s: `python {_shorten(row['command'])}`"
            for row in commands
        ]
        parts += ["### Steps", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _describe_machine(row: Mapping[str, Any]) -> str:
    machine = row["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    driver = f"nvidia-smi: {row['driver']}; " if row["driver"] else ""
    return (
        f"{driver}{machine['num_cores']} cores of {machine['cpu']}; Python {machine['python']}, {versions}; "
        f"commit {machine['commit'] or 'not known'}; {row['at']} UTC."
    )


def _shorten(command: Sequence[str]) -> str:
    """Leave out where files are, which says nothing about what was measured."""
    return " ".join(part for part in command if "/" not in part or part.startswith("--configs="))
