"""Owns sums over positions as matrix products, of which several convolutions and their gradients consist."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from fpgan_jax.models import fusion

NHWC = ("NHWC", "HWIO", "NHWC")

# For more positions the sum goes example by example, so that the operands fit the caches.
_MAX_CONTRACTED_POSITIONS = 8192


def cut_patches(x: jax.Array, size: int, stride: int, padding: int) -> jax.Array:
    """Return the patches [b, h', w', size * size * c] under a square kernel's positions."""
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    cut_by_axes, cut = (
        functools.partial(function, size=size, stride=stride) for function in (_cut_by_axes, _cut)
    )
    return lax.platform_dependent(padded, cpu=cut_by_axes, default=cut)


def _cut(padded: jax.Array, size: int, stride: int) -> jax.Array:
    _, height, width, _ = padded.shape
    taps = [
        padded[:, i : height - size + i + 1 : stride, j : width - size + j + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(taps, axis=-1)


def _cut_by_axes(padded: jax.Array, size: int, stride: int) -> jax.Array:
    # XLA:CPU makes a kernel of every slice, which takes 20 ms to compile: 4 + 4 of them are better than 4 x 4.
    for axis in (2, 1):
        stop = padded.shape[axis] - size + 1
        taps = [lax.slice_in_dim(padded, i, i + stop, stride, axis) for i in range(size)]
        padded = jnp.stack(taps, axis=3)
    return padded.reshape(*padded.shape[:3], -1)


def contract_plain(x: jax.Array, g: jax.Array) -> jax.Array:
    """Sum like `contract_positions`, by one product of JAX."""
    return jnp.einsum("bhwi,bhwo->io", x, g)


def _contract_cpu(x: jax.Array, g: jax.Array) -> jax.Array:
    # XLA:CPU of jaxlib 0.11 adds up some bfloat16 products in bfloat16, unless it is told not to.
    return jnp.einsum("bhwi,bhwo->io", x, g, preferred_element_type=jnp.float32).astype(x.dtype)


def contract_positions(x: jax.Array, g: jax.Array) -> jax.Array:
    """Sum the outer products of two maps over their positions: [.., i], [.., o] -> [i, o]."""
    in_features, features = x.shape[-1], g.shape[-1]
    if len(x) > 1 and g.size // features > _MAX_CONTRACTED_POSITIONS:
        # Added in float32, like the sum within a product.
        return lax.fori_loop(
            0,
            len(x),
            lambda i, total: total + contract_positions(x[i, None], g[i, None]),
            jnp.zeros((in_features, features), jnp.float32),
        ).astype(x.dtype)
    # Either an operand or the result is transposed in memory; better the result if it is smaller.
    if features < g.size // features and features < in_features:
        return fusion.materialize_on_cpu(_contract_cpu(g, x)).T
    return _contract_cpu(x, g)
