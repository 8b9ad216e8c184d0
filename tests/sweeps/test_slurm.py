"""Sweeps on a real Slurm, which `slurm_cluster.py` sets up for these tests and takes down.

Whatever a job suffers, its run ends as one that was left alone; only what the user cancels stays away.
"""

import dataclasses
import pathlib
import subprocess
import sys
import time

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.sweeps import slurm, sweep
from fpgan_jax.sweeps.runs import find_state, read_record, read_steps
from tests.kill_repeatedly import find_differences
from tests.launch.scripts import run_well
from tests.sweeps import slurm_cluster

pytestmark = pytest.mark.slurm

_WAIT_SECONDS = 180


@pytest.fixture(scope="module", autouse=True)
def _cluster(tmp_path_factory):
    pytest.importorskip("submitit", reason="SLURM NOT TESTED: submitit is not installed (the extra slurm)")
    if missing := slurm_cluster.find_missing():
        pytest.skip(f"SLURM NOT TESTED: {missing}")
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch, slurm_cluster.run_cluster(folder) as environment:
        for name in ("SLURM_CONF", "PATH"):
            patch.setenv(name, environment[name])
        yield


def call(*command):
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def wait_until(is_so, what):
    """Wait until something is so; meanwhile spare requeued jobs the two minutes that Slurm has them wait."""
    end = time.monotonic() + _WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < end, f"not within {_WAIT_SECONDS} s: {what}\n{call('squeue', '--array')}"
        for line in call("squeue", "--noheader", "--array", "--format=%F_%K %r").splitlines():
            job_id, reason = line.split(maxsplit=1)
            if reason == "BeginTime":
                job_id = job_id.removesuffix("_N/A")
                # A job that starts in the second in which it was requeued is ended: its credential is revoked.
                time.sleep(2)
                subprocess.run(["scontrol", "update", f"job={job_id}", "starttime=now"], check=False)
        time.sleep(0.2)


@pytest.fixture(name="submit")
def _submit(tmp_path):
    """Return a function that submits fake runs, with options for some, and returns their jobs' ids."""

    def submit(runs, options=None, **allocation):
        runs = [
            dataclasses.replace(run, command=[*run.command, *(options or {}).get(run.name, ())])
            for run in runs
        ]
        return slurm.submit(runs, str(tmp_path), slurm.Allocation(**allocation))

    yield submit
    subprocess.run(["scancel", "--me"], check=False)
    wait_until(lambda: not call("squeue", "--noheader"), "an empty queue")


def end(runs, tmp_path):
    """Wait until Slurm has no job of these runs; return their states."""
    wait_until(lambda: not slurm.find_live_runs(str(tmp_path)), "no job left")
    return [find_state(run) for run in runs]


def read_log(run):
    return pathlib.Path(run.workdir, "log.txt").read_text()


def assert_went_on_once(run):
    """Assert that a run was stopped with one signal, saved, and went on behind what it had saved."""
    lines = [line for line in read_log(run).splitlines() if line.startswith("saved")]
    assert len(lines) == 1 and lines[0].endswith("after 1 signal")
    assert read_record(run.workdir).num_starts == 2
    assert_every_step_is_there_once(run)


def assert_every_step_is_there_once(run):
    metrics = pathlib.Path(run.workdir, "metrics.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in metrics[1:]] == list(range(1, read_steps(run) + 1))


def test_an_array_of_jobs_with_one_that_fails(create_run, submit, tmp_path):
    runs = [create_run(name) for name in "abc"]
    jobs = submit(runs, {"b": ["--fail_at=2"]})
    array = jobs["a"].split("_")[0]
    assert jobs == {"a": f"{array}_0", "b": f"{array}_1", "c": f"{array}_2"}
    assert set(slurm.find_live_runs(str(tmp_path))) == set("abc")
    assert end(runs, tmp_path) == ["finished", "failed", "finished"]
    assert read_record(runs[1].workdir).message == "ERROR: no step 2"
    assert "JobState=FAILED" in call("scontrol", "show", "job", jobs["b"])
    assert "JobState=COMPLETED" in call("scontrol", "show", "job", jobs["a"])


@pytest.mark.parametrize(
    "stop",
    [["scontrol", "requeue"], ["scancel", "--signal=USR2"], ["scancel", "--signal=TERM"]],
    ids=["canceled and requeued", "warned of its time limit", "asked to end"],
)
def test_a_job_that_must_leave_is_requeued_and_goes_on(create_run, submit, tmp_path, stop):
    runs = [create_run(name, 120) for name in "ab"]
    jobs = submit(runs, {name: ["--seconds=0.05"] for name in "ab"})
    wait_until(lambda: read_steps(runs[0]) > 1, "a first step")
    call(*stop, jobs["a"])
    assert end(runs, tmp_path) == ["finished", "finished"]
    assert_went_on_once(runs[0])
    assert read_record(runs[1].workdir).num_starts == 1


@pytest.mark.parametrize(
    ("partition", "check"),
    # Without notice Slurm signals twice, and the second signal has a real training leave without having saved.
    [("normal", assert_went_on_once), ("sudden", assert_every_step_is_there_once)],
    ids=["with notice", "without notice"],
)
def test_a_job_that_an_urgent_one_displaces_is_requeued_and_goes_on(
    create_run, submit, tmp_path, partition, check
):
    run = create_run("a", 120)
    submit([run], {"a": ["--seconds=0.05"]}, partition=partition)
    wait_until(lambda: read_steps(run) > 1, "a first step")
    call("sbatch", "--partition=urgent", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 1")
    assert end([run], tmp_path) == ["finished"]
    assert read_record(run.workdir).num_starts == 2
    check(run)


def test_a_job_whose_node_fails_is_requeued_and_goes_on(create_run, submit, tmp_path):
    run = create_run("a", 120)
    job = submit([run], {"a": ["--seconds=0.05"]})["a"]
    wait_until(lambda: read_steps(run) > 1, "a first step")
    node = call("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
    call("scontrol", "update", f"nodename={node}", "state=down", "reason=tests")
    # What failed runs nothing any more; `wait_until` would have the job started beside what still runs of it.
    step = ["pgrep", "--full", rf"slurmstepd: \[{job.split('_')[0]}\."]
    for _ in range(100):
        if subprocess.run(step, check=False, capture_output=True).returncode:
            break
        time.sleep(0.2)
    assert end([run], tmp_path) == ["finished"]
    assert read_record(run.workdir).num_starts == 2
    assert_every_step_is_there_once(run)


def test_a_job_whose_time_is_up_is_requeued_and_goes_on(create_run, submit, tmp_path):
    run = create_run("a", 1500)
    job = submit([run], {"a": ["--seconds=0.05"]}, minutes=1, signal_seconds=15)["a"]
    wait_until(lambda: read_steps(run) > 1, "a first step")
    assert "TimeLimit=00:01:00" in call("scontrol", "show", "job", job)
    # 75 seconds of work in jobs of 60, of which the last 15 are for saving.
    assert end([run], tmp_path) == ["finished"]
    assert "saved" in read_log(run) and read_record(run.workdir).num_starts >= 2


def test_a_job_that_the_user_cancels_stays_away_until_the_sweep_is_started_again(
    create_run, submit, tmp_path
):
    runs = [create_run(name, 60) for name in "ab"]
    options = {name: ["--seconds=0.05"] for name in "ab"}
    jobs = submit(runs, options)
    wait_until(lambda: read_steps(runs[0]) > 1, "a first step")
    call("scancel", jobs["a"])
    assert end(runs, tmp_path) == ["interrupted", "finished"]
    assert sweep.find_states(runs, str(tmp_path)) == {"a": "interrupted", "b": "finished"}
    submit(runs[:1], options)
    assert end(runs, tmp_path) == ["finished", "finished"]
    assert_went_on_once(runs[0])


def test_a_job_asks_for_what_the_flags_say(create_run, tmp_path):
    program = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    run = dataclasses.replace(create_run("a"), command=[sys.executable, "-c", program])
    allocation = slurm.Allocation(
        minutes=7, partition="urgent", account="biometrics", gpus=2, cpus=3, others={"mem": "100M"}
    )
    job = slurm.submit([run], str(tmp_path), allocation)["a"]
    shown = call("scontrol", "show", "job", job)
    for part in ("TimeLimit=00:07:00", "Partition=urgent", "Account=biometrics", "gres:gpu:2", "CPUs/Task=3"):
        assert part in shown
    assert "MinMemoryNode=100M" in shown and "Requeue=1" in shown
    assert end([run], tmp_path) == ["finished"]
    assert read_log(run).splitlines()[-1] == "0,1"


def test_a_refusal_of_slurm_is_one_line(create_run, submit):
    with pytest.raises(
        UserError, match="--slurm: sbatch refuses the job: .*Batch job submission failed: Invalid partition"
    ):
        submit([create_run("a")], partition="nowhere")


def test_a_requeued_training_ends_in_the_bits_of_one_left_alone(tmp_path, monkeypatch):
    """The whole command, with real trainings: one array, of which one job is put into the queue again."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    run_well("make_prints", f"--out_dir={tmp_path / 'prints'}", "--num_persons=2", "--noaltered")
    config = ["--config=configs/test_size.py", f"--config.data.socofing_dir={tmp_path / 'prints'}"]
    config += [f"--config.data.tfds_dir={tmp_path / 'tfds'}", "--config.num_epochs=150"]
    (tmp_path / "sweep.py").write_text("def get_sweep(): return [{'seed': seed} for seed in (0, 1)]")
    command = ["sweep", *config, f"--sweep={tmp_path / 'sweep.py'}", f"--workdir={tmp_path / 'runs'}"]
    command += [
        "--what=train_gan",
        "--slurm",
        "--partition=normal",
        "--account=tests",
        "--cpus=2",
        "--time=30",
    ]
    run_well(*command)
    workdir = tmp_path / "runs" / "seed=1"
    metrics = workdir / "metrics.csv"
    wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, "three rows of metrics")
    assert "2 runs: 2 running" in run_well(*command).stdout
    job = slurm._read_jobs(str(tmp_path / "runs"))["seed=1"]
    call("scontrol", "requeue", job)
    wait_until(lambda: not slurm.find_live_runs(str(tmp_path / "runs")), "no job left")
    assert "2 runs: 2 finished" in run_well(*command).stdout
    assert read_record(str(workdir)).num_starts == 2 and "is saved" in (workdir / "log.txt").read_text()
    run_well("train_gan", *config, "--config.seed=1", f"--workdir={tmp_path / 'alone'}")
    # A run of a sweep has a record and a log too.
    assert find_differences(tmp_path / "alone", workdir) == ["log.txt: in one only", "run.json: in one only"]
