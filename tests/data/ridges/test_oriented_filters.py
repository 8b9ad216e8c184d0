"""Oriented band-passes let ridges of their own period and direction through."""

import numpy as np
import pytest
from scipy import fft

from fpgan_jax.data.ridges import oriented_filters


def filter_waves(index, degrees, period, side=64):
    """Amplitude that filter `index` leaves of a unit cosine whose ridges run at an angle."""
    rows, cols = np.mgrid[:side, :side]
    angle = np.radians(degrees)
    wave = np.cos(2 * np.pi / period * (cols * np.sin(angle) + rows * np.cos(angle)))
    filters = oriented_filters.create_filters((side, side), 8, across_bandwidth=0.3, along_bandwidth=0.2)
    return np.abs(fft.irfft2(fft.rfft2(wave) * filters[index], (side, side))).max()


def test_its_own_ridges_pass_unchanged():
    # 8 pixels a period down, 8 across: both fit 64 pixels.
    assert filter_waves(0, 0, 8) == pytest.approx(1, abs=1e-5)
    assert filter_waves(8, 90, 8) == pytest.approx(1, abs=1e-5)
    assert filter_waves(4, 45, 8 / np.sqrt(2)) == pytest.approx(
        np.exp(-0.5 * ((np.sqrt(2) - 1) / 0.3) ** 2), abs=1e-4
    )


def test_other_ridges_are_held_back():
    assert filter_waves(0, 90, 8) < 1e-4  # across the filter's
    assert filter_waves(0, 0, 4) < 0.01  # twice as fine


def test_a_pixel_takes_the_two_nearest_orientations():
    weights = oriented_filters.compute_weights(np.array([[0.0, np.pi * 2.25 / 16, np.pi * 15.5 / 16]]))
    expected = np.zeros((16, 1, 3))
    expected[0, 0, 0] = 1
    expected[2, 0, 1], expected[3, 0, 1] = 0.75, 0.25
    expected[15, 0, 2], expected[0, 0, 2] = 0.5, 0.5
    np.testing.assert_allclose(weights, expected, atol=1e-6)
