"""Owns how a GAN does on pairs that it is not trained on: L1, SSIM and a grid of samples, while it trains.

It does not change the training: it has random numbers of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax.data.preprocessing import to_uint8
from fpgan_jax.evaluation.statistics.image_similarity import compute_ssim

# Window of the SSIM, pixels.
_MIN_SIDE = 11


class Validation:
    """Validation pairs, measured as a generator draws at test time: with dropout, each image by itself."""

    def __init__(
        self, config: ConfigDict, generate: Callable, pairs: Mapping[str, np.ndarray], *, batch_size: int
    ):
        """Bind at least one pair, as from `pairs.create_batch`; of the config num_samples and synthesis.seed are used.

        The batch size is that of other calls of `generate` (`sampling.create_generate`), so that it is compiled once.
        """
        self._num_samples = config.num_samples
        self._generate = generate
        self._pairs = pairs
        self._batch_size = batch_size
        # The same dropout every time, so that results differ by the network only.
        self._keys = jax.random.split(jax.random.key(config.synthesis.seed), len(pairs["real_image"]))

    def measure(
        self, variables: Any
    ) -> tuple[dict[str, float], list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
        """Draw every pair with the generator's variables, and compare.

        Returns:
          (num_pairs; l1, the mean of `compute_l1`; ssim, that of `compute_ssim`, if the images are large enough; rows
          of condition, drawn and target of the first num_samples pairs, uint8 [height, width, channels]).
        """
        conditions, targets = self._pairs["noise_image"], self._pairs["real_image"]
        batches = []
        for start in range(0, len(targets), self._batch_size):
            # The last batch is filled up.
            indices = np.minimum(np.arange(start, start + self._batch_size), len(targets) - 1)
            images = self._generate(variables, conditions[indices], self._keys[indices])
            batches.append(to_uint8(np.asarray(images))[: len(targets) - start])
        drawn = np.concatenate(batches)
        values = {"num_pairs": len(targets), "l1": float(compute_l1(drawn, targets).mean())}
        if min(drawn.shape[1:3]) >= _MIN_SIDE:
            values["ssim"] = float(compute_ssim(drawn, targets).mean())
        shown = slice(self._num_samples)
        return values, list(zip(conditions[shown], drawn[shown], targets[shown], strict=True))


def compute_l1(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the mean absolute difference of pairs of images uint8 [n, height, width, channels].

    Returns:
      float64 [n], in [0, 2]: on the networks' scale of [-1, 1].
    """
    return np.abs(images.astype(np.int16) - others).mean((1, 2, 3)) / 127.5
