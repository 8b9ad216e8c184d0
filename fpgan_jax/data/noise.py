"""Owns the noise images that condition the generator: one pure function of seed, person and replica.

Does not pair them with prints; `pairs.py` does.
"""

import functools
import math

import numpy as np

from fpgan_jax.errors import UserError

DISTRIBUTIONS = ("uniform", "gaussian", "salt_and_pepper")

GAUSSIAN_MEAN = 127.5
# Three standard deviations reach the ends of the range, so that 0.3% of the pixels are clipped.
GAUSSIAN_STD = 127.5 / 3


def create_noise_image(
    seed: int, person: int, replica: int, *, shape: tuple[int, int, int], distribution: str
) -> np.ndarray:
    """Create the noise image of one replica of one person's print.

    Built on the raw words of the Philox bit generator, which NumPy keeps the same from version to
    version (its distributions it does not), so that a noise image can be made again years later.

    Args:
      seed: from 0; images of different seeds are independent.
      person: id of the person, from 0.
      replica: number of the replica, from 0. Noise that a person's replicas share is replica 0 of each.
      shape: (height, width, channels) in pixels; the channels are independent.
      distribution: "uniform": each of the 256 values alike. "gaussian": mean 127.5 and standard
        deviation 42.5, rounded and clipped to 0-255. "salt_and_pepper": 0 or 255 with probability 1/2.

    Returns:
      uint8 of the shape.

    Raises:
      UserError: the distribution is none of the three.

    Source: Cordeiro & Saito, section 4 ("random noise"); differs in: the paper names no distribution.
    """
    if distribution not in DISTRIBUTIONS:
        raise UserError(
            f"config.data.noise_distribution: {distribution!r} is not one of {', '.join(DISTRIBUTIONS)}"
        )
    words = _RandomWords(seed, person, replica)
    if distribution == "uniform":
        return words.draw("u1", math.prod(shape)).reshape(shape)
    if distribution == "gaussian":
        return _gaussian_quantiles()[words.draw("<u2", math.prod(shape))].reshape(shape)
    bits = np.unpackbits(words.draw("u1", -(-math.prod(shape) // 8)), count=math.prod(shape))
    return (bits * np.uint8(255)).reshape(shape)


class _RandomWords:
    """The Philox stream keyed by (seed, person, replica)."""

    def __init__(self, seed: int, person: int, replica: int):
        if not (0 <= seed < 2**64 and 0 <= person < 2**32 and 0 <= replica < 2**32):
            raise UserError(
                f"noise of (seed, person, replica) = ({seed}, {person}, {replica}): each must be at least 0; "
                "see config.data.noise_seed"
            )
        key = np.array([seed, person << 32 | replica], np.uint64)
        self._bit_generator = np.random.Philox(key=key)

    def draw(self, dtype: str, count: int) -> np.ndarray:
        num_bytes = count * np.dtype(dtype).itemsize
        raw = self._bit_generator.random_raw(-(-num_bytes // 8)).astype("<u8", copy=False)
        return raw.view(dtype)[:count]


@functools.cache
def _gaussian_quantiles() -> np.ndarray:
    """Tabulate the value of each of 65,536 equally likely quantiles."""
    upper_edges = np.arange(255) + 0.5
    cumulative = [0.5 * math.erfc((GAUSSIAN_MEAN - v) / (GAUSSIAN_STD * math.sqrt(2))) for v in upper_edges]
    quantiles = (np.arange(2**16) + 0.5) / 2**16
    table = np.searchsorted(np.array(cumulative), quantiles).astype(np.uint8)
    table.setflags(write=False)
    return table
