"""Owns the compilation of a program for a GPU that need not be present: its kernels and their memory traffic."""

import collections
import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fpgan_jax import parallel
from fpgan_jax.benchmarking.programs import Program
from fpgan_jax.errors import UserError

# The H100 of openxla/xla, xla/backends/gpu/target_config/specs, with the memory of the H200.
_H200 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 4800000000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 150754820096
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 }
device_description_str: "NVIDIA H200"
"""
GPUS = {"h200": _H200}
# Autotuning needs the GPU; without it XLA takes the first kernel that fits.
_COMPILER_OPTIONS: dict[str, Any] = {"xla_gpu_autotune_level": 0}

_DTYPE_BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4}
_DTYPE_BYTES |= {"s64": 8, "u64": 8, "f64": 8}
_ARRAY = re.compile(rf"\b({'|'.join(_DTYPE_BYTES)})\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?(\S+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^(?:ROOT )?%(\S+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
# Operations that start no kernel.
_NO_KERNELS = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "opt-barrier"}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel of a compiled program, and what XLA says about it.

    Attributes:
      kind: "convolution", "product", "transposition", "copy", "reduction", "elementwise" or "other".
      operation: JAX's name of the operation that it comes from; "" if unknown.
      shape: shape of its output.
      num_bytes: total size of its operands and output. An upper bound of its memory traffic, since it may read only
        a part, or data in the cache.
      count: how often one run of the program starts it.
    """

    kind: str
    operation: str
    shape: str
    num_bytes: int
    count: int


def compile_program(program: Program, gpu: str) -> jax.stages.Compiled:
    """Compile a program for one of `GPUS`, from shapes alone; the result cannot run here.

    Raises:
      UserError: JAX's CUDA plugin is not installed.
    """
    # Otherwise the plugin looks for a driver.
    os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
    try:
        topology = topologies.get_topology_desc(platform="cuda", target_config=GPUS[gpu], topology="1x1x1")
    except NotImplementedError as error:
        raise UserError(
            f"--compile_for={gpu}: JAX's CUDA plugin is not installed; pip install -e '.[gpu]' (6 GB), no GPU is needed"
        ) from error
    mesh = Mesh(np.array(topology.devices[:1]), (parallel.DEVICE_AXIS,))
    everywhere = PartitionSpec()
    function: Callable = program.function
    batch = program.batch
    if program.dispatch:
        function = jax.shard_map(
            program.dispatch, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False
        )
        batch = jax.tree.map(lambda leaf: leaf[0], batch)
    sharding = NamedSharding(mesh, everywhere)
    jitted = jax.jit(
        function,
        in_shardings=sharding,
        out_shardings=sharding,
        donate_argnums=0 if program.is_step else (),
    )
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
        (jax.eval_shape(program.init, jax.random.key(0)), batch, program.key),
    )
    return jitted.lower(*shapes).compile(compiler_options=_COMPILER_OPTIONS)


def list_kernels(hlo: str) -> list[Kernel]:
    """List the kernels in the text of a compiled module; those in a loop count once per known iteration."""
    computations, entry = _parse_computations(hlo)
    return list(_list_kernels(computations, entry, 1))


def _parse_computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    computations: dict[str, list[str]] = {}
    entry, lines = "", None
    for line in hlo.splitlines():
        if found := _COMPUTATION.match(line):
            lines = computations[found[2]] = []
            entry = found[2] if found[1] else entry
        elif line.startswith("}"):
            lines = None
        elif lines is not None:
            lines.append(line.strip())
    return computations, entry


def _list_kernels(computations: dict[str, list[str]], name: str, count: int) -> Iterator[Kernel]:
    shapes = {}
    for line in computations[name]:
        found = _INSTRUCTION.match(line)
        if not found:
            continue
        instruction, shape, opcode, rest = found.groups()
        shapes[instruction] = shape
        if opcode in _NO_KERNELS:
            continue
        if opcode in ("while", "call"):
            (body,) = re.findall(r"(?:body|to_apply)=%([\w.\-]+)", rest)
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', rest)
            yield from _list_kernels(computations, body, count * (int(trips[1]) if trips else 1))
            continue
        operands = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
        operation = re.search(r'op_name="([^"]+)"', rest)
        if opcode == "custom-call":
            shape = re.sub(r",? ?u8\[\d+\]\{0\}", "", shape)  # scratch memory of a library
        yield Kernel(
            kind=_classify(opcode, instruction, rest),
            operation=operation[1] if operation else "",
            shape=re.sub(r"\{[\d,]*\}|/\*.*?\*/", "", shape),
            num_bytes=_count_bytes(shape)
            + sum(_count_bytes(shapes.get(operand, "")) for operand in operands),
            count=count,
        )


def _classify(opcode: str, instruction: str, rest: str) -> str:
    target = re.search(r'custom_call_target="([^"]+)"', rest)
    if target:
        is_conv, is_product = "conv" in target[1], "gemm" in target[1] or "matmul" in target[1]
        return "convolution" if is_conv else "product" if is_product else "other"
    if opcode == "copy":
        return "copy"
    if opcode != "fusion":
        return "other"
    # XLA names a fusion after its contents.
    if "gemm" in instruction or "dot" in instruction:
        return "product"
    if "transpose" in instruction:
        return "transposition"
    return "reduction" if "reduce" in instruction else "elementwise"


def _count_bytes(shape: str) -> int:
    return sum(
        _DTYPE_BYTES[dtype] * math.prod(int(size) for size in sizes.split(",") if size)
        for dtype, sizes in _ARRAY.findall(shape)
    )


def describe_kernels(kernels: list[Kernel], gpu: str, num_steps: int = 1) -> dict[str, Any]:
    """Sum up the kernels of a program of `num_steps` training steps, per step.

    Returns:
      "kernels": number of starts; "kernels_of": kind -> number; "gigabytes"; "gigabytes_of": kind -> GB;
      "bandwidth_ms": milliseconds to move these bytes at the nominal bandwidth of the GPU.
    """
    numbers: dict[str, float] = collections.defaultdict(float)
    gigabytes: dict[str, float] = collections.defaultdict(float)
    for kernel in kernels:
        numbers[kernel.kind] += kernel.count / num_steps
        gigabytes[kernel.kind] += kernel.count * kernel.num_bytes / num_steps / 1e9
    (bandwidth,) = re.findall(r"memory_bandwidth: (\d+)", GPUS[gpu])
    total = sum(gigabytes.values())
    return {
        "kernels": sum(numbers.values()),
        "kernels_of": dict(numbers),
        "gigabytes": total,
        "gigabytes_of": dict(gigabytes),
        "bandwidth_ms": 1e3 * total * 1e9 / float(bandwidth),
    }


def describe_largest(kernels: list[Kernel], number: int, num_steps: int = 1) -> list[dict[str, Any]]:
    """Describe up to `number` kernels with the most bytes, the largest first.

    Returns:
      "kernel_kind", "operation", "shape", "gigabytes" per step and "percent" of the bytes of all kernels.
    """
    total = sum(kernel.count * kernel.num_bytes for kernel in kernels)
    largest = sorted(kernels, key=lambda kernel: kernel.count * kernel.num_bytes, reverse=True)
    return [
        {
            "kernel_kind": kernel.kind,
            "operation": kernel.operation,
            "shape": kernel.shape,
            "gigabytes": kernel.count * kernel.num_bytes / num_steps / 1e9,
            "percent": 100 * kernel.count * kernel.num_bytes / total,
        }
        for kernel in largest[:number]
    ]
