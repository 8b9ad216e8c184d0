"""Owns the layers that the networks are built of: convolutions with fast gradients, norms and initialisers.

Does not own any network, nor read a config: `unet`, `patchgan` and `xception` put the layers together.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax

Dtype = Any
Initializer = Callable[..., jax.Array]

NORMS = ("batch", "batch_per_example", "instance", "none")

_NHWC = ("NHWC", "HWIO", "NHWC")
# Up to so many positions (batch x height x width of the small map), XLA:CPU is faster with matrix products
# than with its convolutions; beyond, the products' operands (16 values a position) no longer fit the caches.
_MAX_PRODUCT_POSITIONS = 512

gan_kernel_init = nn.initializers.normal(0.02)


def gan_scale_init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
    """Draw a norm's scale from N(1, 0.02).

    Source: junyanz/pytorch-CycleGAN-and-pix2pix, `init_weights`; differs in: nothing.
    """
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


# --- 4x4 convolution of stride 2, and its transpose -----------------------------------------------
#
# Three linear maps are closed under differentiation: the convolution, its transpose, and the gradient with
# respect to the kernel. Each has a plain form in lax (kept for tests, and what a GPU runs: cuDNN knows all
# three) and a form for XLA:CPU, whose own code for dilated and batch-contracting convolutions is up to forty
# times slower.


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


def _patches(x: jax.Array) -> jax.Array:
    """Return the 4x4 patches [b, h/2, w/2, 16 * c] under the kernel's positions."""
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)]
    return jnp.concatenate(taps, axis=-1)


def _has_few_positions(small: jax.Array) -> bool:
    batch, height, width, _ = small.shape
    return batch * height * width <= _MAX_PRODUCT_POSITIONS


def _conv_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    positions = x.shape[0] * (x.shape[1] // 2) * (x.shape[2] // 2)
    if positions > _MAX_PRODUCT_POSITIONS:
        return conv_4x4_stride2_plain(x, kernel)
    return jnp.dot(_patches(x), kernel.reshape(-1, kernel.shape[-1]))


def _kernel_gradient_cpu(x: jax.Array, g: jax.Array) -> jax.Array:
    if not _has_few_positions(g):
        return _kernel_gradient_plain(x, g)
    gradient = jnp.einsum("bhwi,bhwo->io", _patches(x), g)
    return gradient.reshape(4, 4, x.shape[-1], g.shape[-1])


def _conv_transpose_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    if _has_few_positions(x):
        return _conv_transpose_by_product(x, kernel)
    return _conv_transpose_by_phases(x, kernel)


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
    return lax.platform_dependent(x, kernel, cpu=_conv_cpu, default=conv_4x4_stride2_plain)


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
    return lax.platform_dependent(
        x, kernel, cpu=_conv_transpose_cpu, default=conv_transpose_4x4_stride2_plain
    )


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
    """Do the same row by row: XLA:CPU sums a whole map over its leading axes three to six times slower."""
    batch, height, width, features = g.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def add_row(position, total):
        i, j = position // height, position % height
        rows = lax.dynamic_slice(padded, (i, j, 0, 0), (1, 3, width + 2, features))[0].astype(jnp.float32)
        g_row = lax.dynamic_slice(g, (i, j, 0, 0), (1, 1, width, features))[0, 0].astype(jnp.float32)
        taps = [jnp.sum(rows[p, q : q + width] * g_row, axis=0) for p in range(3) for q in range(3)]
        return total + jnp.stack(taps)

    return lax.fori_loop(0, batch * height, add_row, jnp.zeros((9, features), jnp.float32))


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


# --- 1x1 convolution ------------------------------------------------------------------------------


@jax.custom_vjp
def pointwise_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(x, kernel)


def _pointwise_backward(residuals, g):
    x, kernel = residuals
    x, g = lax.optimization_barrier((x, g))
    return jnp.dot(g, kernel.T), jnp.einsum("bhwi,bhwo->io", x, g)


pointwise_conv.defvjp(lambda x, kernel: (pointwise_conv(x, kernel), (x, kernel)), _pointwise_backward)


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


# --- modules --------------------------------------------------------------------------------------


class Conv4x4Stride2(nn.Module):
    """4x4 convolution of stride 2 that halves the size; see `conv_4x4_stride2`.

    Attributes:
      features: number of output features.
      use_bias: whether a bias (from 0) is added.
      dtype: of the computation; None is the widest of input and parameters.
      param_dtype: of the parameters.
      kernel_init: initialiser of the kernel.
    """

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = gan_kernel_init

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, h / 2, w / 2, features]."""
        kernel = self.param("kernel", self.kernel_init, (4, 4, x.shape[-1], self.features), self.param_dtype)
        bias = _add_bias_param(self)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return _with_bias(conv_4x4_stride2(x, kernel), bias)


class ConvTranspose4x4Stride2(nn.Module):
    """Transposed 4x4 convolution of stride 2 that doubles the size; see `conv_transpose_4x4_stride2`.

    The kernel's shape is [4, 4, features, in_features], unlike that of `flax.linen.ConvTranspose`.

    Attributes:
      features: number of output features.
      use_bias: whether a bias (from 0) is added.
      dtype: of the computation; None is the widest of input and parameters.
      param_dtype: of the parameters.
      kernel_init: initialiser of the kernel.
    """

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = gan_kernel_init

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, 2 h, 2 w, features]."""
        kernel = self.param("kernel", self.kernel_init, (4, 4, self.features, x.shape[-1]), self.param_dtype)
        bias = _add_bias_param(self)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return _with_bias(conv_transpose_4x4_stride2(x, kernel), bias)


class UpConv2x2(nn.Module):
    """2x2 transposed convolution of stride 2: every position becomes its own 2x2 patch.

    Attributes:
      features: number of output features.
      dtype: of the computation; None is the widest of input and parameters.
      param_dtype: of the parameters.

    Source: Ronneberger et al. 2015, section 2, "up-convolution"; differs in: nothing.
    """

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, 2 h, 2 w, features]."""
        batch, height, width, in_features = x.shape
        # No two patches overlap, so an output has in_features inputs and not four times as many.
        init = nn.initializers.he_normal(in_axis=-1, out_axis=-2, batch_axis=(0, 1))
        kernel = self.param("kernel", init, (2, 2, self.features, in_features), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        patches = jnp.einsum("bhwi,pqoi->bhpwqo", x, kernel)
        return patches.reshape(batch, 2 * height, 2 * width, self.features) + bias


def _add_bias_param(module: nn.Module) -> jax.Array | None:
    if not module.use_bias:
        return None
    return module.param("bias", nn.initializers.zeros_init(), (module.features,), module.param_dtype)


def _with_bias(x: jax.Array, bias: jax.Array | None) -> jax.Array:
    return x if bias is None else x + bias


class SeparableConv3x3(nn.Module):
    """3x3 depthwise convolution and the 1x1 convolution after it, without biases and with nothing between.

    Its parameters bear Keras's names and layouts but for the depthwise kernel: (3, 3, 1, C) here, (3, 3, C,
    1) there.

    Attributes:
      features: number of output features.
      dtype: of the computation; None is the widest of input and parameters.
      param_dtype: of the parameters.

    Source: Chollet 2017, section 2, as keras.layers.SeparableConv2D; differs in: nothing.
    """

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, h, w, features]."""
        in_features = x.shape[-1]
        # Glorot's rule adds both fans, so it does not matter that Keras and Flax swap them here.
        init = nn.initializers.glorot_uniform()
        depthwise = self.param("depthwise_kernel", init, (3, 3, 1, in_features), self.param_dtype)
        pointwise = self.param("pointwise_kernel", init, (1, 1, in_features, self.features), self.param_dtype)
        x, depthwise, pointwise = promote_dtype(x, depthwise, pointwise, dtype=self.dtype)
        return pointwise_conv(depthwise_conv_3x3(x, depthwise), pointwise[0, 0])


class BatchNorm(nn.Module):
    """Batch normalisation over all examples or over each example alone, with float32 statistics.

    Normalising by the batch's own statistics works whether or not "batch_stats" is mutable (pix2pix does so
    at test time); the running statistics move only where it is.

    Attributes:
      use_running_average: normalise by the running statistics.
      per_example: each example's own statistics instead of the batch's: what a batch of one means, at any
        batch size. The running statistics then move towards the mean over the examples.
      num_passes: number of equal parts of the batch that are normalised as if they came one after another:
        each by its own statistics, and the running ones see them in that order.
      momentum: of the running statistics, in Flax's sense: new = momentum * old + (1 - momentum) * batch.
      epsilon: added to the variance.
      dtype: of the result; None is the widest of input and parameters.
      param_dtype: of scale and bias.
      scale_init: initialiser of the scale.
      axis_name: device axis over which statistics are averaged; None keeps them on the device. With
        `per_example` only the running statistics are.

    Source: Ioffe & Szegedy 2015, algorithm 1; differs in: the running variance is the biased one, as in Flax,
      where PyTorch keeps the unbiased one (n / (n - 1) times as much). Only `use_running_average` sees the
      difference.
    """

    use_running_average: bool
    per_example: bool = False
    num_passes: int = 1
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    scale_init: Initializer = nn.initializers.ones_init()
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise [batch, h, w, features]."""
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), shape, self.param_dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if self.use_running_average:
            return _normalize(
                x, running_mean.value, running_var.value, self.epsilon, scale, bias, self.dtype
            )
        passes = x.reshape(self.num_passes, -1, *x.shape[1:])
        mean, var = self._compute_statistics(passes)
        self._update(running_mean, mean)
        self._update(running_var, var)
        return _normalize(passes, mean, var, self.epsilon, scale, bias, self.dtype).reshape(x.shape)

    def _compute_statistics(self, passes: jax.Array) -> tuple[jax.Array, jax.Array]:
        axes = (2, 3) if self.per_example else (1, 2, 3)
        axis_name = None if self.per_example or self.is_initializing() else self.axis_name
        return _compute_moments(passes, axes, axis_name)

    def _update(self, running: nn.Variable, values: jax.Array) -> None:
        if self.is_initializing() or not self.is_mutable_collection("batch_stats"):
            return
        values = values.reshape(self.num_passes, -1, values.shape[-1]).mean(1)
        if self.per_example and self.axis_name is not None:
            values = lax.pmean(values, self.axis_name)
        for value in values:
            running.value = self.momentum * running.value + (1 - self.momentum) * value


class InstanceNorm(nn.Module):
    """Normalise each example and feature by its own mean and variance; no parameters, no running statistics.

    Attributes:
      epsilon: added to the variance.
      dtype: of the result; None is the input's.

    Source: Ulyanov et al. 2016, as torch.nn.InstanceNorm2d; differs in: nothing.
    """

    epsilon: float = 1e-5
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalise [batch, h, w, features]."""
        mean, var = _compute_moments(x, (1, 2), None)
        return _normalize(x, mean, var, self.epsilon, None, None, self.dtype)


def _compute_moments(
    x: jax.Array, axes: tuple[int, ...], axis_name: str | None
) -> tuple[jax.Array, jax.Array]:
    """Return mean and biased variance in float32, over `axes` and over the devices of `axis_name`."""

    def average(values):
        values = values.mean(axes, keepdims=True)
        return values if axis_name is None else lax.pmean(values, axis_name)

    x = x.astype(jnp.float32)
    mean = average(x)
    # Two passes: mean(x^2) - mean^2 loses all digits where the mean is large beside the spread.
    return mean, average(jnp.square(x - mean))


def _normalize(x, mean, var, epsilon, scale, bias, dtype):
    dtype = dtype or jnp.result_type(x, *(p for p in (scale, bias) if p is not None))
    factor = lax.rsqrt(var + epsilon)
    if scale is not None:
        factor = factor * scale.astype(jnp.float32)
    y = (x.astype(jnp.float32) - mean) * factor
    if bias is not None:
        y = y + bias.astype(jnp.float32)
    return y.astype(dtype)


def needs_conv_bias(norm: str) -> bool:
    """Tell whether a convolution before this norm has a bias: it has where the norm brings none of its own.

    Source: junyanz/pytorch-CycleGAN-and-pix2pix, `use_bias`; differs in: "none" has biases here.
    """
    return norm in ("instance", "none")


def create_gan_norm(
    norm: str,
    *,
    use_running_average: bool,
    dtype: Dtype | None,
    param_dtype: Dtype,
    axis_name: str | None,
    name: str,
    num_passes: int = 1,
) -> Callable[[jax.Array], jax.Array]:
    """Create the norm of a generator or discriminator, by name.

    Args:
      norm: one of `NORMS`.
      use_running_average: batch norms only: normalise by the running statistics.
      dtype: of the result.
      param_dtype: of scale and bias.
      axis_name: device axis over which batch statistics are averaged, or None.
      name: the submodule's name.
      num_passes: see `BatchNorm`.

    Returns:
      A module, or the identity for "none".

    Raises:
      ValueError: `norm` is not one of `NORMS`.

    Source: junyanz/pytorch-CycleGAN-and-pix2pix, `get_norm_layer`; differs in: "batch_per_example" is new.
    """
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r} is not one of {NORMS}")
    if norm == "none":
        return lambda x: x
    if norm == "instance":
        return InstanceNorm(dtype=dtype, name=name)
    return BatchNorm(
        use_running_average,
        per_example=norm == "batch_per_example",
        num_passes=num_passes,
        dtype=dtype,
        param_dtype=param_dtype,
        scale_init=gan_scale_init,
        axis_name=axis_name,
        name=name,
    )
