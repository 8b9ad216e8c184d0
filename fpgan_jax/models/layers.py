"""Owns the layers that the networks are built of: modules, norms and initialisers.

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
from jax.ad_checkpoint import checkpoint_name

from fpgan_jax.models import convolutions

Dtype = Any
Initializer = Callable[..., jax.Array]

NORMS = ("batch", "batch_per_example", "instance", "none")
CONV_BIASES = ("auto", "always", "last", "never")

_CONV_OUTPUT = "conv_output"

gan_kernel_init = nn.initializers.normal(0.02)


def gan_scale_init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
    """Draw a norm's scale from N(1, 0.02).

    Source: junyanz/pytorch-CycleGAN-and-pix2pix, `init_weights`; differs in: nothing.
    """
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class StridedConv(nn.Module):
    """What the convolutions that halve or double the size have in common; no layer by itself.

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


class Conv4x4Stride2(StridedConv):
    """4x4 convolution of stride 2 that halves the size; see `convolutions.conv_4x4_stride2`.

    Attributes: as of `StridedConv`.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, floor(h / 2), floor(w / 2), features]."""
        kernel = self.param("kernel", self.kernel_init, (4, 4, x.shape[-1], self.features), self.param_dtype)
        bias = _add_bias_param(self)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        rows, columns = x.shape[1] // 2, x.shape[2] // 2
        if x.shape[1] % 2 or x.shape[2] % 2:
            # A row more, of zeros, makes the size even and gives one output more, which is no output of the odd size.
            x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        return _with_bias(convolutions.conv_4x4_stride2(x, kernel)[:, :rows, :columns], bias)


class ConvTranspose4x4Stride2(StridedConv):
    """Transposed 4x4 convolution of stride 2 that doubles the size; see `convolutions.conv_transpose_4x4_stride2`.

    The kernel's shape is [4, 4, features, in_features], unlike that of `flax.linen.ConvTranspose`.

    Attributes: as of `StridedConv`.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, 2 h, 2 w, features]."""
        kernel = self.param("kernel", self.kernel_init, (4, 4, self.features, x.shape[-1]), self.param_dtype)
        bias = _add_bias_param(self)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return _with_bias(convolutions.conv_transpose_4x4_stride2(x, kernel), bias)


class ResizeConv3x3(StridedConv):
    """Double the size by repeating every pixel, then convolve by 3x3: no output has more inputs than another.

    A transposed convolution's outputs differ in what reaches them by row and column, which shows as a
    checkerboard. Repeating and convolving is one transposed convolution, whose 4x4 kernel has every tap of the
    3x3 kernel four times, and is computed as that: at less than half of the arithmetic.

    Attributes: as of `StridedConv`.

    Source: Odena et al. 2016, "Deconvolution and checkerboard artifacts", "resize-convolution", nearest
      neighbour; differs in: padded with zeros.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, 2 h, 2 w, features]."""
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1], self.features), self.param_dtype)
        bias = _add_bias_param(self)
        kernel = convolutions.fold_doubling_into_kernel(kernel)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return _with_bias(convolutions.conv_transpose_4x4_stride2(x, kernel), bias)


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
        return name_conv_output(patches.reshape(batch, 2 * height, 2 * width, self.features) + bias)


def _add_bias_param(module: nn.Module) -> jax.Array | None:
    if not module.use_bias:
        return None
    return module.param("bias", nn.initializers.zeros_init(), (module.features,), module.param_dtype)


def _with_bias(x: jax.Array, bias: jax.Array | None) -> jax.Array:
    return name_conv_output(x if bias is None else x + bias)


def name_conv_output(x: jax.Array) -> jax.Array:
    """Mark what `recompute_activations` keeps of a forward pass; the value itself."""
    return checkpoint_name(x, _CONV_OUTPUT)


def recompute_activations(forward: Callable) -> Callable:
    """Have a forward pass keep its convolutions' outputs only, for its gradient.

    Norms, activations and concatenations, which hold most of the memory and little of the arithmetic, are
    computed again.

    Args:
      forward: to be differentiated in reverse mode.

    Returns:
      The same function.
    """
    return jax.checkpoint(forward, policy=jax.checkpoint_policies.save_only_these_names(_CONV_OUTPUT))


class SquareConv(nn.Module):
    """Convolution with a square kernel: at stride 1, or 1x1 at any stride.

    Attributes:
      features: number of output features.
      size: of the kernel, in pixels.
      strides: 1, or any for size 1.
      padding: rows and columns of zeros on each side; 0 for size 1.
      use_bias: whether a bias (from 0) is added.
      dtype: of the computation; None is the widest of input and parameters.
      param_dtype: of the parameters.
      kernel_init: initialiser of the kernel.
    """

    features: int
    size: int
    strides: int = 1
    padding: int = 0
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = gan_kernel_init

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, h', w', features]; at 1x1, h' = ceil(h / strides)."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = _add_bias_param(self)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        if self.size == 1:
            x = convolutions.take_every(x, self.strides) if self.strides > 1 else x
            x = convolutions.pointwise_conv(x, kernel[0, 0])
        else:
            x = convolutions.conv_stride1(x, kernel, self.padding)
        return _with_bias(x, bias)


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
        x = convolutions.depthwise_conv_3x3(x, depthwise)
        return name_conv_output(convolutions.pointwise_conv(x, pointwise[0, 0]))


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
            return _normalize(x, running_mean.value, running_var.value, self.epsilon, scale, bias, self.dtype)
        passes = x.reshape(self.num_passes, -1, *x.shape[1:])
        axes = (2, 3) if self.per_example else (1, 2, 3)
        if self.per_example or self.is_initializing() or self.axis_name is None:
            y, mean, var = normalize_by_moments(passes, scale, bias, axes, self.epsilon)
            y = y.astype(_result_dtype(self.dtype, x, scale, bias))
        else:
            mean, var = _compute_moments(passes, axes, self.axis_name)
            y = _normalize(passes, mean, var, self.epsilon, scale, bias, self.dtype)
        self._update(running_mean, mean)
        self._update(running_var, var)
        return y.reshape(x.shape)

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
        one, zero = jnp.ones((x.shape[-1],)), jnp.zeros((x.shape[-1],))
        y, _, _ = normalize_by_moments(x, one, zero, (1, 2), self.epsilon)
        return y.astype(self.dtype or x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_by_moments(
    x: jax.Array, scale: jax.Array, bias: jax.Array, axes: tuple[int, ...], epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalise by mean and variance over some axes, then scale and shift; all in float32.

    Its gradient is written out, which takes fewer passes over the map than differentiating mean, variance and
    normalisation one by one. No gradient flows into the moments that come out.

    Args:
      x: [.., features], float.
      scale: [features], float.
      bias: [features], float.
      axes: of `x`, without the last.
      epsilon: added to the variance.

    Returns:
      (normalised, the shape of `x`; mean; biased variance, both of that shape with 1 for each of `axes`), all
      float32.

    Source: Ioffe & Szegedy 2015, algorithm 1 and the gradients in section 3; differs in: nothing.
    """
    mean, var = _compute_moments(x, axes, None)
    return _normalize(x, mean, var, epsilon, scale, bias, jnp.float32), mean, var


def _normalize_forward(x, scale, bias, axes, epsilon):
    outputs = normalize_by_moments(x, scale, bias, axes, epsilon)
    return outputs, (x, scale, bias, *outputs[1:])


def _normalize_backward(axes, epsilon, residuals, cotangents):
    x, scale, bias, mean, var = residuals
    g = cotangents[0]
    centred = x.astype(jnp.float32) - mean
    inverse = lax.rsqrt(var + epsilon)
    factor = inverse * scale.astype(jnp.float32)
    g_sum = g.sum(axes, keepdims=True)
    product_sum = (g * centred).sum(axes, keepdims=True)
    count = x.size // g_sum.size
    x_gradient = factor * (g - g_sum / count - centred * (jnp.square(inverse) * product_sum / count))
    others = tuple(range(x.ndim - 1))
    scale_gradient = (product_sum * inverse).sum(others)
    return (
        x_gradient.astype(x.dtype),
        scale_gradient.astype(scale.dtype),
        g_sum.sum(others).astype(bias.dtype),
    )


normalize_by_moments.defvjp(_normalize_forward, _normalize_backward)


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
    factor = lax.rsqrt(var + epsilon) * scale.astype(jnp.float32)
    y = (x.astype(jnp.float32) - mean) * factor + bias.astype(jnp.float32)
    return y.astype(_result_dtype(dtype, x, scale, bias))


def _result_dtype(dtype, *arrays):
    return dtype or jnp.result_type(*arrays)


def needs_conv_bias(
    norm: str, conv_bias: str = "auto", *, is_normed: bool = True, is_last: bool = False
) -> bool:
    """Tell whether a convolution of a generator or discriminator has a bias.

    Args:
      norm: one of `NORMS`, the network's.
      conv_bias: one of `CONV_BIASES`: "auto" as the reference, where the norm brings no bias of its own or
        there is no norm; "last" in the network's last convolution only.
      is_normed: whether the reference leaves the bias to the norm at this place.
      is_last: whether it is the network's last convolution.

    Returns:
      Whether it has.

    Raises:
      ValueError: `conv_bias` is not one of `CONV_BIASES`.

    Source: junyanz/pytorch-CycleGAN-and-pix2pix, `use_bias`; differs in: norm "none" has biases here; all
      but "auto" are other codes' (docs/versions.md).
    """
    if conv_bias not in CONV_BIASES:
        raise ValueError(f"conv_bias={conv_bias!r} is not one of {CONV_BIASES}")
    if conv_bias == "auto":
        return not is_normed or norm in ("instance", "none")
    return conv_bias == "always" or (conv_bias == "last" and is_last)


def create_gan_norm(
    norm: str,
    *,
    use_running_average: bool,
    dtype: Dtype | None,
    param_dtype: Dtype,
    axis_name: str | None,
    name: str,
    num_passes: int = 1,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
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
      epsilon: added to the variance.
      momentum: batch norms only: of the running statistics, see `BatchNorm`.

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
        return InstanceNorm(epsilon, dtype=dtype, name=name)
    return BatchNorm(
        use_running_average,
        per_example=norm == "batch_per_example",
        num_passes=num_passes,
        momentum=momentum,
        epsilon=epsilon,
        dtype=dtype,
        param_dtype=param_dtype,
        scale_init=gan_scale_init,
        axis_name=axis_name,
        name=name,
    )
