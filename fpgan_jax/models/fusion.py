"""Owns the boundaries that XLA:CPU does not fuse across, used by layers and optimizers that are faster with them."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata


def apart_on_cpu(function: Callable) -> Callable:
    """Have a function of pytrees of arrays compiled apart from its surroundings, on a CPU.

    XLA:CPU fuses an elementwise producer into each of its consumers, however they stride over it, and copies donated
    arrays that pmap's device axis is taken from; `lax.optimization_barrier` is gone before it fuses. A call that may
    not be inlined is kept. Elsewhere the function is called as it is. No value changes. It cannot be differentiated.
    """

    def call_apart(*args):
        with set_xla_metadata(inlineable="false"):
            return jax.jit(function)(*args)

    return lambda *args: lax.platform_dependent(*args, cpu=call_apart, default=function)


def materialize_on_cpu(tree: Any) -> Any:
    """Have arrays computed once and stored before anything reads them, on a CPU; see `apart_on_cpu`."""
    return apart_on_cpu(lambda tree: tree)(tree)
