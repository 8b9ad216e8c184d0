"""Pairs of a print and its ridge map: what the condition's channels hold."""

import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.config.fields import RIDGE_CHANNELS, RIDGE_FILTERS
from fpgan_jax.data import pair_writing, pairs
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.data.ridges import ridge_condition, ridge_map, ridge_pairs
from fpgan_jax.data.ridges.ridge_map import RidgeMap
from fpgan_jax.errors import UserError

SIZE, PERIOD = 48, 4.5


@pytest.fixture
def data_config():
    data_config = pix2pix_socofing.get_config().data
    data_config.condition = "ridges"
    data_config.source, data_config.sensor_ppi = "impressions", 250.0
    data_config.image_size = SIZE
    data_config.num_replicas = 2
    return data_config


@pytest.fixture
def prints():
    """Draw level and upright ridges, dark where the cosine is low."""
    wave = np.cos(2 * np.pi * np.arange(SIZE) / PERIOD)
    level = np.rint(120 + 80 * np.repeat(wave[:, None], SIZE, axis=1)).astype(np.uint8)
    return PrintSet(np.stack([level, level.T])[..., None], np.array([4, 11], np.int32), ("four", "eleven"))


def test_a_pair_has_its_prints_ridges_contact_and_look(prints, data_config):
    made = ridge_pairs.create_pairs(prints, data_config)
    example = made[3]
    assert made.identify(3) == (11, 1)
    np.testing.assert_array_equal(example["real_image"], prints.images[1])
    planes = dict(zip(RIDGE_CHANNELS, np.moveaxis(example["noise_image"], -1, 0), strict=True))
    middle = (slice(12, -12), slice(12, -12))
    assert (
        np.corrcoef(planes["ridges"][middle].ravel(), prints.images[1, ..., 0][middle].ravel())[0, 1] < -0.97
    )
    assert (planes["contact"][middle] == 255).all()
    np.testing.assert_allclose(planes["mean"][middle], 120, atol=3)
    np.testing.assert_allclose(planes["contrast"][middle], 2 * 80 / np.sqrt(2), atol=5)


@pytest.mark.parametrize("ridge_filter", RIDGE_FILTERS)
def test_the_map_is_made_by_the_configs_filter(data_config, ridge_filter):
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), np.uint8)
    data_config.ridge_filter = ridge_filter
    noisy = PrintSet(image[None, ..., None], np.ones(1, np.int32), ("one",))
    made = ridge_pairs.create_pairs(noisy, data_config)[0]["noise_image"]
    maps = ridge_map.map_ridges(image, PERIOD, ridge_filter=ridge_filter)
    np.testing.assert_array_equal(made[..., 0], np.rint(128 + 127 * maps.ridges))


def test_replicas_differ_in_the_noise_plane_alone_which_is_that_of_noise_pairs(prints, data_config):
    made = ridge_pairs.create_pairs(prints, data_config)
    first, second = (made[index]["noise_image"] for index in (2, 3))
    np.testing.assert_array_equal(first[..., :4], second[..., :4])
    expected = create_noise_image(0, 11, 1, shape=(SIZE, SIZE, 1), distribution="uniform")
    np.testing.assert_array_equal(second[..., 4:], expected)


def test_a_batch_has_the_conditions_channels(prints, data_config):
    batch = pairs.create_batch(ridge_pairs.create_pairs(prints, data_config), [3, 0])
    assert batch["noise_image"].shape == (2, SIZE, SIZE, 5) and batch["noise_image"].dtype == np.uint8
    assert batch["real_image"].shape == (2, SIZE, SIZE, 1)


def test_noise_pairs_stay_what_they_were(prints, data_config):
    data_config.condition = "noise"
    assert type(ridge_pairs.create_pairs(prints, data_config)) is pairs.ReplicatedPrints


def test_images_too_small_for_ridges_are_refused(prints, data_config):
    data_config.sensor_ppi = 100.0  # 1.8 pixels
    with pytest.raises(
        UserError, match=r"config\.data\.image_size=48: ridges are 1\.80 pixels .* 1\.39 times"
    ):
        ridge_pairs.create_pairs(prints, data_config)


def test_pairs_of_unlike_channels_make_no_files(prints, data_config, tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.condition: 5 channels do not fit"):
        pair_writing.write_pairs(ridge_pairs.create_pairs(prints, data_config), tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_touched_is_the_neutral_condition_and_a_white_picture():
    planes = ridge_condition.map_print(np.full((SIZE, SIZE), 255, np.uint8), PERIOD)
    np.testing.assert_allclose(
        planes / 127.5 - 1, np.broadcast_to(ridge_condition.NEUTRAL, planes.shape), atol=0.005
    )
    assert (ridge_condition.draw_condition(planes) == 255).all()


def test_a_conditions_picture_is_dark_on_ridges():
    ridges = np.array([[1, -1, 0, 0]], np.float32)
    contact = np.array([[1, 1, 1, 0]], np.float32)
    look = ridge_condition.Appearance(*np.full((2, 16, 16), 100, np.float32))
    planes = ridge_condition.create_planes(RidgeMap(ridges, contact), look)
    assert planes[0].tolist() == [
        [255, 255, 100, 200],
        [1, 255, 100, 200],
        [128, 255, 100, 200],
        [128, 0, 128, 0],
    ]
    np.testing.assert_allclose(ridge_condition.draw_condition(planes), [[0, 255, 127, 255]], atol=1)
