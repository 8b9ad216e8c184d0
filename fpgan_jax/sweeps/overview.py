"""Owns the progress display of a sweep: a live table in a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fpgan_jax.sweeps.runs import STATES, Record, Run, count_states, read_steps
from fpgan_jax.tables import formats

_HEADER = ("run", "state", "steps", "steps/s", "time left")

_STYLES = {"running": "cyan", "failed": "bold red", "finished": "green", "interrupted": "yellow"}
_REFRESH_SECONDS = 2.0
_LINE_SECONDS = 60.0


class Overview:
    """Shows the runs of a sweep while they run, on standard error by default; a context manager."""

    def __init__(
        self, runs: Sequence[Run], states: Mapping[str, str], *, num_workers: int, file: IO[str] | None = None
    ):
        self._states = dict(states)
        self._runs = runs
        self._num_workers = num_workers
        console = Console(file=file or sys.stderr, highlight=False, soft_wrap=True)
        # No refresh in a thread, which could read while the state of a run changes.
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._print = lambda line: console.print(Text(line))
        self._clocks: dict[str, _Clock] = {}
        self._refreshed = self._printed = time.monotonic()

    def __enter__(self) -> "Overview":
        """Start the display."""
        if self._live:
            self._live.start()
        self.refresh(is_due=True)
        return self

    def __exit__(self, *exception: object) -> None:
        """Show the final state and stop the display."""
        self._printed = -_LINE_SECONDS
        self.refresh(is_due=True)
        if self._live:
            self._live.stop()

    def note_start(self, name: str) -> None:
        """Show that a run has started."""
        self._states[name] = "running"
        self._clocks[name] = _Clock()
        self._print_event(f"{name}: started")

    def note_end(self, name: str, record: Record) -> None:
        """Show that a run has ended, and why if it has not finished."""
        self._states[name] = record.state
        reason = f": {record.message}" if record.message else ""
        self._print_event(f"{name}: {record.state} after {format_time(record.seconds)}{reason}")
        self.refresh(is_due=True)

    def _print_event(self, line: str) -> None:
        num_ended = sum(state in ("finished", "failed") for state in self._states.values())
        self._print(f"[{num_ended}/{len(self._runs)}] {line}")

    def refresh(self, *, is_due: bool = False) -> None:
        """Read the steps of the runs and update the display, if it is time to or `is_due`."""
        now = time.monotonic()
        if not is_due and now - self._refreshed < _REFRESH_SECONDS:
            return
        self._refreshed = now
        steps = {run.name: read_steps(run) for run in self._runs}
        for name, clock in self._clocks.items():
            if self._states[name] == "running":
                clock.note(steps[name], now)
        if self._live:
            self._live.update(self._draw(steps), refresh=True)
        elif now - self._printed >= _LINE_SECONDS:
            self._printed = now
            self._print(self._describe(steps))

    def create_rows(self, steps: Mapping[str, int]) -> list[tuple[str, ...]]:
        """Return one row of cells per run under the header, running ones first."""
        rows: list[tuple[str, ...]] = []
        for run in sorted(self._runs, key=lambda run: STATES.index(self._states[run.name])):
            state, total = self._states[run.name], sum(run.num_steps.values())
            rate = self._find_rate(run.name)
            left = format_time((total - steps[run.name]) / rate) if rate else ""
            rows.append((run.name, state, f"{steps[run.name]}/{total}", f"{rate:.2f}" if rate else "", left))
        return rows

    def _find_rate(self, name: str) -> float:
        clock = self._clocks.get(name)
        return clock.rate if clock and self._states[name] == "running" else 0.0

    def _draw(self, steps: Mapping[str, int]) -> Table:
        drawn = Table(caption=self._describe(steps), caption_justify="left", box=None, pad_edge=False)
        for number, title in enumerate(_HEADER):
            drawn.add_column(title, justify="left" if number < 2 else "right", no_wrap=True)
        for row in self.create_rows(steps):
            drawn.add_row(*map(Text, row), style=_STYLES.get(row[1]))
        return drawn

    def _describe(self, steps: Mapping[str, int]) -> str:
        """Summarize the progress of the whole sweep in one line."""
        done = sum(steps.values())
        total = sum(sum(run.num_steps.values()) for run in self._runs)
        rates = [rate for run in self._runs if (rate := self._find_rate(run.name))]
        line = f"{len(self._runs)} runs: {count_states(self._states)}; step {done} of {total}"
        if not rates:
            return line
        open_runs = [run for run in self._runs if self._states[run.name] in ("running", "waiting")]
        left = sum(sum(run.num_steps.values()) - steps[run.name] for run in open_runs)
        # Waiting runs are assumed to be as fast as the running ones.
        at_once = min(self._num_workers, len(open_runs))
        rate = at_once * sum(rates) / len(rates)
        return f"{line}, {sum(rates):.2f} steps/s, {format_time(left / rate)} left"


class _Clock:
    """Estimates the steps per second of one run, from the first to the last observed change of its logged step."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._steps: int | None = None
        self._first: tuple[int, float] | None = None

    def note(self, steps: int, now: float) -> None:
        if self._steps is not None and steps > self._steps:
            if self._first is None:
                # Earlier steps include loading and compilation.
                self._first = (steps, now)
            else:
                self.rate = (steps - self._first[0]) / (now - self._first[1])
        self._steps = steps


def format_runs(runs: Sequence[Run], states: Mapping[str, str]) -> str:
    """Format the state of all runs as a text table, in the order of the sweep."""
    cells = [(run.name, states[run.name], f"{read_steps(run)}/{sum(run.num_steps.values())}") for run in runs]
    return formats.format_text(_HEADER[:3], cells)


def format_time(seconds: float) -> str:
    """Format a duration: "45 s", "12 min", "3 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
