"""Owns one training step of the classifier. Network, settings and data come in as arguments."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from flax import linen as nn

from fpgan_jax import losses, parallel
from fpgan_jax.metrics import create_means
from fpgan_jax.models.layers import recompute_activations
from fpgan_jax.training.finiteness import PROBES, probe_gradients
from fpgan_jax.training.optimizers import update_network
from fpgan_jax.training.random_streams import StepKeys, fold_in_step
from fpgan_jax.training.state import ClassifierTrainState


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What a step trains, and how.

    Attributes:
      label_smoothing: see `losses.compute_classification_loss`.
      remat: recompute norms and activations in the backward pass.
    """

    classifier: nn.Module
    tx: optax.GradientTransformation
    label_smoothing: float = 0.0
    remat: bool = False


def train_step(
    state: ClassifierTrainState,
    batch: Mapping[str, jax.Array],
    base_keys: StepKeys,
    *,
    settings: StepSettings,
    prepare_batch: Callable,
    axis_name: str | None = None,
) -> tuple[ClassifierTrainState, dict[str, Any]]:
    """Take one step of softmax cross-entropy training.

    Args:
      batch: this device's "image" [batch, height, width, channels] and "label" int [batch].
      base_keys: the run's; the step is folded in here, and for dropout the device.
      prepare_batch: (key, batch, first_index) -> augmented images, float32, about [-1, 1]; see `gan_step.train_step`.
      axis_name: the device axis, or None outside pmap.

    Returns:
      (state after the step; `Mean` of "loss" and "accuracy", and `PROBES` -> "classifier" -> `probe_gradients`, summed
      over devices).
    """
    keys = fold_in_step(base_keys, state.step)
    dropout_key = parallel.fold_in_device(keys.dropout, axis_name)
    batch_size = len(batch["image"])
    first_index = parallel.find_first_example(batch_size, axis_name)
    images = prepare_batch(keys.augmentation, batch, first_index=first_index)

    def compute_loss(params: Any) -> tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]:
        logits, updates = settings.classifier.apply(
            {"params": params, "batch_stats": state.classifier.batch_stats},
            images,
            deterministic=False,
            use_running_average=False,
            rngs={"dropout": dropout_key},
            mutable=["batch_stats"],
        )
        loss = losses.compute_classification_loss(logits, batch["label"], settings.label_smoothing)
        accuracy = (logits.argmax(-1) == batch["label"]).mean()
        return loss, (updates["batch_stats"], {"loss": loss, "accuracy": accuracy})

    if settings.remat:
        compute_loss = recompute_activations(compute_loss)
    gradients, (batch_stats, averages) = jax.grad(compute_loss, has_aux=True)(state.classifier.params)
    network = update_network(state.classifier, gradients, batch_stats, settings.tx, axis_name)
    metrics = create_means(averages, batch_size) | {PROBES: {"classifier": probe_gradients(gradients)}}
    return ClassifierTrainState(state.step + 1, network), parallel.sum_over_devices(metrics, axis_name)
