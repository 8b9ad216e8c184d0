"""Runs on this machine: how many at a time, on which GPU, and what a failure or a signal does to the others."""

import os
import signal
import threading

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.sweeps import local_queue
from fpgan_jax.sweeps.runs import read_record, read_steps


class Notes:
    """Stands for the overview; notes how many runs are active, and calls `at_refresh`."""

    def __init__(self, at_refresh=lambda: None):
        self.order, self.states, self.most, self._active, self._at_refresh = [], {}, 0, 0, at_refresh

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def note_start(self, name):
        self.order.append(name)
        self._active += 1
        self.most = max(self.most, self._active)

    def note_end(self, name, record):
        self._active -= 1
        self.states[name] = record.state

    def refresh(self):
        self._at_refresh()


@pytest.fixture(autouse=True)
def _poll_often(monkeypatch):
    monkeypatch.setattr(local_queue, "_POLL_SECONDS", 0.01)


def test_as_many_run_at_a_time_as_there_are_workers(create_run):
    runs, notes = [create_run(name, 3, "--seconds=0.02") for name in "abcde"], Notes()
    local_queue.run_queue(runs, [os.environ] * 2, notes)
    assert notes.order == list("abcde") and notes.most == 2
    assert notes.states == dict.fromkeys("abcde", "finished")


def test_a_failed_run_leaves_the_others_alone(create_run):
    runs, notes = [create_run("a"), create_run("b", 3, "--fail_at=1"), create_run("c")], Notes()
    local_queue.run_queue(runs, [os.environ], notes)
    assert notes.states == {"a": "finished", "b": "failed", "c": "finished"}


@pytest.fixture
def terminal():
    """Have the tests themselves not ignore a lost terminal, though they may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_passed_on_once_and_starts_no_other(create_run, number):
    runs = [create_run(name, 9999, "--seconds=0.02") for name in "abc"]
    sent = []

    def interrupt():
        if not sent and all(read_steps(run) for run in runs[:2]):
            sent.append(os.kill(os.getpid(), number))

    notes = Notes(interrupt)
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    local_queue.run_queue(runs, [os.environ] * 2, notes)
    assert notes.states == {"a": "interrupted", "b": "interrupted"}
    for run in runs[:2]:
        with open(os.path.join(run.workdir, "log.txt")) as file:
            assert file.read().endswith("after 1 signal\n")
    assert handlers == [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]


def test_under_nohup_a_lost_terminal_is_ignored(create_run):
    run, sent = create_run("a", 20, "--seconds=0.02"), []

    def hang_up():
        if not sent and read_steps(run):
            sent.append(os.kill(os.getpid(), signal.SIGHUP))

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        local_queue.run_queue([run], [os.environ], Notes(hang_up))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert sent and read_record(run.workdir).state == "finished"


def test_a_queue_that_cannot_go_on_leaves_no_run_behind(create_run):
    run = create_run("a", 9999, "--seconds=0.02")

    def fail():
        if read_steps(run):
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        local_queue.run_queue([run], [os.environ], Notes(fail))
    # The run was asked to stop; it lets go of its log when it has.
    with open(os.path.join(run.workdir, "log.txt")) as file:
        done = threading.Event()
        for _ in range(500):
            file.seek(0)
            if "after 1 signal" in file.read():
                return
            done.wait(0.01)
    raise AssertionError("the run goes on")


def test_a_run_that_is_still_at_work_is_not_started_again(create_run):
    idle, busy, new = (create_run(name) for name in ("idle", "busy", "new"))
    os.makedirs(idle.workdir)
    with (
        hold_folder(busy.workdir),
        pytest.raises(UserError, match=r"busy: another process .* is at work here"),
    ):
        local_queue.check_idle([idle, new, busy])
    local_queue.check_idle([idle, new, busy])
    assert not os.path.exists(new.workdir)


@pytest.fixture(name="pretend_gpus")
def _pretend_gpus(tmp_path, monkeypatch):
    """Return a function that puts an nvidia-smi of so many GPUs first in the path."""

    def pretend(num_gpus):
        program = tmp_path / "nvidia-smi"
        program.write_text("#!/bin/sh\n" + "".join(f"echo {index}\n" for index in range(num_gpus)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return pretend


def test_each_run_gets_a_gpu_of_its_own(pretend_gpus):
    pretend_gpus(3)
    workers = local_queue.create_workers(None, {"HOME": "/x"})
    assert workers == [{"HOME": "/x", "CUDA_VISIBLE_DEVICES": gpu} for gpu in "012"]
    assert len(local_queue.create_workers(2, {})) == 2


def test_more_runs_than_gpus_are_refused(pretend_gpus):
    pretend_gpus(2)
    with pytest.raises(UserError, match=r"--num_workers=3: there are 2 GPUs"):
        local_queue.create_workers(3, {})


@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        ({"CUDA_VISIBLE_DEVICES": "3,GPU-1a"}, ["3", "GPU-1a"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ["0"]),
        ({"JAX_PLATFORMS": "cpu"}, []),
        ({}, ["0", "1"]),
    ],
)
def test_the_environment_chooses_among_the_gpus(pretend_gpus, environment, gpus):
    pretend_gpus(2)
    assert local_queue.find_gpus(environment) == gpus


def test_without_gpus_as_many_run_as_are_asked_for():
    environment = {"JAX_PLATFORMS": "cpu"}
    assert local_queue.create_workers(None, environment) == [environment]
    assert local_queue.create_workers(4, environment) == [environment] * 4
