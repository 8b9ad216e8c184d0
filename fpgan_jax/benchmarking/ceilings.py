"""Owns what the machine can do at most, measured in the same run: arithmetic and memory.

Does not own what a program needs of both; `cases.py` asks the compiler.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fpgan_jax.benchmarking import timing

_MATRIX_SIZES = {"cpu": (512, 1024, 2048), "gpu": (2048, 4096, 8192, 12288)}
_COPY_BYTES = {"cpu": (64 * 2**20, 256 * 2**20), "gpu": (256 * 2**20, 2**30, 2**31)}
_SMALLEST_MATRIX_SIZES, _SMALLEST_COPY_BYTES = (128,), (2**20,)


# What is measured besides products, which go by their dtype.
COPY = "copy"


def measure_ceiling(what: str, settings: timing.Settings, *, smallest: bool = False) -> float:
    """Measure what the first device can do at most, the best of several sizes.

    Args:
      what: the dtype of a matrix product, "float32" or "bfloat16"; or `COPY`, a pass over an array in memory. On a GPU
        a float32 product is one of tf32, as the convolutions are.
      settings: how long each size is timed.
      smallest: one small size only, which shows that the measurement runs and nothing else.

    Returns:
      FLOP a second, or bytes a second, read and written.
    """
    platform = "cpu" if jax.default_backend() == "cpu" else "gpu"
    if what == COPY:
        copy_bytes = _SMALLEST_COPY_BYTES if smallest else _COPY_BYTES[platform]
        return max(_time_copy(num_bytes, settings) for num_bytes in copy_bytes)
    matrix_sizes = _SMALLEST_MATRIX_SIZES if smallest else _MATRIX_SIZES[platform]
    return max(_time_product(size, what, settings) for size in matrix_sizes)


def _time_product(size: int, dtype: str, settings: timing.Settings) -> float:
    a, b = (jax.random.normal(jax.random.key(seed), (size, size), dtype) for seed in (0, 1))
    multiply = jax.jit(jnp.dot).lower(a, b).compile()
    return 2 * size**3 / _best_seconds(lambda: multiply(a, b), settings)


def _time_copy(num_bytes: int, settings: timing.Settings) -> float:
    # In place: on a CPU a fresh array's first touch costs more than the copy itself.
    x = jax.random.normal(jax.random.key(0), (num_bytes // 4,))
    negate = jax.jit(jnp.negative, donate_argnums=0).lower(x).compile()

    def pass_over():
        nonlocal x
        x = negate(x)
        return x

    return 2 * x.nbytes / _best_seconds(pass_over, settings)


def _best_seconds(call: Callable, settings: timing.Settings) -> float:
    turn = timing.create_turn(call, jax.block_until_ready)
    return min(turn(settings.min_repeats, settings.min_seconds / settings.rounds))
