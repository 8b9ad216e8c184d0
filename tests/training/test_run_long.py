"""A short long run: nothing is compiled, opened or kept after the first steps, and what grows would be told."""

import dataclasses
import re
import subprocess
import sys

import pytest

from tests.training import run_long

FLAT = run_long.Row(
    step=0,
    seconds=0.0,
    resident_mb=900.0,
    live_arrays=300,
    live_array_mb=2.0,
    compilations=33,
    open_files=8,
    threads=40,
)


def create_rows(name=None, growth=0.0, *, first=0, last=60):
    """Create sixty flat rows; from `first` to `last` a number grows by `growth` a row."""
    rows = []
    for index in range(60):
        changes = {"step": 100 * (index + 1)}
        if name:
            grown = growth * max(0, min(index, last) - first)
            changes[name] = type(getattr(FLAT, name))(getattr(FLAT, name) + grown)
        rows.append(dataclasses.replace(FLAT, **changes))
    return rows


def test_what_is_flat_does_not_grow():
    assert run_long.find_growth(create_rows()) == []


@pytest.mark.parametrize("name", ["live_arrays", "compilations", "open_files"])
def test_one_more_of_what_is_counted_is_growth(name):
    (line,) = run_long.find_growth(create_rows(name, 1, first=30, last=31))
    assert re.fullmatch(f"{name}: .*{getattr(FLAT, name)}, then {getattr(FLAT, name) + 1}", line)


def test_resident_memory_may_grow_by_a_fiftieth():
    # The means of the last and the first sixteen of the 48 rows behind the warm-up are 32 rows apart.
    assert run_long.find_growth(create_rows("resident_mb", 17 / 32)) == []
    (line,) = run_long.find_growth(create_rows("resident_mb", 20 / 32))
    assert line.startswith("resident_mb: ")


def test_what_grows_in_the_warm_up_only_is_flat():
    for name in ("resident_mb", "live_arrays", "compilations"):
        assert run_long.find_growth(create_rows(name, 100.0, last=11)) == []


def test_a_checkpoint_under_way_is_no_growth():
    rows = create_rows()
    rows[-3] = dataclasses.replace(rows[-3], open_files=13, threads=46, live_arrays=409)
    assert run_long.find_growth(rows) == []


def test_too_few_steps_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_long", "--steps=300"])
    with pytest.raises(SystemExit):
        run_long.main()
    assert "--steps=300: too few to tell growth from the warm-up; at least 2400" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["gan", "classifier"])
def test_a_run_of_some_thousand_steps_is_flat(experiment):
    # In a process of its own: this one has the files and threads of other tests.
    command = [sys.executable, "-m", "tests.training.run_long", "--steps=2400", f"--experiment={experiment}"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "nothing grows"
