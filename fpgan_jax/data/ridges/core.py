"""Owns a print's core: the place where its ridges open downward most."""

import math

import numpy as np
import scipy

from fpgan_jax.data.ridges import ridge_map

# Standard deviation, in ridge periods, of the area over which the ridges' bend is measured. In a smaller one a whorl
# has many cores, in a larger one a loop has none.
_BEND_SIGMA = 3.0
# Share of contact in that area below which the print's edge decides the bend.
_MIN_SUPPORT = 0.8


def find_core(orientation: np.ndarray, contact: np.ndarray, period: float) -> tuple[int, int]:
    """Find where the ridges bend most around what is below them: the upper core, or an arch's summit.

    Args:
      orientation: float32 [height, width], radians counterclockwise from the row's direction.
      contact: float32 [height, width] in [0, 1], of `ridge_map.find_contact`.
      period: of the ridges, pixels.

    Returns:
      (row, column); the image's middle if there is no contact.

    Source: Nilsson & Bigun 2003, "Localization of corresponding points in fingerprints by complex filtering", the
      first-order filter; differs in: one scale, and only its response to ridges that open downwards, which every
      pattern has.
    """
    if not contact.any():
        return contact.shape[0] // 2, contact.shape[1] // 2
    sigma = _BEND_SIGMA * period
    support = scipy.ndimage.gaussian_filter(contact, sigma / 2)
    doubled = [contact * part(2 * orientation) for part in (np.cos, np.sin)]
    total = scipy.ndimage.gaussian_filter(contact, sigma) + 1e-3
    level, rising = (scipy.ndimage.gaussian_filter(part, sigma) / total for part in doubled)
    # Ridges are level above a core and upright below it; they rise to its left and fall to its right.
    bend = -np.gradient(level, axis=0) - np.gradient(rising, axis=1)
    is_inside = support >= min(_MIN_SUPPORT, float(support.max()))
    row, column = np.unravel_index(np.where(is_inside, bend, -np.inf).argmax(), bend.shape)
    return int(row), int(column)


def measure_core_offset(image: np.ndarray, period: float) -> tuple[float, float]:
    """Measure how far below and to the right of its contact's middle a print's core is, in ridge periods.

    Args:
      image: uint8 [height, width], ridges dark, in square pixels.
      period: of the ridges, pixels.

    Returns:
      (down, right); NaN if nothing touched.
    """
    levels = image.astype(np.float32)
    contact = ridge_map.find_contact(levels, period)
    if not contact.any():
        return math.nan, math.nan
    normal = ridge_map.normalize_contrast(levels, period)
    core = find_core(ridge_map.estimate_orientation(normal, period), contact, period)
    middle = scipy.ndimage.center_of_mass(contact)
    return (core[0] - middle[0]) / period, (core[1] - middle[1]) / period
