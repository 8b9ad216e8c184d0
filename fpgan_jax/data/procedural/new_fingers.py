"""Owns fingers that nobody has: procedural ones with as many minutiae as real ones, as whole pictures.

Does not map their ridges: `ridge_map.py` reads them from a picture, as it does those of real prints.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from fpgan_jax.data.procedural.finger import Growth, create_finger
from fpgan_jax.data.procedural.impressions import create_outline

# Raise it whenever a change alters any pixel.
VERSION = 1

# 9 pixels on average over men and women. Of 24 fingers a window of 256 x 256 has 33 minutiae, of the default growth 22;
# two maps, moved and cut to real prints' contacts, score 27 or more in 96% instead of 76%.
GROWTH = Growth(
    period=9.2,
    num_steps=5,
    period_variation=0.12,
    unevenness=0.5,
    unevenness_sigma=30.0,
    bending=0.2,
    bending_sigma=60.0,
)
# Master pixels; more of a finger touches above its pattern's centre than below.
_MIDDLE_ABOVE_CORE = 40
# Master pixels over which the contact's edge wavers, and by how much.
_RAGGED_SIGMA, _RAGGED_DEPTH = 12.0, 5.0


class NewFinger(NamedTuple):
    """A finger's ridges and where it touches, at 500 pixels per inch.

    Attributes:
      image: uint8 [height, width]; ridges dark, to the edges, 9 pixels from one to the next on average.
      contact: float32 [height, width] in [0, 1]; where a finger of this size touches when it is rolled.
    """

    image: np.ndarray
    contact: np.ndarray


def create_new_finger(seed: int, number: int) -> NewFinger:
    """Grow a finger.

    Args:
      seed: of all fingers.
      number: of this one, from 1.

    Returns:
      The finger, upright; the middle of a usual impression is in its middle.
    """
    finger = create_finger(seed, number, growth=GROWTH)
    # Ridges are a little wider than valleys.
    ink = 1 / (1 + np.exp(-5 * (finger.ridges + 0.2)))
    rows = slice(0, 2 * round(finger.center[0] - _MIDDLE_ABOVE_CORE))
    noise = np.random.default_rng((seed, number)).standard_normal(ink.shape)
    ragged = 2 * math.sqrt(math.pi) * _RAGGED_SIGMA * ndimage.gaussian_filter(noise, _RAGGED_SIGMA)
    depth = create_outline(finger) + _RAGGED_DEPTH * ragged
    contact = np.clip(0.5 + depth / GROWTH.period, 0, 1)
    return NewFinger(np.rint(255 - 235 * ink[rows]).astype(np.uint8), contact[rows].astype(np.float32))
