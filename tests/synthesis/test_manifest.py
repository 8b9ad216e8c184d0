"""The rows of many prints from new noise, and the noise of each."""

import numpy as np
import pytest

from configs import pix2pix_socofing
from fpgan_jax.data.noise import create_noise_image
from fpgan_jax.synthesis import manifest

METADATA = {"pair_names": [], "config_hash": "c", "data_hash": "d"}


def test_the_rows_of_new_prints_are_those_that_are_made_one_by_one():
    config = pix2pix_socofing.get_config()
    config.synthesis.update(noise="new", seed=3, use_ema=True)
    create_row = manifest.bind_new_rows(config, METADATA, 7)
    for image in (0, 12, 2**31 - 1):
        row = manifest.create_row(config, METADATA, 7, file=f"{image:010d}.png", person=-1, replica=image)
        assert create_row(image) == row
        assert row.noise_seed == 2**32 * (1 + 3)


@pytest.mark.parametrize(
    ("noise_per", "person", "replica", "numbers"),
    [("person", 5, 2, (5, 0)), ("replica", 5, 2, (5, 2)), ("person", -1, 2, (2**31 + 2, 0))],
)
def test_noise_is_of_the_person_the_replica_or_the_image(noise_per, person, replica, numbers):
    config = pix2pix_socofing.get_config()
    config.data.update(noise_per=noise_per, image_size=16)
    row = manifest.create_row(config, METADATA, 0, file="", person=person, replica=replica)
    expected = create_noise_image(config.data.noise_seed, *numbers, shape=(16, 16, 1), distribution="uniform")
    np.testing.assert_array_equal(manifest.bind_noise(config)(row), expected)
