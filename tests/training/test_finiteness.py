"""Numbers that are no longer finite: found, named with network, step and examples, and never saved."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fpgan_jax.data import feeding
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.training import classifier_trainer, finiteness, gan_trainer, loop
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation
from fpgan_jax.training.starting import start
from tests.training import test_loop, tiny

# 1e20 is finite, but the square that Adam keeps of it is not.
BAD_NUMBERS = (np.nan, np.inf, -np.inf, 1e20)


def probe(*leaves):
    return float(finiteness.probe_gradients({str(i): jnp.float32(leaf) for i, leaf in enumerate(leaves)}))


@pytest.mark.parametrize("bad", BAD_NUMBERS)
@pytest.mark.parametrize("place", [0, 1])
def test_a_bad_number_in_any_small_gradient_shows(bad, place):
    leaves = [np.zeros((3, 2)), np.ones(5)]
    assert probe(*leaves) == 0
    leaves[place].flat[-1] = bad
    assert np.isnan(probe(*leaves))


def test_bfloat16_has_the_range_of_float32():
    assert float(finiteness.probe_gradients([jnp.bfloat16(1e18)])) == 0
    assert np.isnan(finiteness.probe_gradients([jnp.bfloat16(1e20)]))


def test_large_gradients_are_not_read():
    large = np.full((2**14 + 1,), np.nan)
    assert probe(large, np.ones(2)) == 0
    assert np.isnan(probe(large[:-1], np.ones(2)))
    assert probe(large) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_array_is_found_by_its_path(bad):
    tree = {"generator": {"params": [np.ones(2), np.ones(3)]}, "step": np.int32(1)}
    assert finiteness.find_non_finite(tree) is None
    tree["generator"]["params"][1][2] = bad
    assert finiteness.find_non_finite(tree) == "generator/params/1"


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def spoil_gradient(mark, values, noise_image):
    """Return `values`; the gradient that goes back is nan if all noise is of a color."""
    return values


spoil_gradient.defvjp(
    lambda mark, values, noise_image: (values, noise_image),
    lambda mark, noise_image, gradient: (
        jnp.where((jnp.abs(noise_image - mark) < 0.01).all(), jnp.nan, gradient),
        None,
    ),
)


class Spoiled(nn.Module):
    """A network through which no finite gradient goes back from noise of one color."""

    network: nn.Module
    mark: float

    @nn.compact
    def __call__(self, noise_image, *args, **kwargs):
        return spoil_gradient(self.mark, self.network(noise_image, *args, **kwargs), noise_image)


MARKS = {"generator": 0, "discriminator": 255}


def color(create_batches, bad_step, value):
    """Fill the noise of one step's batch with a value; steps are counted from 1."""

    def create(start_step, num_steps, **processes):
        batches = create_batches(start_step, num_steps, **processes)
        for step, batch in enumerate(batches, start=start_step + 1):
            noise_image = batch["noise_image"]
            yield batch | {
                "noise_image": np.full_like(noise_image, value) if step == bad_step else noise_image
            }

    return create


@pytest.mark.seconds(15)
@pytest.mark.parametrize("network", MARKS)
def test_a_bad_gradient_stops_the_run_with_network_step_and_files(tmp_path, monkeypatch, caplog, network):
    config = tiny.create_config()
    config.num_epochs, config.log_every_steps, config.checkpoint_every_steps = 4, 6, 4
    config.sample_epochs = ()
    source = tiny.create_source(config)
    batch = next(source.create_batches(7, 1))
    source.create_batches = color(source.create_batches, 8, MARKS[network])
    # Both networks are spoilt, each by a color of its own, so that one program serves both cases.
    for name, value in MARKS.items():
        module = Spoiled(getattr(factory, f"create_{name}")(config), value / 127.5 - 1)
        monkeypatch.setattr(factory, f"create_{name}", lambda config, module=module: module)
    with pytest.raises(UserError) as caught:
        gan_trainer.train_and_evaluate(config, str(tmp_path), source)
    assert str(caught.value) == (
        f"{tmp_path}: gradient of the {network} not finite at step 8; lower the learning rate, or look at the data; "
        "the last good checkpoint is that of step 4"
    )
    # The tiny prints' files are named after the persons.
    ids = zip(batch["person"], batch["replica"], strict=True)
    names = "; ".join(f"{person} (person {person}, replica {replica})" for person, replica in ids)
    assert f"{tmp_path}: the batch of step 8: {names}" in caplog.text
    step, trees, _ = restore_for_evaluation(str(tmp_path), ("generator", "discriminator", "training"))
    assert (step, finiteness.find_non_finite(trees)) == (4, None)


def test_a_bad_gradient_of_the_classifier_names_its_files(tmp_path, monkeypatch, caplog):
    config = tiny.create_config()
    config.classifier.global_batch_size, config.classifier.num_steps = 2, 4
    source = feeding.create_classifier_source_from_prints(config, tiny.create_prints())
    monkeypatch.setattr(factory, "create_classifier", lambda config, num_classes: tiny.TinyClassifier())
    monkeypatch.setattr(classifier_trainer, "run_training", spoil_metrics(3, "classifier"))
    with pytest.raises(
        UserError, match="gradient of the classifier not finite at step 3; .* no checkpoint yet"
    ):
        classifier_trainer.train_and_evaluate(config, str(tmp_path), source)
    names = [str(label + 1) for label in list(source.create_batches(0, 3))[2]["label"]]
    assert f"{tmp_path}: the batch of step 3: {'; '.join(names)}" in caplog.text


def spoil_metrics(bad_step, network):
    """Create a `run_training` in which a step's probe of a network says that its gradient is not finite."""

    def run_training(training, initial_state, base_keys, **options):
        def step(state, batch, base_keys):
            after, metrics = training.step(state, batch, base_keys)
            bad = jnp.where(after.step == bad_step, jnp.nan, 0)
            return after, metrics | {finiteness.PROBES: {network: bad}}

        return loop.run_training(
            dataclasses.replace(training, step=step), initial_state, base_keys, **options
        )

    return run_training


@pytest.mark.parametrize("steps_per_dispatch", [1, 3])
def test_a_probe_names_its_step_of_a_dispatch(tmp_path, steps_per_dispatch):
    def take_step(state, batch, base_keys):
        after, metrics = test_loop.take_step(state, batch, base_keys)
        probes = {"first": jnp.float32(0), "second": jnp.where(after.step == 8, jnp.nan, 0)}
        return after, metrics | {finiteness.PROBES: probes}

    checks = (("first", "gradient"), ("second", "loss"), ("second", "gradient"))
    changes = {
        "step": take_step,
        "checks": checks,
        "schedule": {"steps_per_dispatch": steps_per_dispatch},
    }
    with pytest.raises(UserError, match="gradient of the second not finite at step 8; .* that of step 5$"):
        test_loop.train(tmp_path, **changes)


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    """As when only the sum of a large kernel's gradient overflows, in the last step before a checkpoint."""

    def take_step(state, batch, base_keys):
        after, metrics = test_loop.take_step(state, batch, base_keys)
        return after.replace(value=jnp.where(after.step == 10, jnp.inf, after.value)), metrics

    with pytest.raises(UserError, match="all/value of the number not finite at step 10; .* that of step 5$"):
        test_loop.train(tmp_path, step=take_step)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["5"]


def test_weights_that_are_not_finite_start_no_run(tmp_path):
    state = test_loop.State(jnp.int32(0), jnp.float32(np.nan))
    with pytest.raises(UserError, match="all/value of the number not finite at step 0"):
        start.save_start(test_loop.create_training(tmp_path), state)
    assert list((tmp_path / "checkpoints").iterdir()) == []
