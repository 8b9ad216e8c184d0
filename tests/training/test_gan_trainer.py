"""What a GAN's training refuses before it writes anything."""

import pytest

from fpgan_jax.config.identity import claim_workdir
from fpgan_jax.errors import UserError
from fpgan_jax.host.folder_lock import hold_folder
from fpgan_jax.serving import inference
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


def test_a_workdir_in_which_another_process_trains_keeps_its_config(tmp_path):
    config = tiny.create_config()
    claim_workdir(str(tmp_path), config)
    before = (tmp_path / "config.json").read_bytes()
    config.data.socofing_dir = "moved"
    with hold_folder(str(tmp_path)), pytest.raises(UserError, match="another process .* is at work"):
        gan_trainer.train_and_evaluate(config, str(tmp_path), tiny.create_source(config))
    assert (tmp_path / "config.json").read_bytes() == before


def test_prints_that_are_given_need_no_folder(tmp_path):
    config = tiny.create_config()
    config.data.socofing_dir, config.num_epochs, config.sample_epochs = "", 1, ()
    gan_trainer.train_and_evaluate(config, str(tmp_path), tiny.create_source(config))
    assert inference.restore_generator(str(tmp_path)).step == 3
    with pytest.raises(UserError, match=r"config\.data\.socofing_dir: not given"):
        gan_trainer.train_and_evaluate(config, str(tmp_path / "other"))
