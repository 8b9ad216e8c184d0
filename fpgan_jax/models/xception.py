"""Owns Xception, the classifier of persons."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fpgan_jax.models import layers, norms
from fpgan_jax.models.convolutions.pooling import max_pool_3x3_stride2

# Keras's name of the last layer, the only one whose shape depends on the number of classes.
HEAD = "predictions"


class Xception(nn.Module):
    """Classify images by Chollet's network of separable convolutions.

    Layers have Keras's names (`block1_conv1`, `block1_conv1_bn`, `block2_sepconv1`, ..., `predictions`). The four
    shortcuts, which Keras names by a counter, are `block{n}_shortcut_conv` and `block{n}_shortcut_bn`.

    Attributes:
      width: multiplies every feature count; Chollet's is 1.
      num_middle_blocks: blocks of the middle flow; Chollet's are 8.
      batch_norm_momentum: of the running statistics, in Flax's sense.
      dtype: of the computation. The logits are always float32.

    Source: Chollet 2017, figure 5, as keras.applications.Xception; differs in: logits without the softmax; dropout is
      Chollet's section 4.4, which Keras leaves out.
    """

    num_classes: int
    width: float = 1.0
    num_middle_blocks: int = 8
    dropout_rate: float = 0.5
    batch_norm_momentum: float = 0.99
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, deterministic: bool, use_running_average: bool) -> jax.Array:
        """Classify images.

        Args:
          images: [batch, height, width, channels], float in [-1, 1]; at least 71x71 pixels.
          deterministic: True leaves dropout out; False needs the "dropout" key.

        Returns:
          Logits [batch, num_classes], float32.
        """
        bn = functools.partial(
            norms.BatchNorm,
            use_running_average,
            momentum=self.batch_norm_momentum,
            epsilon=1e-3,
            dtype=self.dtype,
        )
        first_exit_block = 5 + self.num_middle_blocks
        x = self._stem(images, bn)
        # Chollet's figure has a ReLU before every separable convolution except the first one.
        x = self._reducing_block(x, 2, (128, 128), bn, has_first_relu=False)
        x = self._reducing_block(x, 3, (256, 256), bn)
        x = self._reducing_block(x, 4, (728, 728), bn)
        for block in range(5, first_exit_block):
            x = self._middle_block(x, block, bn)
        x = self._reducing_block(x, first_exit_block, (728, 1024), bn)
        for i, features in enumerate((1536, 2048), start=1):
            x = nn.relu(self._sepconv(x, f"block{first_exit_block + 1}_sepconv{i}", features, bn))
        x = x.astype(jnp.float32).mean((1, 2))
        x = nn.Dropout(self.dropout_rate, name="dropout")(x, deterministic=deterministic)
        return nn.Dense(
            self.num_classes,
            dtype=jnp.float32,
            kernel_init=nn.initializers.glorot_uniform(),
            name=HEAD,
        )(x)

    def _stem(self, x, bn):
        x = nn.Conv(
            self.scale(32),
            (3, 3),
            (2, 2),
            "VALID",
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.glorot_uniform(),
            name="block1_conv1",
        )(x)
        x = nn.relu(bn(name="block1_conv1_bn")(x))
        x = self._conv("block1_conv2", 64, 3, 1)(x)
        return nn.relu(bn(name="block1_conv2_bn")(x))

    def _reducing_block(self, x, block, features, bn, *, has_first_relu=True):
        shortcut = self._conv(f"block{block}_shortcut_conv", features[1], 1, 2)(x)
        shortcut = bn(name=f"block{block}_shortcut_bn")(shortcut)
        for i in (1, 2):
            x = nn.relu(x) if i == 2 or has_first_relu else x
            x = self._sepconv(x, f"block{block}_sepconv{i}", features[i - 1], bn)
        return max_pool_3x3_stride2(x) + shortcut

    def _middle_block(self, x, block, bn):
        shortcut = x
        for i in (1, 2, 3):
            x = self._sepconv(nn.relu(x), f"block{block}_sepconv{i}", 728, bn)
        return x + shortcut

    def _sepconv(self, x, name, features, bn):
        x = layers.SeparableConv3x3(self.scale(features), dtype=self.dtype, name=name)(x)
        return bn(name=f"{name}_bn")(x)

    def _conv(self, name, features, size, strides):
        return layers.SquareConv(
            self.scale(features),
            size=size,
            strides=strides,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=nn.initializers.glorot_uniform(),
            name=name,
        )

    def scale(self, features: int) -> int:
        """Scale a number of features of the paper to this width."""
        return max(1, round(features * self.width))
