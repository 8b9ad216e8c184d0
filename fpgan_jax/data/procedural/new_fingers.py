"""Fingers that nobody has: procedural ones with as many minutiae as real ones, as whole images.

`ridge_map.py` maps their ridges as those of real prints.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from fpgan_jax.data.procedural.finger import (
    MASTER_WIDTH,
    Finger,
    Growth,
    create_finger,
    create_finger_generator,
    draw_smooth_noise,
)
from fpgan_jax.data.procedural.impressions import create_outline, draw_creases

# Raise it whenever a change alters any pixel.
VERSION = 4

# The period is 9 pixels on average over men and women. On 24 fingers, a window of 256 x 256 has 33 minutiae; with the
# default growth it has 22. Two maps, moved and cut to real prints' contacts, score 27 or more in 96% instead of 76%.
GROWTH = Growth(
    period=9.2,
    num_steps=5,
    period_variation=0.12,
    unevenness=0.5,
    unevenness_sigma=30.0,
    bending=0.2,
    bending_sigma=60.0,
)
# Master pixels; more of a finger touches above its pattern's center than below.
_MIDDLE_ABOVE_CENTER = 40
# Between the center of a pattern and its core as `ridges/core.py` finds it, on average.
CORE_ABOVE_CENTER = 28
# Master pixels by which a rolled finger touches beyond the outline of a flat one, at the tip at most, and at the sides.
# Within it, the shape of a flat impression is that of the print whose contact it takes.
_ROLLED_TIP, _ROLLED_SIDE = 20, 40
# From the pattern's center to the farthest tip whose round edge is still on the master.
_FARTHEST_TIP = 190
# Raggedness of the contact's edge, master pixels: along it and across it.
_RAGGED_SIGMA, _RAGGED_DEPTH = 12.0, 5.0
# Pores and the ridges' rough edges: master pixels, between these two.
_FINEST_SIGMA, _COARSEST_SIGMA = 1.2, 4.0
# Creases of a worn finger, on average.
_NUM_CREASES = 2.0


class NewFinger(NamedTuple):
    """A finger's ridges and where it touches, at 500 pixels per inch, upright."""

    image: np.ndarray  # uint8 [height, width]; ridges dark, to the edges, with a mean period of 9 pixels
    contact: np.ndarray  # float32 [height, width] in [0, 1]; where a rolled finger of this size touches
    center: tuple[float, float]  # row and column of the pattern's center

    @property
    def usual(self) -> np.ndarray:
        """The ridges of usual impressions, uint8 [350, width], whose middle is in its middle."""
        return self.image[: 2 * round(self.center[0] - _MIDDLE_ABOVE_CENTER)]


def create_new_finger(seed: int, number: int) -> NewFinger:
    """Grow finger `number`, from 1, of a seed."""
    finger = create_finger(seed, number, growth=GROWTH)
    # Ridges are a little wider than valleys.
    ink = 1 / (1 + np.exp(-5 * (finger.ridges + 0.2 - _draw_wear(finger))))
    noise = np.random.default_rng((seed, number)).standard_normal(ink.shape)
    ragged = 2 * math.sqrt(math.pi) * _RAGGED_SIGMA * ndimage.gaussian_filter(noise, _RAGGED_SIGMA)
    aside = np.abs(np.arange(MASTER_WIDTH) - finger.center[1]) / finger.half_width
    tip = min(_ROLLED_TIP, _FARTHEST_TIP - finger.tip_height)
    rolled = tip + (_ROLLED_SIDE - tip) * np.clip(aside, 0, 1)
    depth = create_outline(finger) + rolled + _RAGGED_DEPTH * ragged
    contact = np.clip(0.5 + depth / GROWTH.period, 0, 1)
    return NewFinger(np.rint(255 - 235 * ink).astype(np.uint8), contact.astype(np.float32), finger.center)


def _draw_wear(finger: Finger) -> np.ndarray:
    """Draw how much the skin's wear takes from the ridge profile: uneven pressure, patches, creases, rough edges.

    A generator draws blots, gaps and grain where the map of its training prints has weak, broken and rough ridges. With
    these amounts, chosen on seed 0 by the spectrum of SOCOFing's maps and by the KID, new fingers' maps have them too.
    """
    rng = create_finger_generator("wear", finger.seed, finger.person, finger.hand, finger.finger)
    shape = finger.ridges.shape
    uneven = rng.uniform(0, 0.3) * draw_smooth_noise(rng, shape, 32)
    grain = rng.uniform(0, 0.3) * draw_smooth_noise(rng, shape, 3.5)
    patches = np.maximum(draw_smooth_noise(rng, shape, 9) + 0.7 * draw_smooth_noise(rng, shape, 30) - 1, 0)
    # Ridges get thin and break in a patch, but do not vanish.
    worn = np.minimum(max(0.0, rng.normal(0.8, 0.8)) * patches, 1.1)
    rough = rng.uniform(0.2, 0.9) * _draw_roughness(rng, shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    creases = draw_creases(rng, columns - finger.center[1], finger.center[0] - rows, _NUM_CREASES)
    return worn + creases - uneven - grain - rough


def _draw_roughness(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw noise of unit variance between pores and ridges: finer than a ridge's width, and nothing coarser."""
    noise = rng.standard_normal(shape)
    band = ndimage.gaussian_filter(noise, _FINEST_SIGMA) - ndimage.gaussian_filter(noise, _COARSEST_SIGMA)
    return band / band.std()
