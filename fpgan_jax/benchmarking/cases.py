"""Owns the programs that are timed: which there are, their inputs, their compilation and what they cost.

Does not time them (`timing.py`), and builds none of its own: networks, steps and preparation are the package's.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from fpgan_jax import losses, parallel
from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.data.preprocessing import scale_to_unit
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS
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

PROGRAM_CASES = ("generator_inference", "discriminator", "gan_step", "xception_inference", "xception_step")
INPUT_CASES = ("input_tfdata", "input_device")
SYNTHESIS_CASES = ("synthesis",)
STEP_CASES = ("gan_step", "xception_step")
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed.

    Attributes:
      name: one of `PROGRAM_CASES`, `INPUT_CASES` and `SYNTHESIS_CASES`.
      image_size: pixels of the square image.
      num_features: of both networks' first layer; 0 for Xception, whose width is the config's.
      batch_size: images a step, over all devices.
      dtype: of the computation, "float32" or "bfloat16".
    """

    name: str
    image_size: int
    num_features: int
    batch_size: int
    dtype: str


@dataclasses.dataclass(frozen=True)
class Program:
    """A function to be compiled, and what it is called with.

    Attributes:
      function: jitted or pmapped, (state, batch, key) -> outputs; a step's first output is its next state.
      create_state: makes the state, without a device axis.
      create_state_shape: the same in shapes alone, computing nothing.
      batch: uint8 images and int labels on the host; a step's has the device axis.
      key: random key or keys; a step's are `StepKeys`.
      is_step: whether the state is on all devices, donated, and handed from call to call.
      num_steps: steps that a call takes.
      step: of a step: (state, batch, key) -> (state, metrics) on one device, not compiled.
      dispatch: of a step: what a call runs on one device, not compiled; `num_steps` steps.
    """

    function: Callable
    create_state: Callable[[], Any]
    create_state_shape: Callable[[], Any]
    batch: Any
    key: Any
    is_step: bool = False
    num_steps: int = 1
    step: Callable | None = None
    dispatch: Callable | None = None


@dataclasses.dataclass
class CompiledProgram:
    """A program that is compiled and has its inputs on the devices.

    Attributes:
      program: what was compiled.
      state: the state of the next call.
      batch: on the devices.
      costs: as of `measure_costs`; "lower_seconds" and "compile_seconds"; "is_compile_cached": whether the compiled
        program was read from JAX's persistent cache.
    """

    program: Program
    state: Any
    batch: Any
    costs: dict[str, Any]

    def call(self) -> Any:
        """Run the program once; return what it puts out, which may not be computed yet."""
        outputs = self.program.function(self.state, self.batch, self.program.key)
        if self.program.is_step:
            self.state = outputs[0]
        return outputs


def create_config(config: ConfigDict, case: Case) -> ConfigDict:
    """Create the config of a case.

    Dropout is kept on the decoder outputs that the reference has it on at this size, and the discriminator
    sees patches of at most the configured size that suit the image.

    Args:
      config: where everything comes from that the case does not name.
      case: what is timed.

    Returns:
      A config of its own.
    """
    size = case.image_size
    config = config.copy_and_resolve_references()
    config.data.image_size, config.data.image_width = size, 0
    config.generator.dropout_outputs = tuple(o for o in config.generator.dropout_outputs if o <= size // 16)
    config.discriminator.receptive_field = max(
        (
            field
            for field, num_strided in NUM_STRIDED_CONVS.items()
            if field <= config.discriminator.receptive_field
            and size % 2**num_strided == 0
            and size >= 3 * 2**num_strided
        ),
        default=config.discriminator.receptive_field,
    )
    for network in (config.generator, config.discriminator, config.classifier):
        network.dtype = case.dtype
    if case.num_features:
        config.generator.num_features = config.discriminator.num_features = case.num_features
    config.global_batch_size = config.classifier.global_batch_size = case.batch_size
    return config


def create_program(case: Case, config: ConfigDict, *, steps_per_dispatch: int = 1) -> Program:
    """Create the program of a case.

    Args:
      case: one of `PROGRAM_CASES`.
      config: of the case, as of `create_config`.
      steps_per_dispatch: steps that one call takes, for the two steps; others take one.

    Returns:
      The program, neither compiled nor run.

    Raises:
      UserError: the networks or the batch do not suit the size or the devices.
    """
    if case.name not in STEP_CASES:
        return _CREATORS[case.name](case, config)
    parallel.check_batch_size(case.batch_size, "--batch_sizes: batch_size")
    return _CREATORS[case.name](case, config, steps_per_dispatch)


def lower(program: Program) -> jax.stages.Lowered:
    """Lower a program from shapes alone: no weight is drawn, nothing runs.

    Args:
      program: the program.

    Returns:
      What JAX calls the lowered program; its `cost_analysis()` is that of one step.
    """
    shapes = program.create_state_shape()
    if program.is_step:
        num_devices = jax.local_device_count()
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((num_devices, *x.shape), x.dtype), shapes)
    return program.function.lower(shapes, program.batch, program.key)


def compile_program(program: Program) -> CompiledProgram:
    """Put a program's inputs on the devices and compile it ahead of time.

    Args:
      program: the program.

    Returns:
      The compiled program; its first call compiles nothing any more.
    """
    state = program.create_state()
    if program.is_step:
        state, batch = parallel.replicate(state), _put_on_devices(program.batch)
    else:
        batch = jax.device_put(program.batch)
    # With the very arrays of the calls: pmap compiles again for others that merely have their shapes.
    begin = time.perf_counter()
    lowered = program.function.lower(state, batch, program.key)
    lowered_at = time.perf_counter()
    with _listen_for_cache_hits() as hits:
        compiled = lowered.compile()
    compiled_at = time.perf_counter()
    costs = measure_costs(lowered, compiled)
    costs |= {"lower_seconds": lowered_at - begin, "compile_seconds": compiled_at - lowered_at}
    costs["is_compile_cached"] = bool(hits)
    return CompiledProgram(program, state, batch, costs)


@contextlib.contextmanager
def _listen_for_cache_hits() -> Iterator[list[str]]:
    """Collect the persistent cache's hits in the list that is yielded."""
    hits = []

    def listen(event: str, **details: Any) -> None:
        del details
        if event == "/jax/compilation_cache/cache_hits":
            hits.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        yield hits
    finally:
        jax.monitoring.unregister_event_listener(listen)


def measure_costs(lowered: jax.stages.Lowered, compiled: jax.stages.Compiled) -> dict[str, Any]:
    """Read what a step costs from the compiler; XLA counts the body of a loop over steps once.

    Args:
      lowered: before XLA's optimisations.
      compiled: after them.

    Returns:
      "flop" and "flop_source": of the compiled program, or of the lowered one where the compiled one leaves
      most of it out, as XLA does with what it hands to a library such as cuDNN; "flop_lowered"; "bytes": read
      and written between the compiled program's operations; "peak_memory_bytes": arguments, outputs and
      temporary arrays, those that share memory counted once. None where the compiler does not say.
    """
    compiled_cost, lowered_cost = compiled.cost_analysis() or {}, lowered.cost_analysis() or {}
    flop, flop_lowered = compiled_cost.get("flops", 0.0), lowered_cost.get("flops", 0.0)
    is_complete = flop >= 0.5 * flop_lowered
    return {
        "flop": (flop if is_complete else flop_lowered) or None,
        "flop_source": "compiled" if is_complete else "lowered",
        "flop_lowered": flop_lowered or None,
        "bytes": compiled_cost.get("bytes accessed") or None,
        "peak_memory_bytes": measure_memory(compiled),
    }


def measure_memory(compiled: jax.stages.Compiled) -> int | None:
    """Read how much memory a compiled program takes, as "peak_memory_bytes" of `measure_costs`."""
    memory = compiled.memory_analysis()
    return (
        memory
        and memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )


def read_device_peak() -> int | None:
    """Read the most memory that the process ever held on its first device, bytes; None where it is not kept."""
    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _put_on_devices(batch: Any) -> Any:
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (parallel.DEVICE_AXIS,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(parallel.DEVICE_AXIS))
    return jax.device_put(batch, sharding)


def _draw_images(seed: int, num_images: int, config: ConfigDict) -> np.ndarray:
    return _draw_bytes(seed, num_images, image_shape(config.data))


def _draw_conditions(seed: int, num_images: int, config: ConfigDict) -> np.ndarray:
    return _draw_bytes(seed, num_images, condition_shape(config.data))


def _draw_bytes(seed: int, num_images: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_images, *shape), np.uint8)


def create_generator_init(config: ConfigDict) -> tuple[nn.Module, Callable[[], Any]]:
    """Create a generator and what draws its weights.

    Args:
      config: of the case, as of `create_config`.

    Returns:
      (the module, a function of nothing that returns its variables and can be compiled).
    """
    generator = factory.create_generator(config)
    condition = jnp.zeros((1, *condition_shape(config.data)))
    init = functools.partial(generator.init, deterministic=True, use_running_average=False)
    return generator, lambda: init(jax.random.key(_SEED), condition)


def _init_discriminator(config: ConfigDict):
    discriminator = factory.create_discriminator(config)
    shapes = condition_shape(config.data), image_shape(config.data)
    images = [jnp.zeros((1, *shape)) for shape in shapes]
    init = functools.partial(discriminator.init, use_running_average=False)
    return discriminator, lambda: init(jax.random.key(_SEED), *images)


def _init_classifier(config: ConfigDict):
    classifier = factory.create_classifier(config, num_classes=config.data.num_persons)
    image = jnp.zeros((1, *image_shape(config.data)))
    init = functools.partial(classifier.init, deterministic=True, use_running_average=False)
    return classifier, lambda: init(jax.random.key(_SEED), image)


def _create_simple_program(function: Callable, init: Callable, batch: Any, key: jax.Array) -> Program:
    return Program(
        jax.jit(function), jax.jit(init), functools.partial(jax.eval_shape, init), batch, key, is_step=False
    )


def _create_generator_inference(case: Case, config: ConfigDict) -> Program:
    """As `launch.synthesize` draws: every image with its own statistics and its own dropout."""
    generator, init = create_generator_init(config)
    generate = create_generate(generator, deterministic=False, use_running_average=False)
    batch = _draw_conditions(0, case.batch_size, config)
    return _create_simple_program(generate, init, batch, jax.random.split(jax.random.key(1), case.batch_size))


def _create_discriminator(case: Case, config: ConfigDict) -> Program:
    """As D's update, up to its gradient: the optimiser is left to `gan_step`."""
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
    """As `launch.score_similarity` scores."""
    classifier, init = _init_classifier(config)

    def compute_probabilities(variables, images, key):
        del key
        logits = classifier.apply(
            variables, scale_to_unit(images), deterministic=True, use_running_average=True
        )
        return jax.nn.softmax(logits)

    batch = _draw_images(0, case.batch_size, config)
    return _create_simple_program(compute_probabilities, init, batch, jax.random.key(1))


def _create_gan_step(case: Case, config: ConfigDict, steps_per_dispatch: int) -> Program:
    """As `gan_trainer` binds and runs it, on batches that are on the devices already."""
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
    ids = np.zeros(num_images, np.int32)  # the loop's batches carry them, and the step leaves them alone
    batch = {
        "noise_image": _draw_conditions(0, num_images, config),
        "real_image": _draw_images(1, num_images, config),
        "person": ids,
        "replica": ids,
    }
    return _create_step_program(step, create_state, shape_state, batch, steps_per_dispatch)


def _create_xception_step(case: Case, config: ConfigDict, steps_per_dispatch: int) -> Program:
    """As `classifier_trainer` binds and runs it, augmentation included."""
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
    """Take a step for every batch along a leading axis; the metrics get that axis too."""

    def take_steps(state, batches, base_keys):
        return jax.lax.scan(lambda state, batch: step(state, batch, base_keys), state, batches)

    return take_steps


_CREATORS = {
    "generator_inference": _create_generator_inference,
    "discriminator": _create_discriminator,
    "gan_step": _create_gan_step,
    "xception_inference": _create_xception_inference,
    "xception_step": _create_xception_step,
}


def check_case(case: Case, config: ConfigDict) -> None:
    """Check that a case's networks can be built, without compiling anything.

    Args:
      case: the case.
      config: of the case, as of `create_config`.

    Raises:
      UserError: they cannot.
    """
    try:
        if case.name.startswith("xception"):
            factory.create_classifier(config, num_classes=config.data.num_persons)
        else:
            factory.create_generator(config)
            factory.create_discriminator(config)
    except UserError as error:
        raise UserError(f"--cases={case.name} --sizes={case.image_size}: {error}") from error
