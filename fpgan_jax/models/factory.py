"""Owns the way from a config to a network, and the check that the image's size suits it.

The range of each field by itself has been checked before (`config.checks.validate_config`).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from fpgan_jax.config.derived import condition_shape, image_shape
from fpgan_jax.errors import UserError
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS, PatchDiscriminator
from fpgan_jax.models.unet import RonnebergerUNetGenerator, UNetGenerator, count_levels
from fpgan_jax.models.xception import Xception


def create_generator(config: ConfigDict) -> nn.Module:
    """Create the `UNetGenerator` or `RonnebergerUNetGenerator` that `config.generator` asks for.

    Raises:
      UserError: the image's size does not suit the form, it has no such decoder output, or a field is not for this
        form.
    """
    generator = config.generator
    fields = _common_fields(generator) | {
        "num_channels": config.data.num_channels,
        "upsampling": generator.upsampling,
    }
    if generator.bottleneck_norm and generator.norm == "none":
        raise UserError(
            "config.generator.bottleneck_norm=True: config.generator.norm='none'; set one of the two"
        )
    if generator.form == "ronneberger":
        _refuse_fields_of_isola(generator)
        return RonnebergerUNetGenerator(**fields)
    return UNetGenerator(
        **fields,
        num_levels=generator.num_levels,
        bottleneck_norm=generator.bottleneck_norm,
        leaky_slope=generator.leaky_slope,
        skip=generator.skip,
        dropout_rate=generator.dropout_rate,
        dropout_outputs=_checked_dropout_outputs(config, find_num_levels(config)),
    )


def find_num_levels(config: ConfigDict) -> int:
    """Find how often an Isola generator halves the image: config.generator.num_levels, or if 0 `unet.count_levels`.

    Raises:
      UserError: the image is too small, or one pixel is left before the last halving.
    """
    height, width, _ = image_shape(config.data)
    num_levels, shorter = config.generator.num_levels, min(height, width)
    if shorter < 4:
        raise UserError(f"{_name_size(config.data)}: too small for a generator; use at least 4 pixels a side")
    most = (shorter - 1).bit_length()
    if num_levels > most:
        raise UserError(
            f"config.generator.num_levels={num_levels}: {most} halvings make one pixel of {shorter} "
            f"({_name_size(config.data)}); use at most {most}, or 0"
        )
    return num_levels or count_levels(height, width)


def create_discriminator(config: ConfigDict) -> nn.Module:
    """Create the discriminator that `config.discriminator` asks for.

    Raises:
      UserError: the image is too small to give one logit.
    """
    discriminator = config.discriminator
    receptive_field = discriminator.receptive_field
    # Every strided convolution halves the size; each of the last two convolutions reduces it by one pixel.
    smallest = 3 * 2 ** NUM_STRIDED_CONVS[receptive_field]
    if min(image_shape(config.data)[:2]) < smallest:
        raise UserError(
            f"config.discriminator.receptive_field={receptive_field}: does not suit {_name_size(config.data)}; use a "
            f"smaller field, or at least {smallest} pixels a side"
        )
    return PatchDiscriminator(
        receptive_field=receptive_field,
        leaky_slope=discriminator.leaky_slope,
        **_common_fields(discriminator),
    )


def init_generator(config: ConfigDict, key: jax.Array) -> Any:
    """Draw the generator's variables.

    Raises:
      UserError: see `create_generator`.
    """
    condition = jnp.zeros((1, *condition_shape(config.data)))
    return create_generator(config).init(key, condition, deterministic=True, use_running_average=False)


def init_discriminator(config: ConfigDict, key: jax.Array) -> Any:
    """Draw the discriminator's variables; see `init_generator`."""
    images = (jnp.zeros((1, *shape(config.data))) for shape in (condition_shape, image_shape))
    return create_discriminator(config).init(key, *images, use_running_average=False)


def shape_generator(config: ConfigDict) -> Any:
    """Compute the shapes of the generator's variables, nested dicts of `jax.ShapeDtypeStruct`."""
    return jax.eval_shape(lambda: init_generator(config, jax.random.key(0)))


def shape_discriminator(config: ConfigDict) -> Any:
    """Compute the shapes of the discriminator's variables; see `shape_generator`."""
    return jax.eval_shape(lambda: init_discriminator(config, jax.random.key(0)))


def create_classifier(config: ConfigDict, num_classes: int) -> nn.Module:
    """Create the classifier that `config.classifier` asks for, of `num_classes` persons.

    Raises:
      UserError: the image is too small, or there is only one person.
    """
    classifier = config.classifier
    if num_classes < 2:
        raise UserError(
            f"config.data: {num_classes} person; a classifier gives every image to its only class: use at least 2"
        )
    if min(image_shape(config.data)[:2]) < 71:
        raise UserError(
            f"{_name_size(config.data)}: Xception halves it five times; use at least 71 pixels a side"
        )
    return Xception(
        num_classes,
        width=classifier.width,
        num_middle_blocks=classifier.num_middle_blocks,
        dropout_rate=classifier.dropout_rate,
        batch_norm_momentum=classifier.batch_norm_momentum,
        dtype=jnp.dtype(classifier.dtype),
    )


def _refuse_fields_of_isola(generator: ConfigDict) -> None:
    for name, default in (("bottleneck_norm", False), ("skip", "before_activation"), ("num_levels", 0)):
        if generator[name] != default:
            raise UserError(
                f"config.generator.{name}={generator[name]!r}: the ronneberger generator has no such choice; "
                f"use {default!r}"
            )


def _common_fields(network: ConfigDict) -> dict:
    """Return the fields that generators and discriminators share."""
    names = ("num_features", "norm", "norm_epsilon", "norm_momentum", "conv_bias")
    return {name: network[name] for name in names} | {"dtype": jnp.dtype(network.dtype)}


def _checked_dropout_outputs(config: ConfigDict, num_levels: int) -> tuple[int, ...]:
    possible = tuple(2**i for i in range(1, num_levels))
    outputs = tuple(config.generator.dropout_outputs)
    for output in outputs:
        if output not in possible:
            choice = f"use any of {', '.join(map(str, possible))}" if possible else "use ()"
            raise UserError(
                f"config.generator.dropout_outputs: {output} is not the size of a decoder output for "
                f"{_name_size(config.data)}, halved {num_levels} times; {choice}"
            )
    return outputs


def _name_size(data_config: ConfigDict) -> str:
    """Name the fields that give the image its size."""
    width = f" and image_width={data_config.image_width}" if data_config.image_width else ""
    return f"config.data.image_size={data_config.image_size}{width}"
