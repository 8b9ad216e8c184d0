"""Owns the 4x4 convolution of stride 2 and its transpose, in fast forms and in their plain form.

Three linear maps are closed under differentiation: the convolution, its transpose, and the gradient with respect to the
kernel. Each has a plain form in lax (for tests, and for many positions on a GPU), products for few positions, and a
form for XLA:CPU, whose own code for dilated and batch-contracting convolutions is up to forty times slower.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from fpgan_jax.models import fusion
from fpgan_jax.models.convolutions.products import NHWC, contract_plain, contract_positions, cut_patches

# Up to this number of positions (batch x height x width of the small map), XLA:CPU is faster with matrix products
# than with its convolutions; beyond, the products' operands (16 values per position) no longer fit the caches.
# On a GPU the weights of such a layer are more than its maps, and cuDNN would have them transposed at every use.
_MAX_PRODUCT_POSITIONS = 512

# In a kernel's gradient XLA:CPU's convolution sums over the batch innermost, in vectors of this size.
_MIN_VECTOR_BATCH = 8


def conv_4x4_stride2_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve like `conv_4x4_stride2`, with lax alone."""
    return lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=NHWC)


def conv_transpose_4x4_stride2_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve like `conv_transpose_4x4_stride2`, with lax alone."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return lax.conv_general_dilated(
        x, flipped, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=NHWC
    )


def _kernel_gradient_plain(x: jax.Array, g: jax.Array) -> jax.Array:
    """Return the gradient of <conv_4x4_stride2(x, kernel), g> with respect to the kernel."""
    kernel = jax.ShapeDtypeStruct((4, 4, x.shape[-1], g.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: conv_4x4_stride2_plain(x, k), kernel)(g)[0]


def _has_few_positions(batch: int, height: int, width: int) -> bool:
    return batch * height * width <= _MAX_PRODUCT_POSITIONS


def _conv_by_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(cut_patches(x, 4, 2, 1), kernel.reshape(-1, kernel.shape[-1]))


def _kernel_gradient_by_product(x: jax.Array, g: jax.Array) -> jax.Array:
    patches = cut_patches(x, 4, 2, 1)
    gradient = lax.platform_dependent(patches, g, cpu=contract_positions, default=contract_plain)
    return gradient.reshape(4, 4, x.shape[-1], g.shape[-1])


def _kernel_gradient_cpu(x: jax.Array, g: jax.Array) -> jax.Array:
    if len(x) < _MIN_VECTOR_BATCH:
        gradients = [_kernel_gradient_by_phases(x[i, None], g[i, None]) for i in range(len(x))]
        return functools.reduce(jnp.add, gradients).astype(x.dtype)
    # Stored first: both are read transposed, which is slow for values that are computed on the way.
    return _kernel_gradient_plain(*fusion.materialize_on_cpu((x, g)))


def _kernel_gradient_by_phases(x: jax.Array, g: jax.Array) -> jax.Array:
    """Take the four phases of `x` (even and odd rows and columns) as features under a 2x2 kernel; float32."""
    batch, height, width, in_features = x.shape
    features = g.shape[-1]
    rows, columns = height // 2, width // 2
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    phases = padded.reshape(batch, rows + 1, 2, columns + 1, 2, in_features).transpose(0, 1, 3, 2, 4, 5)
    phases = fusion.materialize_on_cpu(phases.reshape(batch, rows + 1, columns + 1, 4 * in_features))
    taps = [
        jnp.einsum(
            "bhwi,bhwo->io",
            phases[:, i : i + rows, j : j + columns],
            g,
            preferred_element_type=jnp.float32,
        )
        for i in range(2)
        for j in range(2)
    ]
    gradient = jnp.stack(taps).reshape(2, 2, 2, 2, in_features, features).transpose(0, 2, 1, 3, 4, 5)
    return gradient.reshape(4, 4, in_features, features)


def _conv_transpose_gpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    features, in_features = kernel.shape[2:]
    # XLA:GPU does not see that a convolution to a single feature is a transposed one, and spreads the input out
    # between zeros; the product's patches are no larger than the input.
    if 16 * features <= in_features:
        return _conv_transpose_by_product(x, kernel)
    return conv_transpose_4x4_stride2_plain(x, kernel)


def _conv_transpose_by_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiply every position by the whole kernel, then add the overlapping patches."""
    batch, height, width, _ = x.shape
    features, in_features = kernel.shape[2:]
    # The patches stay float32 until they are added, as a convolution's own sum does.
    patches = jnp.einsum(
        "bhwi,ti->bhwt", x, kernel.reshape(-1, in_features), preferred_element_type=jnp.float32
    )
    patches = patches.reshape(batch, height, width, 4, 4, features)
    rows = _add_overlaps(patches, axis=1).reshape(batch, 2 * height, width, 4, features)
    return _add_overlaps(rows, axis=2).reshape(batch, 2 * height, 2 * width, features).astype(x.dtype)


def _add_overlaps(patches: jax.Array, axis: int) -> jax.Array:
    """Add neighbors' taps along one axis: [.., n, (..), 4, ..], taps at axis 3 -> [.., n, 2, (..), ..]."""
    tap = [lax.index_in_dim(patches, i, axis=3, keepdims=False) for i in range(4)]
    even = tap[1] + _shift(tap[3], axis, 1)
    odd = tap[2] + _shift(tap[0], axis, -1)
    return jnp.stack([even, odd], axis=axis + 1)


def _shift(x: jax.Array, axis: int, by: int) -> jax.Array:
    """Move by one position along an axis, with zeros in the freed place."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (by, -by, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), padding)


def _conv_transpose_by_phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Compute the four phases (even and odd rows and columns) as features of one 2x2 convolution."""
    batch, height, width, _ = x.shape
    features, in_features = kernel.shape[2:]
    # Flipped, taps 0 and 2 of an axis make the even outputs and taps 1 and 3 the odd ones, one position
    # later.
    phases = kernel[::-1, ::-1].reshape(2, 2, 2, 2, features, in_features).transpose(0, 2, 5, 1, 3, 4)
    outputs = lax.conv_general_dilated(
        x,
        phases.reshape(2, 2, in_features, 4 * features),
        (1, 1),
        ((1, 1), (1, 1)),
        dimension_numbers=NHWC,
    ).reshape(batch, height + 1, width + 1, 2, 2, features)
    rows = [
        jnp.stack([outputs[:, p : p + height, q : q + width, p, q] for q in range(2)], axis=3)
        for p in range(2)
    ]
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, features)


def _kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
    if _has_few_positions(*g.shape[:3]):
        return _kernel_gradient_by_product(x, g)
    return lax.platform_dependent(x, g, cpu=_kernel_gradient_cpu, default=_kernel_gradient_plain)


@jax.custom_vjp
def conv_4x4_stride2(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve with a 4x4 kernel, stride 2 and one pixel of zero padding, which halves the size.

    The numbers are lax's; the gradients are fast on CPU too. Only reverse-mode differentiation is defined, to any
    order.

    Args:
      x: [batch, height, width, in_features], float; height and width even.
      kernel: [4, 4, in_features, features], same dtype.

    Source: torch.nn.Conv2d(kernel_size=4, stride=2, padding=1); differs in: layout.
    """
    batch, height, width, _ = x.shape
    if _has_few_positions(batch, height // 2, width // 2):
        return _conv_by_product(x, kernel)
    return conv_4x4_stride2_plain(x, kernel)


@jax.custom_vjp
def conv_transpose_4x4_stride2(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Apply the transpose of `conv_4x4_stride2`, which doubles the size.

    The numbers are lax's; the gradients are fast on CPU and GPU: with respect to `x` it is the strided convolution,
    with respect to `kernel` that convolution's kernel gradient. Only reverse-mode differentiation is defined, to any
    order.

    Args:
      x: [batch, height, width, in_features], float.
      kernel: [4, 4, features, in_features], same dtype: that of the convolution whose transpose this is, so that a
        PyTorch kernel of either kind comes here by transposing (2, 3, 1, 0).

    Source: torch.nn.ConvTranspose2d(kernel_size=4, stride=2, padding=1); differs in: layout.
    """
    if _has_few_positions(*x.shape[:3]):
        return _conv_transpose_by_product(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=_conv_transpose_by_phases, default=_conv_transpose_gpu)


def _conv_backward(residuals, g):
    x, kernel = residuals
    return conv_transpose_4x4_stride2(g, kernel), _kernel_gradient(x, g)


def _conv_transpose_backward(residuals, g):
    x, kernel = residuals
    return conv_4x4_stride2(g, kernel), _kernel_gradient(g, x)


conv_4x4_stride2.defvjp(lambda x, kernel: (conv_4x4_stride2(x, kernel), (x, kernel)), _conv_backward)


conv_transpose_4x4_stride2.defvjp(
    lambda x, kernel: (conv_transpose_4x4_stride2(x, kernel), (x, kernel)), _conv_transpose_backward
)


def fold_doubling_into_kernel(kernel: jax.Array) -> jax.Array:
    """Turn a 3x3 kernel that follows a nearest-neighbor doubling into the transposed 4x4 kernel of both.

    Args:
      kernel: [3, 3, in_features, features], float.

    Returns:
      [4, 4, features, in_features] for `conv_transpose_4x4_stride2`, same dtype. An input is repeated in two rows, so
      that a tap reaches two neighboring outputs: the kernel's convolution with 2x2 ones, rotated.
    """
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    shifted = (padded[i : i + 4, j : j + 4] for i in range(2) for j in range(2))
    repeated = sum(shifted, start=jnp.zeros((), kernel.dtype))
    return repeated[::-1, ::-1].swapaxes(2, 3)
