"""Owns weak scaling over virtual CPU devices, and the computed cost of an all-reduce on real ones.

Run as a module, it times one number of devices.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.benchmarking import timing, worker_process
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.errors import UserError

# Bytes per second out of one device. NVLink 4 is quoted as 900 GB/s, which counts both directions.
LINKS = {"NVLink 4": 450e9, "PCIe 5 x16": 64e9, "100 Gb/s Ethernet": 12.5e9}
# With 64 features, at 256x256 pixels and one channel.
NUM_PARAMS = {"generator": 54_407_809, "discriminator": 2_764_609}


def compute_all_reduce_bytes(num_devices: int, num_params: int) -> float:
    """Compute the bytes that each device sends, and receives, in a ring all-reduce of one float32 gradient.

    The gradient goes around once to be reduced and once to be distributed, except each device's own part.

    Source: Patarasuk & Yuan 2009, section 3; differs in: nothing.
    """
    return 2 * (num_devices - 1) / num_devices * num_params * 4


def describe_all_reduce(step_seconds: float) -> list[dict[str, Any]]:
    """Compute the time that the all-reduce of either network, without latency and overlap, adds to a training step."""
    rows = []
    for (network, num_params), num_devices in itertools.product(NUM_PARAMS.items(), (2, 4, 8)):
        num_bytes = compute_all_reduce_bytes(num_devices, num_params)
        for link, bytes_per_second in LINKS.items():
            seconds = num_bytes / bytes_per_second
            row = {"kind": "all_reduce", "network": network, "num_devices": num_devices, "link": link}
            row |= {"bytes_per_device": num_bytes, "seconds": seconds}
            rows.append(row | {"percent_of_step": 100 * seconds / step_seconds})
    return rows


def measure_weak_scaling(
    config: ConfigDict, case: Case, all_num_devices: tuple[int, ...], settings: timing.Settings
) -> Iterator[dict[str, Any]]:
    """Time the GAN's step on growing numbers of virtual CPU devices, each with the batch size of the case.

    The devices share the cores of the machine, so without overhead the time per device and example is constant.

    Yields:
      One row per number of devices: statistics of the step in milliseconds, "ms_per_device_example", and "overhead":
      the fraction by which that exceeds the value on one device.

    Raises:
      UserError: a process failed.
    """
    first = None
    fields = dataclasses.asdict(case)
    for num_devices in all_num_devices:
        request = {
            "config": config.to_dict(),
            "settings": dataclasses.asdict(settings),
            "case": fields | {"batch_size": case.batch_size * num_devices},
        }
        summary = _run_worker(request, num_devices)
        per_example = summary["ms_median"] / (num_devices * case.batch_size)
        first = per_example if first is None else first
        row = {**fields, "kind": "weak_scaling", "name": "weak_scaling", "num_devices": num_devices}
        row |= {"per_device_batch_size": case.batch_size, **summary}
        yield row | {"ms_per_device_example": per_example, "overhead": per_example / first - 1}


def _run_worker(request: dict[str, Any], num_devices: int) -> dict[str, float]:
    # These variables take precedence over a number of devices in the user's XLA_FLAGS.
    environment = {"JAX_NUM_CPU_DEVICES": str(num_devices), "JAX_PLATFORMS": "cpu"}
    try:
        return worker_process.ask_module("fpgan_jax.benchmarking.scaling", request, environment)
    except RuntimeError as error:
        raise UserError(
            f"--cases=weak_scaling: the process with {num_devices} devices failed: {error}"
        ) from error


def _time_step(request: dict[str, Any]) -> dict[str, float]:
    import jax

    from fpgan_jax.benchmarking import cases, compilation, programs
    from fpgan_jax.config.files import parse_config

    case = cases.Case(**request["case"])
    config = cases.create_config(parse_config(request["config"]), case)
    compiled = compilation.compile_program(programs.create_program(case, config))
    settings = timing.Settings(**request["settings"])
    turn = timing.create_turn(compiled.call, jax.block_until_ready)
    return timing.to_milliseconds(timing.summarize([turn(settings.min_repeats, settings.min_seconds)]))


if __name__ == "__main__":
    print(json.dumps(_time_step(json.load(sys.stdin))))
