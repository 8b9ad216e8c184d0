"""Owns the options of a benchmark, and the list of cases that they ask for.

Does not run anything (`runner.py`).
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from fpgan_jax.benchmarking import cases, gpu_compilation, peer_worker
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.errors import UserError
from fpgan_jax.synthesis.sharded import IMAGES_PER_CALL

PROCESS_CASES = ("start_up", "weak_scaling", "cpu_parity")
# The input cases come right after the step that they feed, so that it is compiled once.
CASE_NAMES = (
    *("generator_inference", *cases.SYNTHESIS_CASES, "discriminator", "gan_step", *cases.INPUT_CASES),
    *("xception_inference", "xception_step", *PROCESS_CASES),
)
_DTYPES = ("float32", "bfloat16")
_GOALS = (
    Case("gan_step", 256, 64, 1, "float32"),
    Case("gan_step", 128, 32, 8, "float32"),
    Case("xception_step", 128, 0, 8, "float32"),
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a benchmark; the flags of `launch.benchmark`.

    Attributes:
      cases: names from `CASE_NAMES`. Empty: all but `PROCESS_CASES`; with `smallest`, all.
      sizes: image sizes, pixels.
      widths: features of the first layer of both networks.
      batch_sizes: images per step; synthesis has a fixed batch size.
      dtypes: "float32", "bfloat16".
      peers: time PyTorch in turn with our programs.
      peer_variants: from `peer_worker.VARIANTS`. Empty: "eager" on a CPU, both on a GPU.
      min_seconds: minimum time per contestant, over all rounds.
      min_repeats: minimum number of samples per contestant, over all rounds.
      rounds: turns per contestant.
      max_seconds: after so many seconds no further case and no further round starts. None: no limit.
      profile: number of kernels to name in the row of each program, by time; 0 traces nothing.
      out: JSON-lines file to append rows to. The tables of this run go beside it as Markdown. Both are written after
        every row. Ceilings of this machine that are in the file are not measured again. None writes nothing.
      steps_per_dispatch: training steps per call; times in rows are per step.
      smallest: run everything at its smallest, without compiler optimizations; the times mean nothing. Ignores all
        lists except `cases`, and all durations.
      goals: time the three cases in which to beat PyTorch on a CPU; sets `peers` and ignores the lists above.
      compile_for: one of `gpu_compilation.GPUS`: count the kernels that XLA makes for that GPU instead of timing.
    """

    cases: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (128, 256)
    widths: tuple[int, ...] = (64,)
    batch_sizes: tuple[int, ...] = (1, 8, 64)
    dtypes: tuple[str, ...] = _DTYPES
    peers: bool = False
    peer_variants: tuple[str, ...] = ()
    min_seconds: float = 3.0
    min_repeats: int = 10
    rounds: int = 3
    max_seconds: float | None = None
    profile: int = 0
    out: str | None = None
    steps_per_dispatch: int = 1
    smallest: bool = False
    goals: bool = False
    compile_for: str | None = None


def parse_options(values: Mapping[str, Any]) -> Options:
    """Convert flags to options.

    Args:
      values: flag name -> value; a list is a list of strings. Other flags are ignored.

    Raises:
      UserError: a list of numbers holds something else.
    """
    fields = {field.name: values[field.name] for field in dataclasses.fields(Options)}
    for name in ("cases", "dtypes", "peer_variants"):
        fields[name] = tuple(text.strip() for text in fields[name] if text.strip())
    for name in ("sizes", "widths", "batch_sizes"):
        fields[name] = tuple(_parse_number(name, text) for text in fields[name] if text.strip())
    return Options(**fields)


def _parse_number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UserError(f"--{name}: {text!r} is not an integer") from error


def list_cases(options: Options) -> list[Case]:
    """List the cases to time, each once, without those of `PROCESS_CASES`.

    Raises:
      UserError: an option is not valid.
    """
    options = complete_options(options)
    names = [name for name in CASE_NAMES if name in options.cases and name not in PROCESS_CASES]
    if options.goals:
        return list(_GOALS)
    if options.smallest:
        return [
            Case(name, 71, 0, 1, "float32") if _is_xception(name) else Case(name, 16, 2, 1, "float32")
            for name in names
        ]
    found = [
        Case(name, size, 0 if _is_xception(name) else width, _choose_batch_size(name, batch_size), dtype)
        for size in options.sizes
        for width in options.widths
        for batch_size in options.batch_sizes
        for dtype in options.dtypes
        for name in names
    ]
    return list(dict.fromkeys(found))


def _choose_batch_size(name: str, batch_size: int) -> int:
    return IMAGES_PER_CALL if name in cases.SYNTHESIS_CASES else batch_size


def _is_xception(name: str) -> bool:
    return name.startswith("xception")


def complete_options(options: Options) -> Options:
    """Check the options and fill in the defaults that depend on other options.

    Raises:
      UserError: an option is not valid.
    """
    names = tuple(name for name in CASE_NAMES if options.smallest or name not in PROCESS_CASES)
    if options.compile_for:
        names = cases.PROGRAM_CASES
    options = dataclasses.replace(options, cases=options.cases or names, peers=options.peers or options.goals)
    _check_options(options)
    return options


def _check_options(options: Options) -> None:
    choices = {
        "cases": cases.PROGRAM_CASES if options.compile_for else CASE_NAMES,
        "dtypes": _DTYPES,
        "peer_variants": peer_worker.VARIANTS,
    }
    for name, allowed in choices.items():
        for value in getattr(options, name) or ():
            if value not in allowed:
                raise UserError(f"--{name}: {value!r} is not one of {', '.join(allowed)}")
    if options.compile_for and options.compile_for not in gpu_compilation.GPUS:
        known = ", ".join(gpu_compilation.GPUS)
        raise UserError(f"--compile_for={options.compile_for}: unknown GPU; use one of {known}")
    if options.compile_for and options.peers:
        raise UserError(
            "--compile_for: cannot be combined with --peers or --goals; it counts kernels and times nothing"
        )
    for name in ("sizes", "widths", "batch_sizes"):
        if any(value < 1 for value in getattr(options, name)):
            raise UserError(f"--{name}: every number must be at least 1")
    for name in ("sizes", "widths", "batch_sizes", "dtypes"):
        if not getattr(options, name):
            raise UserError(f"--{name}: is empty")
    if options.goals and options.smallest:
        raise UserError("--goals, --smallest: choose one of the two")
    if options.out and pathlib.Path(options.out).suffix == ".md":
        raise UserError(f"--out={options.out}: names the JSON-lines file; the Markdown file goes beside it")
