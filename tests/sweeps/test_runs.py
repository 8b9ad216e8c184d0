"""What a run's folder tells: how it ended, why, and how far it is."""

import os
import pathlib
import signal
import sys
import time

import pytest

from fpgan_jax.config.identity import hash_config
from fpgan_jax.sweeps import runs
from fpgan_jax.sweeps.runs import Attempt, find_state, read_last_line, read_record, read_steps


def execute(run, command, number=None):
    """Run a command to its end, or until it has logged a step and is signalled; return the record."""
    attempt = Attempt(run.workdir, command, hash_config(run.config))
    if number is not None:
        while not read_steps(run):
            time.sleep(0.01)
        os.kill(attempt.process.pid, number)
    return attempt.end()


def test_a_run_that_ends_well_is_finished(create_run):
    run = create_run("a")
    assert find_state(run) == "waiting"
    record = execute(run, run.command)
    assert (record.state, record.message, record.num_starts) == ("finished", "", 1)
    assert find_state(run) == "finished" and read_record(run.workdir) == record


def test_a_run_that_fails_says_why(create_run):
    run = create_run("a")
    record = execute(run, [*run.command, "--fail_at=2"])
    assert (record.state, record.message) == ("failed", "ERROR: no step 2")
    assert find_state(run) == "failed"


def test_a_run_that_is_killed_has_failed(create_run):
    run = create_run("a", 999, "--seconds=0.02")
    record = execute(run, run.command, signal.SIGKILL)
    assert record.state == "failed" and record.message.startswith("killed by SIGKILL")


def test_a_run_that_was_asked_to_stop_is_interrupted_and_goes_on(create_run):
    run = create_run("a", 50)
    record = execute(run, [*run.command, "--seconds=0.02"], signal.SIGTERM)
    assert record.state == find_state(run) == "interrupted" and read_steps(run) < 50
    again = execute(run, run.command)
    assert (again.state, again.num_starts, read_steps(run)) == ("finished", 2, 50)
    assert again.seconds >= record.seconds


def test_a_run_that_is_stopped_before_it_listens_is_interrupted(create_run):
    run = create_run("a")
    attempt = Attempt(run.workdir, [sys.executable, "-c", "import time; time.sleep(60)"], "hash")
    attempt.process.send_signal(signal.SIGTERM)
    assert attempt.end().state == "interrupted"


def test_a_run_whose_end_nobody_saw_is_interrupted(create_run):
    run = create_run("a")
    attempt = Attempt(run.workdir, run.command, hash_config(run.config))
    attempt.process.wait()
    assert read_record(run.workdir).state == "running"
    assert find_state(run) == "interrupted"


def test_a_finished_run_waits_again_if_its_evaluation_changes(create_run):
    run = create_run("a")
    execute(run, run.command)
    run.config.evaluation.std_ddof = 1
    assert find_state(run) == "waiting"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "finished"}'])
def test_a_damaged_record_is_none(create_run, content):
    run = create_run("a")
    os.makedirs(run.workdir)
    pathlib.Path(run.workdir, runs.RECORD_FILENAME).write_text(content)
    assert find_state(run) == "waiting"


def test_the_log_holds_every_start_with_its_command(create_run):
    run = create_run("a")
    execute(run, [*run.command, "--fail_at=1"])
    execute(run, run.command)
    lines = pathlib.Path(run.workdir, runs.LOG_FILENAME).read_text().splitlines()
    assert [line.endswith(f"{run.workdir} 3 --fail_at=1") for line in lines] == [True, False, False]
    assert lines[1] == "ERROR: no step 1" and lines[2].endswith(f"{run.workdir} 3")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo\n", "two"),
        ("10%\r 20%\r\n\n", "20%"),  # a progress line, which overwrites itself
        ("\x1b[31mred\x1b[0m \udcff".encode("utf-8", "surrogateescape"), "[31mred[0m \ufffd"),
        ("", ""),
        ("x" * 9999, "x" * 300),
    ],
)
def test_the_last_line_is_one_that_a_terminal_does_not_obey(tmp_path, text, line):
    path = tmp_path / runs.LOG_FILENAME
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert read_last_line(str(tmp_path)) == line


@pytest.mark.parametrize(
    ("text", "total", "steps"),
    [
        ("step,loss\n", 4, 0),
        ("step,loss\n2,0.5\n4,0.1\n", 4, 4),
        ("step,loss\n2,0.5\n4", 4, 2),
        ("step,loss\n99,0.5\n", 4, 4),
    ],
    ids=["none yet", "two rows", "a row in the writing", "more than there are"],
)
def test_steps_are_those_of_the_last_whole_row(create_run, text, total, steps):
    run = create_run("a", total)
    os.makedirs(run.workdir)
    pathlib.Path(run.workdir, "metrics.csv").write_text(text)
    assert read_steps(run) == steps
