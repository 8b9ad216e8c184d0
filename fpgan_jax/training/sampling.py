"""Owns drawing from a generator outside its training step."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from fpgan_jax.data.preprocessing import scale_to_unit, to_uint8
from fpgan_jax.data.ridges import ridge_pairs


def create_generate(generator: nn.Module, *, deterministic: bool, use_running_average: bool) -> Callable:
    """Create a compiled function that draws each image as if it were alone in its batch, as pix2pix does.

    With dropout (unless `deterministic`) and statistics of the batch (unless `use_running_average`), an image would
    otherwise depend on the others in its batch.

    Returns:
      (variables, noise_image uint8 [batch, height, width, condition channels], keys [batch]) -> float32 [batch, height,
      width, channels] in [-1, 1].

    Source: Isola et al. 2017, section 3.1, last paragraph (dropout and statistics of the test batch, of size 1, at test
      time); differs in: nothing.
    """

    def generate_one(variables: Any, noise_image: jax.Array, key: jax.Array) -> jax.Array:
        return generator.apply(
            variables,
            scale_to_unit(noise_image)[None],
            deterministic=deterministic,
            use_running_average=use_running_average,
            rngs={"dropout": key},
        )[0]

    return jax.jit(jax.vmap(generate_one, in_axes=(None, 0, 0)))


class SampleGrid:
    """Rows of condition, generated and real print, for looking at the progress of a training."""

    def __init__(self, config: ConfigDict, generate: Callable, pairs: Mapping[str, np.ndarray]):
        """Take the first config.num_samples of `pairs`, which are as from `pairs.create_batch`."""
        self._generate = generate
        self._pairs = {name: values[: config.num_samples] for name, values in pairs.items()}
        self._pictures = self._pairs["noise_image"]
        if config.data.condition != "noise" and config.num_samples:
            pictures = ridge_pairs.draw_condition(self._pictures, config.data.condition)
            self._pictures = pictures.repeat(config.data.num_channels, axis=-1)
        # The same dropout every time, so that grids differ by the network only.
        self._keys = jax.random.split(jax.random.key(config.synthesis.seed), len(self._pictures))

    def draw(self, variables: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Draw the rows with a generator's variables: images uint8 [height, width, channels]."""
        noise_image, real_image = self._pairs["noise_image"], self._pairs["real_image"]
        fake_image = to_uint8(np.asarray(self._generate(variables, noise_image, self._keys)))
        return list(zip(self._pictures, fake_image, real_image, strict=True))
