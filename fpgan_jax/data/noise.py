"""The noise images that condition the generator: a pure function of seed, person and replica."""

import functools
import math

import numpy as np

from fpgan_jax.errors import UserError

DISTRIBUTIONS = ("uniform", "gaussian", "salt_and_pepper")

_GAUSSIAN_MEAN = 127.5
# Three standard deviations reach the ends of the range, so that 0.3% of the pixels are clipped.
_GAUSSIAN_STD = 127.5 / 3


def create_noise_image(
    seed: int, person: int, replica: int, *, shape: tuple[int, int, int], distribution: str
) -> np.ndarray:
    """Create the noise image of one replica of one person's print.

    It is made of raw words of the Philox bit generator, which NumPy keeps the same from version to version, unlike its
    distributions. So a noise image can be made again years later.

    Args:
      seed: from 0; images of different seeds are independent.
      person: id of the person, from 0.
      replica: number of the replica, from 0. Noise that a person's replicas share is that of replica 0.
      shape: (height, width, channels) in pixels; the channels are independent.
      distribution: "uniform": 0 to 255. "gaussian": mean 127.5 and standard deviation 42.5, rounded and clipped to
        0-255. "salt_and_pepper": 0 or 255 with probability 1/2.

    Returns:
      uint8 of the shape.

    Raises:
      UserError: the distribution is not one of the three.

    Source: Cordeiro & Saito, section 4 ("random noise"); differs in: the paper names no distribution.
    """
    if distribution not in DISTRIBUTIONS:
        raise UserError(
            f"config.data.noise_distribution: {distribution!r} is not one of {', '.join(DISTRIBUTIONS)}"
        )
    if not (0 <= seed < 2**64 and 0 <= person < 2**32 and 0 <= replica < 2**32):
        raise UserError(
            f"noise of (seed, person, replica) = ({seed}, {person}, {replica}): each must be at least 0; "
            "see config.data.noise_seed"
        )
    bit_generator = np.random.Philox(key=np.array([seed, person << 32 | replica], np.uint64))
    count = math.prod(shape)

    def draw(dtype: str, count: int) -> np.ndarray:
        num_bytes = count * np.dtype(dtype).itemsize
        raw = bit_generator.random_raw(-(-num_bytes // 8)).astype("<u8", copy=False)
        return raw.view(dtype)[:count]

    if distribution == "uniform":
        return draw("u1", count).reshape(shape)
    if distribution == "gaussian":
        return _gaussian_quantiles()[draw("<u2", count)].reshape(shape)
    bits = np.unpackbits(draw("u1", -(-count // 8)), count=count)
    return (bits * np.uint8(255)).reshape(shape)


@functools.cache
def _gaussian_quantiles() -> np.ndarray:
    """Tabulate the value of each of 65,536 equally likely quantiles."""
    upper_edges = np.arange(255) + 0.5
    cumulative = [0.5 * math.erfc((_GAUSSIAN_MEAN - v) / (_GAUSSIAN_STD * math.sqrt(2))) for v in upper_edges]
    quantiles = (np.arange(2**16) + 0.5) / 2**16
    table = np.searchsorted(np.array(cumulative), quantiles).astype(np.uint8)
    table.setflags(write=False)
    return table
