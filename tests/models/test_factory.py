"""Tests of `fpgan_jax.models.factory`."""

import jax.numpy as jnp
import pytest

from configs.pix2pix_socofing import get_config
from fpgan_jax.errors import UserError
from fpgan_jax.models import factory
from fpgan_jax.models.patchgan import PatchDiscriminator
from fpgan_jax.models.unet import RonnebergerUNetGenerator, UNetGenerator
from fpgan_jax.models.xception import Xception


@pytest.fixture(name="config")
def _config():
    return get_config()


def test_the_papers_generator(config):
    assert factory.create_generator(config) == UNetGenerator(
        num_channels=1,
        num_features=64,
        norm="batch",
        dropout_rate=0.5,
        dropout_outputs=(4, 8, 16),
        dtype=jnp.dtype("float32"),
        param_dtype=jnp.dtype("float32"),
    )


def test_every_field_of_the_generator_is_passed_on(config):
    config.data.update({"image_size": 32, "num_channels": 3})
    config.generator.update(
        {
            "num_features": 5,
            "norm": "instance",
            "dropout_rate": 0.25,
            "dropout_outputs": (2,),
            "dtype": "bfloat16",
            "param_dtype": "float16",
        }
    )
    assert factory.create_generator(config) == UNetGenerator(
        num_channels=3,
        num_features=5,
        norm="instance",
        dropout_rate=0.25,
        dropout_outputs=(2,),
        dtype=jnp.dtype("bfloat16"),
        param_dtype=jnp.dtype("float16"),
    )


def test_ronnebergers_generator(config):
    config.data.image_size = 96
    config.generator.update({"form": "ronneberger", "norm": "none", "num_features": 3})
    assert factory.create_generator(config) == RonnebergerUNetGenerator(
        num_channels=1,
        num_features=3,
        norm="none",
        dtype=jnp.dtype("float32"),
        param_dtype=jnp.dtype("float32"),
    )


def test_every_field_of_the_discriminator_is_passed_on(config):
    config.discriminator.update(
        {
            "receptive_field": 34,
            "num_features": 5,
            "norm": "none",
            "dtype": "bfloat16",
            "param_dtype": "float16",
        }
    )
    assert factory.create_discriminator(config) == PatchDiscriminator(
        receptive_field=34,
        num_features=5,
        norm="none",
        dtype=jnp.dtype("bfloat16"),
        param_dtype=jnp.dtype("float16"),
    )


def test_every_field_of_the_classifier_is_passed_on(config):
    config.classifier.update(
        {
            "width": 0.5,
            "num_middle_blocks": 2,
            "dropout_rate": 0.25,
            "batch_norm_momentum": 0.9,
            "dtype": "bfloat16",
            "param_dtype": "float16",
        }
    )
    assert factory.create_classifier(config, 5) == Xception(
        5,
        width=0.5,
        num_middle_blocks=2,
        dropout_rate=0.25,
        batch_norm_momentum=0.9,
        dtype=jnp.dtype("bfloat16"),
        param_dtype=jnp.dtype("float16"),
    )


def _assert_refused(create, config, changes, message):
    with config.ignore_type():
        config.update_from_flattened_dict(changes)
    with pytest.raises(UserError) as caught:
        create(config)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.image_size": 100},
            "config.data.image_size=100: the isola generator halves it down to one pixel",
        ),
        ({"data.image_size": 2}, "config.data.image_size=2: the isola generator"),
        ({"data.image_size": 0}, "config.data.image_size=0: the isola generator"),
        (
            {"data.image_size": 100, "generator.form": "ronneberger"},
            "config.data.image_size=100: the ronneberger generator halves it four times; use a "
            "multiple of 16",
        ),
        (
            {"data.image_size": 0, "generator.form": "ronneberger"},
            "config.data.image_size=0: the ronneberger",
        ),
        ({"generator.form": "unet"}, "config.generator.form='unet': use one of isola, ronneberger"),
        ({"generator.norm": "layer"}, "config.generator.norm='layer': use one of batch, "),
        ({"generator.num_features": 0}, "config.generator.num_features=0: use 1 or more"),
        (
            {"generator.dropout_rate": 1.0},
            "config.generator.dropout_rate=1.0: use a number from 0 to below 1",
        ),
        ({"generator.dropout_outputs": (4, 6)}, "config.generator.dropout_outputs=6: use one of 2, 4, 8, "),
        (
            {"data.image_size": 16, "generator.dropout_outputs": (16,)},
            "config.generator.dropout_outputs=16: use one of 2, 4, 8",
        ),
        ({"generator.dtype": "float8"}, "config.generator.dtype='float8': use one of float32, "),
        ({"generator.param_dtype": "int8"}, "config.generator.param_dtype='int8': use one of float32, "),
    ],
)
def test_generators_bad_fields_are_named(config, changes, message):
    _assert_refused(factory.create_generator, config, changes, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"discriminator.receptive_field": 50},
            "config.discriminator.receptive_field=50: use one of 1, 16, 34, 70, 142, 286",
        ),
        (
            {"data.image_size": 16},
            "config.discriminator.receptive_field=70: no logit is left of config.data.image_size=16; "
            "use a smaller field, or images of at least 24",
        ),
        ({"discriminator.norm": "layer"}, "config.discriminator.norm='layer': use one of batch, "),
        ({"discriminator.num_features": -1}, "config.discriminator.num_features=-1: use 1 or more"),
        ({"discriminator.dtype": "half"}, "config.discriminator.dtype='half': use one of float32, "),
    ],
)
def test_discriminators_bad_fields_are_named(config, changes, message):
    _assert_refused(factory.create_discriminator, config, changes, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.image_size": 64},
            "config.data.image_size=64: Xception halves it five times; use at least 71",
        ),
        ({"classifier.width": 0.0}, "config.classifier.width=0.0: use a number above 0"),
        ({"classifier.num_middle_blocks": -1}, "config.classifier.num_middle_blocks=-1: use 0 or more"),
        ({"classifier.dropout_rate": -0.1}, "config.classifier.dropout_rate=-0.1: use a number from 0"),
        ({"classifier.batch_norm_momentum": 1.5}, "config.classifier.batch_norm_momentum=1.5: use a number"),
        ({"classifier.dtype": ""}, "config.classifier.dtype='': use one of float32, "),
    ],
)
def test_classifiers_bad_fields_are_named(config, changes, message):
    _assert_refused(lambda config: factory.create_classifier(config, 5), config, changes, message)
