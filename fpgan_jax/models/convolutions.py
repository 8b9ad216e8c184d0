"""Owns the convolutions and poolings that XLA is slow with as they stand, each with its plain form.

Does not own parameters: `layers` makes modules of these. Which form is the fast one was measured on CPU, layer by
layer and in the whole step (`python -m launch.benchmark`). A GPU gets the plain form, which cuDNN knows, except where
the whole step was faster with another on an H100 (docs/benchmarks.md).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from fpgan_jax.models import fusion

_NHWC = ("NHWC", "HWIO", "NHWC")
# Up to so many positions (batch x height x width of the small map), XLA:CPU is faster with matrix products
# than with its convolutions; beyond, the products' operands (16 values a position) no longer fit the caches.
# On a GPU the weights of such a layer are more than its maps, and cuDNN would have them transposed at every use.
_MAX_PRODUCT_POSITIONS = 512
# Beyond so many positions the sum over them goes example by example, whose operands fit the caches.
_MAX_CONTRACTED_POSITIONS = 8192
# In a kernel's gradient the batch is what XLA:CPU's convolution sums over innermost, in vectors of as many.
_MIN_VECTOR_BATCH = 8


# --- 4x4 convolution of stride 2, and its transpose -----------------------------------------------
#
# Three linear maps are closed under differentiation: the convolution, its transpose, and the gradient with
# respect to the kernel. Each has a plain form in lax (kept for tests, and what a GPU runs where there are many
# positions), products for few positions, and a form for XLA:CPU, whose own code for dilated and
# batch-contracting convolutions is up to forty times slower.


def conv_4x4_stride2_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve as `conv_4x4_stride2` does, by lax alone."""
    return lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=_NHWC)


def conv_transpose_4x4_stride2_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve as `conv_transpose_4x4_stride2` does, by lax alone."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return lax.conv_general_dilated(
        x, flipped, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=_NHWC
    )


def _kernel_gradient_plain(x: jax.Array, g: jax.Array) -> jax.Array:
    """Return the gradient of <conv_4x4_stride2(x, kernel), g> with respect to the kernel."""
    kernel = jax.ShapeDtypeStruct((4, 4, x.shape[-1], g.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: conv_4x4_stride2_plain(x, k), kernel)(g)[0]


def _patches(x: jax.Array, size: int, stride: int, padding: int) -> jax.Array:
    """Return the patches [b, h', w', size * size * c] under a square kernel's positions."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = ((n + 2 * padding - size) // stride + 1 for n in (height, width))
    taps = [
        padded[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(taps, axis=-1)


def _contract_plain(x: jax.Array, g: jax.Array) -> jax.Array:
    return jnp.einsum("bhwi,bhwo->io", x, g)


def _contract_cpu(x: jax.Array, g: jax.Array) -> jax.Array:
    # XLA:CPU of jaxlib 0.11 adds up some bfloat16 products in bfloat16, unless it is told not to.
    return jnp.einsum("bhwi,bhwo->io", x, g, preferred_element_type=jnp.float32).astype(x.dtype)


def _contract_positions(x: jax.Array, g: jax.Array) -> jax.Array:
    """Sum the outer products of two maps over their positions: [.., i], [.., o] -> [i, o]."""
    in_features, features = x.shape[-1], g.shape[-1]
    if len(x) > 1 and g.size // features > _MAX_CONTRACTED_POSITIONS:
        # In float32 from example to example, as one product's own sum is.
        return lax.fori_loop(
            0,
            len(x),
            lambda i, total: total + _contract_positions(x[i, None], g[i, None]),
            jnp.zeros((in_features, features), jnp.float32),
        ).astype(x.dtype)
    # One operand or the result is transposed in memory: where the result is the smaller, better that.
    if features < g.size // features and features < in_features:
        return fusion.materialize_on_cpu(_contract_cpu(g, x)).T
    return _contract_cpu(x, g)


def _has_few_positions(batch: int, height: int, width: int) -> bool:
    return batch * height * width <= _MAX_PRODUCT_POSITIONS


def _conv_by_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(_patches(x, 4, 2, 1), kernel.reshape(-1, kernel.shape[-1]))


def _kernel_gradient_by_product(x: jax.Array, g: jax.Array) -> jax.Array:
    patches = _patches(x, 4, 2, 1)
    gradient = lax.platform_dependent(patches, g, cpu=_contract_positions, default=_contract_plain)
    return gradient.reshape(4, 4, x.shape[-1], g.shape[-1])


def _kernel_gradient_cpu(x: jax.Array, g: jax.Array) -> jax.Array:
    if len(x) < _MIN_VECTOR_BATCH:
        gradients = [_kernel_gradient_by_phases(x[i, None], g[i, None]) for i in range(len(x))]
        return functools.reduce(jnp.add, gradients).astype(x.dtype)
    # Stored first: both are read transposed, which is slow for what is computed on the way.
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
    """Add neighbours' taps along one axis: [.., n, (..), 4, ..], taps at axis 3 -> [.., n, 2, (..), ..]."""
    tap = [lax.index_in_dim(patches, i, axis=3, keepdims=False) for i in range(4)]
    even = tap[1] + _shift(tap[3], axis, 1)
    odd = tap[2] + _shift(tap[0], axis, -1)
    return jnp.stack([even, odd], axis=axis + 1)


def _shift(x: jax.Array, axis: int, by: int) -> jax.Array:
    """Move by one position along an axis, with zeros in the place that falls free."""
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
        dimension_numbers=_NHWC,
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

    The same numbers as lax gives, with gradients that are fast on CPU too. Forward-mode differentiation is
    not defined; reverse mode is, to any order.

    Args:
      x: [batch, height, width, in_features], float; height and width even.
      kernel: [4, 4, in_features, features], same dtype.

    Returns:
      [batch, height / 2, width / 2, features], same dtype.

    Source: torch.nn.Conv2d(kernel_size=4, stride=2, padding=1); differs in: layout.
    """
    batch, height, width, _ = x.shape
    if _has_few_positions(batch, height // 2, width // 2):
        return _conv_by_product(x, kernel)
    return conv_4x4_stride2_plain(x, kernel)


@jax.custom_vjp
def conv_transpose_4x4_stride2(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Apply the transpose of `conv_4x4_stride2`, which doubles the size.

    The same numbers as lax gives, with gradients that are fast on CPU and GPU: with respect to `x` it is the
    strided convolution, with respect to `kernel` that convolution's kernel gradient. Forward-mode
    differentiation is not defined; reverse mode is, to any order.

    Args:
      x: [batch, height, width, in_features], float.
      kernel: [4, 4, features, in_features], same dtype: that of the convolution whose transpose this is, so
        that a PyTorch kernel of either kind comes here by transposing (2, 3, 1, 0).

    Returns:
      [batch, 2 * height, 2 * width, features], same dtype.

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
    """Turn a 3x3 kernel that follows a nearest-neighbour doubling into the transposed 4x4 kernel of both at once.

    Args:
      kernel: [3, 3, in_features, features], float.

    Returns:
      [4, 4, features, in_features] for `conv_transpose_4x4_stride2`, same dtype. An input is repeated in two
      rows, so that a tap reaches two neighbouring outputs: the kernel's convolution with 2x2 ones, turned round.
    """
    padded = jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0)))
    repeated = sum(padded[i : i + 4, j : j + 4] for i in range(2) for j in range(2))
    return repeated[::-1, ::-1].swapaxes(2, 3)


# --- 3x3 depthwise convolution --------------------------------------------------------------------


def depthwise_conv_3x3_plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve as `depthwise_conv_3x3` does, by lax alone."""
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=_NHWC, feature_group_count=x.shape[-1]
    )


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
    # Of three taps [batch, height, 3, features] at a time, summed over a row.
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
    """Convolve each feature with its own 3x3 kernel, stride 1, size kept (zero padding).

    Nine shifted multiply-adds, which XLA fuses into one pass; its grouped convolution is far slower on CPU.
    Sums are float32 whatever the dtype. Forward-mode differentiation is not defined; reverse mode is, to any
    order.

    Args:
      x: [batch, height, width, features], float.
      kernel: [3, 3, 1, features], same dtype.

    Returns:
      [batch, height, width, features], same dtype.

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


# --- convolutions of stride 1 ---------------------------------------------------------------------


def conv_stride1_plain(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolve as `conv_stride1` does, by lax alone."""
    pad = (padding, padding)
    return lax.conv_general_dilated(x, kernel, (1, 1), (pad, pad), dimension_numbers=_NHWC)


def _conv_stride1_cpu(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    size, _, in_features, features = kernel.shape
    # XLA's convolution is slow where few features go in, and elsewhere as fast as a product.
    if in_features > 32 or features == 1:
        return conv_stride1_plain(x, kernel, padding)
    return jnp.dot(_patches(x, size, 1, padding), kernel.reshape(-1, features))


def _stride1_kernel_gradient_plain(x: jax.Array, g: jax.Array, size: int, padding: int) -> jax.Array:
    kernel = jax.ShapeDtypeStruct((size, size, x.shape[-1], g.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: conv_stride1_plain(x, k, padding), kernel)(g)[0]


def _stride1_kernel_gradient_cpu(x: jax.Array, g: jax.Array, size: int, padding: int) -> jax.Array:
    in_features, features = x.shape[-1], g.shape[-1]
    if features == 1:
        # The patches of g, in which tap (i, j) lies at (-i, -j), are smaller than those of x.
        taps = _patches(g, size, 1, size - 1 - padding)
        return _contract_positions(x, taps).T.reshape(size, size, in_features, 1)[::-1, ::-1]
    if in_features > 32:
        return _stride1_kernel_gradient_plain(x, g, size, padding)
    gradient = _contract_positions(_patches(x, size, 1, padding), g)
    return gradient.reshape(size, size, in_features, features)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_stride1(x: jax.Array, kernel: jax.Array, padding: int) -> jax.Array:
    """Convolve with a square kernel at stride 1.

    The same numbers as lax gives, with gradients that are fast on CPU too. Forward-mode differentiation is
    not defined; reverse mode is, once.

    Args:
      x: [batch, height, width, in_features], float.
      kernel: [size, size, in_features, features], same dtype.
      padding: rows and columns of zeros on each side; less than size.

    Returns:
      [batch, height + 2 * padding - size + 1, width + 2 * padding - size + 1, features], same dtype.
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
    """Convolve with a 1x1 kernel: a matrix product at every position.

    Its operands are stored before the products: XLA:CPU would compute them again, transposed, for the
    kernel's gradient, ten times slower.

    Args:
      x: [batch, height, width, in_features], float.
      kernel: [in_features, features], same dtype.

    Returns:
      [batch, height, width, features], same dtype.
    """
    return jnp.dot(x, kernel)


def _pointwise_forward(x, kernel):
    x = fusion.materialize_on_cpu(x)
    return jnp.dot(x, kernel), (x, kernel)


def _pointwise_backward(residuals, g):
    x, kernel = residuals
    g = fusion.materialize_on_cpu(g)
    kernel_gradient = lax.platform_dependent(x, g, cpu=_contract_positions, default=_contract_plain)
    return jnp.dot(g, kernel.T), kernel_gradient


pointwise_conv.defvjp(_pointwise_forward, _pointwise_backward)


def take_every(x: jax.Array, stride: int) -> jax.Array:
    """Take every `stride`-th position of every `stride`-th row, and have that stored.

    XLA:GPU (jaxlib 0.10.2; openxla/xla issue 47381) ends the process where it fuses such a slice, of an odd size,
    into a product.

    Args:
      x: [batch, height, width, features].
      stride: at least 1.

    Returns:
      [batch, ceil(height / stride), ceil(width / stride), features], same dtype.
    """
    return lax.optimization_barrier(x[:, ::stride, ::stride])


# --- poolings -------------------------------------------------------------------------------------


def max_pool_3x3_stride2(x: jax.Array) -> jax.Array:
    """Keep the largest of each 3x3 patch at every second position, TensorFlow's SAME padding.

    The same numbers and gradients as `flax.linen.max_pool` (of equal ones the first takes the gradient), but
    for NaN. XLA:CPU is ten times slower with the gradient of its own pooling (select-and-scatter).

    Args:
      x: [batch, height, width, features], float.

    Returns:
      [batch, ceil(height / 2), ceil(width / 2), features], same dtype.
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
    """Keep the largest of each 2x2 patch; equal ones share the gradient.

    Args:
      x: [batch, height, width, features], float; height and width even.

    Returns:
      [batch, height / 2, width / 2, features], same dtype.
    """
    batch, height, width, features = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, features).max((2, 4))
