"""Owns running a sweep on this machine: a fixed number of processes at a time, the other runs in a queue."""

import collections
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fpgan_jax.config.identity import hash_config
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.signals import StopRequest
from fpgan_jax.sweeps.overview import Overview
from fpgan_jax.sweeps.runs import Attempt, Run

_POLL_SECONDS = 0.2


def find_gpus(environment: Mapping[str, str]) -> list[str]:
    """List the GPUs for CUDA_VISIBLE_DEVICES: those that it names in `environment`, or those of nvidia-smi."""
    if environment.get("JAX_PLATFORMS") == "cpu":
        return []
    if "CUDA_VISIBLE_DEVICES" in environment:
        names = environment["CUDA_VISIBLE_DEVICES"].split(",")
        # CUDA ignores everything from the first invalid name on, such as -1.
        return list(itertools.takewhile(lambda name: name and not name.startswith(("-", "NoDev")), names))
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    return result.stdout.split() if result.returncode == 0 else []


def create_workers(num_workers: int | None, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Create the environment of each worker, with a GPU of its own if there are any; None: one worker per GPU, or one.

    Raises:
      UserError: there are fewer GPUs than workers.
    """
    gpus = find_gpus(environment)
    num_workers = num_workers or len(gpus) or 1
    if not gpus:
        return [dict(environment)] * num_workers
    if num_workers > len(gpus):
        raise UserError(
            f"--num_workers={num_workers}: there are {len(gpus)} GPUs, and each run uses one; use at most {len(gpus)}"
        )
    return [{**environment, "CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:num_workers]]


def check_idle(runs: Sequence[Run]) -> None:
    """Check that no process, such as one left by a killed sweep, works in the folders of the runs.

    Raises:
      UserError: a process does.
    """
    for run in runs:
        if os.path.isdir(run.workdir):
            with hold_folder(run.workdir):
                pass


def run_queue(runs: Sequence[Run], workers: Sequence[Mapping[str, str]], overview: Overview) -> None:
    """Run all runs in order, as many at a time as there are workers.

    A signal to stop is passed on to the active runs, which save and exit. No further run starts after it.
    """
    waiting = collections.deque(runs)
    free = list(reversed(workers))
    active: dict[str, tuple[Attempt, Mapping[str, str]]] = {}
    is_passed_on = False
    with _note_signals() as stop, overview:
        try:
            while active or (waiting and not stop.signal_name):
                while waiting and free and not stop.signal_name:
                    run, environment = waiting.popleft(), free.pop()
                    active[run.name] = (_start(run, environment), environment)
                    overview.note_start(run.name)
                if stop.signal_name and not is_passed_on:
                    _terminate(attempt for attempt, _ in active.values())
                    is_passed_on = True
                for name, (attempt, environment) in list(active.items()):
                    if attempt.process.poll() is not None:
                        overview.note_end(name, attempt.end())
                        del active[name]
                        free.append(environment)
                overview.refresh()
                time.sleep(_POLL_SECONDS)
        except BaseException:
            # A sweep that fails, for example on a full disk, leaves no process behind.
            _terminate(attempt for attempt, _ in active.values())
            raise


def _start(run: Run, environment: Mapping[str, str]) -> Attempt:
    # A new session: Ctrl-C reaches the run only once, when this process passes it on.
    options = {"env": dict(environment), "start_new_session": True}
    return Attempt(run.workdir, run.command, hash_config(run.config), **options)


def _terminate(attempts: Iterable[Attempt]) -> None:
    for attempt in attempts:
        attempt.process.terminate()


@contextlib.contextmanager
def _note_signals() -> Iterator[StopRequest]:
    """Note signals to stop, including a closed terminal unless `nohup` ignores it."""
    with StopRequest() as stop:
        before = signal.getsignal(signal.SIGHUP)
        if before is signal.SIG_IGN:
            yield stop
            return
        signal.signal(signal.SIGHUP, lambda *args: signal.raise_signal(signal.SIGTERM))
        try:
            yield stop
        finally:
            signal.signal(signal.SIGHUP, before)
