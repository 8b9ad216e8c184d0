"""Owns the PatchGAN discriminator, which tells real from generated patches of a print."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpgan_jax.models import layers

# Receptive field in pixels -> number of strided convolutions; 1 is the form of 1x1 convolutions.
NUM_STRIDED_CONVS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}


class PatchDiscriminator(layers.GanNetwork):
    """Judge every patch of a print, given the noise image that it belongs to.

    Layers are `conv0`, `conv1`, ... and `norm1`, ...: the reference's order, counted from the input. The first and the
    last convolution have no norm.

    Attributes:
      receptive_field: pixels that a logit sees, across and down: a key of `NUM_STRIDED_CONVS`.
      num_features: features of the first convolution; doubled at each of the next, up to 8 times.

    Source: Isola et al. 2017, as `NLayerDiscriminator` (`basic`, `n_layers`) and `PixelDiscriminator` of
      junyanz/pytorch-CycleGAN-and-pix2pix; differs in: with norm "none" the convolutions have biases;
      "batch_per_example" is new; variants of other codes can be chosen (docs/versions.md). TensorFlow's SAME at the
      strided convolutions, then zero padding by 1 and VALID, equals this padding if the size is even before each
      halving; for odd sizes this is PyTorch's padding.
    """

    receptive_field: int = 70
    leaky_slope: float = 0.2

    @nn.compact
    def __call__(
        self, noise_image: jax.Array, image: jax.Array, *, use_running_average: bool, num_passes: int = 1
    ) -> jax.Array:
        """Judge images.

        Args:
          noise_image: [batch, height, width, channels], float in [-1, 1].
          image: [batch, height, width, channels], float in [-1, 1], real or generated.

        Returns:
          Logits [batch, height', width', 1], float32, high for real: 30x30 for 256x256 and 70-pixel patches.
        """
        x = jnp.concatenate([noise_image, image], axis=-1)
        convs = self._create_convs()
        norm = self.bind_norm(use_running_average)
        for i, conv in enumerate(convs):
            x = conv(x)
            if 0 < i < len(convs) - 1:
                x = norm(name=f"norm{i}", num_passes=num_passes)(x)
            if i < len(convs) - 1:
                x = nn.leaky_relu(x, self.leaky_slope)
        return x.astype(jnp.float32)

    def _create_convs(self) -> list[nn.Module]:
        conv = functools.partial(layers.SquareConv, dtype=self.dtype)
        if self.receptive_field == 1:
            return [
                conv(self.num_features, use_bias=self.needs_bias(is_normed=False), name="conv0"),
                conv(self.num_features * 2, use_bias=self.needs_bias(), name="conv1"),
                # Unlike that of the other forms, the reference's last convolution has no bias here.
                conv(1, use_bias=self.needs_bias(is_last=True), name="conv2"),
            ]
        num_strided = NUM_STRIDED_CONVS[self.receptive_field]
        features = [self.num_features * min(2**i, 8) for i in range(num_strided + 1)]
        strided_conv = functools.partial(layers.Conv4x4Stride2, dtype=self.dtype)
        conv = functools.partial(conv, size=4, padding=1)
        last_bias = self.needs_bias(is_normed=False, is_last=True)
        return [
            *(
                strided_conv(features[i], use_bias=self.needs_bias(is_normed=i > 0), name=f"conv{i}")
                for i in range(num_strided)
            ),
            conv(features[num_strided], use_bias=self.needs_bias(), name=f"conv{num_strided}"),
            conv(1, use_bias=last_bias, name=f"conv{num_strided + 1}"),
        ]
