"""Owns the generators: pix2pix's U-Net (Isola's form) and the paper's section 3.1 (Ronneberger's form).

Does not check a config; `factory` does, and says which field to mend.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpgan_jax.models import convolutions, layers


class UNetGenerator(nn.Module):
    """Turn a noise image into a print, by Isola's U-Net of 4x4 convolutions down to 1x1 and up again.

    It has log2(size) levels, level 0 outermost, whose layers are `down{level}_conv`, `down{level}_norm`,
    `up{level}_conv` and `up{level}_norm`; `up{level}` puts out size / 2**level pixels.

    Attributes:
      num_channels: channels of the image that comes out.
      num_features: features of level 0; each level has twice as many as the one above it, 8 times this at
        most.
      norm: one of `layers.NORMS`.
      dropout_rate: of the decoder outputs in `dropout_outputs`.
      dropout_outputs: sizes in pixels of the decoder outputs that have dropout, after the norm. (4, 8, 16) is
        the reference's `unet_256`; its `unet_128` has (4, 8).
      dtype: of the computation; None is the widest of input and parameters.
      param_dtype: of the parameters.
      axis_name: device axis over which batch statistics are averaged; None keeps them on the device.

    Source: Isola et al. 2017, as `UnetGenerator` of junyanz/pytorch-CycleGAN-and-pix2pix; differs in: with
      norm "none" the convolutions have biases; "batch_per_example" is new.
    """

    num_channels: int = 1
    num_features: int = 64
    norm: str = "batch"
    dropout_rate: float = 0.5
    dropout_outputs: tuple[int, ...] = (4, 8, 16)
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, noise_image: jax.Array, *, deterministic: bool, use_running_average: bool
    ) -> jax.Array:
        """Generate images.

        Args:
          noise_image: [batch, size, size, channels], float in [-1, 1]; size a power of two, at least 4.
          deterministic: True leaves dropout out; False needs the "dropout" key. Pix2pix has False at test
            time too.
          use_running_average: normalise by the running statistics; pix2pix has False at test time too.

        Returns:
          [batch, size, size, num_channels], float32 in [-1, 1].

        Raises:
          ValueError: the size is not a power of two, or not square.
        """
        num_levels = _count_levels(noise_image.shape)
        features = [self.num_features * min(2**level, 8) for level in range(num_levels)]
        norm = _bind_norm(self, use_running_average)
        x = noise_image
        skips = []
        for level in range(num_levels):
            x = x if level == 0 else nn.leaky_relu(x, 0.2)
            x = self._down(level, features[level])(x)
            if 0 < level < num_levels - 1:
                x = norm(name=f"down{level}_norm")(x)
            skips.append(x)
        x = skips.pop()
        for level in reversed(range(1, num_levels)):
            x = self._up(level, features[level - 1])(nn.relu(x))
            x = norm(name=f"up{level}_norm")(x)
            if x.shape[1] in self.dropout_outputs:
                x = nn.Dropout(self.dropout_rate, name=f"up{level}_dropout")(x, deterministic=deterministic)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
        x = self._up(0, self.num_channels)(nn.relu(x))
        return jnp.tanh(x.astype(jnp.float32))

    def _down(self, level: int, features: int) -> nn.Module:
        return layers.Conv4x4Stride2(
            features,
            use_bias=layers.needs_conv_bias(self.norm),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=f"down{level}_conv",
        )

    def _up(self, level: int, features: int) -> nn.Module:
        return layers.ConvTranspose4x4Stride2(
            features,
            use_bias=level == 0 or layers.needs_conv_bias(self.norm),
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=f"up{level}_conv",
        )


def _bind_norm(module: nn.Module, use_running_average: bool) -> Callable[..., Callable]:
    """Return the maker of the module's norms, which wants their names only."""
    return functools.partial(
        layers.create_gan_norm,
        module.norm,
        use_running_average=use_running_average,
        dtype=module.dtype,
        param_dtype=module.param_dtype,
        axis_name=module.axis_name,
    )


def _count_levels(shape: tuple[int, ...]) -> int:
    _, height, width, _ = shape
    num_levels = height.bit_length() - 1
    if height != width or height != 2**num_levels or height < 4:
        raise ValueError(f"an image of {height}x{width} pixels; wanted a square of 4, 8, 16, ... pixels")
    return num_levels


class RonnebergerUNetGenerator(nn.Module):
    """Turn a noise image into a print, by the U-Net that the paper's section 3.1 describes.

    Two 3x3 convolutions with ReLU a level, 2x2 max pooling with stride 2 between the levels (four poolings,
    64 to 1024 features), a 2x2 up-convolution that halves the features, concatenation with the level's own
    map, two 3x3 convolutions with ReLU, and a 1x1 convolution at the end.

    Attributes:
      num_channels: channels of the image that comes out.
      num_features: features of the first level, 64 in the paper; doubled at each of four poolings.
      norm: one of `layers.NORMS`, between each 3x3 convolution and its ReLU; the paper has "none".
      dtype: of the computation; None is the widest of input and parameters.
      param_dtype: of the parameters.
      axis_name: device axis over which batch statistics are averaged; None keeps them on the device.

    Source: Ronneberger et al. 2015, section 2, as Cordeiro & Saito, section 3.1; differs in: convolutions are
      padded (SAME), so that the size is kept and nothing is cropped before a concatenation; tanh at the end,
      so that the range is [-1, 1]; weights start from He's normal distribution, as Ronneberger's section 3
      asks.
    """

    num_channels: int = 1
    num_features: int = 64
    norm: str = "none"
    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32
    axis_name: str | None = None

    num_poolings = 4

    @nn.compact
    def __call__(
        self, noise_image: jax.Array, *, deterministic: bool, use_running_average: bool
    ) -> jax.Array:
        """Generate images.

        Args:
          noise_image: [batch, height, width, channels], float in [-1, 1]; height and width divisible by 16.
          deterministic: without effect, since this form has no dropout; here so that both forms are called
            alike.
          use_running_average: normalise by the running statistics.

        Returns:
          [batch, height, width, num_channels], float32 in [-1, 1].

        Raises:
          ValueError: the size is not divisible by 16.
        """
        del deterministic
        self._check_size(noise_image.shape)
        norm = _bind_norm(self, use_running_average)
        x = noise_image
        skips = []
        for level in range(self.num_poolings):
            x = self._conv_twice(x, f"down{level}", self.num_features * 2**level, norm)
            skips.append(x)
            x = convolutions.max_pool_2x2(x)
        x = self._conv_twice(x, "bottom", self.num_features * 2**self.num_poolings, norm)
        for level in reversed(range(self.num_poolings)):
            features = self.num_features * 2**level
            x = layers.UpConv2x2(
                features, dtype=self.dtype, param_dtype=self.param_dtype, name=f"up{level}_upconv"
            )(x)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
            x = self._conv_twice(x, f"up{level}", features, norm)
        x = self._conv(self.num_channels, 1, "output_conv", True)(x)
        return jnp.tanh(x.astype(jnp.float32))

    def _check_size(self, shape: tuple[int, ...]) -> None:
        _, height, width, _ = shape
        if height % 2**self.num_poolings or width % 2**self.num_poolings:
            raise ValueError(
                f"an image of {height}x{width} pixels; wanted multiples of {2**self.num_poolings}"
            )

    def _conv_twice(self, x: jax.Array, name: str, features: int, norm: Callable[..., Callable]) -> jax.Array:
        use_bias = layers.needs_conv_bias(self.norm)
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
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.he_normal(),
            name=name,
        )
