"""A generator that the tests of synthesis share."""

import pytest

from fpgan_jax.models import factory
from tests.serving.test_formats import create_weights, save_checkpoint
from tests.training import tiny


@pytest.fixture(scope="session")
def gan_workdir(tmp_path_factory):
    """Save an untrained generator with dropout and each image's own statistics."""
    workdir = tmp_path_factory.mktemp("gan")
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5
    weights = create_weights(factory.create_generator(config), config, 0)
    save_checkpoint(workdir, config, {"generator": weights}, pairs=[[-1, -1]], pair_names=["x.png"])
    return str(workdir)
