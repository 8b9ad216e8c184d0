"""Tests of `fpgan_jax.models.factory`."""

import jax
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
    )


def test_every_field_of_the_generator_is_passed_on(config):
    config.data.update({"image_size": 32, "num_channels": 3})
    fields = {"num_features": 5, "norm": "instance", "dropout_rate": 0.25, "dropout_outputs": (2,)}
    config.generator.update(fields | {"dtype": "bfloat16"})
    expected = UNetGenerator(num_channels=3, **fields, dtype=jnp.dtype("bfloat16"))
    assert factory.create_generator(config) == expected


def test_ronnebergers_generator(config):
    config.data.image_size = 96
    config.generator.update({"form": "ronneberger", "norm": "none", "num_features": 3})
    expected = RonnebergerUNetGenerator(
        num_channels=1, num_features=3, norm="none", dtype=jnp.dtype("float32")
    )
    assert factory.create_generator(config) == expected


def test_every_field_of_the_discriminator_is_passed_on(config):
    fields = {"receptive_field": 34, "num_features": 5, "norm": "none"}
    config.discriminator.update(fields | {"dtype": "bfloat16"})
    assert factory.create_discriminator(config) == PatchDiscriminator(**fields, dtype=jnp.dtype("bfloat16"))


def test_the_fields_in_which_pix2pix_codes_differ_are_passed_on(config):
    shared = {"norm_epsilon": 1e-3, "norm_momentum": 0.99, "conv_bias": "last"}
    generators = {"leaky_slope": 0.3, "skip": "after_activation", "bottleneck_norm": True}
    config.generator.update(shared | generators)
    config.discriminator.update(shared | {"leaky_slope": 0.25})
    generator, discriminator = factory.create_generator(config), factory.create_discriminator(config)
    for network in (generator, discriminator):
        assert {name: getattr(network, name) for name in shared} == shared
    assert {name: getattr(generator, name) for name in generators} == generators
    assert discriminator.leaky_slope == 0.25
    config.generator.update({"form": "ronneberger", "skip": "before_activation", "bottleneck_norm": False})
    ronneberger = factory.create_generator(config)
    assert {name: getattr(ronneberger, name) for name in shared} == shared


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bottleneck_norm": True, "norm": "none"}, r"bottleneck_norm=True: config\.generator\.norm='none'"),
        ({"bottleneck_norm": True, "form": "ronneberger"}, r"bottleneck_norm=True: .* use False"),
        (
            {"skip": "after_activation", "form": "ronneberger"},
            r"skip='after_activation': .* 'before_activation'",
        ),
    ],
)
def test_a_field_that_would_change_nothing_is_refused(config, changes, message):
    config.generator.update(changes)
    with pytest.raises(UserError, match=rf"config\.generator\.{message}"):
        factory.create_generator(config)


def test_a_classifier_of_one_person_is_refused(config):
    with pytest.raises(UserError, match=r"config\.data: 1 person; .* at least 2"):
        factory.create_classifier(config, 1)


def test_every_field_of_the_classifier_is_passed_on(config):
    fields = {"width": 0.5, "num_middle_blocks": 2, "dropout_rate": 0.25, "batch_norm_momentum": 0.9}
    config.classifier.update(fields | {"dtype": "bfloat16"})
    assert factory.create_classifier(config, 5) == Xception(5, **fields, dtype=jnp.dtype("bfloat16"))


def _assert_refused(create, config, changes, message):
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError) as caught:
        create(config)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.image_width": 3},
            "config.data.image_size=256 and image_width=3: too small for a generator; use at least 4 pixels a side",
        ),
        (
            {"data.image_size": 100, "data.image_width": 96, "generator.num_levels": 8},
            "config.generator.num_levels=8: 7 halvings make one pixel of 96 (config.data.image_size=100 and "
            "image_width=96); use at most 7, or 0",
        ),
        (
            {"generator.num_levels": 5, "generator.form": "ronneberger"},
            "config.generator.num_levels=5: the ronneberger generator has no such choice; use 0",
        ),
        (
            {"generator.dropout_outputs": (4, 6)},
            "config.generator.dropout_outputs: 6 is not the size of a decoder output for "
            "config.data.image_size=256, halved 8 times; use any of 2, 4, 8, 16, 32, 64, 128",
        ),
        (
            {"data.image_size": 16, "generator.dropout_outputs": (16,)},
            "config.generator.dropout_outputs: 16 is not the size of a decoder output for "
            "config.data.image_size=16, halved 4 times; use any of 2, 4, 8",
        ),
        (
            {"data.image_size": 5, "generator.dropout_outputs": (2,)},
            "config.generator.dropout_outputs: 2 is not the size of a decoder output for "
            "config.data.image_size=5, halved 1 times; use ()",
        ),
    ],
    ids=[
        "too small",
        "too many levels",
        "levels of ronneberger",
        "dropout between sizes",
        "dropout at the image's size",
        "dropout of one level",
    ],
)
def test_sizes_that_do_not_suit_the_generator_are_named(config, changes, message):
    _assert_refused(factory.create_generator, config, changes, message)


@pytest.mark.parametrize(
    ("receptive_field", "image_size", "smallest"),
    # Halved to 2 pixels, of which the two last convolutions leave none.
    [(70, 23, 24), (286, 95, 96)],
)
def test_sizes_that_do_not_suit_the_discriminator_are_named(config, receptive_field, image_size, smallest):
    _assert_refused(
        factory.create_discriminator,
        config,
        {"data.image_size": image_size, "discriminator.receptive_field": receptive_field},
        f"config.discriminator.receptive_field={receptive_field}: does not suit "
        f"config.data.image_size={image_size}; use a smaller field, or at least {smallest} pixels a side",
    )


@pytest.mark.parametrize(
    ("receptive_field", "image_size", "num_logits"),
    # 4 - 0; 3 - 2 after one halving of 6, three of 24, five of 96; 10 / 2 - 2; 103, 51, 25, 12 - 2, as PyTorch has it.
    [(1, 4, 4), (16, 6, 1), (70, 24, 1), (286, 96, 1), (16, 10, 3), (70, 103, 10)],
)
def test_the_smallest_sizes_that_pass_the_factory_give_logits(
    config, receptive_field, image_size, num_logits
):
    config.data.image_size = image_size
    config.discriminator.update({"receptive_field": receptive_field, "num_features": 1})
    discriminator = factory.create_discriminator(config)
    image = jnp.zeros((1, image_size, image_size, 1))
    logits, _ = jax.eval_shape(
        lambda: discriminator.init_with_output(jax.random.key(0), image, image, use_running_average=False)
    )
    assert logits.shape == (1, num_logits, num_logits, 1)


def test_images_too_small_for_the_classifier_are_named(config):
    _assert_refused(
        lambda config: factory.create_classifier(config, 5),
        config,
        {"data.image_width": 70},
        "config.data.image_size=256 and image_width=70: Xception halves it five times; use at least 71",
    )


def test_the_smallest_images_for_the_classifier(config):
    config.data.image_size = 71
    assert factory.create_classifier(config, 5).num_classes == 5
