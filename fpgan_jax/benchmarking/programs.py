"""Owns the programs that are timed: the package's own networks and training steps on random inputs.

Does not compile (`compilation.py`) or time (`timing.py`) them.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from fpgan_jax import losses, parallel
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.models import factory
from fpgan_jax.training import classifier_trainer, gan_step, gan_trainer
from fpgan_jax.training.optimizers import create_classifier_optimizer, create_gan_optimizer
from fpgan_jax.training.random_streams import StepKeys
from fpgan_jax.training.sampling import create_generate
from fpgan_jax.training.state import (
    ClassifierTrainState,
    GanTrainState,
    create_classifier_state,
    create_gan_state,
    create_network_state,
)

_SEED = 0


@dataclasses.dataclass(frozen=True)
class Program:
    """A function to compile, and its arguments.

    Attributes:
      function: jitted or pmapped, (state, batch, key) -> outputs. The first output of a training step is the next
        state.
      create_state: returns the state, without a device axis.
      create_state_shape: returns the shapes of the state; computes nothing.
      batch: uint8 images and integer labels on the host; for a training step with the device axis.
      key: random key or keys; `StepKeys` for a training step.
      is_step: whether this is a training step: its state is on all devices, donated, and passed from call to call.
      num_steps: training steps per call.
      step: training step only: (state, batch, key) -> (state, metrics) on one device, not compiled.
      dispatch: training step only: `num_steps` steps on one device, not compiled.
    """

    function: jax.stages.Wrapped
    create_state: Callable[[], Any]
    create_state_shape: Callable[[], Any]
    batch: Any
    key: Any
    is_step: bool = False
    num_steps: int = 1
    step: Callable | None = None
    dispatch: Callable | None = None


def create_program(case: Case, config: ConfigDict, *, steps_per_dispatch: int = 1) -> Program:
    """Create the program of a case, without compiling or running it.

    Args:
      case: one of `cases.PROGRAM_CASES`.
      config: of the case, from `cases.create_config`.
      steps_per_dispatch: steps per call of a training step; ignored by other programs.

    Returns:
      The program.

    Raises:
      UserError: the networks do not fit the image size, or the batch size does not divide over the devices.
    """
    if case.name in _CREATORS:
        return _CREATORS[case.name](case, config)
    parallel.check_batch_size(case.batch_size, "--batch_sizes: batch_size")
    return _STEP_CREATORS[case.name](case, config, steps_per_dispatch)


def create_generator_init(config: ConfigDict) -> tuple[nn.Module, Callable[[], Any]]:
    """Create a generator and the function that initializes it.

    Args:
      config: of the case, from `cases.create_config`.

    Returns:
      (the module, a function without arguments that returns its variables and can be compiled).
    """
    generator = factory.create_generator(config)
    condition = jnp.zeros((1, *condition_shape(config.data)))
    init = functools.partial(generator.init, deterministic=True, use_running_average=False)
    return generator, lambda: init(jax.random.key(_SEED), condition)


def _init_discriminator(config: ConfigDict) -> tuple[nn.Module, Callable[[], Any]]:
    discriminator = factory.create_discriminator(config)
    shapes = condition_shape(config.data), image_shape(config.data)
    images = [jnp.zeros((1, *shape)) for shape in shapes]
    init = functools.partial(discriminator.init, use_running_average=False)
    return discriminator, lambda: init(jax.random.key(_SEED), *images)


def _init_classifier(config: ConfigDict) -> tuple[nn.Module, Callable[[], Any]]:
    classifier = factory.create_classifier(config, num_classes=config.data.num_persons)
    image = jnp.zeros((1, *image_shape(config.data)))
    init = functools.partial(classifier.init, deterministic=True, use_running_average=False)
    return classifier, lambda: init(jax.random.key(_SEED), image)


def _create_generator_inference(case: Case, config: ConfigDict) -> Program:
    """Draw as `launch.synthesize` does: every image with its own statistics and dropout."""
    generator, init = create_generator_init(config)
    generate = create_generate(generator, deterministic=False, use_running_average=False)
    batch = _draw_conditions(0, case.batch_size, config)
    return _create_simple_program(generate, init, batch, jax.random.split(jax.random.key(1), case.batch_size))


def _create_discriminator(case: Case, config: ConfigDict) -> Program:
    """Compute the gradient of D as its update does; the optimizer is timed with `gan_step` only."""
    discriminator, init = _init_discriminator(config)

    def compute_gradients(variables, batch, key):
        del key
        noise_image, real_image, fake_image = (scale_to_unit(images) for images in batch)

        def compute_loss(params):
            logits, batch_stats = gan_step.apply_discriminator(
                discriminator,
                params,
                variables.get("batch_stats", {}),
                jnp.concatenate([noise_image, noise_image]),
                jnp.concatenate([fake_image, real_image]),
                num_passes=2,
            )
            fake_logits, real_logits = jnp.split(logits, 2)
            terms = losses.compute_discriminator_loss(real_logits, fake_logits, config.gan_objective)
            return config.discriminator_loss_weight * sum(terms), batch_stats

        return jax.value_and_grad(compute_loss, has_aux=True)(variables["params"])

    images = (_draw_images(seed, case.batch_size, config) for seed in (1, 2))
    batch = (_draw_conditions(0, case.batch_size, config), *images)
    return _create_simple_program(compute_gradients, init, batch, jax.random.key(1))


def _create_xception_inference(case: Case, config: ConfigDict) -> Program:
    """Score as `launch.score_similarity` does."""
    classifier, init = _init_classifier(config)

    def compute_probabilities(variables, images, key):
        del key
        logits: Any = classifier.apply(
            variables, scale_to_unit(images), deterministic=True, use_running_average=True
        )
        return jax.nn.softmax(logits)

    batch = _draw_images(0, case.batch_size, config)
    return _create_simple_program(compute_probabilities, init, batch, jax.random.key(1))


def _create_simple_program(function: Callable, init: Callable, batch: Any, key: jax.Array) -> Program:
    return Program(
        jax.jit(function), jax.jit(init), functools.partial(jax.eval_shape, init), batch, key, is_step=False
    )


def _create_gan_step(case: Case, config: ConfigDict, steps_per_dispatch: int) -> Program:
    """Take the step of `gan_trainer`, on a batch that is already on the devices."""
    generator, init_generator = create_generator_init(config)
    discriminator, init_discriminator = _init_discriminator(config)
    tx = create_gan_optimizer(
        config, max(case.batch_size, config.data.num_persons * config.data.num_replicas)
    )
    create_state = functools.partial(
        create_gan_state,
        jax.random.key(_SEED),
        generator=generator,
        discriminator=discriminator,
        generator_tx=tx,
        discriminator_tx=tx,
        image_shape=image_shape(config.data),
        condition_shape=condition_shape(config.data),
        use_ema=config.ema_decay > 0,
    )

    def shape_state():
        generator_state = create_network_state(init_generator(), tx)
        discriminator_state = create_network_state(init_discriminator(), tx)
        average = generator_state.params if config.ema_decay > 0 else None
        return GanTrainState(jnp.int32(0), generator_state, discriminator_state, average)

    step = gan_trainer.bind_train_step(config, generator=generator, discriminator=discriminator, tx=tx)
    num_images = steps_per_dispatch * case.batch_size
    ids = np.zeros(num_images, np.int32)  # part of the loop's batches; the step does not use them
    batch = {
        "noise_image": _draw_conditions(0, num_images, config),
        "real_image": _draw_images(1, num_images, config),
        "person": ids,
        "replica": ids,
    }
    return _create_step_program(step, create_state, shape_state, batch, steps_per_dispatch)


def _create_xception_step(case: Case, config: ConfigDict, steps_per_dispatch: int) -> Program:
    """Take the step of `classifier_trainer`, augmentation included."""
    classifier, init = _init_classifier(config)
    tx = create_classifier_optimizer(config)
    create_state = functools.partial(
        create_classifier_state,
        jax.random.key(_SEED),
        classifier=classifier,
        tx=tx,
        image_shape=image_shape(config.data),
    )
    step = classifier_trainer.bind_train_step(config, classifier=classifier, tx=tx)
    num_images = steps_per_dispatch * case.batch_size
    labels = np.random.default_rng(2).integers(0, config.data.num_persons, num_images, np.int32)
    batch = {"image": _draw_images(0, num_images, config), "label": labels}
    return _create_step_program(
        step,
        create_state,
        lambda: ClassifierTrainState(jnp.int32(0), create_network_state(init(), tx)),
        batch,
        steps_per_dispatch,
    )


def _create_step_program(
    step: Callable, create_state: Callable, shape_state: Callable, batch: Any, steps_per_dispatch: int
) -> Program:
    batch = parallel.shard_batch(batch)
    if steps_per_dispatch > 1:
        batch = jax.tree.map(
            lambda leaf: leaf.reshape(len(leaf), steps_per_dispatch, -1, *leaf.shape[2:]), batch
        )
    dispatch = _repeat(step) if steps_per_dispatch > 1 else step
    return Program(
        parallel.pmap_step(dispatch),
        create_state,
        functools.partial(jax.eval_shape, shape_state),
        batch,
        StepKeys(*jax.random.split(jax.random.key(1))),
        is_step=True,
        num_steps=steps_per_dispatch,
        step=step,
        dispatch=dispatch,
    )


def _repeat(step: Callable) -> Callable:
    """Take one step per batch along a leading axis; the metrics get that axis too."""

    def take_steps(state, batches, base_keys):
        return jax.lax.scan(lambda state, batch: step(state, batch, base_keys), state, batches)

    return take_steps


def _draw_images(seed: int, num_images: int, config: ConfigDict) -> np.ndarray:
    return _draw_bytes(seed, num_images, image_shape(config.data))


def _draw_conditions(seed: int, num_images: int, config: ConfigDict) -> np.ndarray:
    return _draw_bytes(seed, num_images, condition_shape(config.data))


def _draw_bytes(seed: int, num_images: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_images, *shape), np.uint8)


_CREATORS: Mapping[str, Callable[[Case, ConfigDict], Program]] = {
    "generator_inference": _create_generator_inference,
    "discriminator": _create_discriminator,
    "xception_inference": _create_xception_inference,
}
_STEP_CREATORS: Mapping[str, Callable[[Case, ConfigDict, int], Program]] = {
    "gan_step": _create_gan_step,
    "xception_step": _create_xception_step,
}
