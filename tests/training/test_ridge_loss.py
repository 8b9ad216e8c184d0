"""The ridge loss on ridges drawn by hand: direction, period, sign, contrast, contact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.config.fields import RIDGE_FILTERS
from fpgan_jax.data.ridges import ridge_map
from fpgan_jax.training import ridge_loss

SIZE, PERIOD = 48, 5.0
INSIDE = (slice(12, -12), slice(12, -12))

filter_along = jax.jit(ridge_loss.filter_along, static_argnums=(2, 3))
compute_ridge_loss = jax.jit(ridge_loss.compute_ridge_loss, static_argnums=(2, 3))


def draw_wave(degrees, period=PERIOD):
    """Draw ridges that run at an angle, counter-clockwise from the row's direction: float32 in [-1, 1]."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    theta = np.radians(degrees)
    return np.float32(np.cos(2 * np.pi / period * (columns * np.sin(theta) + rows * np.cos(theta))))


def compute(print_ridges, map_ridges, contact=1.0, ridge_filter="narrow"):
    """Compute the loss of a print whose ridges are dark where `print_ridges` is high."""
    condition = np.zeros((1, SIZE, SIZE, 5), np.float32)
    condition[0, ..., 0] = map_ridges
    condition[0, ..., 1] = 2 * np.float32(contact) - 1
    return float(compute_ridge_loss(-print_ridges[None, ..., None], condition, PERIOD, ridge_filter))


@pytest.mark.parametrize(("order", "gain_at_45"), [(6, 1 / 8), (2, 1 / 2)])  # the cosine to this power
@pytest.mark.parametrize("degrees", [0, 30, 90, 135])
def test_the_filter_passes_ridges_of_its_own_direction_and_period_alone(degrees, order, gain_at_45):
    wave = draw_wave(degrees)[None]
    for turn, gain in ((0, 1), (45, gain_at_45), (90, 0)):
        orientation = jnp.full_like(wave, np.radians(degrees + turn))
        passed = np.asarray(filter_along(wave, orientation, PERIOD, order))[0][INSIDE]
        np.testing.assert_allclose(passed, gain * wave[0][INSIDE], atol=0.01)


def test_the_filter_damps_other_periods():
    wave = draw_wave(30, 2 * PERIOD)[None]
    passed = filter_along(wave, jnp.full_like(wave, np.radians(30)), PERIOD, 6)
    # Frequency f of the best one's: (f^2 e^(1 - f^2))^3.
    assert np.abs(passed[0][INSIDE]).max() == pytest.approx((0.25 * np.exp(0.75)) ** 3, rel=0.05)


def test_orientations_are_the_ridge_maps():
    wave = draw_wave(70) + draw_wave(20) * np.linspace(0, 1, SIZE, dtype=np.float32)
    found = jax.jit(ridge_loss.estimate_orientation, static_argnums=1)(wave[None], PERIOD)[0]
    np.testing.assert_allclose(np.sin(found - ridge_map.estimate_orientation(wave, PERIOD)), 0, atol=1e-3)


@pytest.mark.parametrize("ridge_filter", RIDGE_FILTERS)
def test_the_loss_is_nothing_for_the_maps_ridges_one_for_others_and_two_for_valleys(ridge_filter):
    wave = draw_wave(30)
    assert compute(wave, wave, ridge_filter=ridge_filter) == pytest.approx(0, abs=0.02)
    assert compute(draw_wave(120), wave, ridge_filter=ridge_filter) == pytest.approx(1, abs=0.05)
    assert compute(-wave, wave, ridge_filter=ridge_filter) == pytest.approx(2, abs=0.02)


def test_a_print_loses_little_against_its_own_map():
    """If the loss's filter removed what a wide map keeps, here breaks, the loss would not ask for it."""
    broken = draw_wave(30)
    broken[np.arange(SIZE) % 12 < 3] = -1
    image = np.rint(128 - 100 * broken).astype(np.uint8)
    found = ridge_map.map_ridges(image, PERIOD, ridge_filter="wide").ridges
    assert compute(broken, found, ridge_filter="wide") < 0.06
    assert compute(broken, found, ridge_filter="narrow") > 0.1


def test_grey_and_contrast_do_not_count():
    wave = draw_wave(30)
    assert compute(0.3 * wave + 0.5, wave) == pytest.approx(compute(wave, wave), abs=0.01)


def test_what_is_outside_the_contact_does_not_count():
    contact = np.arange(SIZE) < SIZE // 2
    wave, half = draw_wave(90), np.where(np.arange(SIZE) < SIZE * 3 // 4, 1, -1)
    assert compute(wave * half, wave, contact) == pytest.approx(compute(wave, wave, contact), abs=0.01)
    assert compute(wave * half, wave) > 0.3


def test_every_example_counts_as_much_whatever_its_contact():
    wave = draw_wave(30)
    condition = np.zeros((2, SIZE, SIZE, 5), np.float32)
    condition[..., 0], condition[..., 1] = wave, 1
    condition[1, :, 12:, 1] = -1
    prints = -np.stack([wave, -wave])[..., None]
    assert float(compute_ridge_loss(prints, condition, PERIOD)) == pytest.approx(1, abs=0.02)


def test_the_gradient_brings_ridges_nearer():
    wave = draw_wave(30)
    condition = np.zeros((1, SIZE, SIZE, 5), np.float32)
    condition[0, ..., 0], condition[0, ..., 1] = wave, 1
    image = -draw_wave(40)[None, ..., None]
    compute_gradient = jax.jit(jax.grad(ridge_loss.compute_ridge_loss), static_argnums=2)
    gradient, loss = (compute(image, condition, PERIOD) for compute in (compute_gradient, compute_ridge_loss))
    assert compute_ridge_loss(image - 100 * gradient, condition, PERIOD) < loss - 0.01
