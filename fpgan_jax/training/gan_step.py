"""Owns one step of the alternating training: D's update, and G's through the updated D or as other codes order it.

Does not own loops, devices' creation, or data; everything comes in as an argument.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from fpgan_jax import losses, parallel
from fpgan_jax.metrics import create_means
from fpgan_jax.models import fusion
from fpgan_jax.models.layers import recompute_activations
from fpgan_jax.training.finiteness import PROBES, probe_gradients
from fpgan_jax.training.old_activations import apply_with_backward_params
from fpgan_jax.training.random_streams import StepKeys, fold_in_step
from fpgan_jax.training.ridge_loss import compute_ridge_loss
from fpgan_jax.training.state import GanTrainState, NetworkState

UPDATE_ORDERS = ("discriminator_first", "simultaneous", "old_activations")


def update_network(
    network: NetworkState, gradients, batch_stats, tx: optax.GradientTransformation, axis_name: str | None
) -> NetworkState:
    """Apply one optimiser step, with gradients and statistics averaged over the devices.

    Args:
      network: the state before.
      gradients: this device's gradient with respect to `network.params`.
      batch_stats: this device's running statistics after the step.
      tx: the optimiser.
      axis_name: the device axis, or None.

    Returns:
      The state after, the same on every device.
    """
    gradients, batch_stats = parallel.average_over_devices((gradients, batch_stats), axis_name)

    def apply(gradients, opt_state, params):
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    params, opt_state = fusion.apart_on_cpu(apply)(gradients, network.opt_state, network.params)
    return NetworkState(params, batch_stats, opt_state)


def apply_discriminator(
    discriminator: nn.Module,
    params,
    batch_stats,
    noise_image,
    image,
    *,
    num_passes: int = 1,
    backward_params=None,
):
    """Run D in training mode.

    Args:
      discriminator: the module.
      params: its weights.
      batch_stats: its running statistics before.
      noise_image: [batch, height, width, channels], float32 in [-1, 1].
      image: the same shape, real or fake prints.
      num_passes: number of equal parts of the batch that pass as if one after another.
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
    noise_image: jax.Array,
    real_image: jax.Array,
    fake_image: jax.Array,
    *,
    discriminator: nn.Module,
    tx: optax.GradientTransformation,
    gan_objective: str,
    loss_weight: float,
    remat: bool = False,
    axis_name: str | None = None,
) -> tuple[NetworkState, dict[str, jax.Array], jax.Array]:
    """Update D on real and generated prints, each normalised by its own statistics.

    Both go through D in one batch, which is two passes' work in half the number of operations.

    Args:
      state: D's state before.
      noise_image: [batch, height, width, channels], float32 in [-1, 1].
      real_image: the same shape.
      fake_image: the same shape; no gradient flows into it.
      discriminator: D's module.
      tx: D's optimiser.
      gan_objective: one of `losses.GAN_OBJECTIVES`.
      loss_weight: factor on the sum of the two terms; 0.5 in the reference code.
      remat: compute norms and activations again for the gradient, instead of keeping them.
      axis_name: the device axis, or None.

    Returns:
      (D's state after; name -> float32 scalar: the loss, and the share of patches that D got right; the probe of
      its gradients, as of `finiteness.probe_gradients`).

    Source: Isola et al. 2017, section 3.3; differs in: nothing from the reference PyTorch code,
      the order in which the running statistics see fake and real included.
    """
    fake_image = jax.lax.stop_gradient(fake_image)

    def compute_loss(params):
        logits, batch_stats = apply_discriminator(
            discriminator,
            params,
            state.batch_stats,
            jnp.concatenate([noise_image, noise_image]),
            jnp.concatenate([fake_image, real_image]),
            num_passes=2,
        )
        fake_logits, real_logits = jnp.split(logits, 2)
        real_loss, fake_loss = losses.compute_discriminator_loss(real_logits, fake_logits, gan_objective)
        loss = loss_weight * (real_loss + fake_loss)
        # The decision's threshold on the logits: 0, but for lsgan, whose targets are 0 and 1.
        threshold = 0.5 if gan_objective == "lsgan" else 0.0
        return loss, {
            "batch_stats": batch_stats,
            "averages": {
                "discriminator_loss": loss,
                "discriminator_real_accuracy": (real_logits > threshold).mean(),
                "discriminator_fake_accuracy": (fake_logits <= threshold).mean(),
            },
        }

    if remat:
        compute_loss = recompute_activations(compute_loss)
    gradients, auxiliary = jax.grad(compute_loss, has_aux=True)(state.params)
    state = update_network(state, gradients, auxiliary["batch_stats"], tx, axis_name)
    return state, auxiliary["averages"], probe_gradients(gradients)


def compute_fake_gradient(
    discriminator_state: NetworkState,
    noise_image: jax.Array,
    real_image: jax.Array,
    fake_image: jax.Array,
    *,
    discriminator: nn.Module,
    gan_objective: str,
    lambda_l1: float,
    ridge_loss_weight: float = 0.0,
    ridge_period: float = 0.0,
    remat: bool = False,
    backward_params=None,
):
    """Compute the gradient of G's loss with respect to G's output.

    Args:
      discriminator_state: D's state; already updated in this step, in the reference's order.
      noise_image: [batch, height, width, channels], float32 in [-1, 1].
      real_image: the same shape.
      fake_image: the same shape.
      discriminator: D's module.
      gan_objective: one of `losses.GAN_OBJECTIVES`.
      lambda_l1: weight of the L1 term.
      ridge_loss_weight: weight of `ridge_loss.compute_ridge_loss`, for conditions of ridge maps; 0 is without.
      ridge_period: of the prints' ridges, pixels.
      remat: compute norms and activations again for the gradient, instead of keeping them.
      backward_params: D's weights that the gradient goes back through; None is its state's.

    Returns:
      (gradient, the shape of `fake_image`; D's running statistics after this pass; name -> float32
      scalar losses).

    Source: Isola et al. 2017, equation 4: L_cGAN + lambda L_L1; differs in: nothing.
    """

    def compute_loss(fake_image):
        fake_logits, batch_stats = apply_discriminator(
            discriminator,
            discriminator_state.params,
            discriminator_state.batch_stats,
            noise_image,
            fake_image,
            backward_params=backward_params,
        )
        adversarial_loss = losses.compute_adversarial_loss(fake_logits, gan_objective)
        l1_loss = losses.compute_l1_loss(fake_image, real_image)
        loss = adversarial_loss + lambda_l1 * l1_loss
        averages = {"adversarial_loss": adversarial_loss, "l1_loss": l1_loss}
        if ridge_loss_weight:
            averages["ridge_loss"] = compute_ridge_loss(fake_image, noise_image, ridge_period)
            loss += ridge_loss_weight * averages["ridge_loss"]
        averages["generator_loss"] = loss
        return loss, (batch_stats, averages)

    if remat:
        compute_loss = recompute_activations(compute_loss)
    gradient, (batch_stats, averages) = jax.grad(compute_loss, has_aux=True)(fake_image)
    return gradient, batch_stats, averages


def train_step(
    state: GanTrainState,
    batch: Mapping[str, jax.Array],
    base_keys: StepKeys,
    *,
    generator: nn.Module,
    discriminator: nn.Module,
    generator_tx: optax.GradientTransformation,
    discriminator_tx: optax.GradientTransformation,
    prepare_batch: Callable,
    gan_objective: str = "vanilla",
    lambda_l1: float = 100.0,
    ridge_loss_weight: float = 0.0,
    ridge_period: float = 0.0,
    discriminator_loss_weight: float = 0.5,
    ema_decay: float = 0.0,
    update_order: str = "discriminator_first",
    remat: bool = False,
    axis_name: str | None = None,
) -> tuple[GanTrainState, dict[str, Any]]:
    """Run one alternating step: one forward pass of G, D's update, G's update through D.

    Args:
      state: the state before.
      batch: "noise_image", the condition, and "real_image", [batch, height, width, channels each its own]; this
        device's part.
      base_keys: the run's; the step is folded in here, and for the dropout the device.
      generator: G's module.
      discriminator: D's module.
      generator_tx: G's optimiser.
      discriminator_tx: D's optimiser.
      prepare_batch: (key, batch, first_index) -> (noise_image, real_image), float32 in [-1, 1];
        the key is the same on every device, `first_index` the place of its first example.
      gan_objective: one of `losses.GAN_OBJECTIVES`.
      lambda_l1: weight of the L1 term.
      ridge_loss_weight: as of `compute_fake_gradient`, like the next.
      ridge_period: of the prints' ridges.
      discriminator_loss_weight: factor on D's loss.
      ema_decay: decay of the moving average of G's weights, where the state has one.
      update_order: one of `UPDATE_ORDERS`: G learns from D as just updated; from D before its update; or from
        what D thought before its update, with a gradient that goes back through its new weights.
      remat: compute norms and activations again for the gradients, instead of keeping them: less memory, a
        little more time.
      axis_name: the device axis, or None outside pmap.

    Returns:
      (the state after; name -> `Mean` summed over the devices, and `finiteness.PROBES` -> network -> the probe of
      its gradients).

    Raises:
      ValueError: `update_order` is not one of `UPDATE_ORDERS`.

    Source: Isola et al. 2017, section 3.3 and equation 4; differs in: one forward pass of G serves
      both updates, which is the same computation, since D's update leaves G alone. "simultaneous" is the
      TensorFlow tutorial's `train_step`, "old_activations" phillipi/pix2pix's `fGx`.
    """
    if update_order not in UPDATE_ORDERS:
        raise ValueError(f"update_order={update_order!r} is not one of {UPDATE_ORDERS}")
    keys = fold_in_step(base_keys, state.step)
    dropout_key = parallel.fold_in_device(keys.dropout, axis_name)
    batch_size = len(batch["noise_image"])
    noise_image, real_image = prepare_batch(
        keys.augmentation, batch, first_index=parallel.find_first_example(batch_size, axis_name)
    )

    def generate(params):
        fake_image, updates = generator.apply(
            {"params": params, "batch_stats": state.generator.batch_stats},
            noise_image,
            deterministic=False,
            use_running_average=False,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        return fake_image, updates.get("batch_stats", state.generator.batch_stats)

    if remat:
        generate = recompute_activations(generate)
    fake_image, pull_back, generator_batch_stats = jax.vjp(generate, state.generator.params, has_aux=True)
    discriminator_state, discriminator_averages, discriminator_probe = update_discriminator(
        state.discriminator,
        noise_image,
        real_image,
        fake_image,
        discriminator=discriminator,
        tx=discriminator_tx,
        gan_objective=gan_objective,
        loss_weight=discriminator_loss_weight,
        remat=remat,
        axis_name=axis_name,
    )
    is_judged_anew = update_order == "discriminator_first"
    fake_gradient, discriminator_batch_stats, generator_averages = compute_fake_gradient(
        discriminator_state if is_judged_anew else state.discriminator,
        noise_image,
        real_image,
        fake_image,
        discriminator=discriminator,
        gan_objective=gan_objective,
        lambda_l1=lambda_l1,
        ridge_loss_weight=ridge_loss_weight,
        ridge_period=ridge_period,
        remat=remat,
        backward_params=discriminator_state.params if update_order == "old_activations" else None,
    )
    (gradients,) = pull_back(fake_gradient)
    generator_state = update_network(
        state.generator, gradients, generator_batch_stats, generator_tx, axis_name
    )
    # In the other orders both updates share D's forward passes, which its statistics have seen.
    if is_judged_anew:
        discriminator_state = discriminator_state.replace(
            batch_stats=parallel.average_over_devices(discriminator_batch_stats, axis_name)
        )
    new_state = GanTrainState(
        step=state.step + 1,
        generator=generator_state,
        discriminator=discriminator_state,
        generator_ema=_update_ema(state.generator_ema, generator_state.params, ema_decay),
    )
    metrics = create_means(discriminator_averages | generator_averages, batch_size)
    metrics[PROBES] = {"discriminator": discriminator_probe, "generator": probe_gradients(gradients)}
    return new_state, parallel.sum_over_devices(metrics, axis_name)


def _update_ema(average, params, decay: float):
    if average is None:
        return None
    return jax.tree.map(
        lambda old, new: decay * old + jnp.asarray(1 - decay, new.dtype) * new, average, params
    )
