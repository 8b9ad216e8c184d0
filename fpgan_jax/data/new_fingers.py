"""Owns fingers that nobody has: a procedural finger printed whole, at 500 pixels per inch.

They have as many minutiae as real ones, which the fingers of `make_prints` have not. Their pictures carry an extractor no
other way than real prints do: the ridge map is read from them (`ridge_map.py`).
"""

import numpy as np

from fpgan_jax.data import procedural_prints
from fpgan_jax.data.procedural_prints import Growth

# Raise it whenever a change alters any pixel.
VERSION = 1

# Of 9 pixels on average over men and women; chosen by minutiae and by matches beside real prints, docs/enlarging.md.
GROWTH = Growth(
    period=9.2,
    num_steps=6,
    period_variation=0.1,
    unevenness=0.4,
    unevenness_sigma=30.0,
    bending=0.2,
    bending_sigma=60.0,
)
# Master pixels; more of a finger touches above its pattern's centre than below.
_MIDDLE_ABOVE_CORE = 25


def create_print(seed: int, number: int) -> np.ndarray:
    """Print a new finger whole, evenly and cleanly, as ink rolled from nail to nail shows it.

    Args:
      seed: of all fingers.
      number: of this one, from 1.

    Returns:
      uint8 [height, width], ridges dark, 9 pixels from ridge to ridge on average; the middle of a usual contact is in
      its middle.
    """
    finger = procedural_prints.create_finger(seed, number, growth=GROWTH)
    # Ridges are a little wider than valleys.
    ink = 1 / (1 + np.exp(-5 * (finger.ridges + 0.2)))
    height = 2 * round(finger.center[0] - _MIDDLE_ABOVE_CORE)
    return np.rint(255 - 235 * ink[:height]).astype(np.uint8)
