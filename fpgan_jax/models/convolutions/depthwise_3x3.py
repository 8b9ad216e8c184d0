"""Owns the 3x3 depthwise convolution, in a fast form."""

import jax
import jax.numpy as jnp
from jax import lax

from fpgan_jax.models import fusion


def _shifted(x: jax.Array) -> list[jax.Array]:
    """Return the nine views of a zero-padded image, row by row, in float32."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    views = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return [view.astype(jnp.float32) for view in views]


def _depthwise_kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
    """Return the gradient of <depthwise_conv_3x3(x, kernel), g> by the kernel, [9, features] float32."""
    g = g.astype(jnp.float32)
    return jnp.stack([jnp.sum(view * g, axis=(0, 1, 2)) for view in _shifted(x)])


def _depthwise_kernel_gradient_cpu(x: jax.Array, g: jax.Array) -> jax.Array:
    """Do the same with the columns written out: XLA:CPU's own sums over leading axes are two to four times slower."""
    batch, height, width, features = g.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(jnp.float32)
    g = g.astype(jnp.float32)
    # Three taps at a time, [batch, height, 3, features], summed over a row.
    rows = [
        fusion.materialize_on_cpu(
            sum(padded[:, i : i + height, j : j + 3] * g[:, :, j : j + 1] for j in range(width))
        )
        for i in range(3)
    ]
    ones = jnp.ones((1, batch * height), jnp.float32)
    return jnp.stack([jnp.dot(ones, row.reshape(batch * height, -1)) for row in rows]).reshape(9, features)


@jax.custom_vjp
def depthwise_conv_3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve each feature with its own 3x3 kernel [3, 3, 1, features], stride 1, size kept (zero padding).

    Nine shifted multiply-adds, which XLA fuses into one pass; its grouped convolution is far slower on CPU. Sums are
    float32 whatever the dtype. Only reverse-mode differentiation is defined, to any order.

    Source: Chollet 2017, section 2, the spatial half of a separable convolution; differs in: nothing.
    """
    taps = kernel.astype(jnp.float32).reshape(9, -1)
    return sum(view * tap for view, tap in zip(_shifted(x), taps, strict=True)).astype(x.dtype)


def _depthwise_backward(residuals, g):
    x, kernel = residuals
    kernel_gradient = lax.platform_dependent(
        x, g, cpu=_depthwise_kernel_gradient_cpu, default=_depthwise_kernel_gradient
    )
    return depthwise_conv_3x3(g, kernel[::-1, ::-1]), kernel_gradient.reshape(kernel.shape).astype(
        kernel.dtype
    )


depthwise_conv_3x3.defvjp(lambda x, kernel: (depthwise_conv_3x3(x, kernel), (x, kernel)), _depthwise_backward)
