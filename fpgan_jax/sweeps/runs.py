"""Owns what a run of a sweep is, its process, and what its folder tells: how it went, how far it is, its log.

Does not decide which run is started (`sweep.py` does). A record is written by the process that started the run: a
run of which nobody saw the end, as when the machine is switched off, is known by a start without an end. Imports
little: a job of Slurm must know of signals soon after it has started.
"""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.identity import hash_config
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole

RECORD_FILENAME = "run.json"
LOG_FILENAME = "log.txt"
# "queued" has a place in Slurm's queue, "waiting" has none.
STATES = ("running", "queued", "waiting", "interrupted", "failed", "finished")

_TAIL_BYTES = 4096
_MAX_MESSAGE_LENGTH = 300


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
      name: of its folder, made of what it overrides.
      workdir: its folder.
      overrides: config field -> value.
      config: the whole config.
      num_steps: metrics file, relative to the workdir -> the steps of the training that writes it.
    """

    name: str
    workdir: str
    overrides: Mapping[str, Any]
    config: ConfigDict
    num_steps: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Record:
    """How a run went so far.

    Attributes:
      state: "running", "interrupted", "failed" or "finished".
      config_hash: of the config that it was started with.
      started: when it was last started, in seconds since 1970.
      seconds: how long it ran, over all its starts; a start whose end nobody saw counts nothing.
      num_starts: how often it was started.
      message: why it failed or was interrupted.
    """

    state: str
    config_hash: str
    started: float
    seconds: float = 0.0
    num_starts: int = 1
    message: str = ""


def read_record(workdir: str) -> Record | None:
    """Read a run's record; None if there is none, or no whole one."""
    try:
        return Record(**read_json(os.path.join(workdir, RECORD_FILENAME)))
    except (OSError, ValueError, TypeError):
        return None


def find_state(run: Run) -> str:
    """Say how a run stands that is not running as far as the caller knows.

    Args:
      run: the run.

    Returns:
      One of `STATES`. A run that finished with other values of fields that may change in a finished experiment,
      such as config.evaluation's, is waiting again; it will do again what they change.
    """
    record = read_record(run.workdir)
    if record is None or record.config_hash != hash_config(run.config):
        return "waiting"
    return "interrupted" if record.state == "running" else record.state


class Attempt:
    """A run's process, from its start to its end; both are recorded.

    Attributes:
      process: the process, whose output goes to the end of the run's log.
    """

    def __init__(self, workdir: str, command: Sequence[str], config_hash: str, **options):
        """Start the process.

        Args:
          workdir: the run's folder; made if missing.
          command: what to run.
          config_hash: of the run's config.
          options: further arguments of `subprocess.Popen`.

        Raises:
          OSError: the folder cannot be written to, or the command not be run.
        """
        self._workdir = workdir
        self._start = time.monotonic()
        before = read_record(workdir)
        self._record = Record(
            "running",
            config_hash,
            started=time.time(),
            seconds=before.seconds if before else 0.0,
            num_starts=before.num_starts + 1 if before else 1,
        )
        os.makedirs(workdir, exist_ok=True)
        with open(os.path.join(workdir, LOG_FILENAME), "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(command)}\n")
            log.flush()
            self._write(self._record)
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **options
            )

    def end(self) -> Record:
        """Record the end of the process, which must have ended."""
        code = self.process.wait()
        message = ""
        if code == 0:
            state = "finished"
        elif code in (os.EX_TEMPFAIL, -signal.SIGTERM):
            state, message = "interrupted", "stopped; goes on from what is saved"
        else:
            state = "failed"
            killed = f"killed by {signal.Signals(-code).name}: " if code < 0 else ""
            message = killed + (read_last_line(self._workdir) or f"exit code {code}")
        seconds = self._record.seconds + time.monotonic() - self._start
        self._record = dataclasses.replace(
            self._record, state=state, seconds=round(seconds, 1), message=message
        )
        self._write(self._record)
        return self._record

    def _write(self, record: Record) -> None:
        with write_whole(os.path.join(self._workdir, RECORD_FILENAME)) as file:
            json.dump(dataclasses.asdict(record), file, indent=2)
            file.write("\n")


def read_last_line(workdir: str) -> str:
    """Return the last line of a run's log that holds something, without what a terminal would obey."""
    text = _read_tail(os.path.join(workdir, LOG_FILENAME))
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    line = "".join(character for character in lines[-1] if character.isprintable()) if lines else ""
    return line.strip()[:_MAX_MESSAGE_LENGTH]


def read_steps(run: Run) -> int:
    """Return how many steps of its trainings a run has logged, of `sum(run.num_steps.values())`."""
    return sum(
        min(_read_last_step(os.path.join(run.workdir, name)), total) for name, total in run.num_steps.items()
    )


def _read_last_step(path: str) -> int:
    # The last line may be in the writing; what stands before its first comma is the step all the same.
    for line in reversed(_read_tail(path).splitlines()):
        step, comma, _ = line.partition(",")
        if comma and step.isdigit():
            return int(step)
    return 0


def _read_tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def count_states(states: Mapping[str, str]) -> str:
    """Say how many runs are in which state, as "3 finished, 1 failed"."""
    values = list(states.values())
    return ", ".join(f"{values.count(state)} {state}" for state in reversed(STATES) if state in values)
