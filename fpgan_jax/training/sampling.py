"""Owns drawing from a generator outside its training step.

Does not own checkpoints or files.
"""

from collections.abc import Callable

import jax
from flax import linen as nn

from fpgan_jax.data.preprocessing import scale_to_unit


def create_generate(generator: nn.Module, *, deterministic: bool, use_running_average: bool) -> Callable:
    """Create a compiled function that draws each image as if it were alone in its batch.

    With dropout and batch statistics as in training, an image would otherwise depend on its
    neighbours; pix2pix draws one image at a time.

    Args:
      generator: the module.
      deterministic: False keeps dropout.
      use_running_average: False normalises each image by its own statistics.

    Returns:
      (variables, noise_image uint8 [batch, height, width, condition channels], keys [batch]) ->
      float32 [batch, height, width, channels] in [-1, 1].

    Source: Isola et al. 2017, section 3.1, last paragraph (dropout and statistics of the test batch,
      of size 1, at test time); differs in: nothing.
    """

    def generate_one(variables, noise_image, key):
        return generator.apply(
            variables,
            scale_to_unit(noise_image)[None],
            deterministic=deterministic,
            use_running_average=use_running_average,
            rngs={"dropout": key},
        )[0]

    return jax.jit(jax.vmap(generate_one, in_axes=(None, 0, 0)))
