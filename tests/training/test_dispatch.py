"""Several steps a dispatch, and examples that lie on the devices, train what single steps on host batches do."""

import jax
import numpy as np
import pytest

from fpgan_jax.data import feeding
from fpgan_jax.models import factory
from fpgan_jax.training import classifier_trainer, gan_trainer
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("shared_programs")


class Killed(Exception):
    """Stands for the moment at which a process ends."""


def create_config(**changes):
    """Create twelve steps, with what would show lost random state; due after 3 (sample), 5, 6, 10 and 12."""
    config = tiny.create_config()
    config.generator.dropout_rate = 0.5
    config.ema_decay = 0.5
    config.num_epochs = 4
    config.log_every_steps = 6
    config.checkpoint_every_steps = 5
    config.sample_epochs = (1,)
    config.update_from_flattened_dict(changes)
    return config


def train(workdir, *, killed_before_step=None, **changes):
    config = create_config(**changes)
    source = tiny.create_source(config)
    for name in ("create_batches", "create_index_batches"):
        create_batches = getattr(source, name)

        def create_until_killed(start_step, num_steps, create_batches=create_batches, **processes):
            batches = create_batches(start_step, num_steps, **processes)
            for step, batch in enumerate(batches, start=start_step):
                if step == killed_before_step:
                    raise Killed
                yield batch

        setattr(source, name, create_until_killed)
    return gan_trainer.train_and_evaluate(config, str(workdir), source)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """Train by single steps on host batches; return (workdir, final state)."""
    workdir = tmp_path_factory.mktemp("single")
    return workdir, train(workdir)


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    """Train as `single`, in another order."""
    return train(tmp_path_factory.mktemp("shuffled"), **{"data.shuffle_seed": 1})


@pytest.fixture(scope="module")
def in_threes(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("in_threes")
    return workdir, train(workdir, steps_per_dispatch=3)


@pytest.mark.parametrize("kind", ["tfdata", pytest.param("device", marks=pytest.mark.slow)])
@pytest.mark.seconds(15)
def test_a_run_stopped_within_a_dispatch_goes_on_as_if_it_never_was(tmp_path, in_threes, kind):
    changes = {"steps_per_dispatch": 3, "data.feeding": kind}
    with pytest.raises(Killed):
        train(tmp_path, killed_before_step=8, **changes)
    state = train(tmp_path, **changes)
    jax.tree.map(np.testing.assert_array_equal, state, in_threes[1])
    assert (tmp_path / "metrics.csv").read_bytes() == (in_threes[0] / "metrics.csv").read_bytes()


def measure_difference(params, expected):
    """Return the mean absolute difference of all weights.

    Adam divides a gradient by its own size, so that the rounding of one that is nearly zero can turn its step by
    up to twice the rate; but that touches few weights. Another batch, key or order of steps moves all of them, by
    about the rate times the steps: twelve times 2e-4 for the GAN.
    """
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True)
    return np.abs(np.concatenate([np.ravel(new - old) for new, old in pairs])).mean()


def get_params(state):
    return state.generator.params, state.discriminator.params


def read_csv(workdir):
    rows = [line.split(",") for line in (workdir / "metrics.csv").read_text().splitlines()]
    return rows[0], [int(row[0]) for row in rows[1:]], np.array(rows[1:], float)


@pytest.mark.seconds(10)
def test_several_steps_a_dispatch_train_what_single_ones_do(tmp_path, single, shuffled):
    state = train(tmp_path, steps_per_dispatch=4, sample_epochs=(), checkpoint_every_steps=0)
    assert int(state.step) == int(single[1].step) == 12
    tolerance = 2e-4 / 100
    assert measure_difference(get_params(state), get_params(single[1])) < tolerance
    assert measure_difference(get_params(shuffled), get_params(single[1])) > 10 * tolerance
    (names, steps, values), (expected_names, expected_steps, expected) = map(read_csv, (tmp_path, single[0]))
    assert (names, steps) == (expected_names, expected_steps) == (names, [6, 12])
    # Means of losses, and of the share of patches that D got right: 6 steps x 4 images x 9 patches, of which
    # one may turn.
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1 / 216)


@pytest.mark.seconds(10)
def test_examples_on_the_device_train_the_same_bits(tmp_path, single):
    state = train(tmp_path, **{"data.feeding": "device"})
    jax.tree.map(np.testing.assert_array_equal, state, single[1])
    assert (tmp_path / "metrics.csv").read_bytes() == (single[0] / "metrics.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.optimized
def test_examples_on_the_device_train_the_same_bits_in_optimized_programs(tmp_path):
    states = [
        train(tmp_path / kind, **{"data.feeding": kind, "num_epochs": 2}) for kind in ("tfdata", "device")
    ]
    assert int(states[0].step) == 6
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_a_run_may_go_on_with_the_other_feeding(tmp_path, single):
    with pytest.raises(Killed):
        train(tmp_path, killed_before_step=8)
    jax.tree.map(np.testing.assert_array_equal, train(tmp_path, **{"data.feeding": "device"}), single[1])


def train_classifier(workdir, **changes):
    """Train six steps of the tiny classifier, with the config's own augmentation."""
    config = tiny.create_config()
    config.classifier.global_batch_size = 4
    config.classifier.num_steps = 6
    config.update_from_flattened_dict(changes)
    source = feeding.create_classifier_source_from_prints(config, tiny.create_prints())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "create_classifier", lambda config, num_classes: tiny.TinyClassifier())
        return classifier_trainer.train_and_evaluate(config, str(workdir), source)


@pytest.fixture(scope="module")
def single_classifier(tmp_path_factory):
    return train_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.mark.seconds(10)
@pytest.mark.optimized
def test_the_classifiers_examples_on_the_device_train_the_same_bits(tmp_path):
    states = [train_classifier(tmp_path / kind, **{"data.feeding": kind}) for kind in ("tfdata", "device")]
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_the_classifier_takes_several_steps_a_dispatch(tmp_path, single_classifier, dispatched):
    on_device = {"data.feeding": "device"}
    state = train_classifier(tmp_path / "two", **on_device, **{"classifier.steps_per_dispatch": 2})
    assert dispatched == [2, 2, 2]
    shuffled = train_classifier(tmp_path / "shuffled", **on_device, **{"data.shuffle_seed": 1})
    expected = single_classifier.classifier.params
    # A hundredth of one step at the first rate, 1e-3; another order of batches moves the weights by ten times that.
    assert measure_difference(state.classifier.params, expected) < 1e-5
    assert measure_difference(shuffled.classifier.params, expected) > 1e-4
