"""Owns the times of a program's kernels: a trace of a few calls, summed by kernel."""

import collections
import dataclasses
import heapq
import pathlib
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any

import jax

from fpgan_jax.benchmarking.compilation import CompiledProgram


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of one kernel; `operation` is XLA's name, times are in nanoseconds from an arbitrary origin."""

    name: str
    operation: str
    start: float
    duration: float


def trace_kernels(compiled: CompiledProgram, number: int, *, num_calls: int) -> dict[str, Any]:
    """Trace calls of a program that has run before, and sum up its kernels.

    Returns:
      The entries of `sum_runs`, and "us_per_step": duration of a traced step, microseconds.
    """
    options = jax.profiler.ProfileOptions()
    # Recording Python and most of the host would delay the start of kernels.
    options.python_tracer_level, options.host_tracer_level = 0, 1 if jax.default_backend() != "cpu" else 2
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            begin = time.perf_counter()
            for _ in range(num_calls):
                result = compiled.call()
            jax.block_until_ready(result)
            seconds = time.perf_counter() - begin
        (path,) = pathlib.Path(folder).glob("**/*.xplane.pb")
        threads = _read_threads(jax.profiler.ProfileData.from_file(str(path)).planes)
    num_steps = num_calls * compiled.program.num_steps
    return {"us_per_step": 1e6 * seconds / num_steps} | sum_runs(threads, number, num_steps)


def _read_threads(planes: Iterable[Any]) -> list[list[Run]]:
    """Read the runs of each thread of the CPU; if there are GPUs, each run on a GPU as a thread of its own.

    On a GPU no kernel runs inside another one, but kernels of a CUDA graph can overlap.
    """
    planes = list(planes)
    gpus = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    lines = [line for plane in gpus or planes for line in plane.lines]
    threads: list[list[Run]] = []
    for line in lines:
        # The other lines of a GPU repeat its streams, grouped by module or by operation.
        if gpus and not line.name.startswith("Stream"):
            continue
        runs = []
        for event in line.events:
            operation = dict(event.stats).get("hlo_op") or (event.name if gpus else None)
            if operation is not None:
                runs.append(Run(event.name, str(operation), event.start_ns, event.duration_ns))
        threads += [[run] for run in runs] if gpus else [runs]
    return threads


def sum_runs(threads: Sequence[Sequence[Run]], number: int, num_steps: int) -> dict[str, Any]:
    """Sum up the runs of each thread by kernel, and name up to `number` kernels.

    The time of a run inside another one of its thread, such as the body of a loop on a CPU, is subtracted from the
    outer run.

    Returns:
      "busy_us_per_step": microseconds per step in which at least one kernel ran; "kernels_per_step"; "largest": the
      kernels with the most time, each with "kernel", "operation", "us_per_step", "percent" of the time of all kernels
      and "runs_per_step".
    """
    nanoseconds: dict[tuple[str, str], float] = collections.defaultdict(float)
    count: collections.Counter[tuple[str, str]] = collections.Counter()
    for runs in threads:
        for run, own in _list_own_times(runs):
            nanoseconds[run.name, run.operation] += own
            count[run.name, run.operation] += 1
    total = sum(nanoseconds.values()) or 1
    largest = heapq.nlargest(number, nanoseconds.items(), key=lambda item: item[1])
    return {
        "busy_us_per_step": _measure_busy(run for runs in threads for run in runs) / 1e3 / num_steps,
        "kernels_per_step": count.total() / num_steps,
        "largest": [
            {
                "kernel": name,
                "operation": operation,
                "us_per_step": own / 1e3 / num_steps,
                "percent": 100 * own / total,
                "runs_per_step": count[name, operation] / num_steps,
            }
            for (name, operation), own in largest
        ],
    }


def _list_own_times(runs: Sequence[Run]) -> list[tuple[Run, float]]:
    own: dict[int, float] = {}
    open_runs: list[Run] = []  # those that have not ended, the innermost last
    runs = sorted(runs, key=lambda run: (run.start, -run.duration))
    for run in runs:
        while open_runs and run.start >= open_runs[-1].start + open_runs[-1].duration:
            open_runs.pop()
        if open_runs:
            own[id(open_runs[-1])] -= run.duration
        own[id(run)] = run.duration
        open_runs.append(run)
    return [(run, own[id(run)]) for run in runs]


def _measure_busy(runs: Iterable[Run]) -> float:
    busy, end = 0.0, float("-inf")
    for run in sorted(runs, key=lambda run: run.start):
        run_end = run.start + run.duration
        busy += max(0.0, run_end - max(run.start, end))
        end = max(end, run_end)
    return busy
