"""Owns how a print looks where the skin touched, as a few coarse numbers: local mean grey and local contrast.

They are too coarse for ridges, and say nothing of where the skin touched: `ridge_map.py` does.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

NUM_CELLS = 16  # down and across
NEUTRAL_GREY = 128.0

# Where a cell has little contact around it, what is further away decides, and at last every pixel of the contact.
_WIDE = 4
_WIDE_WEIGHT = 1e-2
_ALL_WEIGHT = 1e-4


class Appearance(NamedTuple):
    """How a print looks, cell by cell; beyond the contact it is continued.

    Attributes:
      mean: float32 [NUM_CELLS, NUM_CELLS] in [0, 255], mean grey.
      contrast: float32 [NUM_CELLS, NUM_CELLS] in [0, 127.5], standard deviation of the grey.
    """

    mean: np.ndarray
    contrast: np.ndarray


def measure_appearance(image: np.ndarray, contact: np.ndarray) -> Appearance:
    """Measure how a print looks, by its pixels within the contact alone.

    Args:
      image: uint8 [height, width].
      contact: float32 [height, width] in [0, 1], of `ridge_map.RidgeMap`.

    Returns:
      The appearance; grey without contrast where nothing touched.
    """
    grey = image.astype(np.float32)
    if not contact.any():
        flat = np.full((NUM_CELLS, NUM_CELLS), NEUTRAL_GREY, np.float32)
        return Appearance(flat, np.zeros_like(flat))
    mean = _average(grey, contact)
    variance = _average((grey - mean) ** 2, contact)
    return Appearance(_sample_cells(mean), _sample_cells(np.sqrt(np.maximum(variance, 0))))


def draw_appearance(appearance: Appearance, contact: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge an appearance to an image's size, within a contact, which may be another print's.

    Args:
      appearance: of any print; NumPy or JAX arrays, like the other argument.
      contact: float32 [height, width] in [0, 1].

    Returns:
      (mean grey, contrast), float32 [height, width]; `NEUTRAL_GREY` and 0 outside the contact.
    """
    down, across = (_create_enlargement(side) for side in contact.shape)
    mean, contrast = (down @ cells @ across.T for cells in appearance)
    return NEUTRAL_GREY + contact * (mean - NEUTRAL_GREY), contact * contrast


def _average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average values around each pixel over a cell's size, by their weights."""
    sigma = [side / NUM_CELLS for side in values.shape]
    wide = [_WIDE * each for each in sigma]

    def blur(image: np.ndarray) -> np.ndarray:
        near = ndimage.gaussian_filter(image, sigma)
        return near + _WIDE_WEIGHT * ndimage.gaussian_filter(image, wide) + _ALL_WEIGHT * image.mean()

    return blur(weights * values) / blur(weights)


def _sample_cells(image: np.ndarray) -> np.ndarray:
    """Sample a smooth image at the cells' centres."""
    centres = [(np.arange(NUM_CELLS) + 0.5) * side / NUM_CELLS - 0.5 for side in image.shape]
    places = np.meshgrid(*centres, indexing="ij")
    return ndimage.map_coordinates(image, places, order=1, mode="nearest")


@functools.lru_cache(maxsize=8)
def _create_enlargement(side: int) -> np.ndarray:
    """Create the bilinear matrix from cells to pixels: what `_sample_cells` undoes."""
    places = (np.arange(side) + 0.5) * NUM_CELLS / side - 0.5
    cells = np.arange(NUM_CELLS)
    return np.array([np.interp(places, cells, row) for row in np.eye(NUM_CELLS)], np.float32).T
