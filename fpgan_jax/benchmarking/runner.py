"""Owns a benchmark from its options to its rows and tables.

Does not own what is timed (`cases.py`, `inputs.py`, `startup.py`, `scaling.py`) nor how (`timing.py`).
"""

import contextlib
import dataclasses
import gc
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.benchmarking import (
    cases,
    ceilings,
    cpu_parity,
    gpu_compilation,
    inputs,
    kernel_times,
    peer_worker,
    report,
    scaling,
    startup,
    synthesis,
    timing,
)
from fpgan_jax.benchmarking.cases import Case, CompiledProgram
from fpgan_jax.config.checks import validate_config
from fpgan_jax.errors import UserError
from fpgan_jax.host.progress import create_progress
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS
from fpgan_jax.synthesis.sharded import IMAGES_PER_CALL

PROCESS_CASES = ("start_up", "weak_scaling", "cpu_parity")
# The input cases follow the step that they feed, so that it is compiled once.
CASE_NAMES = (
    *("generator_inference", *cases.SYNTHESIS_CASES, "discriminator", "gan_step", *cases.INPUT_CASES),
    *("xception_inference", "xception_step", *PROCESS_CASES),
)
_DTYPES = ("float32", "bfloat16")
_SCALING_DEVICES = (1, 2, 4, 8)
_SMALLEST_SCALING_DEVICES = (1, 2)
# Of a program that is compiled for a GPU: its kernels by bytes.
_NUM_LARGEST = 5
# A trace of many calls takes long to read, and shows no more.
_MAX_TRACED_CALLS, _MAX_TRACED_SECONDS = 10, 2.0
_GOALS = (
    Case("gan_step", 256, 64, 1, "float32"),
    Case("gan_step", 128, 32, 8, "float32"),
    Case("xception_step", 128, 0, 8, "float32"),
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What a benchmark is to time; as the flags of `launch.benchmark`.

    Attributes:
      cases: names, of `CASE_NAMES`; none is all but those of `PROCESS_CASES`, and with `smallest` all.
      sizes: of the images, pixels.
      widths: features of both networks' first layer.
      batch_sizes: images a step; those of a synthesis are not to be chosen.
      dtypes: "float32", "bfloat16".
      peers: whether to time PyTorch in turn with ours.
      peer_variants: of `peer_worker.VARIANTS`; none is "eager" on a CPU, both on a GPU.
      min_seconds: each contestant is timed for, at least, over all rounds.
      min_repeats: samples of each contestant, at least, over all rounds.
      rounds: turns of each contestant.
      max_seconds: no case is begun later than so many seconds after the start, and one that is running takes no further
        round. None has no limit.
      profile: so many kernels with the most time are named in the row of every program; 0 traces nothing.
      out: JSON-lines file to which rows are appended; a Markdown file of this run's tables goes beside it. Both are
        written after every row. The machine's ceilings are taken from this file if it has them. None writes neither.
      steps_per_dispatch: steps that a call of the two steps takes; milliseconds are a step's.
      smallest: every part at a size at which nothing is worth measuring, without the compiler's optimisations; the
        lists above and the durations are not asked, but for `cases`.
      goals: the three cases that PyTorch is to be beaten at on a CPU, with `peers`; the lists above are not asked.
      compile_for: one of `gpu_compilation.GPUS`: what XLA makes of the programs for that GPU is counted, and nothing
        is timed. None times.
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
    """Make options of flags.

    Args:
      values: name -> value, lists as lists of text; names that are no option are left alone.

    Returns:
      The options.

    Raises:
      UserError: what should be a number is none.
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


def run_benchmark(config: ConfigDict, options: Options) -> str:
    """Time what the options ask for; a case that cannot run here is a row that says why.

    The tables of what was measured are printed before an interruption goes on.

    Args:
      config: where everything comes from that a case does not name.
      options: see there.

    Returns:
      The tables, as text.

    Raises:
      UserError: an option, the config or the machine is not as it must be.
    """
    # Both sides of a comparison share the GPU's memory. Read when JAX first looks for devices.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if options.compile_for:
        # Everything but what is read is done on the CPU.
        jax.config.update("jax_platforms", "cpu")
    options = _complete_options(options)
    config = _prepare_config(config, options)
    all_cases = list_cases(options)
    for case in all_cases:
        cases.check_case(case, cases.create_config(config, case))
    if options.peers:
        peer_worker.check_comparable(config)
        peer_worker.check_torch()
    with _quick_compilation(options.smallest), contextlib.ExitStack() as stack:
        writer = report.RowWriter(options.out)
        stack.callback(writer.close)
        try:
            _Run(config, options, writer, stack).run(all_cases)
        except BaseException:
            if writer.rows:
                print(report.format_rows(writer.rows), flush=True)
            raise
        return report.format_rows(writer.rows)


def list_cases(options: Options) -> list[Case]:
    """List the cases that options ask for, without those of `PROCESS_CASES`.

    Args:
      options: see there.

    Returns:
      Every combination once; Xception has no features to choose.

    Raises:
      UserError: an option is not as it must be.
    """
    options = _complete_options(options)
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


def _complete_options(options: Options) -> Options:
    """Check options and fill in what follows from others."""
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
        raise UserError(f"--compile_for={options.compile_for}: is not known; one of: {known}")
    if options.compile_for and options.peers:
        raise UserError(
            "--compile_for, --peers or --goals: nothing is timed for a GPU that is not here; choose one"
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


def _prepare_config(config: ConfigDict, options: Options) -> ConfigDict:
    config = config.copy_and_resolve_references()
    if options.smallest:
        config.classifier.width = 0.05
        config.classifier.num_middle_blocks = 0
    if not config.data.socofing_dir:
        config.data.socofing_dir = "unused"  # nothing is read from it
    validate_config(config)
    return config


@contextlib.contextmanager
def _quick_compilation(is_wanted: bool) -> Iterator[None]:
    """Leave the compiler's optimisations out, here and in the processes that are started."""
    if not is_wanted:
        yield
        return
    name, before = "JAX_DISABLE_MOST_OPTIMIZATIONS", jax.config.read("jax_disable_most_optimizations")
    environment_before = os.environ.get(name)
    jax.config.update(name.lower(), True)
    os.environ[name] = "1"
    try:
        yield
    finally:
        jax.config.update(name.lower(), before)
        os.environ.pop(name)
        if environment_before is not None:
            os.environ[name] = environment_before


class _Run:
    """One benchmark."""

    def __init__(
        self, config: ConfigDict, options: Options, writer: report.RowWriter, stack: contextlib.ExitStack
    ):
        self._config = config
        self._options = options
        self._writer = writer
        self._settings = (
            timing.Settings(min_repeats=2, min_seconds=0.0, rounds=2)
            if options.smallest
            else timing.Settings(options.min_repeats, options.min_seconds, options.rounds)
        )
        self._machine = report.describe_machine()
        self._worker = None
        self._variants = ()
        # The step that the input cases feed is often the one that was timed just before.
        self._compiled: tuple[Any, CompiledProgram] | None = None
        if options.peers:
            is_cpu = jax.default_backend() == "cpu"
            self._variants = options.peer_variants or (("eager",) if is_cpu else peer_worker.VARIANTS)
            self._worker = stack.enter_context(
                peer_worker.PeerWorker(device="cpu" if is_cpu else "cuda", num_threads=parallel.count_cores())
            )

    def run(self, all_cases: list[Case]) -> None:
        self._begin = time.monotonic()
        if not self._options.compile_for:
            programs = [case for case in all_cases if case.name in cases.PROGRAM_CASES]
            self._find_ceilings(
                [*dict.fromkeys(case.dtype for case in programs), *[ceilings.COPY] * bool(programs)]
            )
        with create_progress(len(all_cases), "benchmark", "cases") as progress:
            for case in all_cases:
                progress.set_postfix_str(f"{case.name} {case.image_size} {case.batch_size} {case.dtype}")
                self._write_rows(self._describe(case, "failed"), lambda case=case: self._run_case(case))
                progress.update()
        self._compiled = None
        if self._options.goals:
            return
        is_smallest = self._options.smallest
        measures = {
            "cpu_parity": lambda: cpu_parity.compare_steps(self._config, smallest=is_smallest),
            "start_up": lambda: startup.measure_start_up(
                num_runs=1 if is_smallest else 3, smallest=is_smallest
            ),
            "weak_scaling": self._run_weak_scaling,
        }
        for name, measure in measures.items():
            if name in self._options.cases:
                self._write_rows({"kind": "failed", "name": name}, measure)

    def _write_rows(
        self, failed: Mapping[str, Any], measure: Callable[[], Iterable[Mapping[str, Any]]]
    ) -> None:
        """Write a case's rows as they come, and one of why no more of them do."""
        if self._is_over():
            error = f"not begun: --max_seconds={self._options.max_seconds:g} are over"
            self._write(failed | {"error": error, "is_not_begun": True})
            return
        try:
            for row in measure():
                self._write(row)
        except UserError as error:
            if self._options.compile_for:
                # What it needs is the same for all cases.
                raise
            self._write(failed | {"error": str(error)})
        except Exception as error:
            # Too large for the memory, as a rule. Whatever it is, the other cases are still worth having.
            if not isinstance(error, jax.errors.JaxRuntimeError):
                logging.exception("%s failed", failed["name"])
            self._compiled = None
            text = (str(error).splitlines() or [""])[0][:200]
            self._write(failed | {"error": f"{type(error).__name__}: {text}"})

    def _is_over(self) -> bool:
        limit = self._options.max_seconds
        return limit is not None and time.monotonic() - self._begin > limit

    def _find_ceilings(self, names: list[str]) -> None:
        """Take the machine's ceilings from the rows of earlier runs, and measure those that are missing there."""
        machine = self._machine | {"commit": None}
        self._ceilings = {
            row["ceiling"]: row["per_second"]
            for row in self._writer.read_earlier_rows()
            if row["kind"] == "ceiling"
            and row["machine"] | {"commit": None} == machine
            and row["is_optimized"] != self._options.smallest
        }
        for name in names:
            if name not in self._ceilings:
                self._ceilings[name] = ceilings.measure_ceiling(
                    name, self._settings, smallest=self._options.smallest
                )
                row = {"kind": "ceiling", "name": "ceiling", "ceiling": name}
                self._write(row | {"per_second": self._ceilings[name]})

    def _run_case(self, case: Case) -> list[dict[str, Any]]:
        return self._count(case) if self._options.compile_for else [self._choose_run(case.name)(case)]

    def _choose_run(self, name: str) -> Callable[[Case], dict[str, Any]]:
        if name in cases.PROGRAM_CASES:
            return self._run_program
        return self._run_synthesis if name in cases.SYNTHESIS_CASES else self._run_input

    def _count(self, case: Case) -> list[dict[str, Any]]:
        gpu = self._options.compile_for
        config = cases.create_config(self._config, case)
        program = cases.create_program(case, config, steps_per_dispatch=self._options.steps_per_dispatch)
        compiled = gpu_compilation.compile_program(program, gpu)
        kernels = gpu_compilation.list_kernels(compiled.as_text())
        common = {"gpu": gpu, "steps_per_dispatch": program.num_steps}
        described = gpu_compilation.describe_kernels(kernels, gpu, program.num_steps)
        described["peak_memory_bytes"] = cases.measure_memory(compiled)
        largest = gpu_compilation.describe_largest(kernels, _NUM_LARGEST, program.num_steps)
        return [
            self._describe(case, "compiled") | common | described,
            *(self._describe(case, "kernel") | common | kernel for kernel in largest),
        ]

    def _write(self, row: Mapping[str, Any]) -> None:
        self._writer.write(dict(row) | {"machine": self._machine, "is_optimized": not self._options.smallest})

    def _compile(self, case: Case, config: ConfigDict, steps_per_dispatch: int) -> CompiledProgram:
        key = (case, steps_per_dispatch)
        if self._compiled is None or self._compiled[0] != key:
            self._compiled = None
            gc.collect()
            jax.clear_caches()
            program = cases.create_program(case, config, steps_per_dispatch=steps_per_dispatch)
            self._compiled = (key, cases.compile_program(program))
        return self._compiled[1]

    def _run_program(self, case: Case) -> dict[str, Any]:
        config = cases.create_config(self._config, case)
        compiled = self._compile(case, config, self._options.steps_per_dispatch)
        jax.block_until_ready(compiled.call())
        turns = {"ours": timing.create_turn(compiled.call, jax.block_until_ready)}
        peers = self._build_peers(case, config)
        turns |= {
            variant: self._create_peer_turn(variant, built)
            for variant, built in peers.items()
            if "error" not in built
        }
        rounds = self._run_rounds(turns)
        num_steps = compiled.program.num_steps
        ours = [[seconds / num_steps for seconds in samples] for samples in rounds["ours"]]
        row = self._describe(case, "program") | timing.to_milliseconds(timing.summarize_rounds(ours))
        row |= {"steps_per_dispatch": num_steps, "classifier_width": config.classifier.width}
        row["images_per_second"] = 1e3 * case.batch_size / row["ms_median"]
        row |= compiled.costs | {"device_peak_bytes": cases.read_device_peak()}
        row |= self._compare_with_ceilings(row)
        if self._worker:
            theirs = {variant: rounds[variant] for variant, peer in peers.items() if "error" not in peer}
            row["ratios"] = {
                variant: dataclasses.asdict(timing.compute_ratio(samples, ours))
                for variant, samples in theirs.items()
            }
            row["peers"] = peers | {
                variant: peers[variant] | timing.to_milliseconds(timing.summarize_rounds(samples))
                for variant, samples in theirs.items()
            }
            row["peer"] = self._worker.description | {"peak_bytes": self._worker.read_peak()}
            self._worker.release()
        if self._options.profile:
            row["profile"] = self._trace(compiled, row["ms_median"] / 1e3 * num_steps)
        return row

    def _trace(self, compiled: CompiledProgram, seconds_per_call: float) -> dict[str, Any]:
        num_calls = min(_MAX_TRACED_CALLS, max(1, int(_MAX_TRACED_SECONDS / seconds_per_call)))
        try:
            return kernel_times.trace_kernels(compiled, self._options.profile, num_calls=num_calls)
        except Exception as error:
            # The profiler may not work where the program does, whose times are worth having.
            logging.exception("--profile failed")
            return {"error": f"{type(error).__name__}: {error}"}

    def _create_peer_turn(self, variant: str, built: dict[str, Any]) -> timing.Turn:
        """Create a turn of PyTorch's that takes no samples once it has failed, and says so in `built`."""
        take_turn = self._worker.create_turn(variant)

        def take_turn_or_fail(min_repeats: int, min_seconds: float) -> list[float]:
            if "error" not in built:
                try:
                    return take_turn(min_repeats, min_seconds)
                except UserError as error:
                    built["error"] = str(error)
            return []

        return take_turn_or_fail

    def _run_rounds(self, turns: Mapping[str, timing.Turn]) -> dict[str, list[list[float]]]:
        return timing.run_rounds(turns, self._settings, is_over=self._is_over)

    def _build_peers(self, case: Case, config: ConfigDict) -> dict[str, dict[str, Any]]:
        if not self._worker:
            return {}
        description = peer_worker.describe_program(
            case.name,
            config,
            num_strided=NUM_STRIDED_CONVS[config.discriminator.receptive_field],
            dtype=case.dtype,
        )
        peers = {}
        for variant in self._variants:
            try:
                peers[variant] = {"build_seconds": self._worker.build(variant, description)["seconds"]}
            except UserError as error:
                # One form that PyTorch cannot run here leaves the other.
                peers[variant] = {"error": str(error)}
        return peers

    def _describe(self, case: Case, kind: str) -> dict[str, Any]:
        return {"kind": kind} | dataclasses.asdict(case)

    def _compare_with_ceilings(self, row: Mapping[str, Any]) -> dict[str, Any]:
        seconds = row["ms_median"] / 1e3
        flop_ceiling = self._ceilings[row["dtype"]]
        bytes_ceiling = self._ceilings[ceilings.COPY]

        # Both are of one device's program.
        def percent(amount, ceiling):
            return None if amount is None else 100 * amount / seconds / ceiling

        return {
            "ceiling_flop_per_second": flop_ceiling,
            "ceiling_bytes_per_second": bytes_ceiling,
            "percent_of_flop_ceiling": percent(row["flop"], flop_ceiling),
            "percent_of_bandwidth_ceiling": percent(row["bytes"], bytes_ceiling),
        }

    def _run_input(self, case: Case) -> dict[str, Any]:
        config = cases.create_config(self._config, case)
        step_case = dataclasses.replace(case, name="gan_step")
        turns = inputs.create_turns(case, config, self._compile(step_case, config, 1))
        rounds = self._run_rounds(turns)
        summaries = {name: timing.summarize_rounds(rounds[name]) for name in turns}
        row = self._describe(case, "input") | timing.to_milliseconds(summaries["input"])
        row |= timing.to_milliseconds(summaries["resident"], "resident_ms")
        row |= timing.to_milliseconds(summaries["fed"], "fed_ms")
        wait = inputs.compute_wait_fraction(summaries["fed"].median, summaries["resident"].median)
        return row | {
            "batches_per_second": 1 / summaries["input"].median,
            "images_per_second": case.batch_size / summaries["input"].median,
            "wait_fraction": wait,
        }

    def _run_synthesis(self, case: Case) -> dict[str, Any]:
        turns, images = synthesis.create_turns(cases.create_config(self._config, case))
        rounds = self._run_rounds(turns)
        seconds = {name: timing.summarize_rounds(rounds[name]) for name in turns}
        rates = synthesis.describe_rates(
            *(seconds[name].median for name in ("device", "encoder", "end_to_end")),
            is_shared=jax.default_backend() == "cpu",
        )
        row = self._describe(case, "synthesis") | timing.to_milliseconds(seconds["end_to_end"])
        return (
            row
            | images
            | rates
            | {"terabytes_for_many": images["bytes_per_image"] * synthesis.MANY_IMAGES / 1e12}
        )

    def _run_weak_scaling(self) -> Iterator[dict[str, Any]]:
        devices = _SMALLEST_SCALING_DEVICES if self._options.smallest else _SCALING_DEVICES
        size, num_features = (16, 2) if self._options.smallest else (32, 4)
        yield from scaling.measure_weak_scaling(
            self._config,
            devices,
            self._settings,
            image_size=size,
            num_features=num_features,
            batch_size=4,
            dtype="float32",
        )
        for row in list(self._writer.rows):
            if row["kind"] != "program":
                continue
            is_paper_size = (
                row["name"] == "gan_step" and row["image_size"] == 256 and row["num_features"] == 64
            )
            if is_paper_size and row["batch_size"] == 1:
                for reduction in scaling.describe_all_reduce(row["ms_median"] / 1e3):
                    yield reduction | {"name": "all_reduce", "dtype": row["dtype"]}
