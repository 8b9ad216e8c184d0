"""Owns fast convolutions of stride 1, and the pointwise one."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from fpgan_jax.models import fusion
from fpgan_jax.models.convolutions.products import NHWC, contract_plain, contract_positions, cut_patches


def conv_stride1_plain(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolve like `conv_stride1`, with lax alone."""
    pad = (padding, padding)
    return lax.conv_general_dilated(x, kernel, (1, 1), (pad, pad), dimension_numbers=NHWC)


def _conv_stride1_cpu(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    size, _, in_features, features = kernel.shape
    # XLA's convolution is slow for few input features, and otherwise as fast as a product.
    if in_features > 32 or features == 1:
        return conv_stride1_plain(x, kernel, padding)
    return jnp.dot(cut_patches(x, size, 1, padding), kernel.reshape(-1, features))


def _stride1_kernel_gradient_plain(x: jax.Array, g: jax.Array, size: int, padding: int) -> jax.Array:
    kernel = jax.ShapeDtypeStruct((size, size, x.shape[-1], g.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: conv_stride1_plain(x, k, padding), kernel)(g)[0]


def _stride1_kernel_gradient_cpu(x: jax.Array, g: jax.Array, size: int, padding: int) -> jax.Array:
    in_features, features = x.shape[-1], g.shape[-1]
    if features == 1:
        # The patches of g, in which tap (i, j) is at (-i, -j), are smaller than those of x.
        taps = cut_patches(g, size, 1, size - 1 - padding)
        return contract_positions(x, taps).T.reshape(size, size, in_features, 1)[::-1, ::-1]
    if in_features > 32:
        return _stride1_kernel_gradient_plain(x, g, size, padding)
    gradient = contract_positions(cut_patches(x, size, 1, padding), g)
    return gradient.reshape(size, size, in_features, features)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_stride1(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolve with a square kernel [size, size, in_features, features] at stride 1.

    The numbers are lax's; the gradients are fast on CPU too. Only reverse-mode differentiation is defined, once.
    Padding is rows and columns of zeros on each side, less than size.
    """
    return lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(_conv_stride1_cpu, padding=padding),
        default=functools.partial(conv_stride1_plain, padding=padding),
    )


def _conv_stride1_backward(padding, residuals, g):
    x, kernel = residuals
    size = kernel.shape[0]
    (x_gradient,) = jax.linear_transpose(lambda x: conv_stride1_plain(x, kernel, padding), x)(g)
    kernel_gradient = lax.platform_dependent(
        x,
        g,
        cpu=functools.partial(_stride1_kernel_gradient_cpu, size=size, padding=padding),
        default=functools.partial(_stride1_kernel_gradient_plain, size=size, padding=padding),
    )
    return x_gradient, kernel_gradient


conv_stride1.defvjp(
    lambda x, kernel, padding: (conv_stride1(x, kernel, padding), (x, kernel)), _conv_stride1_backward
)


@jax.custom_vjp
def pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve with a 1x1 kernel [in_features, features] of the same dtype: a matrix product at every position.

    Its operands are stored before the products: XLA:CPU would compute them again, transposed, for the kernel's
    gradient, ten times slower.
    """
    return jnp.dot(x, kernel)


def _pointwise_forward(x, kernel):
    x = fusion.materialize_on_cpu(x)
    return jnp.dot(x, kernel), (x, kernel)


def _pointwise_backward(residuals, g):
    x, kernel = residuals
    g = fusion.materialize_on_cpu(g)
    kernel_gradient = lax.platform_dependent(x, g, cpu=contract_positions, default=contract_plain)
    return jnp.dot(g, kernel.T), kernel_gradient


pointwise_conv.defvjp(_pointwise_forward, _pointwise_backward)


def take_every(x: jax.Array, stride: int) -> jax.Array:
    """Take every `stride`-th position of every `stride`-th row, and have the result stored.

    XLA:GPU (jaxlib 0.10.2; openxla/xla issue 47381) ends the process if it fuses such a slice, of an odd size, into a
    product.
    """
    return lax.optimization_barrier(x[:, ::stride, ::stride])
