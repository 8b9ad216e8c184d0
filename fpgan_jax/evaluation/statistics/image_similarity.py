"""Owns the structural similarity of images, for measures and for the validation of a training."""

import numpy as np
import skimage


def compute_ssim(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the mean structural similarity of pairs of images: float64 [n], in [-1, 1]; 1 for equal images.

    Args:
      images: uint8 [n, height, width] or [n, height, width, channels], sides of at least 11 pixels.
      others: uint8 of the same shape.

    Source: Wang, Bovik, Sheikh & Simoncelli 2004, section III (Gaussian window of 11 pixels, standard deviation 1.5, K1
      = 0.01, K2 = 0.03), by scikit-image; differs in: for color the mean over the channels, each by itself.
    """
    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    axis = -1 if images.ndim == 4 else None
    pairs = zip(images, others, strict=True)
    return np.array(
        [skimage.metrics.structural_similarity(*pair, channel_axis=axis, **settings) for pair in pairs],
        np.float64,
    )
