"""Owns running a sweep as a Slurm job array, through submitit, and the requeueing of its jobs.

A job that must leave its node, because its time is up or it is preempted, lets its run save and is requeued. The run
then resumes.
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

# In the folder of the sweep, for submitit's files and the job id of each run.
_FOLDER = "slurm"
_JOBS_FILENAME = "jobs.json"
# How often a job may be requeued; enough for any training.
_MAX_NUM_TIMEOUTS = 1000


@dataclasses.dataclass(frozen=True)
class Allocation:
    """The resources of each job; None is the default of the cluster or the user."""

    minutes: int = 60  # time limit; a longer run is requeued
    partition: str | None = None
    account: str | None = None
    gpus: int = 0  # GPUs, on one node
    cpus: int | None = None  # CPU cores, on one node
    at_once: int = 256  # maximum number of jobs at a time
    # Time before the limit at which the run is asked to save and exit; at most half of the limit.
    signal_seconds: int = 90
    # Further options of sbatch, such as {"mem": "16G"}.
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Parse options of sbatch such as "mem=16G" or "exclusive"."""
    parts = (option.partition("=") for option in options)
    return {name: value if is_value else True for name, is_value, value in parts}


class RunJob:
    """A run as a job; submitit calls it on the node, and calls `checkpoint` before a requeue."""

    def __init__(self, workdir: str, command: Sequence[str], config_hash: str):
        """Take the arguments of `runs.Attempt`."""
        self._arguments = (workdir, command, config_hash)
        self._attempt: Attempt | None = None

    def __call__(self) -> None:
        """Run the process and wait for its end.

        Raises:
          RuntimeError: the run did not finish.
        """
        self._attempt = Attempt(*self._arguments, preexec_fn=_ignore_requeue_signal)
        _wait(self._attempt)
        record = self._attempt.end()
        if record.state == "interrupted" and _is_job_running():
            # Preempted: Slurm sent SIGTERM to the run. A canceled or requeued job would not be running anymore.
            signal.raise_signal(_get_requeue_signal())
        if record.state != "finished":
            raise RuntimeError(f"{self._arguments[0]}: {record.state}: {record.message}")

    def checkpoint(self) -> Any:
        """Let the run save and exit; return the submission that submitit requeues."""
        from submitit.helpers import DelayedSubmission

        if self._attempt is not None and self._attempt.process.returncode is None:
            self._attempt.process.terminate()
            _wait(self._attempt)
            self._attempt.end()
        return DelayedSubmission(RunJob(*self._arguments))


def _ignore_requeue_signal() -> None:
    """Ignore submitit's signal in the process of the run, which Slurm sends it to as well; the job handles it."""
    signal.signal(_get_requeue_signal(), signal.SIG_IGN)


def _wait(attempt: Attempt) -> None:
    """Wait for the end of a process without `Popen`'s lock, since submitit's signal handler waits for it too."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, attempt.process.pid, os.WEXITED | os.WNOWAIT)


def _get_requeue_signal() -> signal.Signals:
    """Return the signal that makes submitit requeue a job."""
    from submitit import JobEnvironment

    return signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]


def _is_job_running() -> bool:
    from submitit import JobEnvironment

    job_id = JobEnvironment().job_id
    return _ask_queue(f"--jobs={job_id}").get(job_id) == "RUNNING"


def submit(runs: Sequence[Run], workdir: str, allocation: Allocation) -> dict[str, str]:
    """Submit runs, at least one, as a job array; the nodes must share the folder of the sweep.

    Returns:
      Name of the run -> job id.

    Raises:
      UserError: submitit or Slurm is not installed, or Slurm refuses the job.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError("--slurm: needs submitit; pip install -e '.[slurm]'") from error
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError("--slurm: no sbatch here; run the command on a machine that submits to Slurm")
    executor = submitit.SlurmExecutor(os.path.join(workdir, _FOLDER), max_num_timeout=_MAX_NUM_TIMEOUTS)
    parameters = {
        "job_name": os.path.basename(os.path.abspath(workdir)),
        "time": allocation.minutes,
        "partition": allocation.partition,
        "account": allocation.account,
        "gpus_per_node": allocation.gpus or None,
        "cpus_per_task": allocation.cpus,
        "array_parallelism": allocation.at_once,
        "signal_delay_s": min(allocation.signal_seconds, 30 * allocation.minutes),
        # Some clusters requeue only the jobs that ask for it.
        "additional_parameters": {"requeue": True, **allocation.others},
    }
    executor.update_parameters(**{name: value for name, value in parameters.items() if value is not None})
    run_jobs = [RunJob(os.path.abspath(run.workdir), run.command, hash_config(run.config)) for run in runs]
    try:
        with executor.batch():
            jobs = [executor.submit(run_job) for run_job in run_jobs]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        lines = [line.removeprefix("sbatch: error: ") for line in str(error).splitlines() if line.strip()]
        raise UserError(f"--slurm: sbatch refuses the job: {'; '.join(lines)}") from error
    job_ids = {run.name: job.job_id for run, job in zip(runs, jobs, strict=True)}
    with write_whole(os.path.join(workdir, _FOLDER, _JOBS_FILENAME)) as file:
        json.dump(_read_jobs(workdir) | job_ids, file, indent=2)
    return job_ids


def find_live_runs(workdir: str) -> dict[str, str]:
    """Ask Slurm for the jobs of a sweep that have not ended.

    Returns:
      Name of the run -> "queued" or "running"; empty if no job was submitted or Slurm is not installed.

    Raises:
      UserError: Slurm does not answer.
    """
    jobs = _read_jobs(workdir)
    if not jobs or shutil.which("squeue") is None:
        return {}
    live = _ask_queue("--me")
    states = {name: live[job_id] for name, job_id in jobs.items() if job_id in live}
    return {name: "running" if s in ("RUNNING", "COMPLETING") else "queued" for name, s in states.items()}


def _read_jobs(workdir: str) -> dict[str, str]:
    try:
        return read_json(os.path.join(workdir, _FOLDER, _JOBS_FILENAME))
    except (OSError, ValueError):
        return {}


def _ask_queue(which: str) -> dict[str, str]:
    """Return job id (in submitit's format) -> state of the jobs in the queue."""
    command = ["squeue", "--noheader", "--array", "--format=%F_%K %T", which]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0 and "Invalid job id" not in result.stderr:
        raise UserError(f"--slurm: squeue does not answer: {result.stderr.strip()}")
    states = (line.split() for line in result.stdout.splitlines())
    return {job_id.removesuffix("_N/A"): state for job_id, state in states}
