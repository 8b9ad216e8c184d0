"""Owns the check on a GPU: its list of steps, and running them within a time limit.

Each step runs a launch script. `gpu_check_report.py` keeps and shows the results.
"""

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from ml_collections import ConfigDict

from fpgan_jax.benchmarking import cases, gpu_check_report, worker_process
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.errors import UserError
from fpgan_jax.host.cores import count_cores

_ROOT = pathlib.Path(__file__).parents[2]
_CASES = (
    (Case("gan_step", 256, 64, 1, "float32"),),
    (Case("gan_step", 256, 64, 64, "bfloat16"), Case("generator_inference", 256, 64, 64, "bfloat16")),
    (Case("xception_step", 256, 0, 64, "bfloat16"), Case("xception_inference", 256, 0, 64, "bfloat16")),
)
# A training that is asked to stop has this long to save before it is killed.
_GRACE_SECONDS = 15
# Fraction of the limit of a step after which its benchmark starts no further case, so that the last one can finish.
_BENCHMARK_SHARE = 0.8
# A rehearsal on a CPU is slow.
_TINY_TIME_FACTOR = 10


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of `launch.gpu_check`, whose help describes them."""

    workdir: str
    out_dir: str | None = None
    max_seconds: float = 520.0
    only: tuple[str, ...] = ()
    tiny: bool = False
    prints_dir: str = ".gpu"


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the check: `commands` are arguments of Python, one process after the other.

    Attributes:
      limit: seconds for all commands.
      minimum: the step does not start with fewer seconds left.
      is_timed: whether nothing else may use the machine meanwhile.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    limit: float
    minimum: float
    is_timed: bool = True


def list_steps(options: Options, *, has_torch: bool) -> list[Step]:
    """List the steps, the most important first."""
    tiny = options.tiny
    rows = f"--out={gpu_check_report.locate_results(options.workdir) / gpu_check_report.BENCHMARK_FILE}"
    length = ["--rounds=3", "--min_repeats=9", "--min_seconds=1.5"]
    if tiny:
        length = ["--rounds=1", "--min_repeats=2", "--min_seconds=0"]
        length += [f"--config.classifier.{name}={value}" for name, value in cases.SMALLEST_CLASSIFIER.items()]
    profile = ["--profile=3"] if tiny else ["--profile=20"]
    groups = _list_cases(tiny)
    step_1, batch_64, xception = map(_flag_cases, groups)

    def benchmark(*flags: str) -> tuple[tuple[str, ...], ...]:
        return (("-m", "launch.benchmark", *flags, *length, rows),)

    parity = benchmark("--cases=cpu_parity", *(["--smallest"] if tiny else []))
    drawing = dataclasses.replace(groups[0][0], name="synthesis", dtype="float32,bfloat16")
    synthesis = benchmark(*_flag_cases([drawing]))
    # PyTorch takes up to a minute to compile a program; our steps do not wait for it.
    ours = [
        Step("parity", parity, 150, 40, is_timed=False),
        Step("step_batch_1", benchmark(*step_1, *profile), 100, 40),
        Step("batch_64", benchmark(*batch_64, *profile), 150, 40),
        Step("paper", (_reproduce_paper(options),), 400, 60),
        Step("synthesis", (*synthesis, _synthesize(options)), 180, 40),
        Step("step_batch_1_in_8", benchmark(*step_1, "--steps_per_dispatch=8"), 100, 40),
        Step("xception", benchmark(*xception, *profile), 150, 40),
    ]
    if not has_torch:
        return ours
    peers = ["--peers", "--peer_variants=eager,compile"]
    return [
        *ours,
        Step("peers_batch_1", benchmark(*step_1, *peers), 150, 60),
        Step("peers_batch_64", benchmark(*batch_64, *peers), 300, 90),
        Step("peers_xception", benchmark(*xception, *peers), 300, 90),
    ]


def _list_cases(tiny: bool) -> list[list[Case]]:
    """List the cases that are timed together: the step at batch size 1, the GAN at 64, Xception."""
    return [[case.shrink(min(case.batch_size, 2)) if tiny else case for case in group] for group in _CASES]


def _flag_cases(group: Sequence[Case]) -> list[str]:
    """Format cases that differ only in name as flags of `launch.benchmark`."""
    first = group[0]
    return [
        f"--cases={','.join(case.name for case in group)}",
        f"--sizes={first.image_size}",
        *([f"--widths={first.num_features}"] if first.num_features else []),
        f"--batch_sizes={first.batch_size}",
        f"--dtypes={first.dtype}",
    ]


def _locate_paper(options: Options) -> pathlib.Path:
    return pathlib.Path(options.workdir).absolute() / "paper"


def _reproduce_paper(options: Options) -> tuple[str, ...]:
    config, prints, dispatch = (
        ("test_size", "prints_128", 2) if options.tiny else ("paper_p50", "prints_256", 10)
    )
    overrides = {
        "data.source": "npz",
        "data.npz_file": pathlib.Path(options.prints_dir).absolute() / f"{prints}.npz",
        "data.feeding": "device",
        "steps_per_dispatch": dispatch,
        "classifier.steps_per_dispatch": dispatch,
    }
    return (
        *("-m", "launch.reproduce_sets", f"--configs=configs/{config}.py"),
        *(f"--override={name}={value}" for name, value in overrides.items()),
        f"--workdir={_locate_paper(options)}",
    )


def _synthesize(options: Options) -> tuple[str, ...]:
    set_name, num_images = ("test_size", 32) if options.tiny else ("p50", 20_000)
    paper = _locate_paper(options)
    return (
        *("-m", "launch.synthesize", f"--gan_workdir={paper / set_name / 'gan'}"),
        # A new folder, because an existing one would be completed instead of timed.
        *(f"--num_images={num_images}", f"--out_dir={paper / f'images_{time.time_ns()}'}"),
    )


def run_check(config: ConfigDict, options: Options) -> str:
    """Run the steps that are not done, while there is time, and return the report as Markdown.

    The results of a step are in the results folder when it ends, even if it was stopped. The next call repeats a step
    that ran out of time; it repeats a failed one only if `only` names it.

    Raises:
      UserError: JAX sees no GPU, a step in `only` does not exist, or `gpu_check.sh prepare` has not been run.
    """
    begin = time.monotonic()
    steps = list_steps(options, has_torch=importlib.util.find_spec("torch") is not None)
    machine = _check_machine(options, [step.name for step in steps])
    results = gpu_check_report.Results(options.workdir, options.out_dir, paper_dir=_locate_paper(options))
    results.write({"kind": "machine", "machine": machine, "driver": _ask_driver(), "is_tiny": options.tiny})
    deadline = begin + options.max_seconds
    for step in steps:
        if options.only and step.name not in options.only:
            continue
        status = results.read_status(step.name)
        if not options.only and (status == "done" or status.startswith("failed")):
            print(f"{step.name}: {status} before", flush=True)
            continue
        left = deadline - time.monotonic()
        if left < step.minimum:
            print(f"{step.name}: not begun, {max(left, 0):.0f} s are left", flush=True)
            continue
        limit = step.limit * (_TINY_TIME_FACTOR if options.tiny else 1)
        with contextlib.nullcontext() if step.is_timed else _compile_peers(config, options, results):
            _run_step(step, min(limit, left - _GRACE_SECONDS), results)
    return results.write_report()


def _check_machine(options: Options, known: Sequence[str]) -> dict[str, Any]:
    """Check the options against the known steps and the machine, and return the description of the machine."""
    for name in options.only:
        if name not in known:
            raise UserError(f"--only: no step {name!r}; use some of {', '.join(known)}")
    if not list(pathlib.Path(options.prints_dir).glob("prints_*.npz")):
        raise UserError(
            f"{options.prints_dir}: holds no prints; run bash launch/gpu_check.sh prepare, where there is a network"
        )
    machine = describe_machine()
    if machine["platform"] == "cpu" and not options.tiny:
        raise UserError("JAX sees no GPU here, and nothing was run; --tiny rehearses on a CPU")
    return machine


def describe_machine() -> dict[str, Any]:
    """Call `machine.describe_machine` in another process, so that this one does not hold the GPU.

    Raises:
      UserError: JAX cannot be imported or does not start.
    """
    try:
        return worker_process.ask_module("fpgan_jax.benchmarking.machine", None, {})
    except RuntimeError as error:
        raise UserError(f"JAX does not start here: {error}") from error


def _ask_driver() -> str | None:
    fields = "name,driver_version,memory.total,power.limit"
    query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        return subprocess.run(query, check=False, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return None


def _run_step(step: Step, limit: float, results: gpu_check_report.Results) -> None:
    begin = time.monotonic()
    for command in step.commands:
        command_begin, num_rows = time.monotonic(), len(results.read_benchmark_rows())
        left = limit - (command_begin - begin)
        if "launch.benchmark" in command:
            command = (*command, f"--max_seconds={_BENCHMARK_SHARE * left:.0f}")
        status = _run_command(command, left, results.log_path)
        new_rows = results.read_benchmark_rows()[num_rows:]
        if status == "done" and any(row.get("is_not_begun") for row in new_rows):
            status = "out of time"
        seconds = round(time.monotonic() - command_begin, 1)
        row = {"kind": "command", "step": step.name, "command": list(command)}
        results.write(row | {"status": status, "seconds": seconds})
        if status != "done":
            break
    seconds = round(time.monotonic() - begin, 1)
    results.write({"kind": "step", "step": step.name, "status": status, "seconds": seconds})
    print(f"{step.name}: {status}, {seconds:.0f} s", flush=True)
    results.write_report()


def _run_command(command: Sequence[str], limit: float, log_path: pathlib.Path) -> str:
    with open(log_path, "a") as log:
        log.write(f"\n=== python {' '.join(command)}\n")
        log.flush()
        with _start(command, log) as process:
            try:
                code = process.wait(max(limit, 0))
            except subprocess.TimeoutExpired:
                return "out of time"
    return "done" if code == 0 else f"failed with exit code {code}"


@contextlib.contextmanager
def _start(command: Sequence[str], log: IO[str], **options: Any) -> Iterator[subprocess.Popen]:
    """Start Python; at the end ask it to save and stop, then kill it with all processes that it started."""
    streams = {"stdout": log, "stderr": log, **options}
    process = subprocess.Popen([sys.executable, *command], cwd=_ROOT, process_group=0, **streams)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _compile_peers(config: ConfigDict, options: Options, results: gpu_check_report.Results) -> Iterator[None]:
    """Let PyTorch fill its cache of compiled programs during a step that is not timed."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    requests = describe_peer_requests(config, options.tiny)
    worker = ["-m", "fpgan_jax.benchmarking.peer_worker"]
    with open(results.log_path, "a") as log, _start(worker, log, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        # Fits into the buffer of the pipe, so this does not wait.
        process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
        process.stdin.close()
        yield


def describe_peer_requests(config: ConfigDict, tiny: bool) -> list[dict[str, Any]]:
    """Create the requests with which `peer_worker` compiles the programs of all steps, in their order."""
    config = config.copy_and_resolve_references()
    if tiny:
        config.classifier.update(cases.SMALLEST_CLASSIFIER)
    requests: list[dict[str, Any]] = [
        {"command": "start", "device": "cpu" if tiny else "cuda", "num_threads": count_cores()}
    ]
    for case in itertools.chain.from_iterable(_list_cases(tiny)):
        program = cases.describe_program(case, cases.create_config(config, case))
        requests.append({"command": "build", "variant": "compile", "program": program})
    return requests
