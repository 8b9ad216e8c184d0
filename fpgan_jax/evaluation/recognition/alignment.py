"""Owns how a print gets the recognizer's form: one scale, the core in the middle, equal contrast, 0 beside the skin."""

import numpy as np

from fpgan_jax.data import preprocessing
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.data.ridges.core import find_core
from fpgan_jax.data.ridges.print_scale import PERIOD_AT_500_PPI

# Pixels per inch and pixels a side of an aligned print: 14 mm of skin, whose middle the network sees.
PPI = 238
SIDE = 128
PERIOD = PERIOD_AT_500_PPI * PPI / 500
# Local standard deviations in the range of int8.
_RANGE = 4.0


def align_print(image: np.ndarray, ppi: tuple[float, float]) -> np.ndarray:
    """Bring a print to one scale, with its core in the middle, equal local contrast, and 0 beside the skin.

    Args:
      image: uint8 [height, width], ridges dark, from the sensor.
      ppi: of the image, (down, across).

    Returns:
      int8 [SIDE, SIDE]; ridges are positive, about 40.
    """
    size = tuple(max(1, round(side * PPI / own)) for side, own in zip(image.shape, ppi, strict=True))
    scaled = preprocessing.resize(image[..., None], size, "lanczos")[..., 0]
    levels = scaled.astype(np.float32)
    contact = ridge_map.find_contact(levels, PERIOD)
    normal = ridge_map.normalize_contrast(levels, PERIOD)
    row, column = find_core(ridge_map.estimate_orientation(normal, PERIOD), contact, PERIOD)
    pixels = np.rint(contact * normal * (127 / _RANGE)).clip(-127, 127).astype(np.int8)
    # So that the window is inside, wherever the core is.
    padded = np.pad(pixels, SIDE // 2)
    return padded[row : row + SIDE, column : column + SIDE]
