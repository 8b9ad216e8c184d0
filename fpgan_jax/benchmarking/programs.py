"""Owns the programs that are timed: the package's own networks and training steps on random inputs."""

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
from fpgan_jax.training.state import ClassifierTrainState, GanTrainState, create_network_state


@dataclasses.dataclass(frozen=True)
class Program:
    """A function to compile, and its arguments.

    Attributes:
      function: jitted or pmapped, (state, batch, key) -> outputs. The first output of a training step is the next
        state.
      init: key -> state, without a device axis; not compiled.
      batch: uint8 images and integer labels on the host; for a training step with the device axis.
      key: random key or keys; `StepKeys` for a training step.
      num_steps: training steps per call.
      step: training step only: (state, batch, key) -> (state, metrics) on one device, not compiled.
      dispatch: training step only: `num_steps` steps on one device, not compiled.
    """

    function: jax.stages.Wrapped
    init: Callable[[jax.Array], Any]
    batch: Any
    key: Any
    num_steps: int = 1
    step: Callable | None = None
    dispatch: Callable | None = None

    @property
    def is_step(self) -> bool:
        """Whether this is a training step: its state is on all devices, donated, and passed from call to call."""
        return self.step is not None

    def create_state(self) -> Any:
        """Draw the initial state."""
        # On a CPU, optimizing this program takes longer than running it.
        options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        return jax.jit(self.init, compiler_options=options)(jax.random.key(0))


def create_program(case: Case, config: ConfigDict, *, steps_per_dispatch: int = 1) -> Program:
    """Create the program of a case, without compiling or running it; only a training step uses `steps_per_dispatch`.

    Raises:
      UserError: the networks do not fit the image size, or the batch size does not divide over the devices.
    """
    if case.name in _CREATORS:
        return _CREATORS[case.name](case, config)
    parallel.check_batch_size(case.batch_size, "--batch_sizes: batch_size")
    return _STEP_CREATORS[case.name](case, config, steps_per_dispatch)


def _init_classifier(config: ConfigDict, key: jax.Array) -> Any:
    image = jnp.zeros((1, *image_shape(config.data)))
    return _create_classifier(config).init(key, image, deterministic=True, use_running_average=False)


def _create_classifier(config: ConfigDict) -> nn.Module:
    return factory.create_classifier(config, num_classes=config.data.num_persons)


def _create_generator_inference(case: Case, config: ConfigDict) -> Program:
    """Draw as `launch.synthesize` does: every image with its own statistics and dropout."""
    generator = factory.create_generator(config)
    generate = create_generate(generator, deterministic=False, use_running_average=False)
    batch = _draw_bytes(0, case.batch_size, condition_shape(config.data))
    keys = jax.random.split(jax.random.key(1), case.batch_size)
    return Program(jax.jit(generate), functools.partial(factory.init_generator, config), batch, keys)


def _create_discriminator(case: Case, config: ConfigDict) -> Program:
    """Compute the gradient of D as its update does; the optimizer is timed with `gan_step` only."""
    discriminator = factory.create_discriminator(config)

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

    shapes = condition_shape(config.data), image_shape(config.data), image_shape(config.data)
    batch = tuple(_draw_bytes(seed, case.batch_size, shape) for seed, shape in enumerate(shapes))
    init = functools.partial(factory.init_discriminator, config)
    return Program(jax.jit(compute_gradients), init, batch, jax.random.key(1))


def _create_xception_inference(case: Case, config: ConfigDict) -> Program:
    """Score as `launch.score_similarity` does."""
    classifier = _create_classifier(config)

    def compute_probabilities(variables, images, key):
        del key
        images = scale_to_unit(images)
        logits: Any = classifier.apply(variables, images, deterministic=True, use_running_average=True)
        return jax.nn.softmax(logits)

    batch = _draw_bytes(0, case.batch_size, image_shape(config.data))
    init = functools.partial(_init_classifier, config)
    return Program(jax.jit(compute_probabilities), init, batch, jax.random.key(1))


def _create_gan_step(case: Case, config: ConfigDict, steps_per_dispatch: int) -> Program:
    """Take the step of `gan_trainer`, on a batch that is already on the devices."""
    tx = create_gan_optimizer(
        config, max(case.batch_size, config.data.num_persons * config.data.num_replicas)
    )

    def init(key: jax.Array) -> GanTrainState:
        generator_key, discriminator_key = jax.random.split(key)
        generator_state = create_network_state(factory.init_generator(config, generator_key), tx)
        discriminator_state = create_network_state(factory.init_discriminator(config, discriminator_key), tx)
        average = generator_state.params if config.ema_decay > 0 else None
        return GanTrainState(jnp.int32(0), generator_state, discriminator_state, average)

    networks = {
        "generator": factory.create_generator(config),
        "discriminator": factory.create_discriminator(config),
    }
    step = gan_trainer.bind_train_step(config, **networks, tx=tx)
    num_images = steps_per_dispatch * case.batch_size
    ids = np.zeros(num_images, np.int32)  # part of the loop's batches; the step does not use them
    batch = {
        "noise_image": _draw_bytes(0, num_images, condition_shape(config.data)),
        "real_image": _draw_bytes(1, num_images, image_shape(config.data)),
        "person": ids,
        "replica": ids,
    }
    return _create_step_program(step, init, batch, steps_per_dispatch)


def _create_xception_step(case: Case, config: ConfigDict, steps_per_dispatch: int) -> Program:
    """Take the step of `classifier_trainer`, augmentation included."""
    tx = create_classifier_optimizer(config)

    def init(key: jax.Array) -> ClassifierTrainState:
        return ClassifierTrainState(jnp.int32(0), create_network_state(_init_classifier(config, key), tx))

    step = classifier_trainer.bind_train_step(config, classifier=_create_classifier(config), tx=tx)
    num_images = steps_per_dispatch * case.batch_size
    labels = np.random.default_rng(2).integers(0, config.data.num_persons, num_images, np.int32)
    batch = {"image": _draw_bytes(0, num_images, image_shape(config.data)), "label": labels}
    return _create_step_program(step, init, batch, steps_per_dispatch)


def _create_step_program(step: Callable, init: Callable, batch: Any, steps_per_dispatch: int) -> Program:
    batch = parallel.shard_batch(batch)
    dispatch = step
    if steps_per_dispatch > 1:
        batch = jax.tree.map(
            lambda leaf: leaf.reshape(len(leaf), steps_per_dispatch, -1, *leaf.shape[2:]), batch
        )
        dispatch = _repeat(step)
    keys = StepKeys(*jax.random.split(jax.random.key(1)))
    return Program(parallel.pmap_step(dispatch), init, batch, keys, steps_per_dispatch, step, dispatch)


def _repeat(step: Callable) -> Callable:
    """Take one step per batch along a leading axis; the metrics get that axis too."""

    def take_steps(state, batches, base_keys):
        return jax.lax.scan(lambda state, batch: step(state, batch, base_keys), state, batches)

    return take_steps


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
