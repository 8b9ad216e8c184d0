"""Owns the check on a GPU: its list of steps, and running them within a time limit.

Does not measure: each step runs a launch script. `gpu_check_report.py` keeps and shows the results.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.benchmarking import cases, gpu_check_report, peer_worker
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.errors import UserError
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS

_ROOT = pathlib.Path(__file__).parents[2]
_STEP_BATCH_1 = Case("gan_step", 256, 64, 1, "float32")
_BATCH_64 = (
    Case("gan_step", 256, 64, 64, "bfloat16"),
    Case("generator_inference", 256, 64, 64, "bfloat16"),
)
_XCEPTION = (
    Case("xception_step", 256, 0, 64, "bfloat16"),
    Case("xception_inference", 256, 0, 64, "bfloat16"),
)
# A training that is asked to stop has so long to save before it is killed.
_GRACE_SECONDS = 15
# Fraction of the limit of a step after which its benchmark starts no further case, so that the last one can finish.
_BENCHMARK_SHARE = 0.8
# A rehearsal on a CPU is slow.
_TINY_TIME_FACTOR = 10


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the check.

    Attributes:
      workdir: folder for the results, the trained networks and PyTorch's compiled programs. The check resumes there.
      out_dir: folder for a copy of the results after every step; None copies nothing.
      max_seconds: limit for all steps of this call.
      only: names of steps to run even if they are done. Empty: all steps that are not done.
      tiny: rehearse on a CPU; the times mean nothing.
      prints_dir: folder of the prints from `gpu_check.sh prepare`.
    """

    workdir: str
    out_dir: str | None = None
    max_seconds: float = 520.0
    only: tuple[str, ...] = ()
    tiny: bool = False
    prints_dir: str = ".gpu"


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the check.

    Attributes:
      name: unique name.
      commands: arguments of Python, one process after the other.
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
    """List the steps, the most important first.

    Args:
      options: the options.
      has_torch: whether PyTorch is installed and timed too.
    """
    tiny = options.tiny
    rows = f"--out={gpu_check_report.locate_results(options.workdir) / gpu_check_report.BENCHMARK_FILE}"
    length = ["--rounds=3", "--min_repeats=9", "--min_seconds=1.5"]
    if tiny:
        length = ["--rounds=1", "--min_repeats=2", "--min_seconds=0"]
        length += ["--config.classifier.width=0.05", "--config.classifier.num_middle_blocks=0"]
    profile = ["--profile=3"] if tiny else ["--profile=20"]
    step_1, batch_64, xception = (
        _flag_cases(*programs, tiny=tiny) for programs in ((_STEP_BATCH_1,), _BATCH_64, _XCEPTION)
    )

    def benchmark(*flags: str) -> tuple[tuple[str, ...], ...]:
        return (("-m", "launch.benchmark", *flags, *length, rows),)

    parity = benchmark("--cases=cpu_parity", *(["--smallest"] if tiny else []))
    drawing = dataclasses.replace(_STEP_BATCH_1, name="synthesis", dtype="float32,bfloat16")
    synthesis = benchmark(*_flag_cases(drawing, tiny=tiny))
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


def _shrink(case: Case) -> Case:
    size, num_features = (71, 0) if case.name.startswith("xception") else (16, 2)
    batch_size = min(case.batch_size, 2)
    return dataclasses.replace(case, image_size=size, num_features=num_features, batch_size=batch_size)


def _flag_cases(*all_cases: Case, tiny: bool) -> list[str]:
    """Format cases that differ only in name as flags of `launch.benchmark`."""
    first = _shrink(all_cases[0]) if tiny else all_cases[0]
    return [
        f"--cases={','.join(case.name for case in all_cases)}",
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
    """Run the steps that are not done, while there is time.

    The results of a step are in the results folder when it ends, even if it was stopped. The next call repeats a step
    that ran out of time; it repeats a failed one only if `only` names it.

    Args:
      config: for every field that a case does not set, for PyTorch's side.
      options: the options.

    Returns:
      The report, as Markdown.

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
    """Call `report.describe_machine` in another process, so that this one does not hold the GPU.

    Raises:
      UserError: JAX cannot be imported or does not start.
    """
    program = (
        "import json\nfrom fpgan_jax.benchmarking import report\nprint(json.dumps(report.describe_machine()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=_ROOT
    )
    if result.returncode:
        raise UserError(f"JAX does not start here: {(result.stderr.splitlines() or ['no message'])[-1]}")
    return json.loads(result.stdout.splitlines()[-1])


def _ask_driver() -> str | None:
    query = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total,power.limit",
        "--format=csv,noheader",
    ]
    try:
        return subprocess.run(query, check=False, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return None


def _run_step(step: Step, limit: float, results: gpu_check_report.Results) -> None:
    begin = time.monotonic()
    for command in step.commands:
        command_begin, num_rows = time.monotonic(), results.count_benchmark_rows()
        left = limit - (command_begin - begin)
        if "launch.benchmark" in command:
            command = (*command, f"--max_seconds={_BENCHMARK_SHARE * left:.0f}")
        status = _run_command(command, left, results.log_path)
        if status == "done" and results.has_case_not_begun(num_rows):
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
        # In a new process group, so that the processes which it starts end with it.
        process = subprocess.Popen(
            [sys.executable, *command], cwd=_ROOT, stdout=log, stderr=log, process_group=0
        )
        try:
            code = process.wait(max(limit, 0))
        except subprocess.TimeoutExpired:
            return "out of time"
        finally:
            _end(process)
    return "done" if code == 0 else f"failed with exit code {code}"


def _end(process: subprocess.Popen) -> None:
    """Ask a process to save and end, then kill its whole group."""
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
    with open(results.log_path, "a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fpgan_jax.benchmarking.peer_worker"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            cwd=_ROOT,
            process_group=0,
        )
        assert process.stdin is not None
        # Fits into the buffer of the pipe, so this does not wait.
        process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
        process.stdin.close()
        try:
            yield
        finally:
            _end(process)


def describe_peer_requests(config: ConfigDict, tiny: bool) -> list[dict[str, Any]]:
    """Create the requests with which `peer_worker` compiles the programs of all steps, in their order.

    Args:
      config: for every field that a case does not set.
      tiny: use the sizes of a rehearsal.
    """
    config = config.copy_and_resolve_references()
    if tiny:
        config.classifier.update({"width": 0.05, "num_middle_blocks": 0})
    requests: list[dict[str, Any]] = [
        {"command": "start", "device": "cpu" if tiny else "cuda", "num_threads": parallel.count_cores()}
    ]
    for case in (_STEP_BATCH_1, *_BATCH_64, *_XCEPTION):
        of_case = cases.create_config(config, _shrink(case) if tiny else case)
        strided = NUM_STRIDED_CONVS[of_case.discriminator.receptive_field]
        program = peer_worker.describe_program(case.name, of_case, num_strided=strided, dtype=case.dtype)
        requests.append({"command": "build", "variant": "compile", "program": program})
    return requests
