"""Pairs of noise and print in memory."""

import numpy as np

from fpgan_jax.data import pairs
from tests.data.conftest import PAIR_SIZE as SIZE


def test_every_print_is_replicated(replicated):
    identities = [replicated.identify(index) for index in range(len(replicated))]
    assert identities == [(4, 0), (4, 1), (4, 2), (11, 0), (11, 1), (11, 2)]


def test_replicas_share_their_persons_print(replicated, prints):
    for index in range(6):
        np.testing.assert_array_equal(replicated[index]["real_image"], prints.images[index // 3])


def test_every_replica_has_noise_of_its_own(replicated):
    assert len({replicated[index]["noise_image"].tobytes() for index in range(6)}) == 6


def test_noise_per_person_is_shared_by_the_replicas(prints, data_config):
    data_config.noise_per = "person"
    replicated = pairs.ReplicatedPrints(prints, data_config)
    noises = [replicated[index]["noise_image"].tobytes() for index in range(6)]
    assert (len(set(noises[:3])), len(set(noises[3:])), len(set(noises))) == (1, 1, 2)


def test_noise_depends_on_its_seed(replicated, prints, data_config):
    data_config.noise_seed = 1
    other = pairs.ReplicatedPrints(prints, data_config)
    assert (replicated[0]["noise_image"] != other[0]["noise_image"]).any()


def test_stacks_a_batch(replicated):
    batch = pairs.create_batch(replicated, [5, 0])
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        "noise_image": ((2, SIZE, SIZE, 1), np.uint8),
        "real_image": ((2, SIZE, SIZE, 1), np.uint8),
        "person": ((2,), np.int32),
        "replica": ((2,), np.int32),
    }
    np.testing.assert_array_equal(batch["noise_image"][0], replicated[5]["noise_image"])
    assert (batch["person"].tolist(), batch["replica"].tolist()) == ([11, 4], [2, 0])
