"""Owns experiment 1: trains the GAN of a config in a workdir.

Does not own the step, the loop or the data; it binds them.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.config.checks import validate_config
from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.config.fields import MAX_COUNT
from fpgan_jax.config.identity import GAN_FIELDS, TRAIN_ON_FIELDS, claim_workdir
from fpgan_jax.data import augmentation, feeding, print_loading
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.data.ridges import print_scale, ridge_condition, ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.host.progress import print_line
from fpgan_jax.models import factory, fusion
from fpgan_jax.training import gan_step, gan_watch, random_streams
from fpgan_jax.training.cadence import Schedule, last_step_of_epoch
from fpgan_jax.training.checkpoints.restore import check_variables
from fpgan_jax.training.feed import Feed
from fpgan_jax.training.gan_step import GanNetworks, StepSettings
from fpgan_jax.training.loop import run_training
from fpgan_jax.training.optimizers import create_gan_optimizer
from fpgan_jax.training.reporting import Reporter
from fpgan_jax.training.run import Training, Watch
from fpgan_jax.training.sampling import SampleGrid, create_generate
from fpgan_jax.training.starting.origin import Origin
from fpgan_jax.training.starting.start import save_start
from fpgan_jax.training.state import GanTrainState, create_gan_state
from fpgan_jax.training.validation import Validation

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
      config: the experiment's config.
      workdir: where config, metrics, samples and checkpoints go.
      source: the training pairs; by default the config's own (`feeding.create_gan_source`). Use
        `feeding.create_gan_source_from_prints` to train from arrays, without TensorFlow.
      may_start_anew: whether a run whose checkpoints are all damaged begins at step 0 rather than stops.
      init_from: workdir of a run whose last checkpoint gives a new run its first weights; G's and D's.

    Returns:
      The final state, on the host.

    Raises:
      UserError: the config, the data or the workdir's checkpoint does not fit.
    """
    origin = None if init_from is None else Origin(init_from, ("generator", "discriminator"))
    arguments = _create_training(config, workdir, source)
    return run_training(*arguments, may_start_anew=may_start_anew, origin=origin)


def start_from_weights(
    config: ConfigDict, workdir: str, variables: Mapping[str, Mapping], source: Any = None
) -> GanTrainState:
    """Make a workdir whose run is at step 0 and starts from given weights.

    `train_and_evaluate` goes on from it, and `drawing.synthesize` draws with it.

    Args:
      config: the experiment's config.
      workdir: the run's folder, without checkpoints; made if missing.
      variables: "generator" and, unless D starts from random weights, "discriminator": each {"params": ..,
        "batch_stats": ..} of arrays.
      source: see `train_and_evaluate`.

    Returns:
      The state, on the host.

    Raises:
      UserError: see `train_and_evaluate`; or the workdir holds checkpoints, or the weights are of other networks.
    """
    training, state, _ = _create_training(config, workdir, source)
    networks = {}
    for name, tree in variables.items():
        network = getattr(state, name)
        check_variables(tree, network.variables, name)
        networks[name] = network.replace(**tree)
    state = state.replace(**networks)
    if state.generator_ema is not None:
        state = state.replace(generator_ema=state.generator.params)
    save_start(training, state)
    return state


def _create_training(
    config: ConfigDict, workdir: str, source: Any
) -> tuple[Training, GanTrainState, random_streams.StepKeys]:
    """Check everything, the workdir too, and bind what the loop runs: (training, state at step 0, keys)."""
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
    feed = Feed(source, config.data.feeding)
    # A refused config is not written; the loop checks again once it holds the workdir.
    claim_workdir(workdir, config, prefixes=GAN_FIELDS, may_change=TRAIN_ON_FIELDS, is_writer=False)

    tx = create_gan_optimizer(config, source.num_examples)
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
    training = Training(
        label="GAN",
        workdir=workdir,
        config=config,
        config_fields=GAN_FIELDS,
        schedule=schedule,
        feed=feed,
        global_batch_size=config.global_batch_size,
        step=bind_train_step(config, generator=generator, discriminator=discriminator, tx=tx),
        metric_names=tuple(name for name in METRIC_NAMES if name != "ridge_loss" or config.ridge_loss_weight),
        shown_metrics=("l1_loss", "adversarial_loss", "discriminator_loss"),
        best_metric=config.best_metric,
        checks=CHECKS,
        watch=GanWatch(config, schedule, generator, source, validation_pairs),
        metadata={
            "pairs": [list(pair) for pair in source.pair_ids],
            "pair_names": list(source.pair_names),
        },
    )
    if source.description and parallel.is_main_process():
        print_line(f"GAN: {source.description}")
    return training, state, step_keys


def create_schedule(config: ConfigDict, num_examples: int, *, is_validated: bool = False) -> Schedule:
    """Compute when everything is due in the training of a config.

    Args:
      config: the experiment's config.
      num_examples: pairs in the training set.
      is_validated: whether there are validation pairs, which are measured where samples are drawn.

    Returns:
      The schedule.

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


class GanWatch(Watch):
    """Draws the sample grids, measures validation pairs, and looks for the signs of a failed training."""

    def __init__(
        self,
        config: ConfigDict,
        schedule: Schedule,
        generator: nn.Module,
        source: Any,
        validation_pairs: Mapping[str, np.ndarray],
    ):
        """Args: the config, its schedule, G's module, the training pairs, and a batch of validation pairs or {}."""
        # Grid, response and validation are drawn by one program.
        samples = source.load_samples(max(config.num_samples, 2))
        generate = create_generate(generator, deterministic=False, use_running_average=False)
        self._epochs = schedule.sample_epochs
        self._grid = SampleGrid(config, generate, samples) if config.num_samples else None
        self._validation = (
            Validation(config, generate, validation_pairs, batch_size=len(samples["noise_image"]))
            if validation_pairs
            else None
        )
        self._watch_discriminator = gan_watch.watch_discriminator(config, schedule.num_steps)
        self._watch_generator = gan_watch.watch_generator(generate, samples, schedule.num_steps)

    def see_metrics(self, step: int, averages: Mapping[str, float], reporter: Reporter) -> None:
        """Warn once D's loss has been near zero for long."""
        self._watch_discriminator(step, averages, reporter)

    def see_state(self, step: int, state: GanTrainState, reporter: Reporter) -> None:
        """Warn if G ignores its input."""
        self._watch_generator(step, state, reporter)

    def draw_samples(self, step: int, state: GanTrainState, reporter: Reporter) -> None:
        """Write the grid of the epoch that `step` completes, and how the validation pairs come out."""
        if not parallel.is_main_process():
            return
        epoch = self._epochs[step]
        variables = parallel.unreplicate(state.generator.replace(opt_state=())).variables
        if self._grid:
            reporter.write_images(step, f"epoch_{epoch:04d}", self._grid.draw(variables))
        if self._validation:
            values, rows = self._validation.measure(variables)
            reporter.write_validation(step, {"epoch": epoch, **values})
            ssim = f", SSIM {values['ssim']:.3f}" if "ssim" in values else ""
            print_line(
                f"GAN: epoch {epoch}: {values['num_pairs']} validation pairs: L1 {values['l1']:.3f}{ssim}"
            )
            if rows:
                reporter.write_images(step, f"validation_epoch_{epoch:04d}", rows, tag="validation")


def bind_train_step(
    config: ConfigDict, *, generator: nn.Module, discriminator: nn.Module, tx: optax.GradientTransformation
) -> Callable:
    """Bind the step to a config's settings.

    Args:
      config: the experiment's config.
      generator: G's module.
      discriminator: D's module.
      tx: the optimizer of each.

    Returns:
      `gan_step.train_step` as (state, batch, base_keys) -> (state, metrics), over `parallel.DEVICE_AXIS`, not
      compiled; the batch is of bytes, as `prepare_batch` takes it.
    """
    ridge_period = print_scale.find_sensor_period(config.data)
    return functools.partial(
        gan_step.train_step,
        networks=GanNetworks(generator, discriminator, generator_tx=tx, discriminator_tx=tx),
        settings=StepSettings(
            gan_objective=config.gan_objective,
            lambda_l1=config.lambda_l1,
            ridge_loss_weight=config.ridge_loss_weight,
            ridge_period=ridge_period,
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
    """Scale a batch of bytes to the networks' range, with pix2pix's jitter and a finger's warp where they are on.

    Args:
      key: random key, the same on every device.
      batch: "noise_image", "real_image": uint8 [batch, height, width, channels].
      first_index: position of the first example in the global batch.
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
