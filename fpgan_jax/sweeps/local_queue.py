"""Owns running a sweep on this machine: so many runs at a time, each a process of its own, the rest in a queue.

Does not own how a run's process is recorded (`runs.py`) or shown (`overview.py`).
"""

import collections
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

from fpgan_jax.config.identity import hash_config
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.host.signals import StopRequest
from fpgan_jax.sweeps.overview import Overview
from fpgan_jax.sweeps.runs import Attempt, Run

_POLL_SECONDS = 0.2


def find_gpus(environment: Mapping[str, str]) -> list[str]:
    """List this machine's NVIDIA GPUs, without taking hold of one.

    Args:
      environment: in which CUDA_VISIBLE_DEVICES may choose some, and JAX_PLATFORMS the CPU instead.

    Returns:
      What CUDA_VISIBLE_DEVICES calls each.
    """
    if environment.get("JAX_PLATFORMS") == "cpu":
        return []
    if "CUDA_VISIBLE_DEVICES" in environment:
        names = environment["CUDA_VISIBLE_DEVICES"].split(",")
        # CUDA takes those before the first that is none, as -1 is.
        return list(itertools.takewhile(lambda name: name and not name.startswith(("-", "NoDev")), names))
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    return result.stdout.split() if result.returncode == 0 else []


def create_workers(num_workers: int | None, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Create the environments in which runs are started, one for each that may run at a time.

    Args:
      num_workers: how many; None is one a GPU, or one where there is none.
      environment: what they have in common.

    Returns:
      The environments, each with a GPU of its own if there are any.

    Raises:
      UserError: more are wanted than there are GPUs.
    """
    gpus = find_gpus(environment)
    num_workers = num_workers or len(gpus) or 1
    if not gpus:
        return [dict(environment)] * num_workers
    if num_workers > len(gpus):
        raise UserError(
            f"--num_workers={num_workers}: there are {len(gpus)} GPUs, and a run takes one; use at most {len(gpus)}"
        )
    return [{**environment, "CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:num_workers]]


def check_idle(runs: Sequence[Run]) -> None:
    """Check that nobody works in the folders of runs that are about to be started.

    Raises:
      UserError: a process of a sweep that was killed, or one started by hand, is still at work.
    """
    for run in runs:
        if os.path.isdir(run.workdir):
            with hold_folder(run.workdir):
                pass


def run_queue(
    runs: Sequence[Run],
    commands: Mapping[str, Sequence[str]],
    workers: Sequence[Mapping[str, str]],
    overview: Overview,
) -> bool:
    """Run all of these runs, as many at a time as there are workers.

    A signal to stop is passed on to the runs, which save and leave; no other is started then.

    Args:
      runs: in the order in which they are started.
      commands: a run's name -> what to run.
      workers: the environment of each worker.
      overview: is told of every start and end.

    Returns:
      Whether a signal asked to stop.
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
                    active[run.name] = (_start(run, commands[run.name], environment), environment)
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
            # A sweep that cannot go on, as on a full disk, leaves no run behind.
            _terminate(attempt for attempt, _ in active.values())
            raise
    return stop.signal_name is not None


def _start(run: Run, command: Sequence[str], environment: Mapping[str, str]) -> Attempt:
    # A session of its own: of a Ctrl-C it gets what this process passes on, once.
    return Attempt(
        run.workdir,
        command,
        hash_config(run.config),
        env=dict(environment),
        start_new_session=True,
    )


def _terminate(attempts: Iterator[Attempt]) -> None:
    for attempt in attempts:
        attempt.process.terminate()


@contextlib.contextmanager
def _note_signals() -> Iterator[StopRequest]:
    """Note signals to stop, and also that the terminal is gone, unless `nohup` wants that ignored."""
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
