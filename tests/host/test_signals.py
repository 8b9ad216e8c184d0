"""A signal to stop: the step under way is saved, and the run that goes on is the run that never stopped."""

import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from fpgan_jax import parallel
from fpgan_jax.errors import Interrupted, UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.signals import StopRequest
from fpgan_jax.training import gan_trainer, stop_agreement
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("shared_programs")


def train(workdir, **changes):
    config = tiny.create_config()
    config.update_from_flattened_dict(changes)
    return gan_trainer.train_and_evaluate(config, str(workdir), tiny.create_source(config))


@pytest.fixture(name="whole", scope="module")
def _whole(tmp_path_factory):
    """Train without a stop: (workdir, state). Six steps; logs every 2, checkpoints every 3."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(workdir)


@pytest.fixture(name="signal_at")
def _signal_at(monkeypatch):
    """Return a function that has this process signalled while a dispatch, counted from 1, runs."""

    def arrange(number, dispatch_number):
        create_dispatch, count = parallel.create_dispatch, [0]

        def create_signalling_dispatch(*args):
            dispatch = create_dispatch(*args)

            def run(*args):
                count[0] += 1
                if count[0] == dispatch_number:
                    os.kill(os.getpid(), number)
                return dispatch(*args)

            return run

        monkeypatch.setattr(parallel, "create_dispatch", create_signalling_dispatch)

    return arrange


def best_step(workdir):
    return restore_for_evaluation(str(workdir), (), "best")[0]


def read_results(workdir):
    names = ["metrics.csv", *(f"samples/epoch_000{epoch}.png" for epoch in (1, 2))]
    return {name: (workdir / name).read_bytes() for name in names}


# Without a row or checkpoint, with the checkpoint and samples that are due, with a row and an earlier checkpoint.
@pytest.mark.parametrize("step", [1, 3, 4])
@pytest.mark.seconds(10)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(whole, tmp_path, signal_at, step):
    signal_at(signal.SIGTERM, step)
    with pytest.raises(Interrupted, match=f"stopped by SIGTERM after step {step} of 6, which is saved"):
        train(tmp_path)
    assert int(max(os.listdir(tmp_path / "checkpoints"), key=int)) == step
    state = train(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state, whole[1])
    assert read_results(tmp_path) == read_results(whole[0])
    assert best_step(tmp_path) == best_step(whole[0])


@pytest.mark.seconds(10)
def test_a_stop_between_dispatches_of_several_steps_changes_nothing(tmp_path, signal_at):
    changes = {
        "steps_per_dispatch": 2,
        "log_every_steps": 6,
        "checkpoint_every_steps": 6,
        "sample_epochs": (),
    }
    expected = train(tmp_path / "whole", **changes)
    signal_at(signal.SIGUSR1, 1)
    with pytest.raises(Interrupted, match="SIGUSR1 after step 2 of 6"):
        train(tmp_path / "stopped", **changes)
    jax.tree.map(np.testing.assert_array_equal, train(tmp_path / "stopped", **changes), expected)


def test_a_signal_in_the_last_step_changes_nothing(whole, tmp_path, signal_at):
    signal_at(signal.SIGINT, 6)
    state = train(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state, whole[1])


def test_a_second_run_in_the_workdir_is_turned_away_and_changes_nothing(whole):
    workdir, _ = whole
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    with (
        hold_folder(str(workdir)),
        pytest.raises(UserError, match=f"{workdir}: another process .* is at work"),
    ):
        train(workdir)
    assert {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()} == before


def test_signals_do_afterwards_what_they_did_before():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    with StopRequest() as stop:
        assert signal.getsignal(signal.SIGTERM) not in before and stop.signal_name is None
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == before


def test_several_processes_ask_one_another_every_two_seconds(monkeypatch):
    stop, asked, clock = StopRequest(), [], [0.0]

    def compute_maximum(values):
        asked.append(clock[0])
        # Another process is slower than this one, and is signalled after ten seconds.
        return np.maximum(values, [clock[0] > 10, 0.5])

    monkeypatch.setattr(parallel, "is_single_process", lambda: False)
    monkeypatch.setattr(parallel, "compute_maximum", compute_maximum)
    monkeypatch.setattr(stop_agreement.time, "monotonic", lambda: clock[0])
    agreement, step = stop_agreement.StopAgreement(stop, 100), 100
    while step == 100 or not agreement.is_reached(step):
        step += 1
        clock[0] += 0.4
    # Four steps of half a second are two seconds; here they take 1.6.
    np.testing.assert_allclose(asked, 0.4 + 1.6 * np.arange(7))
    assert step == 125


# Trains the tiny GAN as one of two processes; nothing is logged or saved before the end.
ONE_OF_TWO = """
import sys
import jax
from fpgan_jax.errors import Interrupted
from fpgan_jax.training import stop_agreement
from tests.training import tiny

workdir, coordinator, index = sys.argv[1:]
jax.distributed.initialize(coordinator, 2, int(index))
stop_agreement._SECONDS_BETWEEN_QUESTIONS = 0.2
changes = {"num_epochs": 100, "sample_epochs": (5,), "log_every_steps": 1000, "checkpoint_every_steps": 0}
try:
    tiny.train_gan(workdir, **changes)
except Interrupted as interruption:
    print(interruption)
    sys.exit(75)
"""


def start_two(workdir):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", ONE_OF_TWO, str(workdir), coordinator, str(index)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for index in range(2)
    ]


def finish_two(processes):
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        # One that has failed leaves the other waiting for it.
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], outputs


def read_networks(workdir):
    step, trees, _ = restore_for_evaluation(str(workdir), ("generator", "discriminator", "training"))
    return step, [leaf.tobytes() for leaf in jax.tree.leaves(trees)]


@pytest.fixture(name="whole_of_two", scope="module")
def _whole_of_two(tmp_path_factory):
    """Train in two processes without a stop; return the workdir."""
    workdir = tmp_path_factory.mktemp("two") / "run[1]"
    codes, outputs = finish_two(start_two(workdir))
    assert codes == [0, 0], outputs
    return workdir


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_step(whole_of_two, tmp_path):
    processes = start_two(tmp_path)
    while not (tmp_path / "samples").exists() and processes[0].poll() is None:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)  # not the one that saves
    codes, outputs = finish_two(processes)
    assert codes == [75, 75], outputs
    (step,) = map(int, os.listdir(tmp_path / "checkpoints"))
    reasons = ["a signal to another process", "SIGTERM"]
    for output, reason in zip(outputs, reasons, strict=True):
        assert f"stopped by {reason} after step {step} of 300, which is saved" in output
    codes, outputs = finish_two(start_two(tmp_path))
    assert codes == [0, 0], outputs
    assert read_networks(tmp_path) == read_networks(whole_of_two)
    assert (tmp_path / "metrics.csv").read_bytes() == (whole_of_two / "metrics.csv").read_bytes()


def test_the_second_interrupt_of_a_notebook_does_what_it_did_before(monkeypatch):
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail(f"the process would have ended with {code}"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert stop.signal_name == "SIGINT"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_second_signal_to_a_script_leaves_at_once():
    program = (
        "import os, signal\n"
        "from fpgan_jax.host import signals\n"
        "signals.end_process_at_second_signal()\n"
        "with signals.StopRequest() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print(stop.signal_name, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (130, "SIGTERM\n")
    assert "SIGTERM: saving and stopping after this step; a second signal stops at once" in result.stderr
