"""Owns the measured ceilings of the machine: FLOP per second of a matrix product, bytes per second of a copy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fpgan_jax.benchmarking import timing

_MATRIX_SIZES = {"cpu": (512, 1024, 2048), "gpu": (2048, 4096, 8192, 12288), "smallest": (128,)}
_COPY_BYTES = {"cpu": (64 * 2**20, 256 * 2**20), "gpu": (256 * 2**20, 2**30, 2**31), "smallest": (2**20,)}

# Names the ceiling of memory; those of arithmetic are named by their dtype.
COPY = "copy"


def measure_ceiling(what: str, settings: timing.Settings, *, smallest: bool = False) -> float:
    """Measure a ceiling of the first device, the best over several sizes; over one small size the result means nothing.

    Args:
      what: the dtype of a matrix product, "float32" or "bfloat16", or `COPY` for one pass over an array in memory. On a
        GPU a float32 product uses tf32, as the convolutions do.
      settings: how long each size is timed.
      smallest: time one small size only.

    Returns:
      FLOP per second; or bytes per second, read and written.
    """
    scale = "smallest" if smallest else "cpu" if jax.default_backend() == "cpu" else "gpu"
    if what == COPY:
        return max(_time_copy(num_bytes, settings) for num_bytes in _COPY_BYTES[scale])
    return max(_time_product(size, what, settings) for size in _MATRIX_SIZES[scale])


def _time_product(size: int, dtype: str, settings: timing.Settings) -> float:
    a, b = (jax.random.normal(jax.random.key(seed), (size, size), dtype) for seed in (0, 1))
    multiply = jax.jit(jnp.dot).lower(a, b).compile()
    return 2 * size**3 / _best_seconds(lambda: multiply(a, b), settings)


def _time_copy(num_bytes: int, settings: timing.Settings) -> float:
    # In place: on a CPU the page faults of a fresh array cost more than the copy itself.
    x = jax.random.normal(jax.random.key(0), (num_bytes // 4,))
    negate = jax.jit(jnp.negative, donate_argnums=0).lower(x).compile()

    def pass_over() -> jax.Array:
        nonlocal x
        x = negate(x)
        return x

    return 2 * x.nbytes / _best_seconds(pass_over, settings)


def _best_seconds(call: Callable, settings: timing.Settings) -> float:
    turn = timing.create_turn(call, jax.block_until_ready)
    return min(turn(settings.min_repeats, settings.min_seconds / settings.rounds))
