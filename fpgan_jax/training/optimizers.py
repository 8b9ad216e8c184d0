"""Owns the optimizers and learning-rate schedules of both experiments, and one update of a network."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.models import fusion
from fpgan_jax.training.state import NetworkState


def update_network(
    network: NetworkState,
    gradients: Any,
    batch_stats: Any,
    tx: optax.GradientTransformation,
    axis_name: str | None,
) -> NetworkState:
    """Apply one optimizer step, with gradients and running statistics averaged over the devices.

    The gradients, with respect to `network.params`, and the statistics after the step are this device's.
    """
    gradients, batch_stats = parallel.average_over_devices((gradients, batch_stats), axis_name)

    def apply(gradients: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        updates, opt_state = tx.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    params, opt_state = fusion.apart_on_cpu(apply)(gradients, network.opt_state, network.params)
    return NetworkState(params, batch_stats, opt_state)


def create_constant_then_linear_schedule(
    learning_rate: float, *, num_epochs: int, num_decay_epochs: int, num_examples: int, global_batch_size: int
) -> optax.Schedule:
    """Create pix2pix's schedule: constant, then linear to zero in the last `num_decay_epochs`, in steps of an epoch.

    It depends on the absolute step alone: a run that is trained on for more epochs has, from there on, the rates of a
    run with the new numbers of epochs. As in the reference code, which steps its scheduler before an epoch's first
    batch, the last constant epoch has a reduced rate and the very last one a rate of 0.

    Source: Isola et al. 2017, section 6.2; differs in: nothing from the reference PyTorch code.
    """
    if not num_decay_epochs:
        return optax.constant_schedule(learning_rate)
    num_constant_epochs = num_epochs - num_decay_epochs

    def schedule(count: jax.Array) -> jax.Array:
        epoch = count * global_batch_size // num_examples + 1
        num_decayed = jnp.maximum(0, epoch + 1 - num_constant_epochs)
        return learning_rate * jnp.maximum(0.0, 1 - num_decayed / (num_decay_epochs + 1))

    return schedule


def create_gan_optimizer(config: ConfigDict, num_examples: int) -> optax.GradientTransformation:
    """Create the optimizer of each of the two networks: Adam with the constant-then-linear schedule.

    Source: Isola et al. 2017, section 3.3 (Adam, rate 2e-4, beta1 0.5, beta2 0.999); differs in: nothing.
    """
    schedule = create_constant_then_linear_schedule(
        config.learning_rate,
        num_epochs=config.num_epochs,
        num_decay_epochs=config.num_decay_epochs,
        num_examples=num_examples,
        global_batch_size=config.global_batch_size,
    )
    return optax.chain(
        scale_by_adam(b1=config.adam_beta1, b2=config.adam_beta2, eps=config.adam_eps),
        optax.scale_by_learning_rate(schedule),
    )


def scale_by_adam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Scale by Adam as `optax.scale_by_adam`, whose state it has, with moments that XLA:CPU can update in place.

    Source: Kingma & Ba 2015, algorithm 1; differs in: nothing.
    """
    inner = optax.scale_by_adam(b1, b2, eps)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, optax.ScaleByAdamState]:
        _, state = inner.update(gradients, state, params)
        # Otherwise each moment is computed twice, the second time from a copy of its old value.
        mu, nu = fusion.materialize_on_cpu((state.mu, state.nu))
        mu_hat = optax.tree.bias_correction(mu, b1, state.count)
        nu_hat = optax.tree.bias_correction(nu, b2, state.count)
        direction = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + eps), mu_hat, nu_hat)
        return direction, optax.ScaleByAdamState(state.count, mu, nu)

    return optax.GradientTransformation(inner.init, update)


def create_classifier_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Create the classifier's optimizer: AdamW with a cosine decay to zero at `classifier.num_steps`.

    The rate depends on the absolute step: if a run is trained on for more steps, it rises again. Weight decay applies
    to kernels only, not to biases and norms.

    Source: the paper does not say; Loshchilov & Hutter 2017 and 2019; differs in: Chollet 2017 used SGD or RMSprop with
      long schedules on millions of images.
    """
    classifier = config.classifier
    schedule = optax.cosine_decay_schedule(classifier.learning_rate, classifier.num_steps)

    def is_kernel(params: Any) -> Any:
        return {
            key: is_kernel(value) if isinstance(value, dict) else value.ndim > 1
            for key, value in params.items()
        }

    return optax.chain(
        scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
        optax.add_decayed_weights(classifier.weight_decay, is_kernel),
        optax.scale_by_learning_rate(schedule),
    )
