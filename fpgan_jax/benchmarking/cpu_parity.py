"""Owns the comparison of two training steps on this machine's device with the same steps on its CPU.

Does not own the steps; they are `cases.py`'s. Run as a module it takes them on the first device that JAX finds.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.benchmarking import worker_process
from fpgan_jax.benchmarking.cases import STEP_CASES, Case

_NUM_STEPS = 2
# Other orders of float32 sums on a CPU, without XLA's optimizations, differ by less than 1e-6.
MAX_DIFFERENCE = 1e-3
_CASES = {
    "gan_step": Case("gan_step", 64, 16, 4, "float32"),
    "xception_step": Case("xception_step", 71, 0, 4, "float32"),
}
_SMALLEST_CASES = {
    "gan_step": Case("gan_step", 16, 2, 1, "float32"),
    "xception_step": Case("xception_step", 71, 0, 1, "float32"),
}
# Xception needs no full width to use every operation, and the CPU is to be done in seconds.
_CLASSIFIER_FIELDS = {"width": 0.125, "num_middle_blocks": 1}


def compare_steps(config: ConfigDict, *, smallest: bool = False) -> Iterator[dict[str, Any]]:
    """Take two steps of either training on the CPU and on the device, in full float32, and compare every loss.

    Args:
      config: where everything comes from that the cases do not name.
      smallest: the smallest networks and images.

    Yields:
      A row each: the case's fields, "cpu" and "here" with each loss of each step, and "largest_difference", relative,
      with its "metric" and whether it "agrees", within `MAX_DIFFERENCE`; or "error", why there is none.
    """
    config = config.copy_and_resolve_references()
    if not smallest:
        config.classifier.update(_CLASSIFIER_FIELDS)
    for name in STEP_CASES:
        case = (_SMALLEST_CASES if smallest else _CASES)[name]
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

    Args:
      expected: name -> number.
      found: of the same names.

    Returns:
      "metric" and "largest_difference", relative to what is expected and to 1e-3 where that is less; a number that is
      not finite differs infinitely.
    """

    def differ(name: str) -> float:
        difference = abs(found[name] - expected[name]) / max(abs(expected[name]), 1e-3)
        return difference if math.isfinite(difference) else math.inf

    metric = max(expected, key=differ)
    return {"metric": metric, "largest_difference": differ(metric)}


def _take_steps_elsewhere(request: dict[str, Any], platform: str) -> dict[str, float]:
    """Take the steps in a process of their own, on a platform or on JAX's own choice."""
    environment = {"JAX_PLATFORMS": platform} if platform else {}
    try:
        return worker_process.ask_module("fpgan_jax.benchmarking.cpu_parity", request, environment)
    except RuntimeError as error:
        raise RuntimeError(f"the steps on {platform or 'the device'} failed: {error}") from error


def _take_steps(request: dict[str, Any]) -> dict[str, float]:
    import jax

    from fpgan_jax import parallel
    from fpgan_jax.benchmarking import cases
    from fpgan_jax.config.files import parse_config

    jax.config.update("jax_default_matmul_precision", "highest")
    case = Case(**request["case"])
    program = cases.create_program(case, cases.create_config(parse_config(request["config"]), case))
    # Both processes draw the weights on the CPU, so that they are the same.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        state = jax.device_get(program.create_state())
    state, metrics = parallel.replicate(state), {}
    for number in range(1, _NUM_STEPS + 1):
        state, of_step = program.function(state, program.batch, program.key)
        # An accuracy jumps where a logit is near 0. Every device has the same sums.
        metrics |= {
            f"{name} of step {number}": float(value.total[0] / value.count[0])
            for name, value in jax.device_get(of_step).items()
            if name.endswith("loss")
        }
    return metrics


if __name__ == "__main__":
    print(json.dumps(_take_steps(json.load(sys.stdin))))
