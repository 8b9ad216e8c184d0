"""Owns running a sweep as a job array of Slurm, through submitit, and a job's way out and back in.

Does not own what a run is or how it is recorded. A job that must leave its node (its time is up, or it is pre-empted)
has its run save, and is put into the queue again; the run goes on from there.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from fpgan_jax.config.identity import hash_config
from fpgan_jax.errors import UserError
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole
from fpgan_jax.sweeps.runs import Attempt, Run

# In the sweep's folder: submitit's files, and which job is whose.
FOLDER = "slurm"
_JOBS_FILENAME = "jobs.json"
# A job may be put into the queue again as often as a long training needs.
_MAX_NUM_TIMEOUTS = 1000


@dataclasses.dataclass(frozen=True)
class Allocation:
    """What each job asks Slurm for.

    Attributes:
      minutes: its time limit; a run that needs more is put into the queue again.
      partition: None is the cluster's default.
      account: None is the user's default.
      gpus: of one node.
      cpus: of one node; None is the cluster's default.
      at_once: how many jobs of the array may run at a time.
      signal_seconds: how long before the time limit the run is asked to save and leave; at most half of the limit.
      others: further options of sbatch, as {"mem": "16G"}.
    """

    minutes: int = 60
    partition: str | None = None
    account: str | None = None
    gpus: int = 0
    cpus: int | None = None
    at_once: int = 256
    signal_seconds: int = 90
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Read options of sbatch, as "mem=16G" or "exclusive"."""
    parts = (option.partition("=") for option in options)
    return {name: value if is_value else True for name, is_value, value in parts}


class RunJob:
    """A run as a job; submitit calls it on the node, and `checkpoint` where the job must leave."""

    def __init__(self, workdir: str, command: Sequence[str], config_hash: str):
        """Args: as of `runs.Attempt`."""
        self._arguments = (workdir, command, config_hash)
        self._attempt: Attempt | None = None

    def __call__(self) -> None:
        """Run it.

        Raises:
          RuntimeError: it failed.
        """
        self._attempt = Attempt(*self._arguments, preexec_fn=_ignore_requeue_signal)
        _wait(self._attempt)
        record = self._attempt.end()
        if record.state == "interrupted" and _is_job_running():
            # Pre-empted: the run has had Slurm's SIGTERM. A job that was cancelled or requeued is not running any more.
            signal.raise_signal(_get_requeue_signal())
        if record.state != "finished":
            raise RuntimeError(f"{self._arguments[0]}: {record.state}: {record.message}")

    def checkpoint(self):
        """Have the run save and leave; return what submitit puts into the queue again."""
        from submitit.helpers import DelayedSubmission

        if self._attempt is not None and self._attempt.process.returncode is None:
            self._attempt.process.terminate()
            _wait(self._attempt)
            self._attempt.end()
        return DelayedSubmission(RunJob(*self._arguments))


def _ignore_requeue_signal() -> None:
    """Leave submitit's signal to the job, in the run's process: Slurm sends its signals to that too."""
    signal.signal(_get_requeue_signal(), signal.SIG_IGN)


def _wait(attempt: Attempt) -> None:
    """Wait for a process's end without a lock, since submitit's handler of signals waits for the same one."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, attempt.process.pid, os.WEXITED | os.WNOWAIT)


def _get_requeue_signal() -> signal.Signals:
    """Return the signal at which submitit puts a job into the queue again."""
    from submitit import JobEnvironment

    return signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]


def _is_job_running() -> bool:
    from submitit import JobEnvironment

    job_id = JobEnvironment().job_id
    return _ask_queue(f"--jobs={job_id}").get(job_id) == "RUNNING"


def submit(
    runs: Sequence[Run], commands: Mapping[str, Sequence[str]], workdir: str, allocation: Allocation
) -> dict[str, str]:
    """Submit runs as a job array.

    Args:
      runs: at least one.
      commands: a run's name -> what to run.
      workdir: the sweep's folder, which the nodes must see.
      allocation: what each job asks for.

    Returns:
      A run's name -> its job's id.

    Raises:
      UserError: submitit or Slurm is not here, or Slurm refuses the job.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError("--slurm: needs submitit; pip install -e .[slurm]") from error
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError("--slurm: no sbatch here; give the command on a machine that submits to Slurm")
    executor = submitit.SlurmExecutor(os.path.join(workdir, FOLDER), max_num_timeout=_MAX_NUM_TIMEOUTS)
    options = {
        "job_name": os.path.basename(os.path.abspath(workdir)),
        "time": allocation.minutes,
        "partition": allocation.partition,
        "account": allocation.account,
        "gpus_per_node": allocation.gpus or None,
        "cpus_per_task": allocation.cpus,
        "array_parallelism": allocation.at_once,
        "signal_delay_s": min(allocation.signal_seconds, 30 * allocation.minutes),
        # A cluster may be set up not to put jobs into the queue again unless they ask for it.
        "additional_parameters": {"requeue": True, **allocation.others},
    }
    executor.update_parameters(**{name: value for name, value in options.items() if value is not None})
    try:
        with executor.batch():
            jobs = [
                executor.submit(
                    RunJob(
                        os.path.abspath(run.workdir),
                        commands[run.name],
                        hash_config(run.config),
                    )
                )
                for run in runs
            ]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        lines = [line.removeprefix("sbatch: error: ") for line in str(error).splitlines() if line.strip()]
        raise UserError(f"--slurm: sbatch refuses the job: {'; '.join(lines)}") from error
    job_ids = {run.name: job.job_id for run, job in zip(runs, jobs, strict=True)}
    with write_whole(os.path.join(workdir, FOLDER, _JOBS_FILENAME)) as file:
        json.dump(_read_jobs(workdir) | job_ids, file, indent=2)
    return job_ids


def find_live_runs(workdir: str) -> dict[str, str]:
    """Ask Slurm for the jobs of a sweep that have not ended.

    Args:
      workdir: the sweep's folder.

    Returns:
      A run's name -> "queued" or "running"; empty where no job was submitted or no Slurm is at hand.

    Raises:
      UserError: Slurm does not answer.
    """
    jobs = _read_jobs(workdir)
    if not jobs or shutil.which("squeue") is None:
        return {}
    live = _ask_queue("--me")
    return {
        name: "running" if live[job_id] in ("RUNNING", "COMPLETING") else "queued"
        for name, job_id in jobs.items()
        if job_id in live
    }


def _read_jobs(workdir: str) -> dict[str, str]:
    try:
        return read_json(os.path.join(workdir, FOLDER, _JOBS_FILENAME))
    except (OSError, ValueError):
        return {}


def _ask_queue(which: str) -> dict[str, str]:
    """Return job id, as submitit writes it, -> state of the jobs in the queue."""
    command = ["squeue", "--noheader", "--array", "--format=%F_%K %T", which]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0 and "Invalid job id" not in result.stderr:
        raise UserError(f"--slurm: squeue does not answer: {result.stderr.strip()}")
    states = (line.split() for line in result.stdout.splitlines())
    return {job_id.removesuffix("_N/A"): state for job_id, state in states}
