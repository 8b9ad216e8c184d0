"""Owns one step of the GAN's training. Networks, settings and data come in as arguments."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from fpgan_jax import losses, parallel
from fpgan_jax.config.fields import RIDGE_FILTERS
from fpgan_jax.metrics import create_means
from fpgan_jax.models.layers import recompute_activations
from fpgan_jax.training.blurring import blur
from fpgan_jax.training.finiteness import PROBES, probe_gradients
from fpgan_jax.training.old_activations import apply_with_backward_params
from fpgan_jax.training.optimizers import update_network
from fpgan_jax.training.random_streams import StepKeys, fold_in_step
from fpgan_jax.training.ridge_loss import compute_ridge_loss
from fpgan_jax.training.state import GanTrainState, NetworkState

UPDATE_ORDERS = ("discriminator_first", "simultaneous", "old_activations")


@dataclasses.dataclass(frozen=True)
class GanNetworks:
    """The modules of generator (G) and discriminator (D), and their optimizers."""

    generator: nn.Module
    discriminator: nn.Module
    generator_tx: optax.GradientTransformation
    discriminator_tx: optax.GradientTransformation


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What a step minimizes, and how. The defaults are those of the reference PyTorch code.

    Attributes:
      l1_blur: standard deviation, in pixels, of the blur of both images before L1; 0 does not blur.
      ridge_loss_weight: weight of `ridge_loss.compute_ridge_loss` in G's loss; 0 does not compute it.
      ridge_period: ridge period of the prints, pixels.
      ridge_filter: of their maps.
      discriminator_loss_weight: factor on the sum of D's two terms.
      ema_decay: decay of the moving average of G's weights, if the state has one.
      update_order: one of `UPDATE_ORDERS`. G learns from D after D's update; from D before it; or from D's output
        before it, with a gradient that goes back through D's new weights.
      remat: recompute norms and activations in the backward pass: less memory, a little more time.
    """

    gan_objective: str = "vanilla"
    lambda_l1: float = 100.0
    l1_blur: float = 0.0
    ridge_loss_weight: float = 0.0
    ridge_period: float = 0.0
    ridge_filter: str = RIDGE_FILTERS[0]
    discriminator_loss_weight: float = 0.5
    ema_decay: float = 0.0
    update_order: str = "discriminator_first"
    remat: bool = False

    def __post_init__(self) -> None:
        """Check the order of the updates."""
        if self.update_order not in UPDATE_ORDERS:
            raise ValueError(f"update_order={self.update_order!r} is not one of {UPDATE_ORDERS}")


class StepImages(NamedTuple):
    """The images of a step on one device, float32 [batch, height, width, channels] in [-1, 1].

    `noise_image`, the condition and G's input, may have its own number of channels.
    """

    noise_image: jax.Array
    real_image: jax.Array
    fake_image: jax.Array


def train_step(
    state: GanTrainState,
    batch: Mapping[str, jax.Array],
    base_keys: StepKeys,
    *,
    networks: GanNetworks,
    settings: StepSettings,
    prepare_batch: Callable,
    axis_name: str | None = None,
) -> tuple[GanTrainState, dict[str, Any]]:
    """Take one step. One forward pass of G serves both updates, since D's update does not change G.

    Args:
      batch: this device's "noise_image" and "real_image", each [batch, height, width, channels].
      base_keys: the run's; the step is folded in here, and for dropout the device.
      prepare_batch: (key, batch, first_index) -> (noise_image, real_image), float32 in [-1, 1]. The key is the same on
        every device; `first_index` is the position of this device's first example in the global batch.
      axis_name: the device axis, or None outside pmap.

    Returns:
      (state after the step; name -> `Mean`, and `PROBES` -> network -> `probe_gradients`, summed over devices).

    Source: Isola et al. 2017, section 3.3 and equation 4; differs in: nothing. Other orders: "simultaneous" is the
      TensorFlow tutorial's `train_step`, "old_activations" phillipi/pix2pix's `fGx`.
    """
    keys = fold_in_step(base_keys, state.step)
    dropout_key = parallel.fold_in_device(keys.dropout, axis_name)
    batch_size = len(batch["noise_image"])
    first_index = parallel.find_first_example(batch_size, axis_name)
    noise_image, real_image = prepare_batch(keys.augmentation, batch, first_index=first_index)

    def generate(params: Any) -> tuple[jax.Array, Any]:
        stats = state.generator.batch_stats
        fake_image, updates = networks.generator.apply(
            {"params": params, "batch_stats": stats},
            noise_image,
            deterministic=False,
            use_running_average=False,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        return fake_image, updates.get("batch_stats", stats)

    if settings.remat:
        generate = recompute_activations(generate)
    fake_image, pull_back, generator_stats = jax.vjp(generate, state.generator.params, has_aux=True)

    images = StepImages(noise_image, real_image, fake_image)
    discriminator, discriminator_averages, discriminator_probe = update_discriminator(
        state.discriminator, images, networks, settings, axis_name
    )
    is_judged_anew = settings.update_order == "discriminator_first"
    fake_gradient, discriminator_stats, generator_averages = compute_fake_gradient(
        discriminator if is_judged_anew else state.discriminator,
        images,
        networks,
        settings,
        backward_params=discriminator.params if settings.update_order == "old_activations" else None,
    )
    (gradients,) = pull_back(fake_gradient)
    generator = update_network(state.generator, gradients, generator_stats, networks.generator_tx, axis_name)
    if is_judged_anew:
        # In the other orders both updates share D's passes, which its statistics already contain.
        stats = parallel.average_over_devices(discriminator_stats, axis_name)
        discriminator = discriminator.replace(batch_stats=stats)
    new_state = GanTrainState(
        state.step + 1, generator, discriminator, _update_ema(state.generator_ema, generator, settings)
    )
    metrics: dict[str, Any] = create_means(discriminator_averages | generator_averages, batch_size)
    metrics[PROBES] = {"discriminator": discriminator_probe, "generator": probe_gradients(gradients)}
    return new_state, parallel.sum_over_devices(metrics, axis_name)


def apply_discriminator(
    discriminator: nn.Module,
    params: Any,
    batch_stats: Any,
    noise_image: jax.Array,
    image: jax.Array,
    *,
    num_passes: int = 1,
    backward_params: Any = None,
) -> tuple[jax.Array, Any]:
    """Run D in training mode.

    Args:
      noise_image: the condition, [batch, height, width, channels], float32 in [-1, 1].
      image: real or generated prints, of the same batch, height and width.
      num_passes: number of equal parts of the batch, each normalized by its own statistics.
      backward_params: the weights that a gradient by `image` goes back through, see `old_activations`; None is
        `params`.

    Returns:
      (logits, float32 [batch, patch_rows, patch_columns, 1]; running statistics after).
    """
    apply = discriminator.apply
    if backward_params is not None:
        apply = functools.partial(apply_with_backward_params, discriminator, backward_params=backward_params)
    logits, updates = apply(
        {"params": params, "batch_stats": batch_stats},
        noise_image,
        image,
        use_running_average=False,
        num_passes=num_passes,
        mutable=["batch_stats"],
    )
    return logits, updates.get("batch_stats", batch_stats)


def update_discriminator(
    state: NetworkState,
    images: StepImages,
    networks: GanNetworks,
    settings: StepSettings,
    axis_name: str | None = None,
) -> tuple[NetworkState, dict[str, jax.Array], jax.Array]:
    """Update D on real and generated prints, in one batch of two passes: half the number of operations.

    Returns:
      (D's state after; name -> float32 scalar: the loss, and the share of patches that D got right; the probe of its
      gradients).

    Source: Isola et al. 2017, section 3.3; differs in: nothing from the reference PyTorch code. As there, running
      statistics see the generated prints first.
    """
    noise_image, real_image, fake_image = images
    fake_image = jax.lax.stop_gradient(fake_image)

    def compute_loss(params: Any) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        logits, batch_stats = apply_discriminator(
            networks.discriminator,
            params,
            state.batch_stats,
            jnp.concatenate([noise_image, noise_image]),
            jnp.concatenate([fake_image, real_image]),
            num_passes=2,
        )
        fake_logits, real_logits = jnp.split(logits, 2)
        objective = settings.gan_objective
        real_loss, fake_loss = losses.compute_discriminator_loss(real_logits, fake_logits, objective)
        loss = settings.discriminator_loss_weight * (real_loss + fake_loss)
        # D's decision is a logit above 0; lsgan's targets are 0 and 1.
        threshold = 0.5 if objective == "lsgan" else 0.0
        averages = {
            "discriminator_loss": loss,
            "discriminator_real_accuracy": (real_logits > threshold).mean(),
            "discriminator_fake_accuracy": (fake_logits <= threshold).mean(),
        }
        return loss, (batch_stats, averages)

    if settings.remat:
        compute_loss = recompute_activations(compute_loss)
    gradients, (batch_stats, averages) = jax.grad(compute_loss, has_aux=True)(state.params)
    state = update_network(state, gradients, batch_stats, networks.discriminator_tx, axis_name)
    return state, averages, probe_gradients(gradients)


def compute_fake_gradient(
    discriminator_state: NetworkState,
    images: StepImages,
    networks: GanNetworks,
    settings: StepSettings,
    *,
    backward_params: Any = None,
) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
    """Compute the gradient of G's loss with respect to `images.fake_image`, as the given state of D judges it.

    Returns:
      (gradient; D's running statistics after this pass; name -> float32 scalar losses).

    Source: Isola et al. 2017, equation 4: L_cGAN + lambda L_L1; differs in: nothing.
    """

    def compute_loss(fake_image: jax.Array) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        fake_logits, batch_stats = apply_discriminator(
            networks.discriminator,
            discriminator_state.params,
            discriminator_state.batch_stats,
            images.noise_image,
            fake_image,
            backward_params=backward_params,
        )
        adversarial_loss = losses.compute_adversarial_loss(fake_logits, settings.gan_objective)
        l1_loss = losses.compute_l1_loss(*_blur_for_l1(fake_image, images.real_image, settings.l1_blur))
        loss = adversarial_loss + settings.lambda_l1 * l1_loss
        averages = {"adversarial_loss": adversarial_loss, "l1_loss": l1_loss}
        if settings.ridge_loss_weight:
            averages["ridge_loss"] = compute_ridge_loss(
                fake_image, images.noise_image, settings.ridge_period, settings.ridge_filter
            )
            loss += settings.ridge_loss_weight * averages["ridge_loss"]
        averages["generator_loss"] = loss
        return loss, (batch_stats, averages)

    if settings.remat:
        compute_loss = recompute_activations(compute_loss)
    gradient, (batch_stats, averages) = jax.grad(compute_loss, has_aux=True)(images.fake_image)
    return gradient, batch_stats, averages


def _blur_for_l1(fake_image: jax.Array, real_image: jax.Array, sigma: float) -> tuple[jax.Array, jax.Array]:
    """Blur both, so that L1 asks for no more than their coarse look."""
    if not sigma:
        return fake_image, real_image
    fake_blurred, real_blurred = (
        jnp.stack([blur(image[..., channel], sigma) for channel in range(image.shape[-1])], axis=-1)
        for image in (fake_image.astype(jnp.float32), real_image)
    )
    return fake_blurred, real_blurred


def _update_ema(average: Any, generator: NetworkState, settings: StepSettings) -> Any:
    if average is None:
        return None
    decay = settings.ema_decay
    return jax.tree.map(
        lambda old, new: decay * old + jnp.asarray(1 - decay, new.dtype) * new, average, generator.params
    )
