"""Tests of random changes of images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.data import augmentation
from fpgan_jax.errors import UserError

NOTHING = dict.fromkeys(
    ("rotation_degrees", "translation", "scaling", "contrast", "brightness", "noise_std"), 0.0
)
SIZE = 24


def make_config(**fields):
    config = pix2pix_socofing.get_config().classifier.augmentation
    config.update(fields)
    return config


@pytest.fixture(scope="module")
def images():
    return jax.random.uniform(jax.random.key(1), (6, SIZE, SIZE, 1), minval=-1, maxval=1)


def augment(images, first_index=0, **fields):
    return compile_augmentation(tuple(fields.items()))(jax.random.key(0), images, first_index)


@functools.cache
def compile_augmentation(fields):
    config = make_config(**dict(fields))
    return jax.jit(lambda key, x, i: augmentation.augment_prints(key, x, config, first_index=i))


resample = jax.jit(augmentation.resample)


@functools.partial(jax.jit, static_argnums=2)
def jitter(noise_image, real_image, pixels, first_index=0):
    key = jax.random.key(0)
    return augmentation.jitter_pair(key, noise_image, real_image, pixels, first_index=first_index)


def test_without_settings_nothing_changes(images):
    np.testing.assert_array_equal(augment(images, **NOTHING), images)


def test_defaults_change_every_print_and_keep_the_range(images):
    augmented = augment(images)
    assert augmented.dtype == jnp.float32
    assert (np.abs(augmented) <= 1).all()
    assert (np.abs(augmented - images).max(axis=(1, 2, 3)) > 0.1).all()


def test_every_print_is_changed_in_its_own_way(images):
    same = jnp.broadcast_to(images[:1], images.shape)
    assert len(np.unique(np.asarray(augment(same)).reshape(6, -1), axis=0)) == 6


def test_the_division_over_devices_changes_nothing(images):
    parts = [augment(images[start : start + 2], start) for start in (0, 2, 4)]
    # Compiled for another batch size, XLA may contract multiply and add differently: a rounding of a
    # place near 24, 2**-19, moves a value by twice that at most; eight of them.
    np.testing.assert_allclose(np.concatenate(parts), augment(images), atol=2**-15)


@pytest.mark.parametrize("rotation_degrees", [10.0, 180.0])
def test_the_map_is_never_a_mirror(rotation_degrees):
    config = make_config(rotation_degrees=rotation_degrees, scaling=0.5)
    keys = jax.random.split(jax.random.key(0), 2000)
    matrices, _ = jax.jit(jax.vmap(lambda key: augmentation.sample_affine(key, SIZE, SIZE, config)))(keys)
    determinants = np.linalg.det(np.asarray(matrices, np.float64))
    # A rotation divided by 0.5 to 1.5; float32 rounds each of the two products by 2**-23 of at most 4.
    assert determinants.min() > 1 / 1.5**2 - 1e-5
    assert determinants.max() < 1 / 0.5**2 + 1e-5


def test_the_map_stays_within_its_settings():
    config = make_config(rotation_degrees=10.0, translation=0.25, scaling=0.0)
    keys = jax.random.split(jax.random.key(0), 2000)
    matrices, offsets = jax.jit(jax.vmap(lambda key: augmentation.sample_affine(key, 40, 20, config)))(keys)
    degrees = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    # 2,000 uniform draws come within 1% of either end but for one time in 10**8.
    assert 9.8 < degrees.max() <= 10.0001 and -10.0001 <= degrees.min() < -9.8
    np.testing.assert_allclose(np.abs(offsets).max(axis=0), [10, 5], rtol=0.02)


def test_resamples_a_shift_with_the_edge_continued():
    image = jnp.arange(16.0).reshape(4, 4, 1)
    shifted = resample(image, jnp.eye(2), jnp.array([1.0, -2.0]))[:, :, 0]
    np.testing.assert_array_equal(shifted, [[4, 4, 4, 5], [8, 8, 8, 9], [12, 12, 12, 13], [12, 12, 12, 13]])


def test_resamples_half_a_pixel_bilinearly():
    image = jnp.array([[0.0, 1.0], [2.0, 5.0]])[:, :, None]
    # The mean of all four, of the right two, of the lower two, and the last.
    half = resample(image, jnp.eye(2), jnp.array([0.5, 0.5]))[:, :, 0]
    np.testing.assert_array_equal(half, [[2, 3], [3.5, 5]])


def test_resamples_a_quarter_turn_about_the_center(images):
    turned = resample(images[0], jnp.array([[0.0, -1.0], [1.0, 0.0]]), jnp.zeros(2))
    np.testing.assert_array_equal(turned, np.rot90(images[0], k=-1))


def test_contrast_multiplies_each_print(images):
    augmented = augment(0.5 * images, **NOTHING | {"contrast": 0.2})
    factors = np.asarray(augmented / (0.5 * images)).reshape(6, -1)
    # One rounding in the product and one in the quotient.
    np.testing.assert_allclose(factors, factors[:, :1] * np.ones_like(factors), rtol=2**-22)
    assert (np.abs(factors - 1) <= 0.2 + 1e-6).all() and np.abs(factors - 1).max() > 0.02


def test_brightness_adds_to_each_print(images):
    augmented = augment(0.5 * images, **NOTHING | {"brightness": 0.1})
    offsets = np.asarray(augmented - 0.5 * images).reshape(6, -1)
    # Both operations round values below 1 by 2**-25 at most.
    np.testing.assert_allclose(offsets, offsets[:, :1] * np.ones_like(offsets), atol=2**-23)
    assert (np.abs(offsets) <= 0.1 + 1e-6).all() and np.abs(offsets).max() > 0.01


def test_noise_has_its_standard_deviation():
    noise = np.asarray(augment(jnp.zeros((6, SIZE, SIZE, 1)), **NOTHING | {"noise_std": 0.05}))
    # The standard deviation of n values has a standard error of 1/sqrt(2n) of itself; five of them.
    assert abs(noise.std() / 0.05 - 1) < 5 / np.sqrt(2 * noise.size)


@pytest.mark.parametrize("field", ["scaling", "contrast"])
@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_refuses_a_factor_that_can_be_zero(images, field, value):
    with pytest.raises(UserError, match=rf"config\.classifier\.augmentation\.{field}: {value}"):
        augment(images, **{field: value})


def test_no_jitter_changes_nothing(images):
    noise, real = jitter(images, -images, 0)
    np.testing.assert_array_equal(noise, images)
    np.testing.assert_array_equal(real, -images)


def test_jitter_crops_both_at_the_same_place(images):
    noise, real = jitter(images, -images, 6)
    np.testing.assert_array_equal(real, -noise)


def test_jitter_crops_each_pair_at_its_own_place(images):
    same = jnp.broadcast_to(images[:1], images.shape)
    noise, _ = jitter(same, same, 6)
    # 49 places: six alike have probability 49**-5; six different are not to be expected.
    assert len(np.unique(np.asarray(noise).reshape(6, -1), axis=0)) > 1


def test_jitter_reaches_every_corner_and_no_further():
    rows, columns = jnp.meshgrid(jnp.linspace(-0.8, 0.8, 10), jnp.linspace(-0.08, 0.08, 10), indexing="ij")
    ramp = jnp.broadcast_to((rows + columns)[:, :, None], (200, 10, 10, 1))
    noise, _ = jitter(ramp, ramp, 2)
    # Nine places; one of them is missed by 200 draws once in a thousand million times.
    assert len(np.unique(np.round(np.asarray(noise)[:, 5, 5, 0], 4))) == 9


def test_jitter_shows_a_part_of_the_enlarged_picture():
    # A ramp enlarged from 10 to 12 pixels has 10/12 of the slope in its inside.
    ramp = jnp.linspace(-0.9, 0.9, 10)[None, :, None, None] * jnp.ones((1, 1, 10, 1))
    noise, _ = jitter(ramp, ramp, 2)
    slopes = np.diff(np.asarray(noise)[0, :, 0, 0])[3:-3]
    np.testing.assert_allclose(slopes, 0.2 * 10 / 12, atol=1e-6)


def test_the_division_over_devices_changes_no_jitter(images):
    whole, _ = jitter(images, images, 6)
    last, _ = jitter(images[4:], images[4:], 6, 4)
    np.testing.assert_allclose(last, whole[4:], atol=1e-6)


@functools.partial(jax.jit, static_argnames="strength")
def warp(condition, real_image, first_index=0, strength=4.0):
    key = jax.random.key(0)
    return augmentation.warp_pair(
        key, condition, real_image, strength=strength, period=4.0, first_index=first_index
    )


@pytest.fixture(scope="module")
def condition(images):
    """Create planes of which the contact is the print's negative: 1 for white, its value outside."""
    planes = jax.random.uniform(jax.random.key(2), (6, SIZE, SIZE, 5), minval=-1, maxval=1)
    return planes.at[..., 1:2].set(-images)


def test_a_map_of_one_plane_moves_with_the_print_and_has_its_own_neutral_value(images):
    condition = -images
    warped, real = augmentation.warp_pair(
        jax.random.key(0), condition, images, strength=4.0, period=4.0, neutral=(-1.0,)
    )
    np.testing.assert_allclose(real, -warped, atol=1e-6)


def test_no_warp_changes_nothing(condition, images):
    jax.tree.map(np.testing.assert_array_equal, warp(condition, images, strength=0.0), (condition, images))


def test_map_and_print_are_warped_as_one_and_the_noise_stays(condition, images):
    warped, real = warp(condition, images)
    np.testing.assert_allclose(real, -warped[..., 1:2], atol=1e-6)
    assert np.abs(real - images).max() > 0.5 and np.abs(real).max() <= 1
    np.testing.assert_array_equal(warped[..., 4:], condition[..., 4:])


def test_what_comes_from_beyond_the_edge_is_untouched_and_white(condition, images):
    warped, real = map(np.asarray, warp(condition, images))
    outside = (real == 1).all(axis=-1)
    assert outside.mean() > 0.05
    for channel, value in enumerate((0, -1, 0, -1)):
        np.testing.assert_allclose(warped[outside][:, channel], value, atol=1e-6)


def test_the_division_over_devices_changes_no_warp(condition, images):
    whole, _ = warp(condition, images)
    moved, _ = warp(np.roll(condition, -4, axis=0), np.roll(images, -4, axis=0), 4)
    np.testing.assert_allclose(moved[:2], whole[4:], atol=1e-6)
    assert np.abs(moved[2:] - whole[:4]).max() > 0.5
