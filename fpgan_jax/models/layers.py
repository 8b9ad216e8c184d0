"""Owns the layers of the networks: convolutions with their biases and initializers."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.ad_checkpoint import checkpoint_name

from fpgan_jax.models import norms
from fpgan_jax.models.convolutions.depthwise_3x3 import depthwise_conv_3x3
from fpgan_jax.models.convolutions.stride1 import conv_stride1, pointwise_conv, take_every
from fpgan_jax.models.convolutions.strided_4x4 import (
    conv_4x4_stride2,
    conv_transpose_4x4_stride2,
    fold_doubling_into_kernel,
)
from fpgan_jax.models.norms import Dtype, Initializer

CONV_BIASES = ("auto", "always", "last", "never")
_CONV_OUTPUT = "conv_output"
gan_kernel_init = nn.initializers.normal(0.02)


class _Conv(nn.Module):
    """The common fields of convolutions; not a layer itself.

    Attributes:
      use_bias: whether a bias, initially 0, is added.
      dtype: of the computation; None is the widest of input and parameters.
      kernel_init: initializer of the kernel.
    """

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    kernel_init: Initializer = gan_kernel_init

    def create_params(self, *kernel_shape: int) -> tuple[jax.Array, jax.Array | None]:
        """Return the kernel, and the bias or None."""
        kernel = self.param("kernel", self.kernel_init, kernel_shape, jnp.float32)
        if not self.use_bias:
            return kernel, None
        return kernel, self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)


class Conv4x4Stride2(_Conv):
    """4x4 convolution of stride 2 that halves the size; see `strided_4x4.conv_4x4_stride2`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, floor(h / 2), floor(w / 2), features]."""
        kernel, bias = self.create_params(4, 4, x.shape[-1], self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        rows, columns = x.shape[1] // 2, x.shape[2] // 2
        if x.shape[1] % 2 or x.shape[2] % 2:
            # A row of zeros makes the size even; the additional output is cropped.
            x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        return _with_bias(conv_4x4_stride2(x, kernel)[:, :rows, :columns], bias)


class ConvTranspose4x4Stride2(_Conv):
    """Transposed 4x4 convolution of stride 2 that doubles the size; see `strided_4x4.conv_transpose_4x4_stride2`.

    The kernel's shape is [4, 4, features, in_features], unlike that of `flax.linen.ConvTranspose`.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, 2 h, 2 w, features]."""
        kernel, bias = self.create_params(4, 4, self.features, x.shape[-1])
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return _with_bias(conv_transpose_4x4_stride2(x, kernel), bias)


class ResizeConv3x3(_Conv):
    """Double the size by repeating every pixel, then convolve by 3x3: no output has more inputs than another.

    A transposed convolution's outputs differ in their inputs by row and column, which shows as a checkerboard.
    Repeating and convolving equals one transposed convolution, whose 4x4 kernel has every tap of the 3x3 kernel four
    times. It is computed as that, with less than half of the arithmetic.

    Source: Odena et al. 2016, "Deconvolution and checkerboard artifacts", "resize-convolution", nearest neighbor;
      differs in: padded with zeros.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, 2 h, 2 w, features]."""
        kernel, bias = self.create_params(3, 3, x.shape[-1], self.features)
        x, kernel, bias = promote_dtype(x, fold_doubling_into_kernel(kernel), bias, dtype=self.dtype)
        return _with_bias(conv_transpose_4x4_stride2(x, kernel), bias)


class UpConv2x2(_Conv):
    """2x2 transposed convolution of stride 2: every position becomes its own 2x2 patch.

    Source: Ronneberger et al. 2015, section 2, "up-convolution"; differs in: nothing.
    """

    # No two patches overlap, so an output has in_features inputs and not four times as many.
    kernel_init: Initializer = nn.initializers.he_normal(in_axis=-1, out_axis=-2, batch_axis=(0, 1))

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, 2 h, 2 w, features]."""
        batch, height, width, in_features = x.shape
        kernel, bias = self.create_params(2, 2, self.features, in_features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        patches = jnp.einsum("bhwi,pqoi->bhpwqo", x, kernel)
        return _with_bias(patches.reshape(batch, 2 * height, 2 * width, self.features), bias)


def _with_bias(x: jax.Array, bias: jax.Array | None) -> jax.Array:
    return name_conv_output(x if bias is None else x + bias)


def name_conv_output(x: jax.Array) -> jax.Array:
    """Return the value, marked as one that `recompute_activations` keeps of a forward pass."""
    return checkpoint_name(x, _CONV_OUTPUT)


def recompute_activations(forward: Callable) -> Callable:
    """Have a forward pass keep only the outputs of its convolutions for its gradient, in reverse mode.

    Norms, activations and concatenations, which take most of the memory and little of the arithmetic, are computed
    again.
    """
    return jax.checkpoint(forward, policy=jax.checkpoint_policies.save_only_these_names(_CONV_OUTPUT))


class SquareConv(_Conv):
    """Convolution with a square kernel: at stride 1, or 1x1 at any stride.

    Attributes:
      size: of the kernel, in pixels.
      strides: 1, or any for size 1.
      padding: rows and columns of zeros on each side; 0 for size 1.
    """

    size: int = 1
    strides: int = 1
    padding: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, h', w', features]; at 1x1, h' = ceil(h / strides)."""
        kernel, bias = self.create_params(self.size, self.size, x.shape[-1], self.features)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        if self.size == 1:
            x = take_every(x, self.strides) if self.strides > 1 else x
            x = pointwise_conv(x, kernel[0, 0])
        else:
            x = conv_stride1(x, kernel, self.padding)
        return _with_bias(x, bias)


class SeparableConv3x3(nn.Module):
    """3x3 depthwise convolution and the 1x1 convolution after it, without biases and with nothing between.

    Its parameters have Keras's names and layouts except for the depthwise kernel: (3, 3, 1, C) here, (3, 3, C, 1)
    there.

    Source: Chollet 2017, section 2, as keras.layers.SeparableConv2D; differs in: nothing.
    """

    features: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve [batch, h, w, c] -> [batch, h, w, features]."""
        in_features = x.shape[-1]
        # Glorot's rule adds both fans, so it does not matter that Keras and Flax swap them here.
        init = nn.initializers.glorot_uniform()
        depthwise = self.param("depthwise_kernel", init, (3, 3, 1, in_features), jnp.float32)
        pointwise = self.param("pointwise_kernel", init, (1, 1, in_features, self.features), jnp.float32)
        x, depthwise, pointwise = promote_dtype(x, depthwise, pointwise, dtype=self.dtype)
        x = depthwise_conv_3x3(x, depthwise)
        return name_conv_output(pointwise_conv(x, pointwise[0, 0]))


class GanNetwork(nn.Module, kw_only=True):
    """The common fields of generators and discriminators; not a network itself.

    Attributes:
      num_features: features of the first layer.
      norm: one of `norms.NORMS`; `norm_epsilon` and `norm_momentum` as in `norms.BatchNorm`.
      conv_bias: one of `CONV_BIASES`: "auto" as the reference, if the norm has no bias of its own or there is no norm;
        "last" in the network's last convolution only.
      dtype: of the computation.
    """

    num_features: int = 64
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_momentum: float = 0.9
    conv_bias: str = "auto"
    dtype: Dtype = jnp.float32

    def bind_norm(self, use_running_average: bool) -> Callable[..., Callable]:
        """Bind `norms.create_gan_norm` to these fields."""
        return functools.partial(
            norms.create_gan_norm,
            self.norm,
            epsilon=self.norm_epsilon,
            momentum=self.norm_momentum,
            use_running_average=use_running_average,
            dtype=self.dtype,
        )

    def needs_bias(self, *, is_normed: bool = True, is_last: bool = False) -> bool:
        """Return whether a convolution has a bias.

        Args:
          is_normed: whether the reference leaves the bias to the norm here.
          is_last: whether it is the network's last convolution.

        Raises:
          ValueError: `conv_bias` is not one of `CONV_BIASES`.

        Source: junyanz/pytorch-CycleGAN-and-pix2pix, `use_bias`; differs in: norm "none" has biases here; "always",
          "last" and "never" are from other codes (docs/versions.md).
        """
        if self.conv_bias not in CONV_BIASES:
            raise ValueError(f"conv_bias={self.conv_bias!r} is not one of {CONV_BIASES}")
        if self.conv_bias == "auto":
            return not is_normed or self.norm in ("instance", "none")
        return self.conv_bias == "always" or (self.conv_bias == "last" and is_last)
