"""Owns one run of a sweep: its process, and the record, progress and log in its folder.

The process that starts a run writes its record. If that process dies too, for example at a power cut, the record still
says "running". Imports little, because a Slurm job must handle signals soon after its start.
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
# "queued" is in Slurm's queue, "waiting" is not.
STATES = ("running", "queued", "waiting", "interrupted", "failed", "finished")

_TAIL_BYTES = 4096
_MAX_MESSAGE_LENGTH = 300


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep, with its config, those fields of it that the sweep overrides, and its command."""

    name: str  # name of its folder, from its overrides
    workdir: str  # path of its folder
    overrides: Mapping[str, Any]
    config: ConfigDict
    # Metrics file, relative to the workdir -> number of steps of the training that writes it.
    num_steps: Mapping[str, int]
    command: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Record:
    """The recorded state of a run."""

    state: str  # "running", "interrupted", "failed" or "finished"
    config_hash: str  # hash of the config of the last start
    started: float  # time of the last start, seconds since 1970
    seconds: float = 0.0  # duration over all starts whose end was recorded
    num_starts: int = 1
    message: str = ""  # why it failed or was interrupted; "" otherwise


def read_record(workdir: str) -> Record | None:
    """Read the record of a run; None if it is missing or not readable."""
    try:
        return Record(**read_json(os.path.join(workdir, RECORD_FILENAME)))
    except (OSError, ValueError, TypeError):
        return None


def find_state(run: Run) -> str:
    """Return the state of a run whose process is not known to be running, one of `STATES`.

    A run that finished with another config is waiting again. Only fields that a finished experiment may change, such
    as those of config.evaluation, can differ; the run then repeats what depends on them.
    """
    record = read_record(run.workdir)
    if record is None or record.config_hash != hash_config(run.config):
        return "waiting"
    return "interrupted" if record.state == "running" else record.state


class Attempt:
    """One start of a run: its process, and the record of its start and end.

    Attributes:
      process: the process; its output is appended to the log of the run.
    """

    def __init__(self, workdir: str, command: Sequence[str], config_hash: str, **options: Any):
        """Start the process with the `options` of `subprocess.Popen`, record it, and create the folder if missing."""
        self._workdir = workdir
        self._start = time.monotonic()
        before = read_record(workdir)
        seconds, num_starts = (before.seconds, before.num_starts + 1) if before else (0.0, 1)
        self._record = Record("running", config_hash, time.time(), seconds, num_starts)
        os.makedirs(workdir, exist_ok=True)
        with open(os.path.join(workdir, LOG_FILENAME), "a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(command)}\n")
            log.flush()
            self._write_record()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )

    def end(self) -> Record:
        """Wait for the end of the process, record and return it."""
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
        seconds = round(self._record.seconds + time.monotonic() - self._start, 1)
        self._record = dataclasses.replace(self._record, state=state, seconds=seconds, message=message)
        self._write_record()
        return self._record

    def _write_record(self) -> None:
        with write_whole(os.path.join(self._workdir, RECORD_FILENAME)) as file:
            file.write(f"{json.dumps(dataclasses.asdict(self._record), indent=2)}\n")


def read_last_line(workdir: str) -> str:
    """Return the last line of a run's log that is not blank, without control characters."""
    text = _read_tail(os.path.join(workdir, LOG_FILENAME))
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    line = "".join(character for character in lines[-1] if character.isprintable()) if lines else ""
    return line.strip()[:_MAX_MESSAGE_LENGTH]


def read_steps(run: Run) -> int:
    """Return the number of logged steps over all trainings of a run; `sum(run.num_steps.values())` is the total."""
    return sum(
        min(_read_last_step(os.path.join(run.workdir, name)), total) for name, total in run.num_steps.items()
    )


def _read_last_step(path: str) -> int:
    # The last line may be incomplete, but the step before its first comma is valid.
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
    """Format the number of runs in each state, such as "3 finished, 1 failed"."""
    values = list(states.values())
    return ", ".join(f"{values.count(state)} {state}" for state in reversed(STATES) if state in values)
