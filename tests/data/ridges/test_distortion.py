"""Poses, smooth fields and sampling: directions, sizes and SciPy's splines as the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from fpgan_jax.data.ridges import distortion

KEY = jax.random.key(0)
SHAPE = (24, 30)
STILL = distortion.Pose(jnp.float32(0), jnp.zeros(2), jnp.ones(2))
NO_FIELD = jnp.zeros((2, *SHAPE))


def draw_blob(row: float, column: float) -> np.ndarray:
    """Draw a smooth spot."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 8).astype(np.float32)[..., None]


resample = jax.jit(distortion.resample)


def find_center(image) -> list[float]:
    """Find a spot's center, to a tenth of a pixel."""
    weights = np.asarray(image)[..., 0]
    return [float((weights * place).sum() / weights.sum()) for place in np.mgrid[: SHAPE[0], : SHAPE[1]]]


def test_sampling_is_scipys_cubic_spline():
    image = np.random.default_rng(0).normal(size=(*SHAPE, 2)).astype(np.float32)
    places = np.random.default_rng(1).uniform(-3, 32, (2, 8, 9)).astype(np.float32)
    wanted = [ndimage.map_coordinates(image[..., c], places, order=3, mode="mirror") for c in (0, 1)]
    np.testing.assert_allclose(resample(image, places), np.stack(wanted, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, (9.5, 18.5)),  # two pixels up and four right of the center
        ({"shift": jnp.array([3.0, -2.0])}, (12.5, 16.5)),
        ({"rotation": jnp.float32(np.pi / 2)}, (7.5, 12.5)),  # counter-clockwise: four up and two left
        ({"stretch": jnp.array([1.0, 1.5])}, (9.5, 20.5)),
    ],
)
def test_finger_moves_as_its_pose_says(change, wanted):
    places = distortion.create_places(STILL._replace(**change), NO_FIELD, SHAPE)
    moved = resample(draw_blob(9.5, 18.5), places)
    np.testing.assert_allclose(find_center(moved), wanted, atol=0.1)


def test_picture_comes_to_the_middle_of_a_larger_result():
    places = distortion.create_places(STILL, jnp.zeros((2, 28, 40)), SHAPE)
    np.testing.assert_allclose(places[:, 2, 5], (0, 0), atol=1e-6)


def test_poses_have_the_spread_of_real_impressions():
    sample = jax.jit(jax.vmap(lambda key: distortion.sample_pose(key, 9.0)))
    poses = sample(jax.random.split(KEY, 4000))
    np.testing.assert_allclose(np.std(poses.shift, axis=0), 20, rtol=0.05)
    np.testing.assert_allclose(np.std(poses.stretch, axis=0), 0.018, rtol=0.05)
    # Percentiles of 360 pairs of real impressions of nine sets.
    turn = np.degrees(np.abs(poses.rotation[::2] - poses.rotation[1::2]))
    np.testing.assert_allclose(np.quantile(turn, [0.1, 0.5]), [0.5, 2.8], rtol=0.1)
    np.testing.assert_allclose(
        np.degrees(np.std(poses.rotation)), np.sqrt(0.9 * 2.4**2 + 0.1 * 15**2), rtol=0.1
    )


def test_field_is_as_strong_everywhere_as_real_skins_and_smooth():
    keys = jax.random.split(KEY, 1000)
    fields = np.asarray(jax.jit(jax.vmap(lambda key: distortion.sample_field(key, (40, 48), 3.0)))(keys))
    length = np.sqrt(np.square(fields).sum(axis=1).mean(axis=0))  # pixels, at each place
    np.testing.assert_allclose(length, 2.2 / 9 * 3, rtol=0.15)
    # White noise smoothed with sigma 30 / 9 periods, at a distance of 2 sigma: exp(-1).
    across = fields[:, :, 20, :]
    correlation = (across[..., 10] * across[..., 30]).mean() / np.square(across).mean()
    np.testing.assert_allclose(correlation, np.exp(-1), atol=0.08)


@pytest.mark.parametrize(
    "sample", [distortion.sample_pose, lambda *a: distortion.sample_field(a[0], SHAPE, *a[1:])]
)
def test_no_strength_is_no_change(sample):
    drawn = sample(KEY, 4.0, 0.0)
    expected = STILL if isinstance(drawn, distortion.Pose) else NO_FIELD
    jax.tree.map(np.testing.assert_array_equal, drawn, expected)


def test_inside_fades_beyond_the_edge():
    places = np.array([[[0.0, -1.0, -4.0, 23.0, 25.0]], [[5.0] * 5]], np.float32)
    inside = distortion.find_inside(places, SHAPE, 4.0)
    np.testing.assert_allclose(inside, [[1, 0.75, 0, 1, 0.5]])


@pytest.mark.parametrize(("pixel_stretch", "picture_stretch"), [(1.0, 1.2), (1.2, 1.0), (1.3, 1.1)])
def test_a_place_moves_to_where_the_picture_shows_it(pixel_stretch, picture_stretch):
    pose = STILL._replace(
        rotation=jnp.float32(0.5), shift=jnp.array([3.0, -2.0]), stretch=jnp.array([1.1, 0.9])
    )
    stretches = {"pixel_stretch": pixel_stretch, "picture_stretch": picture_stretch}
    places = distortion.create_places(pose, NO_FIELD, (40, 50), **stretches)
    moved = distortion.move(places[:, 7, 21], pose, (40, 50), SHAPE, **stretches)
    np.testing.assert_allclose(moved, (7, 21), atol=1e-4)


def test_a_finger_is_turned_in_square_pixels():
    # Ten squeezed columns to the right are 10 / 1.2 square ones; a quarter turn counter-clockwise puts them above,
    # where they are 10 / 1.44 squeezed rows.
    stretches = {"pixel_stretch": 1.44, "picture_stretch": 1.44}
    pose = STILL._replace(rotation=jnp.float32(np.pi / 2))
    moved = distortion.move(jnp.array([11.5, 24.5]), pose, SHAPE, SHAPE, **stretches)
    np.testing.assert_allclose(moved, (11.5 - 10 / 1.44, 14.5), atol=1e-4)


@pytest.mark.parametrize(("pixel_stretch", "picture_stretch"), [(1.0, 1.21), (1.21, 1.0)])
def test_pixels_of_one_area_have_their_own_proportions(pixel_stretch, picture_stretch):
    stretches = {"pixel_stretch": pixel_stretch, "picture_stretch": picture_stretch}
    places = distortion.create_places(STILL, NO_FIELD, SHAPE, **stretches)
    down, across = places[0, 1, 0] - places[0, 0, 0], places[1, 0, 1] - places[1, 0, 0]
    assert down * across == pytest.approx(1)
    assert down / across == pytest.approx(pixel_stretch / picture_stretch)


def test_the_skins_distortion_is_as_smooth_down_as_across_in_square_pixels():
    sample = jax.jit(jax.vmap(lambda key: distortion.sample_field(key, (48, 48), 3.0, pixel_stretch=1.44)))
    fields = np.asarray(sample(jax.random.split(KEY, 1000)))
    # Two sigma of 10 square pixels: 20 / 1.2 squeezed ones down, 20 * 1.2 across.
    for ahead in (fields[:, :, 27, 10], fields[:, :, 10, 34]):
        correlation = (fields[:, :, 10, 10] * ahead).mean() / np.square(fields).mean()
        np.testing.assert_allclose(correlation, np.exp(-1), atol=0.08)


def test_a_squeezed_spot_becomes_round():
    def draw(rows, columns):
        return np.exp(-(rows**2 + columns**2) / 200).astype(np.float32)

    rows, columns = np.mgrid[:96, :96] - 47.5
    square = distortion.make_square(jnp.asarray(draw(rows * 1.1, columns / 1.1))[..., None], 1.21)
    assert square.shape[:2] == distortion.find_square_shape((96, 96), 1.21) == (106, 87)
    rows, columns = np.mgrid[:106, :87] - np.array([[[52.5]], [[43.0]]])
    np.testing.assert_allclose(square[..., 0], draw(rows, columns), atol=0.005)


def test_square_pixels_keep_the_finest_detail():
    """Cycles of two and a half pixels, squeezed to 0.9 and stretched to 1.1 of that: cubic splines keep 84%."""
    for axis, image in enumerate(np.cos(2 * np.pi * np.mgrid[:200, :200] / 2.5).astype(np.float32)):
        square = np.asarray(distortion.make_square(jnp.asarray(image)[..., None], 1.1))[..., 0]
        contrast = np.sqrt(2) * square[20:-20, 20:-20].std()
        assert 0.9 < contrast < 1.05, axis
