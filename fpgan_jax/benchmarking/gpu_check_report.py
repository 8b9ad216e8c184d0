"""Owns the results folder of a check on a GPU: rows as JSON lines, a log, and a report in Markdown."""

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
# Files of the paper's set that show how its training went, besides the tables.
_PAPER_FILES = {
    "timing.json": "timing.json",
    "*/gan/metrics.csv": "gan_metrics.csv",
    "*/figure3.png": "figure3.png",
}


def locate_results(workdir: str | os.PathLike) -> pathlib.Path:
    """Return the folder of a check's results."""
    return pathlib.Path(workdir).absolute() / "results"


class Results:
    """The results of one check, from one or several calls.

    Attributes:
      log_path: file for the output of the steps.
    """

    def __init__(self, workdir: str, out_dir: str | None, *, paper_dir: pathlib.Path):
        """Create the folder of the results if missing; after every step they are copied to `out_dir`."""
        self._folder = locate_results(workdir)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._out_dir = pathlib.Path(out_dir) if out_dir else None
        self._paper_dir = paper_dir
        self.log_path = self._folder / _LOG_FILE

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row, with the current time."""
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        with open(self._folder / _ROWS_FILE, "a") as file:
            file.write(json.dumps(dict(row) | {"at": now}) + "\n")

    def read_status(self, step: str) -> str:
        """Return the status of the last run of a step, "" if there is none."""
        rows = report.read_rows(self._folder / _ROWS_FILE)
        found = [row["status"] for row in rows if row["kind"] == "step" and row["step"] == step]
        return found[-1] if found else ""

    def read_benchmark_rows(self) -> list[dict[str, Any]]:
        """Read the rows of all benchmarks so far."""
        return report.read_rows(self._folder / BENCHMARK_FILE)

    def write_report(self) -> str:
        """Write the report of all results so far, copy the results, and return the report."""
        for pattern, name in _PAPER_FILES.items():
            for path in self._paper_dir.glob(pattern):
                shutil.copy(path, self._folder / name)
        rows = report.read_rows(self._folder / _ROWS_FILE)
        text = format_report(rows, self.read_benchmark_rows(), self._read_paper_tables())
        with write_whole(self._folder / _REPORT_FILE) as file:
            file.write(text)
        if self._out_dir:
            self._out_dir.mkdir(parents=True, exist_ok=True)
            for path in self._folder.iterdir():
                # This file has the tables of the last benchmark only; the report has all of them.
                if path.name != f"{pathlib.Path(BENCHMARK_FILE).stem}.md":
                    shutil.copy(path, self._out_dir / path.name)
        return text

    def _read_paper_tables(self) -> str:
        paths = [self._paper_dir / f"{name}.md" for name in ("table2", "controls")]
        return "\n\n".join(path.read_text().strip() for path in paths if path.exists())


def format_report(
    rows: Sequence[Mapping[str, Any]], benchmark_rows: Sequence[Mapping[str, Any]], paper_tables: str
) -> str:
    """Format the report as Markdown: the tables of each GPU and of the paper's set, and the steps."""
    machines = {row["machine"]["device"]: row for row in rows if row["kind"] == "machine"}
    parts = []
    for device, row in machines.items():
        parts.append(f"## {device}{' (rehearsal on a CPU: the times mean nothing)' * row['is_tiny']}")
        parts.append(_describe_machine(row))
        own_flags = row["machine"]["environment"].get("XLA_FLAGS", "")
        by_flags = collections.defaultdict(list)
        for measured in benchmark_rows:
            machine = measured["machine"]
            # A case for which there was no time is not a result; the list of steps shows it.
            if machine["device"] == device and not measured.get("is_not_begun"):
                by_flags[machine["environment"].get("XLA_FLAGS", "")].append(measured)
        for flags, of_flags in by_flags.items():
            parts += [f"With `XLA_FLAGS={flags}`:"] * (flags != own_flags)
            parts.append(report.format_rows(of_flags, markdown=True))
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
        f"commit {machine['commit']}; {row['at']} UTC."
    )


def _shorten(command: Sequence[str]) -> str:
    """Leave out the paths of files, which do not affect the measurement."""
    return " ".join(part for part in command if "/" not in part or part.startswith("--configs="))
