"""Owns the function that a checkpoint is exported as: bytes of images in, bytes or probabilities out.

Does not write files (`formats.py`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.config.fields import RIDGE_CHANNELS
from fpgan_jax.config.files import restore_config
from fpgan_jax.errors import UserError
from fpgan_jax.scoring import similarity
from fpgan_jax.synthesis import drawing
from fpgan_jax.training.checkpoints.restore import restore_for_evaluation

NETWORKS = ("generator", "generator_ema", "classifier")


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """An input or the output of an exported network; `shape` is without the batch axis, which can have any size."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class ServedNetwork:
    """A trained network as one function of arrays, with its weights bound.

    Attributes:
      function: takes one JAX array per input, all with the same batch size, and returns one array. Examples do not
        influence one another.
      description: network, checkpoint and training data, as values that JSON can hold.
    """

    function: Callable[..., jax.Array]
    inputs: tuple[ArraySpec, ...]
    output: ArraySpec
    description: Mapping[str, Any]


def restore_network(
    workdir: str,
    network: str | None = None,
    *,
    step: int | str | None = None,
    overrides: Mapping[str, bool] | None = None,
) -> ServedNetwork:
    """Restore a network as a function of the bytes of images.

    A generator returns the pixels that `launch.synthesize` writes, a classifier the probabilities of
    `launch.score_similarity`.

    Args:
      workdir: workdir of `launch.train_gan` or `launch.train_classifier`.
      network: one of `NETWORKS`. Default: the classifier of a classifier's checkpoint, otherwise the generator that
        `launch.synthesize` uses.
      step: step of the checkpoint, or "best" by the run's own metric. Default: the last one.
      overrides: "deterministic" and "use_running_average" in place of those of `config.synthesis`, for a generator.

    Raises:
      UserError: there is no such checkpoint, it does not hold the network, or its weights do not fit its config.
    """
    step, _, metadata = restore_for_evaluation(workdir, (), step)
    config = restore_config(metadata, workdir)
    if network is None:
        generator = "generator_ema" if config.synthesis.use_ema else "generator"
        network = "classifier" if "persons" in metadata else generator
    if network == "classifier" and overrides:
        raise UserError(
            f"--{next(iter(overrides))}: applies to generators only; leave it out for a classifier"
        )
    _, trees, _ = restore_for_evaluation(workdir, (network,), step)
    description = {
        "network": network,
        "set": config.set_name,
        "checkpoint_step": step,
        "config_hash": metadata["config_hash"],
        "data_hash": metadata["data_hash"],
    }
    if network == "classifier":
        description["persons"] = metadata["persons"]
        return _serve_classifier(config, trees[network], description, f"{workdir} step {step}")
    config.synthesis.update(overrides or {})
    return _serve_generator(config, trees[network], description)


def _serve_generator(config: ConfigDict, variables: Mapping, description: dict) -> ServedNetwork:
    drawing.warn_of_other_statistics(config)
    bound, variables = drawing.bind_draw(config, variables)
    meaning = "noise, any bytes"
    if config.data.condition == "minutiae":
        meaning = "minutiae as directed marks; fpgan_jax.data.ridges.minutiae_map draws them"
    if config.data.condition == "ridges":
        meaning = f"planes: {', '.join(RIDGE_CHANNELS)}; fpgan_jax.data.ridges.ridge_condition makes them"
    inputs = [ArraySpec("noise_image", condition_shape(config.data), "uint8", meaning)]
    generator = config.generator
    is_on = generator.form == "isola" and not config.synthesis.deterministic
    if has_dropout := is_on and bool(generator.dropout_rate and generator.dropout_outputs):
        meaning = (
            "any three numbers per image; the seed, person and replica of a row in the manifest of "
            "launch.synthesize (person -1 as 4294967295) draw the print of that row from its noise"
        )
        inputs.append(ArraySpec("dropout_seed", (3,), "uint32", meaning))

    def draw(noise_image: jax.Array, dropout_seed: jax.Array | None = None) -> jax.Array:
        if dropout_seed is None:
            dropout_seed = jnp.zeros((noise_image.shape[0], 3), jnp.uint32)
        return bound(variables, noise_image, dropout_seed)

    description = description | {
        "dropout": "on" if has_dropout else "off",
        "statistics": "running" if config.synthesis.use_running_average else "own",
    }
    output = ArraySpec("image", image_shape(config.data), "uint8", "the print, gray from 0 to 255")
    return ServedNetwork(draw, tuple(inputs), output, description)


def _serve_classifier(
    config: ConfigDict, variables: Mapping, description: dict, origin: str
) -> ServedNetwork:
    persons = description["persons"]
    compute, variables = similarity.bind_classifier(config, variables, len(persons), origin)
    frame = "cropped" if config.data.frame == "crop" else "kept"
    meaning = f"a print, SOCOFing's frame {frame}, resized to this size ({config.data.interpolation}), from 0 to 255"
    return ServedNetwork(
        lambda image: compute(variables, image),
        (ArraySpec("image", image_shape(config.data), "uint8", meaning),),
        ArraySpec("probability", (len(persons),), "float32", "of each entry of `persons`, in its order"),
        description,
    )
