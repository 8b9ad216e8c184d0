"""What a GAN's training refuses before it writes anything."""

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.training import gan_trainer
from tests.training import tiny


def test_more_steps_than_can_be_counted_are_refused(tmp_path):
    config = tiny.create_config()
    config.num_epochs = 2**30
    with pytest.raises(
        UserError, match=r"config\.num_epochs=1073741824: 3221225472 steps, more than 2147483647"
    ):
        gan_trainer.train_and_evaluate(config, str(tmp_path / "run"), tiny.create_source(config))
    assert not (tmp_path / "run").exists()
