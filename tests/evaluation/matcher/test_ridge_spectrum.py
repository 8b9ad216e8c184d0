"""Ridge period and coherence, against waves of known period and direction."""

import numpy as np
import pytest
from scipy import ndimage

from fpgan_jax.evaluation.matcher.ridge_spectrum import measure_ridges
from tests.evaluation.measures import ridge_study


def draw_wave(size, period, degrees, contrast=100):
    """Draw parallel ridges whose normal is at an angle to the x axis: uint8 [size, size]."""
    y, x = np.mgrid[:size, :size]
    angle = np.radians(degrees)
    phase = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period
    return np.uint8(127.5 + contrast * np.sin(phase))


@pytest.mark.parametrize("degrees", [0, 30, 77, 90, 145])
@pytest.mark.parametrize(("size", "period"), [(96, 3.3), (128, 4.5), (128, 6), (256, 4), (256, 9), (256, 13)])
def test_the_period_of_parallel_ridges(size, period, degrees):
    found = measure_ridges(draw_wave(size, period, degrees)[None])
    assert found.period[0] == pytest.approx(period, rel=0.025)


def test_the_period_of_rings():
    y, x = np.mgrid[:256, :256] - 127.5
    image = np.uint8(127.5 + 100 * np.sin(2 * np.pi * np.hypot(x, y) / 8))
    assert measure_ridges(image[None]).period[0] == pytest.approx(8, rel=0.03)


def test_shading_and_faint_ridges_do_not_matter():
    shade = np.linspace(-80, 80, 256)[None, :]
    image = np.clip(draw_wave(256, 9, 20, contrast=15) + shade, 0, 255).astype(np.uint8)
    assert measure_ridges(image[None]).period[0] == pytest.approx(9, rel=0.03)


def test_blur_widens_ridges_of_several_widths():
    # As the docstring says.
    blurred = [ndimage.gaussian_filter(ridge_study.draw_ridges(seed), 1.0) for seed in range(8)]
    plain = measure_ridges(np.stack([ridge_study.draw_ridges(seed) for seed in range(8)])).period
    ratio = np.nanmean(measure_ridges(np.stack(blurred)).period / plain)
    assert 1.05 < ratio < 1.15


def test_parallel_ridges_are_coherent():
    assert measure_ridges(draw_wave(256, 9, 30)[None]).coherence[0] > 0.95


def test_two_crossing_waves_of_one_strength_are_not():
    crossing = draw_wave(256, 9, 30, 50).astype(int) + draw_wave(256, 9, 120, 50) - 127
    assert measure_ridges(np.uint8(crossing)[None]).coherence[0] < 0.1


def test_turning_a_print_changes_neither():
    image = draw_wave(128, 5, 20)
    found = measure_ridges(np.stack([image, np.rot90(image)]))
    # The blocks do not reach the far edges.
    np.testing.assert_allclose(found.period[0], found.period[1], rtol=1e-3)
    np.testing.assert_allclose(found.coherence[0], found.coherence[1], rtol=1e-3)


def test_white_noise_has_no_period_and_no_direction():
    noise = np.random.default_rng(0).integers(0, 256, (20, 128, 128)).astype(np.uint8)
    found = measure_ridges(noise)
    assert np.isnan(found.period).all()
    assert found.coherence.max() < 0.2


@pytest.mark.parametrize("gray", [0, 200, 255])
def test_a_blank_image_has_neither(gray):
    found = measure_ridges(np.full((1, 64, 64), gray, np.uint8))
    assert np.isnan(found.period[0]) and np.isnan(found.coherence[0])


def test_blocks_without_ridges_do_not_count():
    image = draw_wave(256, 9, 0)
    image[:, 128:] = 255
    assert measure_ridges(image[None]).coherence[0] > 0.9


def test_prints_measured_together_are_measured_as_alone():
    images = np.stack([draw_wave(96, 3 + number / 10, 10 * number) for number in range(18)])
    together = measure_ridges(images)
    alone = [measure_ridges(image[None]) for image in images]
    np.testing.assert_allclose(together.period, [found.period[0] for found in alone], rtol=1e-9)


def test_no_prints_give_no_numbers():
    assert measure_ridges(np.zeros((0, 64, 64), np.uint8)).period.shape == (0,)


def test_a_print_too_small_is_refused():
    with pytest.raises(ValueError, match="96x47 pixels are too small"):
        measure_ridges(np.zeros((1, 47, 96), np.uint8))
