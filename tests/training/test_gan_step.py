"""The alternating update, on networks so small that every number is worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy import ndimage

from fpgan_jax.models.patchgan import PatchDiscriminator
from fpgan_jax.models.unet import UNetGenerator
from fpgan_jax.training import gan_step
from fpgan_jax.training.finiteness import PROBES
from fpgan_jax.training.random_streams import StepKeys
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
    def __call__(self, noise_image, image, *, use_running_average, num_passes=1):
        passes = self.variable("batch_stats", "passes", lambda: jnp.zeros(()))
        seen = self.variable("batch_stats", "seen", lambda: jnp.zeros(3))
        if not self.is_initializing():
            passes.value = passes.value + num_passes
            for part in jnp.split(image, num_passes):
                seen.value = jnp.concatenate([seen.value[1:], part.mean()[None]])
        return self.param("a", nn.initializers.ones, ()) * image


class LayeredDiscriminator(nn.Module):
    """The same in a layer of its own: logit = a * image."""

    @nn.compact
    def __call__(self, noise_image, image, *, use_running_average, num_passes=1):
        return Scale(name="scale")(image)


class Scale(nn.Module):
    """y = a * x, with a = 1 at the start."""

    @nn.compact
    def __call__(self, x):
        return self.param("a", nn.initializers.ones, ()) * x


def take_batch(key, batch, first_index):
    return batch["noise_image"], batch["real_image"]


def create(
    generator_rate=1.0,
    discriminator_rate=1.0,
    use_ema=False,
    generator=None,
    discriminator=None,
    prepare_batch=take_batch,
    **settings,
):
    networks = {
        "generator": generator or ScaleGenerator(),
        "discriminator": discriminator or ScaleDiscriminator(),
        "generator_tx": optax.sgd(generator_rate),
        "discriminator_tx": optax.sgd(discriminator_rate),
    }
    state = create_gan_state(jax.random.key(0), **networks, image_shape=(1, 1, 1), use_ema=use_ema)
    settings = {"gan_objective": "hinge", "lambda_l1": 0.0, "discriminator_loss_weight": 1.0} | settings
    step = functools.partial(
        gan_step.train_step,
        networks=gan_step.GanNetworks(**networks),
        settings=gan_step.StepSettings(**settings),
        prepare_batch=prepare_batch,
    )
    return state, step


def create_keys(seed=1):
    return StepKeys(*jax.random.split(jax.random.key(seed)))


def run(state, step, seed=1):
    batch = {
        "noise_image": jnp.full((1, 1, 1, 1), NOISE),
        "real_image": jnp.full((1, 1, 1, 1), REAL),
    }
    return step(state, batch, create_keys(seed))


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


def test_l1_may_compare_blurred_images():
    """Noise and print of two colors; scipy blurs each color of their difference."""
    noise_image, real_image = np.random.default_rng(0).uniform(-1, 1, (2, 2, 9, 12, 2)).astype(np.float32)
    batch = {"noise_image": noise_image, "real_image": real_image}
    state, step = create(lambda_l1=1.0, l1_blur=1.5)
    _, metrics = step(state, batch, create_keys())
    # w is 1, so the fake image is the noise; a blur is linear.
    blurred = ndimage.gaussian_filter(noise_image - real_image, sigma=(0, 1.5, 1.5, 0))
    l1_loss = metrics["l1_loss"]
    assert float(l1_loss.total / l1_loss.count) == pytest.approx(np.abs(blurred).mean(), rel=1e-5)


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


def test_simultaneous_updates_share_the_old_discriminator():
    state, metrics = run(*create(update_order="simultaneous"))
    # Through the old D, with a = 1, d/dw [-a w z] = -z.
    assert float(state.generator.params["w"]) == 1 + 0.5
    assert float(state.discriminator.params["a"]) == 0.75
    assert float(metrics["adversarial_loss"].total) == -0.5
    assert float(state.discriminator.batch_stats["passes"]) == 2
    np.testing.assert_array_equal(state.discriminator.batch_stats["seen"], [0, NOISE, REAL])


def test_old_activations_are_judged_by_the_old_weights_and_differentiated_by_the_new():
    state, metrics = run(*create(update_order="old_activations", discriminator=LayeredDiscriminator()))
    assert float(state.discriminator.params["scale"]["a"]) == 0.75
    assert float(metrics["adversarial_loss"].total) == -0.5
    assert float(state.generator.params["w"]) == 1 + 0.75 * 0.5


def test_remat_changes_nothing_of_old_activations():
    settings = {"update_order": "old_activations", "discriminator": LayeredDiscriminator()}
    state, _ = run(*create(remat=True, **settings))
    assert float(state.generator.params["w"]) == 1 + 0.75 * 0.5


@pytest.mark.seconds(10)
def test_simultaneous_gradient_is_that_of_both_losses_at_the_old_weights():
    """Plain gradients of the two losses written out, for real networks with batch norm."""
    generator = UNetGenerator(num_features=2, dropout_outputs=())
    discriminator = PatchDiscriminator(16, num_features=2)
    networks = {"generator": generator, "discriminator": discriminator}
    optimizers = {"generator_tx": optax.sgd(1.0), "discriminator_tx": optax.sgd(1.0)}
    state = create_gan_state(jax.random.key(0), **networks, **optimizers, image_shape=(8, 8, 1))
    noise, real = jnp.float32(np.random.default_rng(0).uniform(-1, 1, (2, 2, 8, 8, 1)))

    def generate(params):
        variables = {"params": params, "batch_stats": state.generator.batch_stats}
        modes = {"deterministic": True, "use_running_average": False, "mutable": ["batch_stats"]}
        return generator.apply(variables, noise, **modes)[0]

    def judge(params, image):
        variables = {"params": params, "batch_stats": state.discriminator.batch_stats}
        modes = {"use_running_average": False, "mutable": ["batch_stats"]}
        return discriminator.apply(variables, noise, image, **modes)[0]

    def generator_loss(params):
        fake = generate(params)
        cross_entropy = jnp.log1p(jnp.exp(-judge(state.discriminator.params, fake))).mean()
        return cross_entropy + 100 * jnp.abs(real - fake).mean()

    def discriminator_loss(params):
        fake = generate(state.generator.params)
        real_loss = jnp.log1p(jnp.exp(-judge(params, real))).mean()
        return real_loss + jnp.log1p(jnp.exp(judge(params, fake))).mean()

    @jax.jit
    def step_by_hand(state):
        gradients = jax.grad(generator_loss)(state.generator.params)
        discriminator_gradients = jax.grad(discriminator_loss)(state.discriminator.params)
        return gradients, discriminator_gradients

    step = functools.partial(
        gan_step.train_step,
        networks=gan_step.GanNetworks(**networks, **optimizers),
        settings=gan_step.StepSettings(discriminator_loss_weight=1.0, update_order="simultaneous"),
        prepare_batch=take_batch,
    )
    batch = {"noise_image": noise, "real_image": real}
    after, _ = jax.jit(step)(state, batch, create_keys())
    pairs = zip((state.generator, state.discriminator), (after.generator, after.discriminator), strict=True)
    for gradients, (before, new) in zip(step_by_hand(state), pairs, strict=True):
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradients))
        for gradient, old_leaf, new_leaf in zip(
            *map(jax.tree.leaves, (gradients, before.params, new.params)), strict=True
        ):
            # The new weight is rounded, and so is the sum of a gradient's terms.
            tolerance = 4 * np.finfo(np.float32).eps * max(1, np.abs(old_leaf).max()) + 1e-5 * largest
            np.testing.assert_allclose(old_leaf - new_leaf, gradient, rtol=0, atol=tolerance)


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="update_order='both'"):
        run(*create(update_order="both"))


def test_metrics_are_those_of_the_step():
    _, metrics = run(*create(lambda_l1=2.0))
    probes = metrics.pop(PROBES)
    assert {name: float(probe) for name, probe in probes.items()} == {"discriminator": 0, "generator": 0}
    averages = {name: float(mean.total / mean.count) for name, mean in metrics.items()}
    assert averages == {
        "discriminator_loss": (1 - 0.25) + (1 + 0.5),
        "discriminator_real_accuracy": 1.0,
        "discriminator_fake_accuracy": 0.0,
        "adversarial_loss": -0.75 * 0.5,
        "l1_loss": 0.25,
        "generator_loss": -0.375 + 2 * 0.25,
    }


class RootGenerator(nn.Module):
    """fake = sqrt(w) * noise, with w = 0 at the start: fake is 0, and its gradient by w infinite."""

    @nn.compact
    def __call__(self, noise_image, *, deterministic, use_running_average):
        return jnp.sqrt(self.param("w", nn.initializers.zeros, ())) * noise_image


class RootDiscriminator(nn.Module):
    """The same for the logit."""

    @nn.compact
    def __call__(self, noise_image, image, *, use_running_average, num_passes=1):
        return jnp.sqrt(self.param("a", nn.initializers.zeros, ())) * image


@pytest.mark.parametrize(
    ("network", "module"), [("generator", RootGenerator()), ("discriminator", RootDiscriminator())]
)
def test_a_gradient_that_is_not_finite_shows_while_the_loss_is_finite(network, module):
    # In the simultaneous order G does not learn from the D that the update has spoilt.
    _, metrics = run(*create(**{network: module}, update_order="simultaneous", lambda_l1=1.0))
    probes = metrics.pop(PROBES)
    assert all(np.isfinite(mean.total) for mean in metrics.values())
    assert np.isnan(probes[network])


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
def test_every_objective_moves_a_blind_discriminator_toward_telling_real_from_fake(objective):
    # Real is brighter than fake, so a larger a tells them apart in each objective (vanilla and hinge by
    # sign of the difference; lsgan as its parabola's minimum lies above a = 0).
    state, step = create(gan_objective=objective, discriminator_rate=0.01)
    state = state.replace(discriminator=state.discriminator.replace(params={"a": jnp.zeros(())}))
    batch = {"noise_image": jnp.full((1, 1, 1, 1), -0.5), "real_image": jnp.full((1, 1, 1, 1), 0.5)}
    after, _ = step(state, batch, create_keys())
    assert float(after.discriminator.params["a"]) > 0


class DrawingGenerator(nn.Module):
    """fake = w * noise; keeps a number drawn as dropout draws its own."""

    @nn.compact
    def __call__(self, noise_image, *, deterministic, use_running_average):
        drawn = self.variable("batch_stats", "drawn", lambda: jnp.zeros(()))
        if not self.is_initializing():
            drawn.value = jax.random.uniform(self.make_rng("dropout"))
        return self.param("w", nn.initializers.ones, ()) * noise_image


def draw_numbers(*, step=0, weight=1.0, seed=1):
    """Return what a step draws for the dropout and for the jitter."""
    jitters = []

    def prepare_batch(key, batch, first_index):
        jitters.append(float(jax.random.uniform(key)))
        return batch["noise_image"], batch["real_image"]

    state, train_step = create(generator=DrawingGenerator(), prepare_batch=prepare_batch)
    generator = state.generator.replace(params={"w": jnp.float32(weight)})
    state, _ = run(state.replace(step=jnp.int32(step), generator=generator), train_step, seed)
    return {"dropout": float(state.generator.batch_stats["drawn"]), "jitter": jitters[0]}


@pytest.mark.parametrize("use", ["dropout", "jitter"])
def test_every_step_draws_other_numbers(use):
    assert draw_numbers(step=0)[use] != draw_numbers(step=1)[use]


@pytest.mark.parametrize("use", ["dropout", "jitter"])
def test_every_run_draws_other_numbers(use):
    assert draw_numbers(seed=1)[use] != draw_numbers(seed=2)[use]


@pytest.mark.parametrize("use", ["dropout", "jitter"])
def test_what_a_step_draws_does_not_depend_on_the_state(use):
    assert draw_numbers(step=5, weight=1.0)[use] == draw_numbers(step=5, weight=2.0)[use]
