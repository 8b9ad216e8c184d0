"""Owns the options of a benchmark, and the list of cases that they ask for."""

import dataclasses
import itertools
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
    *("generator_inference", "synthesis", "discriminator", "gan_step", *cases.INPUT_CASES),
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
    """The options of a benchmark: the flags of `launch.benchmark`, whose help describes them."""

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
    """Convert flag values, where a list is a list of strings, to options; other flags are ignored.

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
        return [Case(name, 0, 0, 0, "float32").shrink() for name in names]
    found = []
    lists = options.sizes, options.widths, options.batch_sizes, options.dtypes, names
    for size, width, batch_size, dtype, name in itertools.product(*lists):
        batch_size = IMAGES_PER_CALL if name == "synthesis" else batch_size
        case = Case(name, size, width, batch_size, dtype)
        found.append(dataclasses.replace(case, num_features=0) if case.is_xception else case)
    return list(dict.fromkeys(found))


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
    for name in ("sizes", "widths", "batch_sizes", "dtypes"):
        values = getattr(options, name)
        if not values:
            raise UserError(f"--{name}: is empty")
        if name != "dtypes" and min(values) < 1:
            raise UserError(f"--{name}: every number must be at least 1")
    if options.goals and options.smallest:
        raise UserError("--goals, --smallest: choose one of the two")
    if options.out and pathlib.Path(options.out).suffix == ".md":
        raise UserError(f"--out={options.out}: names the JSON-lines file; the Markdown file goes beside it")
