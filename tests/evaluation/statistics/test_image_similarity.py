"""SSIM against its formula, for gray images and for colors."""

import numpy as np
import pytest
from scipy import ndimage

from fpgan_jax.evaluation.statistics.image_similarity import compute_ssim


def test_ssim_is_wangs_formula():
    rng = np.random.default_rng(0)
    image, other = rng.integers(0, 256, (2, 1, 32, 32), np.uint8)
    x, y = image[0].astype(float), other[0].astype(float)

    def blur(values):
        return ndimage.gaussian_filter(values, 1.5, radius=5)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = blur(x), blur(y)
    variances = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    ssim = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    ssim /= (mean_x**2 + mean_y**2 + c1) * (variances + c2)
    # The window is inside the image.
    assert compute_ssim(image, other)[0] == pytest.approx(ssim[5:-5, 5:-5].mean(), rel=1e-6)


def test_ssim_of_equal_prints_is_one():
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16), np.uint8)
    assert compute_ssim(image, image)[0] == pytest.approx(1)


def test_ssim_of_colors_is_the_mean_of_the_channels():
    images, others = np.random.default_rng(0).integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    channels = [compute_ssim(images[..., i], others[..., i]) for i in range(3)]
    np.testing.assert_allclose(compute_ssim(images, others), np.mean(channels, axis=0), rtol=1e-6)
