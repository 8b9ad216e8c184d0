"""A print's coarse look: what counts is within the contact, and no ridge is in it."""

import numpy as np
import pytest

from fpgan_jax.data.ridges import appearance

SIZE = 128
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
EVERYWHERE = np.ones((SIZE, SIZE), np.float32)
LEFT = np.float32(COLUMNS < SIZE // 2)


def draw_wave(mean, amplitude):
    """Draw 30 ridges from left to right, whole ones, of 4.3 pixels: uint8."""
    return np.uint8(np.rint(mean + amplitude * np.cos(2 * np.pi * 30 * (ROWS + 0.5) / SIZE)))


def test_mean_and_contrast_of_ridges():
    look = appearance.measure_appearance(draw_wave(120, 80), EVERYWHERE)
    np.testing.assert_allclose(look.mean, 120, atol=1)
    # A cosine's standard deviation is its amplitude over the root of 2.
    np.testing.assert_allclose(look.contrast, 80 / np.sqrt(2), atol=1)


def test_what_is_outside_the_contact_does_not_count():
    image = draw_wave(120, 80)
    other = np.where(LEFT > 0, image, 255).astype(np.uint8)
    looks = [appearance.measure_appearance(each, LEFT) for each in (image, other)]
    np.testing.assert_array_equal(looks[0], looks[1])


def test_a_look_is_continued_beyond_the_contact():
    look = appearance.measure_appearance(draw_wave(90, 40), LEFT)
    np.testing.assert_allclose(look.mean, 90, atol=1)


def test_cells_lie_where_the_print_is_dark():
    image = np.where(ROWS < SIZE // 2, 40, 200).astype(np.uint8)
    mean, _ = appearance.measure_appearance(image, EVERYWHERE)
    np.testing.assert_allclose([mean[2], mean[-3]], [[40] * 16, [200] * 16], atol=3)
    drawn, _ = appearance.draw_appearance(appearance.Appearance(mean, mean), EVERYWHERE)
    np.testing.assert_allclose(drawn[[16, -17], 64], [40, 200], atol=3)


@pytest.mark.parametrize("contact", [LEFT, np.zeros_like(LEFT)], ids=["left", "none"])
def test_a_drawn_look_ends_with_the_contact(contact):
    look = appearance.measure_appearance(draw_wave(60, 50), EVERYWHERE)
    mean, contrast = appearance.draw_appearance(look, contact)
    assert (mean[contact == 0] == 128).all() and (contrast[contact == 0] == 0).all()
    np.testing.assert_allclose(mean[contact == 1], 60, atol=1)


def test_a_print_that_touched_nowhere_has_no_contrast():
    look = appearance.measure_appearance(draw_wave(60, 50), np.zeros_like(LEFT))
    assert (look.mean == 128).all() and (look.contrast == 0).all()
