"""The alternating update, on networks so small that every number is worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from fpgan_jax.training import gan_step
from fpgan_jax.training.state import create_gan_state

NOISE, REAL = 0.5, 0.25


class ScaleGenerator(nn.Module):
    """fake = w * noise, with w = 1 at the start."""

    @nn.compact
    def __call__(self, noise_image, *, deterministic, use_running_average):
        return self.param("w", nn.initializers.ones, ()) * noise_image


class ScaleDiscriminator(nn.Module):
    """logit = a * image, with a = 1 at the start; counts its passes in training mode."""

    @nn.compact
    def __call__(self, noise_image, image, *, use_running_average):
        passes = self.variable("batch_stats", "passes", lambda: jnp.zeros(()))
        seen = self.variable("batch_stats", "seen", lambda: jnp.zeros(3))
        if not self.is_initializing():
            passes.value = passes.value + 1
            seen.value = jnp.concatenate([seen.value[1:], image.mean()[None]])
        return self.param("a", nn.initializers.ones, ()) * image


def create(generator_rate=1.0, discriminator_rate=1.0, use_ema=False, **settings):
    generator, discriminator = ScaleGenerator(), ScaleDiscriminator()
    arguments = {
        "generator": generator,
        "discriminator": discriminator,
        "generator_tx": optax.sgd(generator_rate),
        "discriminator_tx": optax.sgd(discriminator_rate),
    }
    state = create_gan_state(jax.random.key(0), **arguments, image_shape=(1, 1, 1), use_ema=use_ema)
    settings = {"gan_objective": "hinge", "lambda_l1": 0.0, "discriminator_loss_weight": 1.0} | settings
    step = functools.partial(
        gan_step.train_step,
        **arguments,
        prepare_batch=lambda key, batch, first_index: (batch["noise_image"], batch["real_image"]),
        **settings,
    )
    return state, step


def run(state, step):
    batch = {
        "noise_image": jnp.full((1, 1, 1, 1), NOISE),
        "real_image": jnp.full((1, 1, 1, 1), REAL),
    }
    return step(state, batch, jax.random.key(1))


def test_discriminator_update_is_the_gradient_of_the_hinge():
    # d/da [max(0, 1 - a x) + max(0, 1 + a w z)] = -x + w z = 0.25.
    state, _ = run(*create())
    assert float(state.discriminator.params["a"]) == 1 - 0.25


def test_loss_weight_halves_the_discriminators_update():
    state, _ = run(*create(discriminator_loss_weight=0.5))
    assert float(state.discriminator.params["a"]) == 1 - 0.125


def test_generator_gradient_goes_through_the_updated_discriminator():
    # d/dw [-a' w z] = -a' z with a' = 0.75; through the old D it would be -0.5.
    state, _ = run(*create())
    assert float(state.generator.params["w"]) == 1 + 0.75 * 0.5


def test_l1_term_adds_its_gradient():
    # |w z - x| has the gradient z at w z > x: 1 + 0.375 - 2 * 0.5.
    state, _ = run(*create(lambda_l1=2.0))
    assert float(state.generator.params["w"]) == 1 + 0.375 - 1.0


def test_discriminator_update_leaves_the_generator_untouched():
    state, step = create(generator_rate=0.0)
    after, _ = run(state, step)
    assert float(after.generator.params["w"]) == 1.0
    assert float(after.discriminator.params["a"]) == 0.75


def test_generator_update_leaves_the_discriminator_untouched():
    state, step = create(discriminator_rate=0.0)
    after, _ = run(state, step)
    assert float(after.discriminator.params["a"]) == 1.0
    assert float(after.generator.params["w"]) == 1.5


def test_fake_and_real_pass_the_discriminator_apart_and_then_fake_again():
    state, _ = run(*create())
    assert float(state.discriminator.batch_stats["passes"]) == 3
    np.testing.assert_array_equal(state.discriminator.batch_stats["seen"], [NOISE, REAL, NOISE])


def test_metrics_are_those_of_the_step():
    _, metrics = run(*create(lambda_l1=2.0))
    averages = {name: float(mean.total / mean.count) for name, mean in metrics.items()}
    assert averages == {
        "discriminator_loss": (1 - 0.25) + (1 + 0.5),
        "discriminator_real_accuracy": 1.0,
        "discriminator_fake_accuracy": 0.0,
        "adversarial_loss": -0.75 * 0.5,
        "l1_loss": 0.25,
        "generator_loss": -0.375 + 2 * 0.25,
    }


def test_moving_average_follows_the_generator():
    state, _ = run(*create(use_ema=True, ema_decay=0.9))
    np.testing.assert_allclose(state.generator_ema["w"], 0.9 * 1 + 0.1 * 1.375, rtol=2e-7)


def test_no_moving_average_by_default():
    state, _ = run(*create())
    assert state.generator_ema is None


def test_step_is_counted():
    state, step = create()
    state, _ = run(state, step)
    state, _ = run(state, step)
    assert int(state.step) == 2


@pytest.mark.parametrize("objective", ["vanilla", "lsgan", "hinge"])
def test_every_objective_moves_a_blind_discriminator_towards_telling_real_from_fake(objective):
    # Real is brighter than fake, so a larger a tells them apart in each objective (vanilla and hinge by
    # sign of the difference; lsgan as its parabola's minimum lies above a = 0).
    state, step = create(gan_objective=objective, discriminator_rate=0.01)
    state = state.replace(discriminator=state.discriminator.replace(params={"a": jnp.zeros(())}))
    batch = {"noise_image": jnp.full((1, 1, 1, 1), -0.5), "real_image": jnp.full((1, 1, 1, 1), 0.5)}
    after, _ = step(state, batch, jax.random.key(1))
    assert float(after.discriminator.params["a"]) > 0


def test_random_numbers_depend_on_the_step_only():
    drawn = []

    def prepare_batch(key, batch, first_index):
        drawn.append(jax.random.uniform(key))
        return batch["noise_image"], batch["real_image"]

    state, step = create()
    step = functools.partial(step, prepare_batch=prepare_batch)
    later, _ = run(state, step)
    run(later, step)
    run(state, step)
    assert drawn[0] == drawn[2] and drawn[0] != drawn[1]
