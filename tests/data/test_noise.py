"""Tests of the noise images."""

import numpy as np
import pytest
from scipy import stats

from fpgan_jax.data.noise import DISTRIBUTIONS, create_noise_image
from fpgan_jax.errors import UserError

SIZE = 128
IDENTITY = (5, 7, 3)  # seed, person, replica


def create(identity=IDENTITY, distribution="uniform", num_channels=1):
    return create_noise_image(*identity, shape=(SIZE, SIZE, num_channels), distribution=distribution)


def philox_4x64_10(key, counter):
    """Salmon et al. 2011, section 4.3, written again from the paper."""
    mask = 2**64 - 1
    key, counter = list(key), list(counter)
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * counter[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * counter[2], 2**64)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B97F4A7C15) & mask, (key[1] + 0xBB67AE8584CAA73B) & mask]
    return counter


def test_is_the_philox_stream_keyed_by_seed_person_and_replica():
    # NumPy counts up before the first block.
    words = philox_4x64_10((5, 7 * 2**32 + 3), (1, 0, 0, 0))
    expected = b"".join(word.to_bytes(8, "little") for word in words)
    assert create().tobytes()[:32] == expected


def test_is_pure():
    first = create()
    create((1, 1, 1))
    np.testing.assert_array_equal(create(), first)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_has_the_shape_and_type_asked_for(distribution):
    image = create_noise_image(0, 1, 0, shape=(5, 5, 3), distribution=distribution)
    assert (image.shape, image.dtype) == ((5, 5, 3), np.uint8)


def expected_frequencies(distribution):
    if distribution == "uniform":
        return np.full(256, 1 / 256)
    if distribution == "salt_and_pepper":
        return np.eye(256)[[0, 255]].mean(axis=0)
    edges = np.concatenate([[-np.inf], np.arange(255) + 0.5, [np.inf]])
    return np.diff(stats.norm(127.5, 42.5).cdf(edges))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_follows_its_distribution(distribution):
    frequencies = expected_frequencies(distribution)
    counts = np.bincount(create(distribution=distribution).ravel(), minlength=256)
    possible = frequencies > 0
    assert counts[~possible].sum() == 0
    expected = frequencies[possible] * SIZE**2
    # One in a million images of the right distribution would fail; this one is fixed.
    limit = stats.chi2.isf(1e-6, df=possible.sum() - 1)
    assert ((counts[possible] - expected) ** 2 / expected).sum() < limit


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("other", [(6, 7, 3), (5, 8, 3), (5, 7, 4), (5, 3, 7), (7, 5, 3)])
def test_streams_are_independent(other, distribution):
    correlation = np.corrcoef(create(distribution=distribution).ravel(), create(other, distribution).ravel())[
        0, 1
    ]
    # The correlation of n independent pairs has standard deviation 1/sqrt(n).
    assert abs(correlation) < 5 / SIZE


def test_channels_are_independent():
    image = create(num_channels=3)
    correlations = np.corrcoef(image.reshape(-1, 3), rowvar=False)
    assert np.abs(correlations - np.eye(3)).max() < 5 / SIZE


def test_refuses_an_unknown_distribution():
    with pytest.raises(UserError, match=r"config\.data\.noise_distribution: 'pink'"):
        create(distribution="pink")


def test_refuses_a_negative_seed():
    with pytest.raises(UserError, match=r"config\.data\.noise_seed"):
        create((-1, 1, 0))
