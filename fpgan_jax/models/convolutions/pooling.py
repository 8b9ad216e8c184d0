"""Owns max-poolings whose gradients are fast on a CPU."""

import functools

import jax
import jax.numpy as jnp


def max_pool_3x3_stride2(x: jax.Array) -> jax.Array:
    """Keep the largest of each 3x3 patch at every second position, with TensorFlow's SAME padding.

    Except for NaN, numbers and gradients are those of `flax.linen.max_pool` (the first of equal ones takes the
    gradient). XLA:CPU is ten times slower with the gradient of its own pooling (select-and-scatter).
    """
    _, height, width, _ = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padding = ((0, 0), _same_padding(height), _same_padding(width), (0, 0))
    padded = jnp.pad(x, padding, constant_values=-jnp.inf)
    taps = [
        padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for i in range(3) for j in range(3)
    ]
    return functools.reduce(lambda largest, tap: jnp.where(tap > largest, tap, largest), taps)


def _same_padding(size: int) -> tuple[int, int]:
    """Return TensorFlow's padding of 3 taps at stride 2: none before an even size, one after it."""
    return (1, 1) if size % 2 else (0, 1)


def max_pool_2x2(x: jax.Array) -> jax.Array:
    """Keep the largest of each 2x2 patch of maps with even sides; equal ones share the gradient."""
    batch, height, width, features = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, features).max((2, 4))
