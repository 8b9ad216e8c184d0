"""Aligned prints: place and scale do not matter, and nothing is beside the skin."""

import numpy as np

from fpgan_jax.evaluation.recognition import alignment
from fpgan_jax.evaluation.recognition.alignment import PERIOD, SIDE, align_print
from tests.data.ridges.test_core import draw_loop

SCALE = (alignment.PPI, alignment.PPI)


def test_a_shifted_print_is_aligned_to_the_same_pixels():
    first, second = (align_print(draw_loop(core), SCALE) for core in ((70.5, 75.5), (78.5, 70.5)))
    np.testing.assert_array_equal(first, second)


def test_a_print_of_twice_the_resolution_is_aligned_to_the_same_ridges():
    first = align_print(draw_loop((75, 75)), SCALE)
    second = align_print(draw_loop((75, 75), scale=2), (2 * alignment.PPI, 2 * alignment.PPI))
    # The core may be found a pixel beside.
    correlations = [
        np.corrcoef(np.roll(second, (down, across), (0, 1)).ravel(), first.ravel())[0, 1]
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
    ]
    assert max(correlations) > 0.95


def test_resolutions_may_differ_down_and_across():
    squeezed = draw_loop((75, 75), scale=2)[:, ::2]
    first = align_print(squeezed, (2 * alignment.PPI, alignment.PPI))
    height, width = (np.ptp(np.flatnonzero(first.any(axis))) for axis in (1, 0))
    assert abs(height - width) <= 4


def test_ridges_are_positive_and_nothing_is_beside_the_skin():
    aligned = align_print(draw_loop((75, 75)), SCALE)
    assert aligned.shape == (SIDE, SIDE) and aligned.dtype == np.int8
    row, column = find_place_of_core(aligned)
    distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - np.array([row, column])[:, None, None]))
    assert not aligned[distance > 55].any()
    # A ridge four periods above the core, and the valley beside it.
    assert aligned[row - round(4 * PERIOD), column] > 20 > -20 > aligned[row - round(4.5 * PERIOD), column]


def find_place_of_core(aligned):
    """Find the core by the symmetry of what was drawn: ridges' middle column, and the arcs' middle row."""
    columns = np.flatnonzero(aligned.any(0))
    rows = np.flatnonzero(aligned.any(1))
    return (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
