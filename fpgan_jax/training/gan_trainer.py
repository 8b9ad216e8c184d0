"""Owns experiment 1: trains the GAN of a config in a workdir."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.config.fields import MAX_COUNT
from fpgan_jax.config.identity import GAN_FIELDS
from fpgan_jax.data import augmentation, feeding, print_loading
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.data.ridges import print_scale, ridge_condition, ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.host.progress import print_line
from fpgan_jax.models import factory, fusion
from fpgan_jax.training import gan_step, random_streams
from fpgan_jax.training.cadence import Schedule, last_step_of_epoch
from fpgan_jax.training.feed import Feed
from fpgan_jax.training.gan_step import GanNetworks, StepSettings
from fpgan_jax.training.gan_watch import GanWatch
from fpgan_jax.training.loop import run_training
from fpgan_jax.training.optimizers import create_gan_optimizer
from fpgan_jax.training.run import Training
from fpgan_jax.training.starting.origin import Origin, take_weights
from fpgan_jax.training.starting.start import check_claim, save_start
from fpgan_jax.training.state import GanTrainState, create_gan_state

METRIC_NAMES = (
    "generator_loss",
    "adversarial_loss",
    "l1_loss",
    "ridge_loss",
    "discriminator_loss",
    "discriminator_real_accuracy",
    "discriminator_fake_accuracy",
)
# See `Training.checks`. G's output comes first; D is updated before it judges that output.
CHECKS = (
    ("generator", "l1_loss"),
    ("discriminator", "discriminator_loss"),
    ("discriminator", "gradient"),
    ("generator", "adversarial_loss"),
    ("generator", "generator_loss"),
    ("generator", "gradient"),
)


def train_and_evaluate(
    config: ConfigDict,
    workdir: str,
    source: Any = None,
    *,
    may_start_anew: bool = False,
    init_from: str | None = None,
) -> GanTrainState:
    """Train the GAN, from the last checkpoint in the workdir if there is one.

    Args:
      workdir: folder for config, metrics, samples and checkpoints.
      source: the training pairs; by default those of the config (`feeding.create_gan_source`). Use
        `feeding.create_gan_source_from_prints` to train from arrays, without TensorFlow.
      may_start_anew: whether a run whose checkpoints are all damaged starts at step 0 instead of stopping.
      init_from: workdir of a run whose last checkpoint initializes G and D of a new run.

    Returns:
      The final state, on the host.

    Raises:
      UserError: the config, the data or the checkpoint in the workdir does not fit.
    """
    origin = None if init_from is None else Origin(init_from, ("generator", "discriminator"))
    arguments = _create_training(config, workdir, source)
    return run_training(*arguments, may_start_anew=may_start_anew, origin=origin)


def start_from_weights(
    config: ConfigDict, workdir: str, variables: Mapping[str, Mapping], source: Any = None
) -> GanTrainState:
    """Make a workdir with a checkpoint of given weights at step 0; return the state, on the host.

    `train_and_evaluate`, which has the same arguments, continues from it, and `drawing.synthesize` draws with it.

    Args:
      workdir: the run's folder, without checkpoints; made if missing.
      variables: "generator" and, unless D starts from random weights, "discriminator": each {"params": ..,
        "batch_stats": ..} of arrays.

    Raises:
      UserError: see `train_and_evaluate`; or the workdir has checkpoints, or the weights are of other networks.
    """
    training, state, _ = _create_training(config, workdir, source)
    return save_start(training, take_weights(state, variables))


def _create_training(
    config: ConfigDict, workdir: str, source: Any
) -> tuple[Training, GanTrainState, random_streams.StepKeys]:
    """Check everything, including the workdir, and bind what the loop runs: (training, state at step 0, keys)."""
    validate_config(config, needs_data=source is None)
    if source is None:
        config = print_loading.resolve_num_channels(config)
    parallel.check_batch_size(config.global_batch_size, "config.global_batch_size")
    generator, discriminator = factory.create_generator(config), factory.create_discriminator(config)
    if source is None:
        # TFDS prepares the set in a folder that all processes read.
        with parallel.main_process_first("the data is prepared"):
            source = feeding.create_gan_source(config)
    validation_pairs = source.load_validation()
    schedule = create_schedule(config, source.num_examples, is_validated=bool(validation_pairs))
    tx = create_gan_optimizer(config, source.num_examples)
    training = Training(
        label="GAN",
        workdir=workdir,
        config=config,
        config_fields=GAN_FIELDS,
        schedule=schedule,
        feed=Feed(source, config.data.feeding),
        global_batch_size=config.global_batch_size,
        step=bind_train_step(config, generator=generator, discriminator=discriminator, tx=tx),
        metric_names=tuple(name for name in METRIC_NAMES if name != "ridge_loss" or config.ridge_loss_weight),
        shown_metrics=("l1_loss", "adversarial_loss", "discriminator_loss"),
        best_metric=config.best_metric,
        checks=CHECKS,
        watch=GanWatch(config, schedule, generator, source, validation_pairs),
        metadata={"pairs": [list(pair) for pair in source.pair_ids], "pair_names": list(source.pair_names)},
    )
    check_claim(training)
    weights_key, step_keys = random_streams.create_keys(config)
    state = create_gan_state(
        weights_key,
        generator=generator,
        discriminator=discriminator,
        generator_tx=tx,
        discriminator_tx=tx,
        image_shape=image_shape(config.data),
        condition_shape=condition_shape(config.data),
        use_ema=config.ema_decay > 0,
    )
    if source.description and parallel.is_main_process():
        print_line(f"GAN: {source.description}")
    return training, state, step_keys


def create_schedule(config: ConfigDict, num_examples: int, *, is_validated: bool = False) -> Schedule:
    """Compute when everything is due in a training on `num_examples` pairs.

    Validation pairs are measured whenever samples are drawn.

    Raises:
      UserError: the training has more steps than can be counted.
    """
    num_steps = last_step_of_epoch(config.num_epochs, num_examples, config.global_batch_size)
    if num_steps > MAX_COUNT:
        raise UserError(
            f"config.num_epochs={config.num_epochs}: {num_steps} steps, more than {MAX_COUNT}; use fewer"
        )

    def map_last_steps(epochs: Iterable[int]) -> dict[int, int]:
        return {
            last_step_of_epoch(epoch, num_examples, config.global_batch_size): epoch
            for epoch in epochs
            if epoch <= config.num_epochs
        }

    return Schedule(
        num_steps=num_steps,
        log_every_steps=config.log_every_steps,
        checkpoint_every_steps=config.checkpoint_every_steps,
        steps_per_dispatch=config.steps_per_dispatch,
        keep_steps=frozenset(map_last_steps(config.keep_epochs)),
        sample_epochs=map_last_steps(config.sample_epochs if config.num_samples or is_validated else ()),
    )


def bind_train_step(
    config: ConfigDict, *, generator: nn.Module, discriminator: nn.Module, tx: optax.GradientTransformation
) -> Callable:
    """Bind `gan_step.train_step` to a config: (state, batch of bytes, base_keys) -> (state, metrics).

    It runs over `parallel.DEVICE_AXIS` and is not compiled. Each network gets an optimizer `tx`.
    """
    ridge_period = print_scale.find_sensor_period(config.data)
    return functools.partial(
        gan_step.train_step,
        networks=GanNetworks(generator, discriminator, generator_tx=tx, discriminator_tx=tx),
        settings=StepSettings(
            gan_objective=config.gan_objective,
            lambda_l1=config.lambda_l1,
            l1_blur=config.l1_blur,
            ridge_loss_weight=config.ridge_loss_weight,
            ridge_period=ridge_period,
            ridge_filter=config.data.ridge_filter,
            discriminator_loss_weight=config.discriminator_loss_weight,
            ema_decay=config.ema_decay,
            update_order=config.update_order,
            remat=config.remat,
        ),
        prepare_batch=functools.partial(
            prepare_batch,
            jitter=config.data.jitter,
            warp_strength=config.data.warp_strength,
            ridge_period=ridge_period,
            neutral=ridge_pairs.NEUTRALS.get(config.data.condition, ridge_condition.NEUTRAL),
        ),
        axis_name=parallel.DEVICE_AXIS,
    )


def prepare_batch(
    key: jax.Array,
    batch: Mapping[str, jax.Array],
    *,
    first_index: int | jax.Array,
    jitter: int,
    warp_strength: float = 0.0,
    ridge_period: float = 0.0,
    neutral: tuple[float, ...] = ridge_condition.NEUTRAL,
) -> tuple[jax.Array, jax.Array]:
    """Scale a batch of bytes to the networks' range, with pix2pix's jitter and a finger's warp if they are on.

    Args:
      key: random key, the same on every device.
      batch: "noise_image", "real_image": uint8 [batch, height, width, channels].
      jitter: pixels of enlargement before the random crop; 0 is off.
      warp_strength: see `augmentation.warp_pair`; 0 is off.
      ridge_period: ridge period of the prints, pixels.
      neutral: see `augmentation.warp_pair`.

    Returns:
      (noise_image, real_image), float32 in [-1, 1].
    """
    # Stored first, so that examples which a CPU gathers from `config.data.feeding="device"` are scaled, and rounded, by
    # the same kernel as those that the host sends.
    images = fusion.materialize_on_cpu((batch["noise_image"], batch["real_image"]))
    noise_image, real_image = map(scale_to_unit, images)
    images = augmentation.jitter_pair(key, noise_image, real_image, jitter, first_index=first_index)
    # Another key than the crop's.
    warp_key = jax.random.split(key)[1]
    return augmentation.warp_pair(
        warp_key,
        *images,
        strength=warp_strength,
        period=ridge_period,
        neutral=neutral,
        first_index=first_index,
    )
