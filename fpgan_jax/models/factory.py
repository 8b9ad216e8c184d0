"""Owns the way from a config to a network, with the checks that name the field to mend.

Does not own the networks, nor weights: `training.state` draws those.
"""

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from fpgan_jax.errors import UserError
from fpgan_jax.models import layers
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS, PatchDiscriminator
from fpgan_jax.models.unet import RonnebergerUNetGenerator, UNetGenerator
from fpgan_jax.models.xception import Xception

_DTYPES = ("float32", "bfloat16", "float16")


def create_generator(config: ConfigDict) -> nn.Module:
    """Create the generator that `config.generator` asks for.

    Args:
      config: the whole config.

    Returns:
      A `UNetGenerator` or `RonnebergerUNetGenerator`.

    Raises:
      UserError: a field has no such value, or the image's size does not suit the form.
    """
    generator = config.generator
    _check_choice("config.generator.form", generator.form, ("isola", "ronneberger"))
    fields = _common_fields("config.generator", generator) | {"num_channels": config.data.num_channels}
    size = config.data.image_size
    if generator.form == "ronneberger":
        if size < 16 or size % 16:
            raise UserError(
                f"config.data.image_size={size}: the ronneberger generator halves it four times; "
                "use a multiple of 16"
            )
        return RonnebergerUNetGenerator(**fields)
    if size < 4 or size & (size - 1):
        raise UserError(
            f"config.data.image_size={size}: the isola generator halves it down to one pixel; "
            "use a power of two, at least 4"
        )
    _check_rate("config.generator.dropout_rate", generator.dropout_rate)
    return UNetGenerator(
        **fields,
        dropout_rate=generator.dropout_rate,
        dropout_outputs=_checked_dropout_outputs(generator.dropout_outputs, size),
    )


def create_discriminator(config: ConfigDict) -> nn.Module:
    """Create the discriminator that `config.discriminator` asks for.

    Args:
      config: the whole config.

    Returns:
      A `PatchDiscriminator`.

    Raises:
      UserError: a field has no such value, or the image is too small to give one logit.
    """
    discriminator = config.discriminator
    receptive_field = discriminator.receptive_field
    _check_choice("config.discriminator.receptive_field", receptive_field, tuple(NUM_STRIDED_CONVS))
    num_strided = NUM_STRIDED_CONVS[receptive_field]
    # Each of the two last convolutions takes one pixel off the map.
    smallest = 1 if receptive_field == 1 else 3 * 2**num_strided
    if config.data.image_size < smallest:
        raise UserError(
            f"config.discriminator.receptive_field={receptive_field}: no logit is left of "
            f"config.data.image_size={config.data.image_size}; "
            f"use a smaller field, or images of at least {smallest}"
        )
    return PatchDiscriminator(
        receptive_field=receptive_field, **_common_fields("config.discriminator", discriminator)
    )


def create_classifier(config: ConfigDict, num_classes: int) -> nn.Module:
    """Create the classifier that `config.classifier` asks for.

    Args:
      config: the whole config.
      num_classes: number of persons.

    Returns:
      An `Xception`.

    Raises:
      UserError: a field has no such value, or the image is too small.
    """
    classifier = config.classifier
    if config.data.image_size < 71:
        raise UserError(
            f"config.data.image_size={config.data.image_size}: Xception halves it five times; use at least 71"
        )
    if classifier.width <= 0:
        raise UserError(f"config.classifier.width={classifier.width}: use a number above 0")
    if classifier.num_middle_blocks < 0:
        raise UserError(f"config.classifier.num_middle_blocks={classifier.num_middle_blocks}: use 0 or more")
    _check_rate("config.classifier.dropout_rate", classifier.dropout_rate)
    _check_rate("config.classifier.batch_norm_momentum", classifier.batch_norm_momentum)
    return Xception(
        num_classes,
        width=classifier.width,
        num_middle_blocks=classifier.num_middle_blocks,
        dropout_rate=classifier.dropout_rate,
        batch_norm_momentum=classifier.batch_norm_momentum,
        dtype=_parse_dtype("config.classifier.dtype", classifier.dtype),
        param_dtype=_parse_dtype("config.classifier.param_dtype", classifier.param_dtype),
    )


def _common_fields(path: str, network: ConfigDict) -> dict:
    """Return the fields that generators and discriminators share."""
    _check_choice(f"{path}.norm", network.norm, layers.NORMS)
    if network.num_features < 1:
        raise UserError(f"{path}.num_features={network.num_features}: use 1 or more")
    return {
        "num_features": network.num_features,
        "norm": network.norm,
        "dtype": _parse_dtype(f"{path}.dtype", network.dtype),
        "param_dtype": _parse_dtype(f"{path}.param_dtype", network.param_dtype),
    }


def _checked_dropout_outputs(outputs: tuple[int, ...], image_size: int) -> tuple[int, ...]:
    possible = tuple(2**i for i in range(1, image_size.bit_length() - 1))
    for output in outputs:
        _check_choice("config.generator.dropout_outputs", output, possible)
    return tuple(outputs)


def _parse_dtype(path: str, name: str) -> jnp.dtype:
    _check_choice(path, name, _DTYPES)
    return jnp.dtype(name)


def _check_choice(path: str, value, choices: tuple) -> None:
    if value not in choices:
        raise UserError(f"{path}={value!r}: use one of {', '.join(map(str, choices))}")


def _check_rate(path: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{path}={value}: use a number from 0 to below 1")
