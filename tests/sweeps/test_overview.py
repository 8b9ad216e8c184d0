"""What is shown of a sweep while it runs."""

import io
import os
import pathlib

import pytest

from fpgan_jax.sweeps import overview
from fpgan_jax.sweeps.overview import Overview, format_time
from fpgan_jax.sweeps.runs import Record


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose one item is the time."""
    now = [1000.0]
    monkeypatch.setattr(overview.time, "monotonic", lambda: now[0])
    return now


def log(run, step):
    os.makedirs(run.workdir, exist_ok=True)
    pathlib.Path(run.workdir, "metrics.csv").write_text(f"step,loss\n{step},1\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (11100, "3 h 05 min")]
)
def test_a_duration_is_said_as_people_say_it(seconds, text):
    assert format_time(seconds) == text


def test_elsewhere_than_in_a_terminal_there_are_plain_lines(create_run):
    runs, file = [create_run(name) for name in "ab"], io.StringIO()
    with Overview(runs, {"a": "waiting", "b": "waiting"}, num_workers=1, file=file) as shown:
        shown.note_start("a")
        shown.note_end("a", Record("failed", "hash", 0.0, seconds=130.0, message="no [red]luck[/red]"))
    assert file.getvalue().splitlines() == [
        "[0/2] a: started",
        "[1/2] a: failed after 2 min: no [red]luck[/red]",
        "2 runs: 1 failed, 1 waiting; step 0 of 6",
    ]


def test_a_rate_is_that_since_the_first_logged_step(create_run, clock):
    runs, file = [create_run("a", 100), create_run("b", 100)], io.StringIO()
    shown = Overview(runs, {"a": "waiting", "b": "waiting"}, num_workers=1, file=file)
    shown.note_start("a")
    # Loading and compiling take 50 seconds; then 10 steps take 5, twice.
    for now, step in ((1000, 0), (1050, 10), (1055, 20), (1060, 30)):
        clock[0] = float(now)
        log(runs[0], step)
        shown.refresh(is_due=True)
    assert shown.create_rows({"a": 30, "b": 0}) == [
        ("a", "running", "30/100", "2.00", "35 s"),
        ("b", "waiting", "0/100", "", ""),
    ]
    # After a minute there is a line. 170 steps are left at 2 a second, with one worker.
    assert (
        file.getvalue()
        == "[0/2] a: started\n2 runs: 1 waiting, 1 running; step 30 of 200, 2.00 steps/s, 85 s left\n"
    )


def test_in_a_terminal_there_is_a_table(create_run):
    runs, file = [create_run("lambda_l1=1", 100), create_run("lambda_l1=2", 100)], Terminal()
    log(runs[0], 30)
    with Overview(
        runs, dict.fromkeys(("lambda_l1=1", "lambda_l1=2"), "waiting"), num_workers=1, file=file
    ) as shown:
        shown.note_start("lambda_l1=1")
    text = file.getvalue()
    for part in ("steps/s", "time left", "lambda_l1=2", "30/100", "running", "step 30 of 200"):
        assert part in text
