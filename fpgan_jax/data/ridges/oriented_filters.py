"""Band-pass filters for ridges of one period and direction, in the Fourier domain.

`procedural/finger.py` grows ridges with them, and `ridge_map.py` reads ridges from prints.
"""

import math

import numpy as np
import scipy

NUM_ORIENTATIONS = 16


def create_filters(
    shape: tuple[int, int], period: float, *, across_bandwidth: float, along_bandwidth: float
) -> np.ndarray:
    """Create the spectra of even Gabor filters without DC, of gain 1 at their own frequency.

    Args:
      shape: (height, width) of the images.
      period: of the ridges, pixels.
      across_bandwidth: standard deviation of the Gaussian across the ridges, as a share of their frequency.
      along_bandwidth: the same along the ridges.

    Returns:
      [orientations, height, width // 2 + 1] float32, for `scipy.fft.rfft2`; filter i is for ridges at
      pi i / orientations, counterclockwise from the row's direction.
    """
    up = -scipy.fft.fftfreq(shape[0])[:, None]
    right = scipy.fft.rfftfreq(shape[1])[None, :]
    frequency = 1 / period
    spectra = []
    for index in range(NUM_ORIENTATIONS):
        theta = np.pi * index / NUM_ORIENTATIONS
        across = np.abs(-right * math.sin(theta) + up * math.cos(theta))
        along = right * math.cos(theta) + up * math.sin(theta)
        spectra.append(
            np.exp(-0.5 * ((across - frequency) / (across_bandwidth * frequency)) ** 2)
            * np.exp(-0.5 * (along / (along_bandwidth * frequency)) ** 2)
        )
    return np.asarray(spectra, np.float32)


def compute_weights(orientation: np.ndarray) -> np.ndarray:
    """Compute each filter's weight at each pixel: [orientations, height, width] float32, whose sum is 1.

    The two nearest filters are interpolated. `orientation` [height, width] is in radians in [0, pi), counterclockwise
    from the row's direction.
    """
    position = orientation / np.pi * NUM_ORIENTATIONS
    lower = np.floor(position).astype(int)
    fraction = (position - lower).astype(np.float32)
    weights = np.zeros((NUM_ORIENTATIONS, *orientation.shape), np.float32)
    np.put_along_axis(weights, lower[None] % NUM_ORIENTATIONS, 1 - fraction[None], axis=0)
    np.put_along_axis(weights, (lower[None] + 1) % NUM_ORIENTATIONS, fraction[None], axis=0)
    return weights
