"""Owns how a print gets the recognizer's form: one scale, the core in the middle, equal contrast, 0 beside the skin."""

import numpy as np
from scipy import ndimage

from fpgan_jax.data import preprocessing
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.data.ridges.print_scale import PERIOD_AT_500_PPI

# Pixels per inch and pixels a side of an aligned print: 14 mm of skin, whose middle the network sees.
PPI = 238
SIDE = 128
PERIOD = PERIOD_AT_500_PPI * PPI / 500
# Standard deviation, in ridge periods, of the area over which the ridges' bend is measured. In a smaller one a whorl
# has many cores, in a larger one a loop has none.
_BEND_SIGMA = 3.0
# Share of contact in that area below which the print's edge decides the bend.
_MIN_SUPPORT = 0.8
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
    normal, contact, (row, column) = _find_parts(image, ppi)
    pixels = np.rint(contact * normal * (127 / _RANGE)).clip(-127, 127).astype(np.int8)
    # So that the window is inside, wherever the core is.
    padded = np.pad(pixels, SIDE // 2)
    return padded[row : row + SIDE, column : column + SIDE]


def measure_core_offset(image: np.ndarray, ppi: tuple[float, float]) -> tuple[float, float]:
    """Measure how far below and to the right of its contact's middle a print's core is, in ridge periods.

    Args and source: as in `align_print`; (0, 0) if there is no contact.
    """
    _, contact, core = _find_parts(image, ppi)
    middle = ndimage.center_of_mass(contact) if contact.any() else core
    down, right = ((own - other) / PERIOD for own, other in zip(core, middle, strict=True))
    return down, right


def _find_parts(
    image: np.ndarray, ppi: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Bring a print to `PPI`; return its pixels with equal contrast, its contact, and the core's place."""
    size = tuple(max(1, round(side * PPI / own)) for side, own in zip(image.shape, ppi, strict=True))
    scaled = preprocessing.resize(image[..., None], size, "lanczos")[..., 0]
    levels = scaled.astype(np.float32)
    contact = ridge_map.find_contact(levels, PERIOD)
    normal = ridge_map.normalize_contrast(levels, PERIOD)
    return normal, contact, find_core(ridge_map.estimate_orientation(normal, PERIOD), contact)


def find_core(orientation: np.ndarray, contact: np.ndarray) -> tuple[int, int]:
    """Find where the ridges bend most around what is below them: the upper core, or an arch's summit.

    Args:
      orientation: float32 [height, width], radians counterclockwise from the row's direction.
      contact: float32 [height, width] in [0, 1], of `ridge_map.find_contact`.

    Returns:
      (row, column); the image's middle if there is no contact.

    Source: Nilsson & Bigun 2003, "Localization of corresponding points in fingerprints by complex filtering", the
      first-order filter; differs in: one scale, and only its response to ridges that open downwards, which every
      pattern has.
    """
    if not contact.any():
        return contact.shape[0] // 2, contact.shape[1] // 2
    sigma = _BEND_SIGMA * PERIOD
    support = ndimage.gaussian_filter(contact, sigma / 2)
    doubled = [contact * part(2 * orientation) for part in (np.cos, np.sin)]
    total = ndimage.gaussian_filter(contact, sigma) + 1e-3
    level, rising = (ndimage.gaussian_filter(part, sigma) / total for part in doubled)
    # Ridges are level above a core and upright below it; they rise to its left and fall to its right.
    bend = -np.gradient(level, axis=0) - np.gradient(rising, axis=1)
    is_inside = support >= min(_MIN_SUPPORT, float(support.max()))
    row, column = np.unravel_index(np.where(is_inside, bend, -np.inf).argmax(), bend.shape)
    return int(row), int(column)
