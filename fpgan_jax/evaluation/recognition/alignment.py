"""Owns how a print is brought to the recogniser's form: one scale, one place, equal contrast, nothing beside the skin.

Does not read files or keep prints (`print_sets.py`).
"""

import numpy as np
from scipy import ndimage

from fpgan_jax.data import preprocessing
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.data.ridges.print_scale import PERIOD_AT_500_PPI

# Pixels per inch and pixels a side of an aligned print: 14 mm of skin, of which the network sees the middle.
PPI = 238
SIDE = 128
PERIOD = PERIOD_AT_500_PPI * PPI / 500
# Standard deviation, in ridge periods, of the area over which the ridges' bend is measured: over less a whorl's core
# has many places, over more a loop's has none.
_BEND_SIGMA = 3.0
# Of the contact; nearer to its edge the bend is that of nothing.
_MIN_SUPPORT = 0.8
# Local standard deviations that fill the range of int8.
_RANGE = 4.0


def align_print(image: np.ndarray, ppi: tuple[float, float]) -> np.ndarray:
    """Bring a print to one scale, with its core in the middle, equal local contrast, and 0 beside the skin.

    Args:
      image: uint8 [height, width], ridges dark, as the sensor gave it.
      ppi: of the image, pixels per inch down and across.

    Returns:
      int8 [SIDE, SIDE]; ridges are positive, of about 40.
    """
    size = tuple(max(1, round(side * PPI / own)) for side, own in zip(image.shape, ppi, strict=True))
    scaled = preprocessing.resize(image[..., None], size, "lanczos")[..., 0]
    grey = scaled.astype(np.float32)
    contact = ridge_map.find_contact(grey, PERIOD)
    normal = ridge_map.normalize_contrast(grey, PERIOD)
    row, column = find_core(ridge_map.estimate_orientation(normal, PERIOD), contact)
    pixels = np.rint(contact * normal * (127 / _RANGE)).clip(-127, 127).astype(np.int8)
    # Enough of nothing around it that the window is within, wherever the core is.
    padded = np.pad(pixels, SIDE // 2)
    return padded[row : row + SIDE, column : column + SIDE]


def find_core(orientation: np.ndarray, contact: np.ndarray) -> tuple[int, int]:
    """Find where the ridges bend most around what is below them: the upper core, or an arch's summit.

    Args:
      orientation: float32 [height, width], radians counter-clockwise from the row's direction.
      contact: float32 [height, width] in [0, 1], of `ridge_map.find_contact`.

    Returns:
      (row, column); the image's middle where there is no contact.

    Source: Nilsson & Bigun 2003, "Localization of corresponding points in fingerprints by complex filtering", the
      first-order filter; differs in: one scale, and only its response to ridges that open downwards, which every
      pattern has.
    """
    if not contact.any():
        return tuple(side // 2 for side in contact.shape)
    sigma = _BEND_SIGMA * PERIOD
    support = ndimage.gaussian_filter(contact, sigma / 2)
    doubled = [contact * part(2 * orientation) for part in (np.cos, np.sin)]
    total = ndimage.gaussian_filter(contact, sigma) + 1e-3
    level, rising = (ndimage.gaussian_filter(part, sigma) / total for part in doubled)
    # Above a core ridges are level, below it upright; to its left they rise, to its right they fall.
    bend = -np.gradient(level, axis=0) - np.gradient(rising, axis=1)
    is_inside = support >= min(_MIN_SUPPORT, float(support.max()))
    return tuple(
        int(place) for place in np.unravel_index(np.where(is_inside, bend, -np.inf).argmax(), bend.shape)
    )
