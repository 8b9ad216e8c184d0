"""Classical augmentation: none changes nothing, and thickness by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.evaluation.recognition import classical

IMAGES = np.random.default_rng(0).integers(-80, 80, (2, 128, 128)).astype(np.int8)


@pytest.fixture(scope="module")
def augment():
    return jax.jit(classical.augment)


def test_of_no_strength_it_is_the_middle_of_the_print(augment):
    views = augment(jax.random.key(0), IMAGES, 0.0)
    np.testing.assert_allclose(views[..., 0], IMAGES[:, 16:112, 16:112] / 40, atol=1e-5)


def test_the_view_of_a_test_is_that_of_no_strength():
    np.testing.assert_array_equal(
        classical.cut_view(IMAGES)[..., 0], IMAGES[:, 16:112, 16:112] / np.float32(40)
    )


def test_every_print_and_key_is_changed_in_its_own_way(augment):
    images = np.stack([IMAGES[0], IMAGES[0]])
    first, second = augment(jax.random.key(0), images, 1.0)
    assert np.abs(first - second).mean() > 0.1
    assert np.abs(augment(jax.random.key(1), images, 1.0)[0] - first).mean() > 0.1


def test_what_is_beside_the_skin_stays_empty(augment):
    assert not augment(jax.random.key(0), np.zeros_like(IMAGES), 1.0).any()


@pytest.mark.parametrize(
    ("amount", "middle", "beside"),
    # The full change is half of a pixel's erosion or dilation.
    [(1.0, 1.0, 0.5), (0.5, 1.0, 0.25), (-1.0, 0.5, 0.0), (0.0, 1.0, 0.0)],
)
def test_a_ridge_of_one_pixel_grows_thicker_or_thinner(amount, middle, beside):
    view = jnp.zeros((5, 5, 1)).at[:, 2].set(1.0)
    changed = classical._change_thickness(view, jnp.array(amount))[2, :, 0]
    np.testing.assert_allclose(changed, [0, beside, middle, beside, 0])
