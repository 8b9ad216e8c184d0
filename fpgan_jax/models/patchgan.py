"""Owns the PatchGAN discriminator, which tells real from generated patches of a print."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpgan_jax.models import layers, norms

# Receptive field in pixels -> number of strided convolutions; 1 is the form of 1x1 convolutions.
NUM_STRIDED_CONVS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


class PatchDiscriminator(nn.Module):
    """Judge every patch of a print, given the noise image that it belongs to.

    Layers are `conv0`, `conv1`, ... and `norm1`, ...: the reference's order, counted from the input. The first and the
    last convolution have no norm.

    Attributes:
      receptive_field: pixels that a logit sees, across and down: a key of `NUM_STRIDED_CONVS`.
      num_features: features of the first convolution; doubled at each of the next, up to 8 times.
      norm: one of `norms.NORMS`; `norm_epsilon` and `norm_momentum` as in `norms.BatchNorm`.
      conv_bias: one of `layers.CONV_BIASES`.
      leaky_slope: of LeakyReLU at negative numbers.
      dtype: of the computation.

    Source: Isola et al. 2017, as `NLayerDiscriminator` (`basic`, `n_layers`) and `PixelDiscriminator` of
      junyanz/pytorch-CycleGAN-and-pix2pix; differs in: with norm "none" the convolutions have biases;
      "batch_per_example" is new; variants of other codes can be chosen (docs/versions.md). TensorFlow's SAME at the
      strided convolutions, then zero padding by 1 and VALID, equals this padding if the size is even before each
      halving; for odd sizes this is PyTorch's padding.
    """

    receptive_field: int = 70
    num_features: int = 64
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_momentum: float = 0.9
    conv_bias: str = "auto"
    leaky_slope: float = 0.2
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, noise_image: jax.Array, image: jax.Array, *, use_running_average: bool, num_passes: int = 1
    ) -> jax.Array:
        """Judge images.

        Args:
          noise_image: [batch, height, width, channels], float in [-1, 1].
          image: [batch, height, width, channels], float in [-1, 1], real or generated.
          use_running_average: see `norms.BatchNorm`; never in pix2pix.
          num_passes: see `norms.BatchNorm`.

        Returns:
          Logits [batch, height', width', 1], float32, high for real: 30x30 for 256x256 and 70-pixel patches.
        """
        x = jnp.concatenate([noise_image, image], axis=-1)
        convs = self._create_convs()
        for i, conv in enumerate(convs):
            x = conv(x)
            if 0 < i < len(convs) - 1:
                x = self._create_norm(f"norm{i}", use_running_average, num_passes)(x)
            if i < len(convs) - 1:
                x = nn.leaky_relu(x, self.leaky_slope)
        return x.astype(jnp.float32)

    def _create_convs(self) -> list[nn.Module]:
        needs_bias = functools.partial(layers.needs_conv_bias, self.norm, self.conv_bias)
        if self.receptive_field == 1:
            return [
                self._conv("conv0", self.num_features, 1, use_bias=needs_bias(is_normed=False)),
                self._conv("conv1", self.num_features * 2, 1, use_bias=needs_bias()),
                # Unlike that of the other forms, the reference's last convolution has no bias here.
                self._conv("conv2", 1, 1, use_bias=needs_bias(is_last=True)),
            ]
        num_strided = NUM_STRIDED_CONVS[self.receptive_field]
        features = [self.num_features * min(2**i, 8) for i in range(num_strided + 1)]
        strided = [
            self._strided_conv(f"conv{i}", features[i], use_bias=needs_bias(is_normed=i > 0))
            for i in range(num_strided)
        ]
        return [
            *strided,
            self._conv(f"conv{num_strided}", features[num_strided], 4, use_bias=needs_bias()),
            self._conv(f"conv{num_strided + 1}", 1, 4, use_bias=needs_bias(is_normed=False, is_last=True)),
        ]

    def _strided_conv(self, name: str, features: int, *, use_bias: bool) -> nn.Module:
        return layers.Conv4x4Stride2(
            features, use_bias=use_bias, dtype=self.dtype, param_dtype=self.param_dtype, name=name
        )

    def _conv(self, name: str, features: int, kernel_size: int, *, use_bias: bool) -> nn.Module:
        return layers.SquareConv(
            features,
            kernel_size,
            padding=kernel_size // 4,
            use_bias=use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )

    def _create_norm(self, name: str, use_running_average: bool, num_passes: int):
        return norms.create_gan_norm(
            self.norm,
            epsilon=self.norm_epsilon,
            momentum=self.norm_momentum,
            use_running_average=use_running_average,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            axis_name=self.axis_name,
            name=name,
            num_passes=num_passes,
        )
