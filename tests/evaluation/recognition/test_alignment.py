"""Aligned prints: the core is found, place and scale do not matter, and nothing is beside the skin."""

import numpy as np
import pytest

from fpgan_jax.data.procedural.finger import Singularity, create_orientation_field
from fpgan_jax.evaluation.recognition import alignment
from fpgan_jax.evaluation.recognition.alignment import PERIOD, SIDE, align_print, find_core

SCALE = (alignment.PPI, alignment.PPI)


def draw_loop(core, *, scale=1.0, side=150):
    """Draw arcs around a core with level, straight ridges beside them below it; the skin is a disk."""
    rows, columns = (np.mgrid[: side * scale, : side * scale] + 0.5) / scale
    down, across = rows - core[0], columns - core[1]
    distance = np.where(down < 0, np.hypot(down, across), np.abs(across))
    ridges = np.cos(2 * np.pi * distance / PERIOD)
    is_skin = np.hypot(down, across) < 45
    return np.where(is_skin, 128 - 100 * ridges, 255).astype(np.uint8)


@pytest.mark.parametrize("pattern", ["left_loop", "right_loop", "tented_arch", "whorl"])
def test_the_upper_core_is_found_within_three_ridges(pattern):
    # In 400x360 pixels of 500 per inch, of which every second is taken: nearly 238.
    core = Singularity("core", 180, 170)
    others = {
        "left_loop": [Singularity("delta", 290, 250)],
        "right_loop": [Singularity("delta", 290, 90)],
        "tented_arch": [Singularity("delta", 250, 170)],
        "whorl": [
            Singularity("core", 220, 180),
            Singularity("delta", 310, 90),
            Singularity("delta", 310, 270),
        ],
    }
    field = create_orientation_field(pattern, [core, *others[pattern]], center=(200, 175), arching=0.5)
    contact = np.zeros((200, 180), np.float32)
    contact[40:180, 20:160] = 1
    found = find_core(field[::2, ::2], contact)
    assert np.hypot(found[0] - 90, found[1] - 85) < 3 * PERIOD


def test_an_image_without_contact_has_its_middle_for_a_core():
    assert find_core(np.zeros((20, 30), np.float32), np.zeros((20, 30), np.float32)) == (10, 15)


def test_the_cores_offset_is_from_the_middle_of_what_touched():
    image = draw_loop((75, 75))
    down, across = alignment.measure_core_offset(image, SCALE)
    image[101:] = image[:, :49] = 255
    # The middle of the disk's pixels that are left; the core is the same.
    rows, columns = np.mgrid[:101, 49:150] + 0.5
    kept = np.hypot(rows - 75, columns - 75) < 45
    found = alignment.measure_core_offset(image, SCALE)
    assert found[0] - down == pytest.approx((75 - rows[kept].mean()) / PERIOD, abs=0.5)
    assert found[1] - across == pytest.approx((75 - columns[kept].mean()) / PERIOD, abs=0.5)


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
