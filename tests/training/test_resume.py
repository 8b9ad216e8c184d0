"""A run that was stopped and is started again is the run that never stopped, bit for bit."""

import dataclasses

import jax
import numpy as np
import pytest

from fpgan_jax import parallel
from fpgan_jax.errors import UserError
from fpgan_jax.training import gan_trainer, loop
from tests.training import tiny

pytestmark = [pytest.mark.optimized, pytest.mark.usefixtures("shared_programs")]


class Killed(Exception):
    """Stands for the moment at which a process ends."""


def create_config():
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5  # so that lost random state would show
    config.ema_decay = 0.5
    return config


def train(workdir, config=None, *, killed_before_step=None):
    """Train, or raise `Killed` when the batch of a step is asked for."""
    config = config or create_config()
    source = tiny.create_source(config)
    create_batches = source.create_batches

    def create_until_killed(start_step, num_steps, **processes):
        for step, batch in enumerate(create_batches(start_step, num_steps, **processes), start=start_step):
            if step == killed_before_step:
                raise Killed
            yield batch

    source.create_batches = create_until_killed
    return gan_trainer.train_and_evaluate(config, str(workdir), source)


def create_recording_loop(history):
    """Create a `run_training` that appends the generator's weights at the start and after every step."""

    def record(params):
        # Copies: the step gives the state's memory to the one after.
        history.append([np.array(leaf) for leaf in jax.tree.leaves(params)])

    def run_training(training, initial_state, base_keys, **options):
        def draw_and_record(step, state, reporter):
            if step in schedule.sample_epochs:
                draw_samples(step, state, reporter)
            record(parallel.unreplicate(state.generator.params))

        record(initial_state.generator.params)
        schedule, draw_samples = training.schedule, training.watch.draw_samples
        training.watch.draw_samples = draw_and_record
        every_step = dict.fromkeys(range(1, schedule.num_steps + 1), 0)
        recorded = dataclasses.replace(
            training, schedule=dataclasses.replace(schedule, sample_epochs=every_step)
        )
        return loop.run_training(recorded, initial_state, base_keys, **options)

    return run_training


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train without a stop; return (workdir, final state, the generator's weights step by step)."""
    workdir, history = tmp_path_factory.mktemp("whole"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan_trainer, "run_training", create_recording_loop(history))
        return workdir, train(workdir), history


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Train killed after step 5, one step after the CSV's last row, and again; return (workdir, state)."""
    workdir = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Killed):
        train(workdir, killed_before_step=5)
    assert (workdir / "metrics.csv").read_text().count("\n") == 3
    return workdir, train(workdir)


def test_weights_and_optimizers_are_bit_equal(whole, stopped):
    jax.tree.map(np.testing.assert_array_equal, stopped[1], whole[1])
    assert int(stopped[1].step) == 6


def test_metrics_file_is_the_same(whole, stopped):
    assert (stopped[0] / "metrics.csv").read_bytes() == (whole[0] / "metrics.csv").read_bytes()


def test_sample_grids_are_the_same(whole, stopped):
    grids = {path.name: path.read_bytes() for path in (whole[0] / "samples").iterdir()}
    assert grids.keys() == {"epoch_0001.png", "epoch_0002.png"}
    assert grids == {path.name: path.read_bytes() for path in (stopped[0] / "samples").iterdir()}


def test_moving_average_is_that_of_every_steps_weights(whole):
    _, state, history = whole
    assert len(history) == 7  # at the start and after each of six steps
    for average, *weights in zip(jax.tree.leaves(state.generator_ema), *history, strict=True):
        expected = np.float64(weights[0])
        for weight in weights[1:]:
            expected = 0.5 * expected + 0.5 * weight
        # Halving is exact; each sum is rounded by 2**-24 of its size at most, and every later step halves
        # that error, so that all of them add up to less than twice the largest.
        np.testing.assert_allclose(average, expected, rtol=0, atol=2**-23 * np.abs(weights).max())


def test_a_finished_run_is_left_as_it_is(whole):
    workdir, state, _ = whole
    before = (workdir / "metrics.csv").stat().st_mtime_ns
    jax.tree.map(np.testing.assert_array_equal, train(workdir), state)
    assert (workdir / "metrics.csv").stat().st_mtime_ns == before


def test_another_config_in_the_same_workdir_is_refused(whole):
    config = create_config()
    config.generator.num_features = 4
    with pytest.raises(UserError, match=r"config\.generator\.num_features was 2, is 4"):
        gan_trainer.train_and_evaluate(config, str(whole[0]), tiny.create_source(config))


@pytest.mark.seconds(10)
def test_a_run_keeps_the_checkpoints_of_the_epochs_to_keep(tmp_path):
    config = tiny.create_config()  # 3 steps an epoch
    config.num_epochs, config.keep_epochs, config.sample_epochs = 4, (1, 9), ()
    config.checkpoint_every_steps = 5
    gan_trainer.train_and_evaluate(config, str(tmp_path), tiny.create_source(config))
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
    assert 3 in kept and kept <= {3, 5, 10, 12}
