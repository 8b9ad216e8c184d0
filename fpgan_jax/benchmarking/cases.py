"""Owns the cases of a benchmark: which there are, and the config of each."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.models.patchgan import NUM_STRIDED_CONVS

PROGRAM_CASES = ("generator_inference", "discriminator", "gan_step", "xception_inference", "xception_step")
INPUT_CASES = ("input_tfdata", "input_device")
# The narrowest and shortest Xception, for trials whose times mean nothing.
SMALLEST_CLASSIFIER = {"width": 0.05, "num_middle_blocks": 0}


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to time.

    Attributes:
      name: one of `PROGRAM_CASES`, `INPUT_CASES` and "synthesis".
      image_size: side of the square image, pixels.
      num_features: features of the first layer of both networks; 0 for Xception, whose width is in the config.
      batch_size: images per step, over all devices.
      dtype: of the computation, "float32" or "bfloat16".
    """

    name: str
    image_size: int
    num_features: int
    batch_size: int
    dtype: str

    @property
    def is_xception(self) -> bool:
        """Whether the classifier is timed, not a network of the GAN."""
        return self.name.startswith("xception")

    def shrink(self, batch_size: int = 1) -> "Case":
        """Return the case at the smallest size that its networks take."""
        size, num_features = (71, 0) if self.is_xception else (16, 2)
        return dataclasses.replace(self, image_size=size, num_features=num_features, batch_size=batch_size)


def create_config(config: ConfigDict, case: Case) -> ConfigDict:
    """Create the config of a case; other fields are those of `config`, which is not changed.

    Dropout stays on the decoder outputs that have it in the reference code at this image size. The receptive
    field of the discriminator is the largest that fits the image, up to the configured one.
    """
    size = case.image_size
    config = config.copy_and_resolve_references()
    config.data.image_size, config.data.image_width = size, 0
    config.generator.dropout_outputs = tuple(o for o in config.generator.dropout_outputs if o <= size // 16)
    largest = config.discriminator.receptive_field
    fitting = (
        field
        for field, num_strided in NUM_STRIDED_CONVS.items()
        if field <= largest and size % 2**num_strided == 0 and size >= 3 * 2**num_strided
    )
    config.discriminator.receptive_field = max(fitting, default=largest)
    for network in (config.generator, config.discriminator, config.classifier):
        network.dtype = case.dtype
    if case.num_features:
        config.generator.num_features = config.discriminator.num_features = case.num_features
    config.global_batch_size = config.classifier.global_batch_size = case.batch_size
    return config


def check_case(case: Case, config: ConfigDict) -> None:
    """Check that the networks of a case can be built with its config, without compiling anything.

    Raises:
      UserError: they cannot be built.
    """
    try:
        if case.is_xception:
            factory.create_classifier(config, num_classes=config.data.num_persons)
        else:
            factory.create_generator(config)
            factory.create_discriminator(config)
    except UserError as error:
        raise UserError(f"--cases={case.name} --sizes={case.image_size}: {error}") from error


def describe_program(case: Case, config: ConfigDict) -> dict[str, Any]:
    """Describe the program of a case, with its config, for PyTorch (`peer_programs.create_call`)."""
    return {
        "name": case.name,
        "dtype": case.dtype,
        "image_size": case.image_size,
        "num_channels": config.data.num_channels,
        "num_features": config.generator.num_features,
        "num_strided": NUM_STRIDED_CONVS[config.discriminator.receptive_field],
        "batch_size": case.batch_size,
        "num_classes": config.data.num_persons,
        "width": config.classifier.width,
        "num_middle_blocks": config.classifier.num_middle_blocks,
    }
