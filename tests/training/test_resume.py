"""A run that was stopped and is started again is the run that never stopped, bit for bit."""

import jax
import numpy as np
import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.training import gan_trainer
from tests.training import tiny


class Killed(Exception):
    """Stands for the moment at which a process ends."""


def create_config():
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5  # so that lost random state would show
    config.ema_decay = 0.5
    return config


def train(workdir, *, killed_before_step=None):
    """Train, or raise `Killed` when the batch of a step is asked for."""
    config = create_config()
    source = tiny.create_source(config)
    create_batches = source.create_batches

    def create_until_killed(start_step, num_steps, **processes):
        for step, batch in enumerate(create_batches(start_step, num_steps, **processes), start=start_step):
            if step == killed_before_step:
                raise Killed
            yield batch

    source.create_batches = create_until_killed
    return gan_trainer.train_and_evaluate(config, str(workdir), source)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Train once without a stop, and once killed after step 5, one step after the CSV's last row."""
    whole, stopped = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("stopped")
    with pytest.raises(Killed):
        train(stopped, killed_before_step=5)
    assert (stopped / "metrics.csv").read_text().count("\n") == 3
    return whole, stopped, train(whole), train(stopped)


def test_weights_and_optimisers_are_bit_equal(folders):
    _, _, whole, resumed = folders
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    assert int(resumed.step) == 6


def test_metrics_file_is_the_same(folders):
    whole, stopped, _, _ = folders
    assert (stopped / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()


def test_sample_grids_are_the_same(folders):
    whole, stopped, _, _ = folders
    grids = {path.name: path.read_bytes() for path in (whole / "samples").iterdir()}
    assert grids.keys() == {"epoch_0001.png", "epoch_0002.png"}
    assert grids == {path.name: path.read_bytes() for path in (stopped / "samples").iterdir()}


def test_moving_average_is_neither_the_first_nor_the_last_weights(folders):
    _, _, whole, _ = folders
    average, weights = jax.tree.leaves(whole.generator_ema)[0], jax.tree.leaves(whole.generator.params)[0]
    assert np.abs(average - weights).max() > 0


def test_a_finished_run_is_left_as_it_is(folders):
    whole, _, state, _ = folders
    before = (whole / "metrics.csv").stat().st_mtime_ns
    jax.tree.map(np.testing.assert_array_equal, train(whole), state)
    assert (whole / "metrics.csv").stat().st_mtime_ns == before


def test_another_config_in_the_same_workdir_is_refused(folders):
    whole, _, _, _ = folders
    config = create_config()
    config.generator.num_features = 4
    with pytest.raises(UserError, match=r"config\.generator\.num_features was 2, is 4"):
        gan_trainer.train_and_evaluate(config, str(whole), tiny.create_source(config))
