"""Owns one run of a benchmark: it times every case and writes the rows and tables."""

import contextlib
import dataclasses
import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from fpgan_jax.benchmarking import (
    cases,
    ceilings,
    compilation,
    cpu_parity,
    gpu_compilation,
    inputs,
    kernel_times,
    machine,
    peer_worker,
    programs,
    report,
    scaling,
    startup,
    synthesis,
    timing,
)
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.benchmarking.compilation import CompiledProgram
from fpgan_jax.benchmarking.options import Options, complete_options, list_cases
from fpgan_jax.config.checks import validate_config
from fpgan_jax.errors import UserError
from fpgan_jax.host.cores import count_cores
from fpgan_jax.host.progress import create_progress

# Kernels to list of a program that is compiled for an absent GPU.
_NUM_LARGEST = 5
# A trace of more calls takes long to read and shows nothing new.
_MAX_TRACED_CALLS, _MAX_TRACED_SECONDS = 10, 2.0


def run_benchmark(config: ConfigDict, options: Options) -> str:
    """Time everything that the options ask for, and return the tables as text.

    A case that cannot run here becomes a row with its error. On an interruption the tables so far are printed.

    Raises:
      UserError: an option or the config is not valid, or PyTorch is needed and not installed.
    """
    # Both sides of a comparison share the GPU's memory. JAX reads this when it first looks for devices.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if options.compile_for:
        # Nothing runs on a GPU, so none must be found.
        jax.config.update("jax_platforms", "cpu")
    options = complete_options(options)
    config = _prepare_config(config, options)
    all_cases = list_cases(options)
    for case in all_cases:
        cases.check_case(case, cases.create_config(config, case))
    if options.peers:
        peer_worker.check_comparable(config)
        peer_worker.check_torch()
    writer = report.RowWriter(options.out)
    with contextlib.ExitStack() as stack:
        if options.smallest:
            stack.enter_context(_quick_compilation())
        try:
            _Run(config, options, writer, stack).run(all_cases)
        except BaseException:
            # Also on Ctrl-C: what was measured until then is shown.
            if writer.rows:
                print(report.format_rows(writer.rows), flush=True)
            raise
        return report.format_rows(writer.rows)


def _prepare_config(config: ConfigDict, options: Options) -> ConfigDict:
    config = config.copy_and_resolve_references()
    if options.smallest:
        config.classifier.update(cases.SMALLEST_CLASSIFIER)
    if not config.data.socofing_dir:
        config.data.socofing_dir = "unused"  # nothing is read from there
    validate_config(config)
    return config


@contextlib.contextmanager
def _quick_compilation() -> Iterator[None]:
    """Compile without XLA's optimizations, in this process and in those that it starts."""
    name = "jax_disable_most_optimizations"
    before, environment_before = jax.config.read(name), os.environ.get(name.upper())
    jax.config.update(name, True)
    os.environ[name.upper()] = "1"
    try:
        yield
    finally:
        jax.config.update(name, before)
        os.environ.pop(name.upper())
        if environment_before is not None:
            os.environ[name.upper()] = environment_before


class _Run:
    """One benchmark."""

    def __init__(
        self, config: ConfigDict, options: Options, writer: report.RowWriter, stack: contextlib.ExitStack
    ):
        self._config = config
        self._options = options
        self._writer = writer
        self._settings = timing.Settings(options.min_repeats, options.min_seconds, options.rounds)
        if options.smallest:
            self._settings = timing.Settings(min_repeats=2, min_seconds=0.0, rounds=2)
        self._machine = machine.describe_machine()
        self._worker: peer_worker.PeerWorker | None = None
        self._variants: tuple[str, ...] = ()
        # Kept because the input cases often feed the step that was timed just before.
        self._compiled: tuple[tuple[Case, int], CompiledProgram] | None = None
        if options.peers:
            is_cpu = jax.default_backend() == "cpu"
            self._variants = options.peer_variants or (("eager",) if is_cpu else peer_worker.VARIANTS)
            self._worker = stack.enter_context(
                peer_worker.PeerWorker(device="cpu" if is_cpu else "cuda", num_threads=count_cores())
            )

    def run(self, all_cases: list[Case]) -> None:
        self._begin = time.monotonic()
        if not self._options.compile_for:
            dtypes = [case.dtype for case in all_cases if case.name in cases.PROGRAM_CASES]
            self._find_ceilings([*dict.fromkeys(dtypes), *[ceilings.COPY] * bool(dtypes)])
        with create_progress(len(all_cases), "benchmark", "cases") as progress:
            for case in all_cases:
                progress.set_postfix_str(f"{case.name} {case.image_size} {case.batch_size} {case.dtype}")
                self._write_rows(self._describe(case, "failed"), partial(self._run_case, case))
                progress.update()
        self._compiled = None
        if self._options.goals:
            return
        is_smallest = self._options.smallest
        measures: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
            "cpu_parity": partial(cpu_parity.compare_steps, self._config, smallest=is_smallest),
            "start_up": partial(startup.measure_start_up, smallest=is_smallest),
            "weak_scaling": self._run_weak_scaling,
        }
        for name, measure in measures.items():
            if name in self._options.cases:
                self._write_rows({"kind": "failed", "name": name}, measure)

    def _write_rows(self, failed: dict[str, Any], measure: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Write the rows of a case as they come, and on an error the row `failed` with its message."""
        if self._is_over():
            error = f"not begun: --max_seconds={self._options.max_seconds:g} are over"
            self._write(failed | {"error": error, "is_not_begun": True})
            return
        try:
            for row in measure():
                self._write(row)
        except UserError as error:
            if self._options.compile_for:
                # The missing CUDA plugin is missing for every case.
                raise
            self._write(failed | {"error": str(error)})
        except Exception as error:
            # Usually out of memory. Whatever it is, the other cases are still worth timing.
            if not isinstance(error, jax.errors.JaxRuntimeError):
                logging.exception("%s failed", failed["name"])
            self._compiled = None
            text = (str(error).splitlines() or [""])[0][:200]
            self._write(failed | {"error": f"{type(error).__name__}: {text}"})

    def _is_over(self) -> bool:
        limit = self._options.max_seconds
        return limit is not None and time.monotonic() - self._begin > limit

    def _find_ceilings(self, names: list[str]) -> None:
        """Read the ceilings of this machine from the rows of earlier runs, and measure those that are missing."""
        this_machine = self._machine | {"commit": None}
        smallest = self._options.smallest
        self._ceilings: dict[str, float] = {}
        for row in self._writer.earlier_rows:
            is_same_machine = row["machine"] | {"commit": None} == this_machine
            if row["kind"] == "ceiling" and is_same_machine and row["is_optimized"] != smallest:
                self._ceilings[row["ceiling"]] = row["per_second"]
        for name in names:
            if name not in self._ceilings:
                self._ceilings[name] = ceilings.measure_ceiling(name, self._settings, smallest=smallest)
                row = {"kind": "ceiling", "name": "ceiling", "ceiling": name}
                self._write(row | {"per_second": self._ceilings[name]})

    def _run_case(self, case: Case) -> list[dict[str, Any]]:
        if self._options.compile_for:
            return self._count_kernels(case, self._options.compile_for)
        if case.name in cases.PROGRAM_CASES:
            return [self._run_program(case)]
        return [self._run_synthesis(case) if case.name == "synthesis" else self._run_input(case)]

    def _count_kernels(self, case: Case, gpu: str) -> list[dict[str, Any]]:
        config = cases.create_config(self._config, case)
        program = programs.create_program(case, config, steps_per_dispatch=self._options.steps_per_dispatch)
        compiled = gpu_compilation.compile_program(program, gpu)
        kernels = gpu_compilation.list_kernels(compiled.as_text() or "")
        common = {"gpu": gpu, "steps_per_dispatch": program.num_steps}
        described = gpu_compilation.describe_kernels(kernels, gpu, program.num_steps)
        described["peak_memory_bytes"] = compilation.measure_memory(compiled)
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
            program = programs.create_program(case, config, steps_per_dispatch=steps_per_dispatch)
            self._compiled = (key, compilation.compile_program(program))
        return self._compiled[1]

    def _run_program(self, case: Case) -> dict[str, Any]:
        config = cases.create_config(self._config, case)
        compiled = self._compile(case, config, self._options.steps_per_dispatch)
        jax.block_until_ready(compiled.call())
        turns = {"ours": timing.create_turn(compiled.call, jax.block_until_ready)}
        peers = self._build_peers(self._worker, case, config) if self._worker else {}
        for variant, built in peers.items():
            if self._worker and "error" not in built:
                turns[variant] = _create_peer_turn(self._worker, variant, built)
        rounds = self._run_rounds(turns)
        num_steps = compiled.program.num_steps
        ours = [[seconds / num_steps for seconds in samples] for samples in rounds["ours"]]
        row = self._describe(case, "program") | timing.to_milliseconds(timing.summarize(ours))
        row |= {"steps_per_dispatch": num_steps, "classifier_width": config.classifier.width}
        row["images_per_second"] = 1e3 * case.batch_size / row["ms_median"]
        row |= compiled.costs | {"device_peak_bytes": compilation.read_device_peak()}
        row |= self._compare_with_ceilings(row)
        if self._worker:
            row |= _compare_with_peers(ours, rounds, peers)
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
            # The profiler may fail where the program itself runs; its times are still worth having.
            logging.exception("--profile failed")
            return {"error": f"{type(error).__name__}: {error}"}

    def _run_rounds(self, turns: Mapping[str, timing.Turn]) -> dict[str, list[list[float]]]:
        return timing.run_rounds(turns, self._settings, is_over=self._is_over)

    def _build_peers(
        self, worker: peer_worker.PeerWorker, case: Case, config: ConfigDict
    ) -> dict[str, dict[str, Any]]:
        description = cases.describe_program(case, config)
        peers: dict[str, dict[str, Any]] = {}
        for variant in self._variants:
            try:
                peers[variant] = {"build_seconds": worker.build(variant, description)["seconds"]}
            except UserError as error:
                # The other variant may still run.
                peers[variant] = {"error": str(error)}
        return peers

    def _describe(self, case: Case, kind: str) -> dict[str, Any]:
        return {"kind": kind} | dataclasses.asdict(case)

    def _compare_with_ceilings(self, row: Mapping[str, Any]) -> dict[str, Any]:
        # Costs and ceilings are those of one device.
        seconds = row["ms_median"] / 1e3
        flop_ceiling, bytes_ceiling = self._ceilings[row["dtype"]], self._ceilings[ceilings.COPY]
        return {
            "ceiling_flop_per_second": flop_ceiling,
            "ceiling_bytes_per_second": bytes_ceiling,
            "percent_of_flop_ceiling": row["flop"] and 100 * row["flop"] / seconds / flop_ceiling,
            "percent_of_bandwidth_ceiling": row["bytes"] and 100 * row["bytes"] / seconds / bytes_ceiling,
        }

    def _run_input(self, case: Case) -> dict[str, Any]:
        config = cases.create_config(self._config, case)
        step_case = dataclasses.replace(case, name="gan_step")
        turns = inputs.create_turns(case, config, self._compile(step_case, config, 1))
        rounds = self._run_rounds(turns)
        summaries = {name: timing.summarize(rounds[name]) for name in turns}
        row = self._describe(case, "input") | timing.to_milliseconds(summaries["input"])
        row |= timing.to_milliseconds(summaries["resident"], "resident_ms")
        row |= timing.to_milliseconds(summaries["fed"], "fed_ms")
        batch, resident, fed = (summaries[name].median for name in ("input", "resident", "fed"))
        # Noise can make the fraction slightly negative.
        row["wait_fraction"] = (fed - resident) / fed
        return row | {"batches_per_second": 1 / batch, "images_per_second": case.batch_size / batch}

    def _run_synthesis(self, case: Case) -> dict[str, Any]:
        min_seconds = self._settings.min_seconds / self._settings.rounds
        turns, images = synthesis.create_turns(cases.create_config(self._config, case), min_seconds)
        rounds = self._run_rounds(turns)
        seconds = {name: timing.summarize(rounds[name]) for name in turns}
        rates = synthesis.describe_rates(
            *(seconds[name].median for name in ("device", "encoder", "end_to_end")),
            is_shared=jax.default_backend() == "cpu",
        )
        row = self._describe(case, "synthesis") | timing.to_milliseconds(seconds["end_to_end"])
        terabytes = images["bytes_per_image"] * synthesis.MANY_IMAGES / 1e12
        return row | images | rates | {"terabytes_for_many": terabytes}

    def _run_weak_scaling(self) -> Iterator[dict[str, Any]]:
        is_smallest = self._options.smallest
        case = Case("gan_step", 16, 2, 4, "float32") if is_smallest else Case("gan_step", 32, 4, 4, "float32")
        num_devices = (1, 2) if is_smallest else (1, 2, 4, 8)
        yield from scaling.measure_weak_scaling(self._config, case, num_devices, self._settings)
        paper = dict(kind="program", name="gan_step", image_size=256, num_features=64, batch_size=1)
        for row in list(self._writer.rows):
            if row | paper == row:
                for reduction in scaling.describe_all_reduce(row["ms_median"] / 1e3):
                    yield reduction | {"name": "all_reduce", "dtype": row["dtype"]}


def _create_peer_turn(worker: peer_worker.PeerWorker, variant: str, built: dict[str, Any]) -> timing.Turn:
    """Create a turn of PyTorch that takes no samples once it has failed, and puts its error into `built`."""
    take_turn = worker.create_turn(variant)

    def take_turn_or_fail(min_repeats: int, min_seconds: float) -> list[float]:
        if "error" not in built:
            try:
                return take_turn(min_repeats, min_seconds)
            except UserError as error:
                built["error"] = str(error)
        return []

    return take_turn_or_fail


def _compare_with_peers(
    ours: list[list[float]], rounds: Mapping[str, list[list[float]]], peers: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Compare the times of all variants of PyTorch that ran with ours, both in seconds per round and sample."""
    ratios, described = {}, dict(peers)
    for variant, peer in peers.items():
        if "error" not in peer:
            samples = rounds[variant]
            ratios[variant] = timing.compute_ratio(samples, ours)
            described[variant] = peer | timing.to_milliseconds(timing.summarize(samples))
    return {"ratios": ratios, "peers": described}
