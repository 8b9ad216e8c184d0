"""Owns the generators: pix2pix's U-Net (Isola's form) and that of the paper's section 3.1 (Ronneberger's form)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpgan_jax.models import layers
from fpgan_jax.models.convolutions.pooling import max_pool_2x2

SKIPS = ("before_activation", "after_activation")
UPSAMPLINGS = ("transposed", "resize")


class UNetGenerator(layers.GanNetwork):
    """Turn a noise image into a print, by Isola's U-Net of 4x4 convolutions down to 1x1 and up again.

    Level 0 is the outermost. A level's layers are `down{level}_conv`, `down{level}_norm`, `up{level}_conv` and
    `up{level}_norm`; the output of `up{level}` has size / 2**level pixels. An image whose sides are not multiples of
    2**num_levels is mirrored at its edges up to them, and the output is cropped back.

    Attributes:
      num_levels: how often the image is halved; 0 is `count_levels` of its size, log2 of a power of two.
      upsampling: one of `UPSAMPLINGS`: how `up{level}_conv` doubles the size, by a transposed 4x4 convolution or by
        `layers.ResizeConv3x3`.
      num_features: features of level 0; doubled from level to level, up to 8 times.
      bottleneck_norm: whether the innermost convolution also has a norm. If its output is one pixel, a norm of each
        example alone (or a batch of one) passes nothing but its own bias.
      leaky_slope: of the encoder's LeakyReLU at negative numbers.
      skip: one of `SKIPS`: what is concatenated. "before_activation": both halves before their activation, and ReLU
        over both after it. "after_activation": LeakyReLU of the encoder's half beside ReLU of the decoder's, so that
        negative numbers of a skip stay; the bottleneck has no ReLU after its LeakyReLU then.
      dropout_rate: of the decoder outputs in `dropout_outputs`.
      dropout_outputs: the decoder outputs with dropout, after the norm, by their size relative to the bottleneck map:
        pixels if that is 1x1. (4, 8, 16) is the reference's `unet_256`; its `unet_128` has (4, 8).

    Source: Isola et al. 2017, as `UnetGenerator` of junyanz/pytorch-CycleGAN-and-pix2pix; differs in: with norm "none"
      the convolutions have biases; "batch_per_example", sizes that are not multiples of 2**num_levels and upsampling
      "resize" are new; variants of other codes can be chosen (docs/versions.md).
    """

    num_channels: int = 1
    num_levels: int = 0
    upsampling: str = "transposed"
    bottleneck_norm: bool = False
    leaky_slope: float = 0.2
    skip: str = "before_activation"
    dropout_rate: float = 0.5
    dropout_outputs: tuple[int, ...] = (4, 8, 16)

    @nn.compact
    def __call__(
        self, noise_image: jax.Array, *, deterministic: bool, use_running_average: bool
    ) -> jax.Array:
        """Generate images.

        Args:
          noise_image: [batch, height, width, channels], float in [-1, 1]; height and width at least 4.
          deterministic: True leaves dropout out; False needs the "dropout" key. False at test time too in pix2pix.
          use_running_average: see `norms.BatchNorm`; False at test time too in pix2pix.

        Returns:
          [batch, height, width, num_channels], float32 in [-1, 1].

        Raises:
          ValueError: a side is shorter than 4; `skip` is not one of `SKIPS`, or `upsampling` of `UPSAMPLINGS`.
        """
        if self.skip not in SKIPS:
            raise ValueError(f"skip={self.skip!r} is not one of {SKIPS}")
        num_levels = self.num_levels or count_levels(*noise_image.shape[1:3])
        features = [self.num_features * min(2**level, 8) for level in range(num_levels)]
        down = functools.partial(layers.Conv4x4Stride2, use_bias=self.needs_bias(), dtype=self.dtype)
        up = functools.partial(
            _get_upsampling(self.upsampling, layers.ConvTranspose4x4Stride2), dtype=self.dtype
        )
        norm = self.bind_norm(use_running_average)
        x = _mirror_edges(noise_image, 2**num_levels)
        skips = []
        for level in range(num_levels):
            x = down(features[level], name=f"down{level}_conv")(x)
            if 0 < level < num_levels - 1 + self.bottleneck_norm:
                x = norm(name=f"down{level}_norm")(x)
            activated = nn.leaky_relu(x, self.leaky_slope)
            skips.append(activated if self.skip == "after_activation" else x)
            x = activated
        x = skips.pop() if self.skip == "after_activation" else nn.relu(skips.pop())
        for level in reversed(range(1, num_levels)):
            x = up(features[level - 1], use_bias=self.needs_bias(), name=f"up{level}_conv")(x)
            x = norm(name=f"up{level}_norm")(x)
            if 2 ** (num_levels - level) in self.dropout_outputs:
                x = nn.Dropout(self.dropout_rate, name=f"up{level}_dropout")(x, deterministic=deterministic)
            x = self._join(skips.pop(), x)
        use_bias = self.needs_bias(is_normed=False, is_last=True)
        x = up(self.num_channels, use_bias=use_bias, name="up0_conv")(x)
        x = _cut_edges(x, noise_image.shape)
        return jnp.tanh(x.astype(jnp.float32))

    def _join(self, skip: jax.Array, x: jax.Array) -> jax.Array:
        if self.skip == "after_activation":
            return jnp.concatenate([skip, nn.relu(x)], axis=-1)
        return nn.relu(jnp.concatenate([skip, x], axis=-1))


def count_levels(height: int, width: int) -> int:
    """Return how often an image of this size is halved by default: log2 of the side, for a square of a power of two.

    It is the largest number for which neither side grows by more than a quarter to become a multiple of 2**num_levels.

    Raises:
      ValueError: a side is shorter than 4.
    """
    if min(height, width) < 4:
        raise ValueError(f"an image of {height}x{width} pixels; wanted at least 4 a side")
    possible = range(1, (min(height, width) - 1).bit_length() + 1)
    return max(n for n in possible if all(4 * (-side % 2**n) <= side for side in (height, width)))


def _mirror_edges(x: jax.Array, multiple: int) -> jax.Array:
    """Mirror an image at its edges until its sides are multiples; noise stays noise that way."""
    missing = [-side % multiple for side in x.shape[1:3]]
    if not any(missing):
        return x
    return jnp.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)), mode="reflect")


def _cut_edges(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Crop what `_mirror_edges` added to an image of this shape."""
    top, left = ((padded - side) // 2 for padded, side in zip(x.shape[1:3], shape[1:3], strict=True))
    return x[:, top : top + shape[1], left : left + shape[2]]


def _get_upsampling(upsampling: str, transposed: type[nn.Module]) -> type[nn.Module]:
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"upsampling={upsampling!r} is not one of {UPSAMPLINGS}")
    return transposed if upsampling == "transposed" else layers.ResizeConv3x3


class RonnebergerUNetGenerator(layers.GanNetwork):
    """Turn a noise image into a print, by the U-Net that the paper's section 3.1 describes.

    Per level there are two 3x3 convolutions with ReLU. Between the levels are 2x2 max pooling with stride 2 (four
    poolings, 64 to 1024 features) and back a 2x2 up-convolution that halves the features, concatenation with the
    level's own map, and two 3x3 convolutions with ReLU. A 1x1 convolution is at the end.

    Attributes:
      upsampling: one of `UPSAMPLINGS`: the up-convolution, or `layers.ResizeConv3x3` in its place.
      num_features: features of the first level, 64 in the paper; doubled at each of four poolings.
      norm: between each 3x3 convolution and its ReLU; "none" in the paper.
      conv_bias: of the 3x3 convolutions and the last one.

    Source: Ronneberger et al. 2015, section 2, as Cordeiro & Saito, section 3.1; differs in: convolutions are padded
      (SAME), so that the size is kept and nothing is cropped before a concatenation; tanh at the end, so that the range
      is [-1, 1]; weights start from He's normal distribution, as in Ronneberger's section 3. Sides that are not
      multiples of 16 are mirrored at the edges up to them, and the output is cropped back.
    """

    num_channels: int = 1
    upsampling: str = "transposed"
    norm: str = "none"

    num_poolings = 4

    @nn.compact
    def __call__(
        self, noise_image: jax.Array, *, deterministic: bool, use_running_average: bool
    ) -> jax.Array:
        """Generate images, as `UNetGenerator` does; `deterministic` has no effect, since this form has no dropout.

        Raises:
          ValueError: `upsampling` is not one of `UPSAMPLINGS`.
        """
        del deterministic
        norm = self.bind_norm(use_running_average)
        x = _mirror_edges(noise_image, 2**self.num_poolings)
        skips = []
        for level in range(self.num_poolings):
            x = self._conv_twice(x, f"down{level}", self.num_features * 2**level, norm)
            skips.append(x)
            x = max_pool_2x2(x)
        x = self._conv_twice(x, "bottom", self.num_features * 2**self.num_poolings, norm)
        for level in reversed(range(self.num_poolings)):
            features = self.num_features * 2**level
            x = self._up(features, f"up{level}_upconv")(x)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
            x = self._conv_twice(x, f"up{level}", features, norm)
        use_bias = self.needs_bias(is_normed=False, is_last=True)
        x = self._conv(self.num_channels, 1, "output_conv", use_bias)(_cut_edges(x, noise_image.shape))
        return jnp.tanh(x.astype(jnp.float32))

    def _up(self, features: int, name: str) -> nn.Module:
        fields = {"dtype": self.dtype, "name": name}
        if self.upsampling == "resize":
            fields["kernel_init"] = nn.initializers.he_normal()
        return _get_upsampling(self.upsampling, layers.UpConv2x2)(features, **fields)

    def _conv_twice(self, x: jax.Array, name: str, features: int, norm: Callable[..., Callable]) -> jax.Array:
        use_bias = self.needs_bias()
        for i in (1, 2):
            x = layers.name_conv_output(self._conv(features, 3, f"{name}_conv{i}", use_bias)(x))
            x = nn.relu(norm(name=f"{name}_norm{i}")(x))
        return x

    def _conv(self, features: int, kernel_size: int, name: str, use_bias: bool) -> nn.Module:
        return nn.Conv(
            features,
            (kernel_size, kernel_size),
            use_bias=use_bias,
            dtype=self.dtype,
            kernel_init=nn.initializers.he_normal(),
            name=name,
        )
