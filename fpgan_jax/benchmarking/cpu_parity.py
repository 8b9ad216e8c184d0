"""Owns the comparison of two training steps on the machine's device with the same steps on its CPU.

Run as a module, it takes the steps on the first device that JAX finds.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.benchmarking import worker_process
from fpgan_jax.benchmarking.cases import Case

_NUM_STEPS = 2
# Another order of float32 sums, on a CPU without XLA's optimizations, changes losses by less than 1e-6.
MAX_DIFFERENCE = 1e-3
_CASES = Case("gan_step", 64, 16, 4, "float32"), Case("xception_step", 71, 0, 4, "float32")
# A narrow Xception uses every operation and takes only seconds on a CPU.
_CLASSIFIER_FIELDS = {"width": 0.125, "num_middle_blocks": 1}


def compare_steps(config: ConfigDict, *, smallest: bool = False) -> Iterator[dict[str, Any]]:
    """Take two steps of each training on the CPU and on the device, in full float32, and compare every loss.

    Yields:
      One row per training: the fields of the case, the losses "cpu" and "here", the entries of
      `find_largest_difference` and "agrees": whether it is within `MAX_DIFFERENCE`; or "error".
    """
    config = config.copy_and_resolve_references()
    if not smallest:
        config.classifier.update(_CLASSIFIER_FIELDS)
    for case in [case.shrink() for case in _CASES] if smallest else _CASES:
        fields = dataclasses.asdict(case)
        row = {"kind": "parity", "num_steps": _NUM_STEPS} | fields
        request = {"config": config.to_dict(), "case": fields}
        try:
            cpu, here = (_take_steps_elsewhere(request, platform) for platform in ("cpu", ""))
        except RuntimeError as error:
            yield row | {"error": str(error)}
            continue
        found = find_largest_difference(cpu, here)
        agrees = found["largest_difference"] <= MAX_DIFFERENCE
        yield row | {"cpu": cpu, "here": here, "agrees": agrees} | found


def find_largest_difference(expected: Mapping[str, float], found: Mapping[str, float]) -> dict[str, Any]:
    """Find the metric that differs most.

    Returns:
      "metric" and "largest_difference": |found - expected| / max(|expected|, 1e-3), infinite if not finite.
    """

    def differ(name: str) -> float:
        difference = abs(found[name] - expected[name]) / max(abs(expected[name]), 1e-3)
        return difference if math.isfinite(difference) else math.inf

    metric = max(expected, key=differ)
    return {"metric": metric, "largest_difference": differ(metric)}


def _take_steps_elsewhere(request: dict[str, Any], platform: str) -> dict[str, float]:
    # An empty platform is JAX's default.
    environment = {"JAX_PLATFORMS": platform} if platform else {}
    try:
        return worker_process.ask_module("fpgan_jax.benchmarking.cpu_parity", request, environment)
    except RuntimeError as error:
        raise RuntimeError(f"the steps on {platform or 'the device'} failed: {error}") from error


def _take_steps(request: dict[str, Any]) -> dict[str, float]:
    import jax

    from fpgan_jax import parallel
    from fpgan_jax.benchmarking import cases, programs
    from fpgan_jax.config.files import parse_config

    jax.config.update("jax_default_matmul_precision", "highest")
    case = Case(**request["case"])
    program = programs.create_program(case, cases.create_config(parse_config(request["config"]), case))
    # On the CPU in both processes, so that the weights are the same.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        state = jax.device_get(program.create_state())
    state = parallel.replicate(state)
    metrics: dict[str, float] = {}
    for number in range(1, _NUM_STEPS + 1):
        state, of_step = program.function(state, program.batch, program.key)
        # Losses only, since an accuracy jumps when a logit is near 0. The sums are the same on every device.
        metrics |= {
            f"{name} of step {number}": float(value.total[0] / value.count[0])
            for name, value in jax.device_get(of_step).items()
            if name.endswith("loss")
        }
    return metrics


if __name__ == "__main__":
    print(json.dumps(_take_steps(json.load(sys.stdin))))
