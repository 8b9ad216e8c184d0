"""Owns the compilation of a program on this machine, and what the compiler says that it costs."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import jax

from fpgan_jax import parallel
from fpgan_jax.benchmarking.programs import Program


@dataclasses.dataclass
class CompiledProgram:
    """A compiled program, with the state for its next call and its batch on the devices.

    Attributes:
      costs: the entries of `measure_costs`, "lower_seconds", "compile_seconds", and "is_compile_cached": whether the
        program came from JAX's persistent cache.
    """

    program: Program
    state: Any
    batch: Any
    costs: dict[str, Any]

    def call(self) -> Any:
        """Run the program once; return its outputs, which may still be computing."""
        outputs = self.program.function(self.state, self.batch, self.program.key)
        if self.program.is_step:
            self.state = outputs[0]
        return outputs


def compile_program(program: Program) -> CompiledProgram:
    """Put the inputs of a program on the devices and compile it, so that no call compiles anything."""
    state = program.create_state()
    if program.is_step:
        state, batch = parallel.replicate(state), parallel.place_by_device(program.batch)
    else:
        batch = jax.device_put(program.batch)
    # Lowered with the arrays of the calls: pmap compiles again for other arrays of the same shapes.
    begin = time.perf_counter()
    lowered = program.function.lower(state, batch, program.key)
    lowered_at = time.perf_counter()
    with _listen_for_cache_hits() as hits:
        compiled = lowered.compile()
    compiled_at = time.perf_counter()
    costs = measure_costs(lowered, compiled)
    costs |= {"lower_seconds": lowered_at - begin, "compile_seconds": compiled_at - lowered_at}
    costs["is_compile_cached"] = bool(hits)
    return CompiledProgram(program, state, batch, costs)


@contextlib.contextmanager
def _listen_for_cache_hits() -> Iterator[list[str]]:
    """Yield a list that collects the hits in the persistent cache."""
    hits: list[str] = []

    def listen(event: str, **details: Any) -> None:
        del details
        if event == "/jax/compilation_cache/cache_hits":
            hits.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        yield hits
    finally:
        jax.monitoring.unregister_event_listener(listen)


def measure_costs(lowered: jax.stages.Lowered, compiled: jax.stages.Compiled) -> dict[str, Any]:
    """Read the cost of one step from the compiler, which counts the body of a loop over steps once.

    Returns:
      "flop" and "flop_source", "compiled" or "lowered"; "flop_lowered"; "bytes" that the operations of the compiled
      program read and write; "peak_memory_bytes" of arguments, outputs and temporary arrays, shared memory counted
      once. None for what the compiler does not report.
    """
    compiled_cost, lowered_cost = compiled.cost_analysis() or {}, lowered.cost_analysis() or {}
    flop, flop_lowered = compiled_cost.get("flops", 0.0), lowered_cost.get("flops", 0.0)
    # XLA does not count the operations that it passes to a library such as cuDNN.
    is_complete = flop >= 0.5 * flop_lowered
    return {
        "flop": (flop if is_complete else flop_lowered) or None,
        "flop_source": "compiled" if is_complete else "lowered",
        "flop_lowered": flop_lowered or None,
        "bytes": compiled_cost.get("bytes accessed") or None,
        "peak_memory_bytes": measure_memory(compiled),
    }


def measure_memory(compiled: jax.stages.Compiled) -> int | None:
    """Read "peak_memory_bytes" of `measure_costs`."""
    memory = compiled.memory_analysis()
    if not memory:
        return None
    total = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return total - memory.alias_size_in_bytes


def read_device_peak() -> int | None:
    """Read the peak memory of this process on its first device, bytes; None where the device does not record it."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
