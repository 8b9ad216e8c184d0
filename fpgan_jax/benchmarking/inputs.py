"""Owns the timing of the input: batches alone, and a training step fed by them beside one with a resident batch."""

import math
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from fpgan_jax import parallel
from fpgan_jax.benchmarking import timing
from fpgan_jax.benchmarking.cases import Case
from fpgan_jax.benchmarking.compilation import CompiledProgram
from fpgan_jax.config.derived import image_shape
from fpgan_jax.data import feeding, pairs
from fpgan_jax.data.prints import PrintSet
from fpgan_jax.errors import UserError
from fpgan_jax.training.feed import Feed

_ENDLESS = 10**9  # steps


def create_turns(case: Case, config: ConfigDict, resident: CompiledProgram) -> dict[str, timing.Turn]:
    """Create the timed functions of one of `cases.INPUT_CASES`, on random prints in memory.

    `resident` is the gan_step of the same size, with one step per call.

    Returns:
      "input": one batch, up to where it leaves the host; "fed": a training step including its batch; "resident": a
      training step whose batch is already on the devices.

    Raises:
      UserError: the input needs TensorFlow, which cannot be imported; or the examples do not fit the devices.
    """
    config = config.copy_and_resolve_references()
    config.data.num_persons = max(
        config.data.num_persons, math.ceil(case.batch_size / config.data.num_replicas)
    )
    feed = _create_feed(case, config)
    alone, fed = (feed.create_batches(0, _ENDLESS) for _ in range(2))
    assert resident.program.step is not None
    dispatch = parallel.create_dispatch(resident.program.step, feed.examples)
    # Not the state of `resident`, which each of its calls donates.
    state = parallel.replicate(resident.program.create_state())

    def take_fed_step() -> tuple[Any, Any]:
        nonlocal state
        state, metrics = dispatch(state, [next(fed)], resident.program.key)
        return state, metrics

    jax.block_until_ready(take_fed_step())  # compiles
    return {
        "input": timing.create_turn(lambda: next(alone), lambda batch: None),
        "resident": timing.create_turn(resident.call, jax.block_until_ready),
        "fed": timing.create_turn(take_fed_step, jax.block_until_ready),
    }


def _create_feed(case: Case, config: ConfigDict) -> Feed:
    data = config.data
    persons = np.arange(1, data.num_persons + 1, dtype=np.int32)
    shape = (data.num_persons, *image_shape(data))
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    prints = PrintSet(images, persons, tuple(map(str, persons)))
    if case.name == "input_device":
        return Feed(feeding.create_gan_source_from_prints(config, prints), "device")
    try:
        from fpgan_jax.data import input_pipeline  # noqa: F401
    except ImportError as error:
        raise UserError(f"--cases=input_tfdata: TensorFlow cannot be imported here ({error})") from error
    source = feeding.GanSource(config, pairs.ReplicatedPrints(prints, data), made_by=feeding.TFDATA)
    return Feed(source, "tfdata")
