"""How a print looks where the skin touched, too coarsely for ridges: local mean gray and local contrast."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

NUM_CELLS = 16  # down and across
NEUTRAL_GRAY = 128.0

# Cells with little contact take their values from further away, and in the end from the whole contact.
_WIDE = 4
_WIDE_WEIGHT = 1e-2
_ALL_WEIGHT = 1e-4


class Appearance(NamedTuple):
    """How a print looks, per cell, continued beyond the contact: float32 [NUM_CELLS, NUM_CELLS]."""

    mean: np.ndarray  # gray, in [0, 255]
    contrast: np.ndarray  # standard deviation of the gray, in [0, 127.5]


def measure_appearance(image: np.ndarray, contact: np.ndarray) -> Appearance:
    """Measure how a print, uint8 [height, width], looks within its contact; plain gray if nothing touched."""
    gray = image.astype(np.float32)
    if not contact.any():
        flat = np.full((NUM_CELLS, NUM_CELLS), NEUTRAL_GRAY, np.float32)
        return Appearance(flat, np.zeros_like(flat))
    mean = _average(gray, contact)
    variance = _average((gray - mean) ** 2, contact)
    return Appearance(_sample_cells(mean), _sample_cells(np.sqrt(np.maximum(variance, 0))))


def average_appearances(appearances: Sequence[Appearance]) -> Appearance:
    """Average the looks of several prints cell by cell."""
    mean, contrast = (np.stack(part).mean(axis=0) for part in zip(*appearances, strict=True))
    return Appearance(mean, contrast)


def draw_appearance(appearance: Appearance, contact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge an appearance to the size of a contact, which may be another print's; both of NumPy or JAX arrays.

    Returns:
      (mean gray, contrast), float32 [height, width]; `NEUTRAL_GRAY` and 0 outside the contact.
    """
    down, across = (_create_enlargement(side) for side in contact.shape)
    mean, contrast = (down @ cells @ across.T for cells in appearance)
    return NEUTRAL_GRAY + contact * (mean - NEUTRAL_GRAY), contact * contrast


def _average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average values around each pixel over a cell's size."""
    sigma = [side / NUM_CELLS for side in values.shape]
    wide = [_WIDE * each for each in sigma]

    def blur(image: np.ndarray) -> np.ndarray:
        near = scipy.ndimage.gaussian_filter(image, sigma)
        return near + _WIDE_WEIGHT * scipy.ndimage.gaussian_filter(image, wide) + _ALL_WEIGHT * image.mean()

    return blur(weights * values) / blur(weights)


def _sample_cells(image: np.ndarray) -> np.ndarray:
    """Sample a smooth image at the cells' centers."""
    centers = [(np.arange(NUM_CELLS) + 0.5) * side / NUM_CELLS - 0.5 for side in image.shape]
    return scipy.ndimage.map_coordinates(image, np.meshgrid(*centers, indexing="ij"), order=1, mode="nearest")


@functools.lru_cache(maxsize=8)
def _create_enlargement(side: int) -> np.ndarray:
    """Create the bilinear matrix from cells to pixels, the inverse of `_sample_cells`."""
    places = (np.arange(side) + 0.5) * NUM_CELLS / side - 0.5
    cells = np.arange(NUM_CELLS)
    return np.array([np.interp(places, cells, row) for row in np.eye(NUM_CELLS)], np.float32).T
