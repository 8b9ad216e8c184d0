"""The core of a print, on ridges drawn around a known place."""

import numpy as np
import pytest

from fpgan_jax.data.procedural.finger import Singularity, create_orientation_field
from fpgan_jax.data.ridges.core import find_core, measure_core_offset

PERIOD = 4.284


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
    found = find_core(field[::2, ::2], contact, PERIOD)
    assert np.hypot(found[0] - 90, found[1] - 85) < 3 * PERIOD


def test_an_image_without_contact_has_its_middle_for_a_core():
    assert find_core(np.zeros((20, 30), np.float32), np.zeros((20, 30), np.float32), PERIOD) == (10, 15)


def test_the_cores_offset_is_from_the_middle_of_what_touched():
    image = draw_loop((75, 75))
    down, across = measure_core_offset(image, PERIOD)
    image[101:] = image[:, :49] = 255
    # The middle of the disk's pixels that are left; the core is the same.
    rows, columns = np.mgrid[:101, 49:150] + 0.5
    kept = np.hypot(rows - 75, columns - 75) < 45
    found = measure_core_offset(image, PERIOD)
    assert found[0] - down == pytest.approx((75 - rows[kept].mean()) / PERIOD, abs=0.5)
    assert found[1] - across == pytest.approx((75 - columns[kept].mean()) / PERIOD, abs=0.5)
