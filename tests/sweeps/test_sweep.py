"""A sweep as a whole: what is started again, what is left, and how it ends."""

import dataclasses
import os
import sys

import pytest

from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.sweeps import local_queue, page, slurm, sweep
from fpgan_jax.sweeps.runs import read_record


@pytest.fixture(name="sweep_of")
def _sweep_of(tmp_path, monkeypatch):
    """Return a function that sweeps some runs, with options for some; pages are not drawn."""
    monkeypatch.setattr(local_queue, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(page, "write_page", lambda table, workdir, origin: "page")

    def run(runs, options=None, what="train_gan", **further):
        runs = [
            dataclasses.replace(run, command=[*run.command, *(options or {}).get(run.name, ())])
            for run in runs
        ]
        further = {"workers": [os.environ]} | further
        return sweep.run_sweep(runs, str(tmp_path), origin={"what": what}, **further)

    return run


def count_starts(runs):
    return [record.num_starts if (record := read_record(run.workdir)) else 0 for run in runs]


def test_a_finished_sweep_is_not_run_again(create_run, sweep_of, tmp_path):
    runs = [create_run(name, seed=seed) for seed, name in enumerate("ab")]
    first = sweep_of(runs)
    assert first.splitlines()[-1] == "2 runs: 2 finished"
    assert sweep_of(runs) == first and count_starts(runs) == [1, 1]
    assert (tmp_path / "results.csv").read_text().count("\n") == 3


def test_a_failed_run_is_told_and_left_alone_until_asked_for(create_run, sweep_of):
    runs = [create_run(name) for name in "abc"]
    message = r"3 runs: 2 finished, 1 failed; first failure, b: ERROR: no step 2 .*b/log\.txt.*--retry_failed"
    with pytest.raises(UserError, match=message):
        sweep_of(runs, {"b": ["--fail_at=2"]})
    with pytest.raises(UserError, match=message):
        sweep_of(runs)
    assert count_starts(runs) == [1, 1, 1]
    assert "3 finished" in sweep_of(runs, is_retrying_failed=True)
    assert count_starts(runs) == [1, 2, 1]


def test_a_sweep_goes_on_with_what_was_interrupted_and_what_is_new(create_run, sweep_of):
    runs = [create_run("a"), create_run("b")]
    sweep_of(runs[:1])
    # As a machine that is switched off leaves it.
    record = os.path.join(runs[0].workdir, "run.json")
    with open(record) as file:
        text = file.read().replace('"finished"', '"running"')
    with open(record, "w") as file:
        file.write(text)
    assert sweep.find_states(runs, ".") == {"a": "interrupted", "b": "waiting"}
    assert "2 finished" in sweep_of(runs)
    assert count_starts(runs) == [2, 1]


def test_an_interrupted_sweep_says_that_it_goes_on(create_run, sweep_of, monkeypatch):
    monkeypatch.setattr(local_queue, "run_queue", lambda *args: None)
    with pytest.raises(Interrupted, match="1 runs: 1 waiting; the same command goes on"):
        sweep_of([create_run("a")])


def test_runs_of_another_kind_are_refused(create_run, sweep_of):
    sweep_of([create_run("a")])
    with pytest.raises(UserError, match=r"--what=reproduce: .* holds runs of train_gan"):
        sweep_of([create_run("b")], what="reproduce")


def test_two_sweeps_of_one_folder_are_refused(create_run, sweep_of, tmp_path):
    with hold_folder(str(tmp_path)), pytest.raises(UserError, match="another process"):
        sweep_of([create_run("a")])


def test_listing_writes_nothing(create_run, tmp_path):
    text = sweep.list_runs([create_run("a"), create_run("b", 5)], str(tmp_path))
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["a", "waiting", "0/3"],
        ["b", "waiting", "0/5"],
        ["2", "runs:", "2", "waiting"],
    ]
    assert not list(tmp_path.iterdir())


def test_jobs_that_slurm_still_has_are_left_to_it(create_run, sweep_of, monkeypatch):
    runs = [create_run(name) for name in "abc"]
    monkeypatch.setattr(
        slurm, "find_live_runs", lambda workdir: {"a": "running", "b": "queued", "gone": "queued"}
    )
    assert sweep_of(runs).splitlines()[-1] == "3 runs: 1 finished, 1 queued, 1 running"
    assert count_starts(runs) == [0, 0, 1]


def test_without_submitit_slurm_is_refused_and_leaves_no_sweep(create_run, sweep_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"--slurm: needs submitit; pip install -e '\.\[slurm\]'"):
        sweep_of([create_run("a")], workers=None, allocation=slurm.Allocation())
    assert not list(tmp_path.glob("sweep.json"))


def test_without_slurm_it_is_refused(create_run, sweep_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", type(sys)("submitit"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="--slurm: no sbatch here"):
        sweep_of([create_run("a")], workers=None, allocation=slurm.Allocation())


def test_options_of_sbatch_have_a_value_or_are_switches():
    options = slurm.parse_options(["mem=16G", "exclusive", "comment=a=b"])
    assert options == {"mem": "16G", "exclusive": True, "comment": "a=b"}
