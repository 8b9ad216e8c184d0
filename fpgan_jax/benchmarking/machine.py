"""Owns the description of the machine and the software that numbers come from.

Run as a module, it prints the description as JSON.
"""

import json
import os
import pathlib
import platform
import re
from typing import Any

import jax

from fpgan_jax.host import versions
from fpgan_jax.host.cores import count_cores

_PACKAGES = (
    *("jax", "jaxlib", "jax-cuda13-plugin", "nvidia-cudnn-cu13", "flax", "optax", "numpy", "torch", "triton"),
    "tensorflow-cpu",
)
_ENVIRONMENT = (
    *("XLA_FLAGS", "JAX_PLATFORMS", "XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION"),
    *("OMP_NUM_THREADS", "LD_PRELOAD", "GLIBC_TUNABLES"),
)


def describe_machine() -> dict[str, Any]:
    """Describe the machine as JAX sees it, the cores that this process may use, and the software."""
    found = {name: versions.find_package(name) for name in _PACKAGES}
    return {
        "cpu": _read_cpu_model(),
        "num_cores": count_cores(),
        "platform": jax.default_backend(),
        "device": jax.local_devices()[0].device_kind,
        "num_devices": jax.local_device_count(),
        "python": platform.python_version(),
        "versions": {name: version for name, version in found.items() if version != versions.NOT_INSTALLED},
        "environment": {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        "commit": versions.find_commit(),
    }


def _read_cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


if __name__ == "__main__":
    print(json.dumps(describe_machine()))
