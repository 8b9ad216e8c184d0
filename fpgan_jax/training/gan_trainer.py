"""Owns experiment 1: trains the GAN of a config in a workdir.

Does not own the step, the loop's mechanics or the data; it binds them.
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
from fpgan_jax.config.identity import GAN_FIELDS, claim_workdir, hash_config
from fpgan_jax.data import augmentation, feeding
from fpgan_jax.data.preprocessing import scale_to_unit, to_uint8
from fpgan_jax.data.ridges import print_scale, ridge_condition, ridge_pairs
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.training import gan_step, gan_watch, random_streams
from fpgan_jax.training.cadence import last_step_of_epoch
from fpgan_jax.training.checkpoints.restore import check_variables
from fpgan_jax.training.loop import Training, load_feed, run_training, save_start
from fpgan_jax.training.optimizers import create_gan_optimizer
from fpgan_jax.training.reporting import Reporter
from fpgan_jax.training.sampling import create_generate
from fpgan_jax.training.state import GanTrainState, NetworkState, create_gan_state

METRIC_NAMES = (
    "generator_loss",
    "adversarial_loss",
    "l1_loss",
    "ridge_loss",
    "discriminator_loss",
    "discriminator_real_accuracy",
    "discriminator_fake_accuracy",
)
# As of `Training.checks`. G's output comes first, and D is updated before it judges that.
CHECKS = (
    ("generator", "l1_loss"),
    ("discriminator", "discriminator_loss"),
    ("discriminator", "gradient"),
    ("generator", "adversarial_loss"),
    ("generator", "generator_loss"),
    ("generator", "gradient"),
)


def train_and_evaluate(
    config: ConfigDict, workdir: str, source: Any = None, *, may_start_anew: bool = False
) -> GanTrainState:
    """Train the GAN, from the last checkpoint in the workdir if there is one.

    Args:
      config: the experiment's config.
      workdir: where config, metrics, samples and checkpoints go.
      source: the training pairs; by default the config's own (`feeding.create_gan_source`). Use
        `feeding.create_gan_source_from_prints` to train from arrays, without TensorFlow.
      may_start_anew: whether a run whose checkpoints are all damaged begins at step 0 rather than stops.

    Returns:
      The final state, on the host.

    Raises:
      UserError: the config, the data or the workdir's checkpoint is not as it must be.
    """
    return run_training(*_create_training(config, workdir, source), may_start_anew=may_start_anew)


def start_from_weights(
    config: ConfigDict, workdir: str, variables: Mapping[str, Mapping], source: Any = None
) -> GanTrainState:
    """Make a workdir whose run has taken no step yet and starts from given weights.

    `train_and_evaluate` goes on from it, and `synthesis.synthesize` draws with it.

    Args:
      config: the experiment's config.
      workdir: the run's folder, without checkpoints; made if missing.
      variables: "generator" and, unless D is to be drawn anew, "discriminator": each {"params": ..,
        "batch_stats": ..} of arrays.
      source: as of `train_and_evaluate`.

    Returns:
      The state, on the host.

    Raises:
      UserError: as `train_and_evaluate`; or the workdir holds checkpoints; or the weights are of other networks.
    """
    training, state, _ = _create_training(config, workdir, source)
    networks = {}
    for name, tree in variables.items():
        network = getattr(state, name)
        check_variables(tree, {"params": network.params, "batch_stats": network.batch_stats}, name)
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
    parallel.check_batch_size(config.global_batch_size, "config.global_batch_size")
    generator, discriminator = factory.create_generator(config), factory.create_discriminator(config)
    if source is None:
        # TFDS prepares the set in a folder that all processes read.
        with parallel.main_process_first("the data is prepared"):
            source = feeding.create_gan_source(config)
    num_steps = _count_steps(config, source)
    examples, create_batches = load_feed(source, config.data.feeding)
    # What runs in the workdir now keeps its config; it is checked again when the workdir is held.
    claim = functools.partial(claim_workdir, workdir, config, prefixes=GAN_FIELDS)
    claim(is_writer=False)

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
    step = bind_train_step(config, generator=generator, discriminator=discriminator, tx=tx)
    last_steps = functools.partial(_map_last_steps, config=config, num_examples=source.num_examples)
    sample_epochs = last_steps(config.sample_epochs if config.num_samples else ())
    num_steps = last_step_of_epoch(config.num_epochs, source.num_examples, config.global_batch_size)
    # Those of the sample grids, so that both are drawn by one program.
    samples = source.load_samples(max(config.num_samples, 2))
    generate = create_generate(generator, deterministic=False, use_running_average=False)
    training = Training(
        label="GAN",
        workdir=workdir,
        num_steps=num_steps,
        global_batch_size=config.global_batch_size,
        steps_per_dispatch=config.steps_per_dispatch,
        log_every_steps=config.log_every_steps,
        checkpoint_every_steps=config.checkpoint_every_steps,
        best_metric=config.best_metric,
        metric_names=[name for name in METRIC_NAMES if name != "ridge_loss" or config.ridge_loss_weight],
        shown_metrics=("l1_loss", "adversarial_loss", "discriminator_loss"),
        step=step,
        create_batches=create_batches,
        state_to_trees=state_to_trees,
        trees_to_state=trees_to_state,
        config_prefixes=GAN_FIELDS,
        metadata={
            "config": config.to_dict(),
            "config_hash": hash_config(config),
            "data_hash": source.data_hash,
            "pairs": [list(pair) for pair in source.pair_ids],
            "pair_names": list(source.pair_names),
        },
        examples=examples,
        keep_steps=frozenset(last_steps(config.keep_epochs)),
        checks=CHECKS,
        name_examples=source.name_examples,
        claim=claim,
        watch_metrics=gan_watch.watch_discriminator(config, num_steps),
        watch_state=gan_watch.watch_generator(generate, samples, num_steps),
        sample_steps=frozenset(sample_epochs),
        draw_samples=_create_sampler(config, generate, samples, sample_epochs),
    )
    return training, state, step_keys


def _count_steps(config: ConfigDict, source: Any) -> int:
    num_steps = last_step_of_epoch(config.num_epochs, source.num_examples, config.global_batch_size)
    if num_steps > MAX_COUNT:
        raise UserError(
            f"config.num_epochs={config.num_epochs}: {num_steps} steps, more than {MAX_COUNT}; use fewer"
        )
    return num_steps


def bind_train_step(
    config: ConfigDict, *, generator: nn.Module, discriminator: nn.Module, tx: optax.GradientTransformation
) -> Callable:
    """Bind the step to a config's settings.

    Args:
      config: the experiment's config.
      generator: G's module.
      discriminator: D's module.
      tx: the optimiser of each.

    Returns:
      `gan_step.train_step` as (state, batch, base_keys) -> (state, metrics), of `parallel.DEVICE_AXIS`, not
      compiled; the batch is of bytes, as `prepare_batch` takes it.
    """
    ridge_period = print_scale.find_sensor_period(config.data)
    return functools.partial(
        gan_step.train_step,
        generator=generator,
        discriminator=discriminator,
        generator_tx=tx,
        discriminator_tx=tx,
        prepare_batch=functools.partial(
            prepare_batch,
            jitter=config.data.jitter,
            warp_strength=config.data.warp_strength,
            ridge_period=ridge_period,
            neutral=ridge_pairs.NEUTRALS.get(config.data.condition, ridge_condition.NEUTRAL),
        ),
        gan_objective=config.gan_objective,
        lambda_l1=config.lambda_l1,
        ridge_loss_weight=config.ridge_loss_weight,
        ridge_period=ridge_period,
        discriminator_loss_weight=config.discriminator_loss_weight,
        ema_decay=config.ema_decay,
        update_order=config.update_order,
        remat=config.remat,
        axis_name=parallel.DEVICE_AXIS,
    )


def prepare_batch(
    key: jax.Array,
    batch: Mapping[str, jax.Array],
    *,
    first_index,
    jitter: int,
    warp_strength: float = 0.0,
    ridge_period: float = 0.0,
    neutral: tuple[float, ...] = ridge_condition.NEUTRAL,
):
    """Bring a batch of bytes to the networks' range, with pix2pix's jitter and a finger's warp if asked for.

    Args:
      key: random key, the same on every device.
      batch: "noise_image", "real_image": uint8 [batch, height, width, channels].
      first_index: the first example's place in the global batch.
      jitter: pixels of enlargement before the random crop; 0 is off.
      warp_strength: as of `augmentation.warp_pair`; 0 is off.
      ridge_period: of the prints' ridges, pixels.
      neutral: as of `augmentation.warp_pair`.

    Returns:
      (noise_image, real_image), float32 in [-1, 1].
    """
    noise_image, real_image = scale_to_unit(batch["noise_image"]), scale_to_unit(batch["real_image"])
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


def state_to_trees(state: GanTrainState) -> dict[str, Any]:
    """Divide a state into a checkpoint's parts: what evaluation needs, and what only training does.

    Args:
      state: the state.

    Returns:
      "generator", "discriminator" (each params and batch_stats) and "training" (the rest).
    """
    networks = {"generator": state.generator, "discriminator": state.discriminator}
    trees = {
        name: {"params": network.params, "batch_stats": network.batch_stats}
        for name, network in networks.items()
    }
    if state.generator_ema is not None:
        trees["generator_ema"] = {"params": state.generator_ema, "batch_stats": state.generator.batch_stats}
    opt_states = {name: network.opt_state for name, network in networks.items()}
    return trees | {"training": {"step": state.step, "opt_state": opt_states}}


def trees_to_state(trees: dict[str, Any]) -> GanTrainState:
    """Put a state together again; the inverse of `state_to_trees`."""
    networks = {
        name: NetworkState(**trees[name], opt_state=trees["training"]["opt_state"][name])
        for name in ("generator", "discriminator")
    }
    ema = trees.get("generator_ema")
    return GanTrainState(step=trees["training"]["step"], **networks, generator_ema=ema and ema["params"])


def _map_last_steps(epochs: Iterable[int], *, config: ConfigDict, num_examples: int) -> dict[int, int]:
    """Return the last step of each of these epochs that the run comes to -> the epoch."""
    return {
        last_step_of_epoch(epoch, num_examples, config.global_batch_size): epoch
        for epoch in epochs
        if epoch <= config.num_epochs
    }


def _create_sampler(
    config: ConfigDict, generate: Callable, pairs: Mapping[str, np.ndarray], epochs: Mapping[int, int]
) -> Callable[[int, Any, Reporter], None]:
    """Create the hook that draws the sample grid after the steps that end the chosen epochs."""
    if not epochs:
        return lambda step, state, reporter: None
    pairs = {name: values[: config.num_samples] for name, values in pairs.items()}
    pictures = ridge_pairs.draw_condition(pairs["noise_image"], config.data.condition)
    if pictures.shape[-1] < config.data.num_channels:
        pictures = pictures.repeat(config.data.num_channels, axis=-1)
    # The same dropout at every epoch: what changes from grid to grid is the network.
    keys = jax.random.split(jax.random.key(config.synthesis.seed), len(pairs["noise_image"]))

    def draw(step: int, state: Any, reporter: Reporter) -> None:
        if not parallel.is_main_process():
            return
        network = parallel.unreplicate(state.generator.replace(opt_state=()))
        variables = {"params": network.params, "batch_stats": network.batch_stats}
        fake = to_uint8(np.asarray(generate(variables, pairs["noise_image"], keys)))
        rows = list(zip(pictures, fake, pairs["real_image"], strict=True))
        reporter.write_images(step, f"epoch_{epochs[step]:04d}", rows)

    return draw
