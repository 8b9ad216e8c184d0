"""The configs of the well-known pix2pix codes: what makes each different, by numbers worked out apart from our code."""

import functools
import importlib
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from configs import pix2pix_socofing
from fpgan_jax.config.fields import VARIANT_FIELDS, flatten_config
from fpgan_jax.models import factory
from fpgan_jax.training import gan_trainer
from fpgan_jax.training.optimizers import create_gan_optimizer

VARIANTS = ("pix2pix_pytorch", "pix2pix_torch", "pix2pix_tf1", "pix2pix_tf_tutorial")

# What each code does, told once more: the norm's epsilon, the slope, a norm on the bottleneck, activated skips.
TRAITS = {
    "pix2pix_pytorch": {"epsilon": 1e-5, "slope": 0.2, "bottleneck": False, "activated": False},
    "pix2pix_torch": {"epsilon": 1e-5, "slope": 0.2, "bottleneck": False, "activated": False},
    "pix2pix_tf1": {"epsilon": 1e-5, "slope": 0.2, "bottleneck": True, "activated": False},
    "pix2pix_tf_tutorial": {"epsilon": 1e-3, "slope": 0.3, "bottleneck": True, "activated": True},
}


def create_config(name, **changes):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.socofing_dir = "prints"
    config.update_from_flattened_dict(changes)
    return config


def create_small_config(name):
    """Four levels down to one pixel, two features, and a discriminator of one strided convolution."""
    changes = {"data.image_size": 16, "generator.num_features": 2, "generator.dropout_outputs": (2, 4)}
    changes |= {"discriminator.num_features": 2, "discriminator.receptive_field": 16}
    return create_config(name, **changes)


def init_generator(config):
    model = factory.create_generator(config)
    size, num_channels = config.data.image_size, config.data.num_channels
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    image = jnp.zeros((1, size, size, num_channels))
    return lambda: model.init(keys, image, deterministic=False, use_running_average=False)


def init_discriminator(config):
    model = factory.create_discriminator(config)
    size, num_channels = config.data.image_size, config.data.num_channels
    image = jnp.zeros((1, size, size, num_channels))
    return lambda: model.init(jax.random.key(0), image, image, use_running_average=False)


def count(init):
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(init)["params"]))


# The reference's counts, and what each code has more or less. A norm on 512 features has 1,024. Without any bias the
# last transposed convolution lacks 1 a channel, and D its first 64 and last 1. With all, G has 64 + 128 + 256 + 5 x 512
# down and 4 x 512 + 256 + 128 + 64 up, and D 128 + 256 + 512, more.
@pytest.mark.parametrize(
    ("name", "num_channels", "generator", "discriminator"),
    [
        ("pix2pix_pytorch", 1, 54_407_809, 2_764_609),
        ("pix2pix_torch", 1, 54_407_809 - 1, 2_764_609 - 65),
        ("pix2pix_tf1", 1, 54_407_809 + 1024 + 3008 + 2496, 2_764_609 + 896),
        # What Keras prints for the tutorial's own two networks.
        ("pix2pix_tf_tutorial", 3, 54_414_979, 2_768_641),
    ],
)
def test_parameter_counts(name, num_channels, generator, discriminator):
    config = create_config(name, **{"data.num_channels": num_channels})
    assert (count(init_generator(config)), count(init_discriminator(config))) == (generator, discriminator)


@pytest.mark.parametrize(
    ("name", "generator", "discriminator"),
    [
        ("pix2pix_pytorch", {"up0_conv"}, {"conv0", "conv2"}),
        ("pix2pix_torch", set(), set()),
        (
            "pix2pix_tf1",
            {f"{way}{level}_conv" for way in ("down", "up") for level in range(4)},
            {"conv0", "conv1", "conv2"},
        ),
        ("pix2pix_tf_tutorial", {"up0_conv"}, {"conv2"}),
    ],
)
def test_which_convolutions_have_biases(name, generator, discriminator):
    config = create_small_config(name)

    def list_biased(init):
        names = flatten_dict(jax.eval_shape(init)["params"])
        return {layer for layer, leaf in names if leaf == "bias" and "conv" in layer}

    assert list_biased(init_generator(config)) == generator
    assert list_biased(init_discriminator(config)) == discriminator


@pytest.mark.parametrize("name", VARIANTS)
def test_where_dropout_stands(name):
    config = create_config(name, **{"generator.num_features": 1})
    model = factory.create_generator(config)

    def run():
        return model.init_with_output(
            {"params": jax.random.key(0), "dropout": jax.random.key(1)},
            jnp.zeros((1, 256, 256, 1)),
            deterministic=False,
            use_running_average=False,
            capture_intermediates=lambda module, _: isinstance(module, nn.Dropout),
        )[1]["intermediates"]

    sizes = sorted(found["__call__"][0].shape[1] for found in jax.eval_shape(run).values())
    assert sizes == ([4, 8, 16] if name == "pix2pix_pytorch" else [2, 4, 8])


@pytest.mark.parametrize("name", VARIANTS)
def test_a_256_pixel_image_has_30x30_logits(name):
    config = create_config(name, **{"discriminator.num_features": 1})
    image = jnp.zeros((1, 256, 256, 1))
    model = factory.create_discriminator(config)
    logits, _ = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), image, image, use_running_average=False)
    )
    assert logits.shape == (1, 30, 30, 1)


# --- the networks written out in NumPy --------------------


def _patches(x, stride):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))[:, ::stride, ::stride]


def _conv(x, layer, stride=2):
    y = np.einsum("bhwcij,ijco->bhwo", _patches(x, stride), layer["kernel"])
    return y + layer.get("bias", 0)


def _conv_transpose(x, layer):
    batch, height, width, _ = x.shape
    y = np.zeros((batch, 2 * height + 2, 2 * width + 2, layer["kernel"].shape[2]), x.dtype)
    for i in range(4):
        for j in range(4):
            y[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ layer["kernel"][i, j].T
    return y[:, 1:-1, 1:-1] + layer.get("bias", 0)


def _norm(x, layer, epsilon):
    centered = x - x.mean((0, 1, 2))
    return centered / np.sqrt(x.var((0, 1, 2)) + x.dtype.type(epsilon)) * layer["scale"] + layer["bias"]


def _relu(x, slope=0.0):
    return np.where(x > 0, x, x.dtype.type(slope) * x)


def _generate(params, x, traits, num_levels=4):
    """The reference's or the tutorial's generator, each in its own order of layers."""
    norm = functools.partial(_norm, epsilon=traits["epsilon"])
    leaky = functools.partial(_relu, slope=traits["slope"])
    skips = []
    for level in range(num_levels):
        x = _conv(x if traits["activated"] or not level else leaky(x), params[f"down{level}_conv"])
        if level and (level < num_levels - 1 or traits["bottleneck"]):
            x = norm(x, params[f"down{level}_norm"])
        x = leaky(x) if traits["activated"] else x
        skips.append(x)
    skips.pop()
    for level in range(num_levels - 1, 0, -1):
        x = _conv_transpose(x if traits["activated"] else _relu(x), params[f"up{level}_conv"])
        x = norm(x, params[f"up{level}_norm"])
        x = np.concatenate([skips.pop(), _relu(x) if traits["activated"] else x], -1)
    return np.tanh(_conv_transpose(x if traits["activated"] else _relu(x), params["up0_conv"]))


def _judge(params, x, traits):
    x = _relu(_conv(x, params["conv0"]), traits["slope"])
    x = _norm(_conv(x, params["conv1"], stride=1), params["norm1"], traits["epsilon"])
    return _conv(_relu(x, traits["slope"]), params["conv2"], stride=1)


def _draw_params(init):
    """Kernels that keep the size of what passes, and biases, scales and offsets that are seen."""
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key == "kernel":
            return random.normal(0, np.sqrt(2 / (leaf.size / max(leaf.shape[-2:]))), leaf.shape)
        return random.uniform(0.5, 1.5, leaf.shape) - (path[-1].key == "bias")

    params = jax.tree_util.tree_map_with_path(draw, jax.eval_shape(init)["params"])
    return jax.tree.map(np.float32, params)


def _assert_as_exact_as_numpy(values, compute, params, x):
    """Hold the error to a few times that of NumPy in float32, both against NumPy in float64."""
    exact = compute(jax.tree.map(np.float64, params), np.float64(x))
    error_of_numpy = np.abs(compute(params, x) - exact).max()
    assert exact.std() > 0.1
    assert np.abs(np.float64(values) - exact).max() < 8 * error_of_numpy


@pytest.mark.parametrize("name", VARIANTS)
def test_generators_values_are_its_codes(name):
    config = create_small_config(name)
    params = _draw_params(init_generator(config))
    x = np.random.default_rng(1).uniform(-1, 1, (3, 16, 16, 1)).astype(np.float32)
    model = factory.create_generator(config)
    image, _ = jax.jit(
        lambda params, x: model.apply(
            {"params": params}, x, deterministic=True, use_running_average=False, mutable=["batch_stats"]
        )
    )(params, x)
    _assert_as_exact_as_numpy(image, functools.partial(_generate, traits=TRAITS[name]), params, x)


@pytest.mark.parametrize("name", VARIANTS)
def test_discriminators_values_are_its_codes(name):
    config = create_small_config(name)
    params = _draw_params(init_discriminator(config))
    x = np.random.default_rng(1).uniform(-1, 1, (3, 16, 16, 2)).astype(np.float32)
    model = factory.create_discriminator(config)
    logits, _ = jax.jit(
        lambda params, x: model.apply(
            {"params": params}, x[..., :1], x[..., 1:], use_running_average=False, mutable=["batch_stats"]
        )
    )(params, x)
    _assert_as_exact_as_numpy(logits, functools.partial(_judge, traits=TRAITS[name]), params, x)


def test_the_tutorials_padding_is_ours_where_sizes_are_even():
    # TensorFlow's SAME pads max(0, (ceil(n / s) - 1) s + k - n) pixels, the odd one behind: at k = 4, s = 2 and
    # even n that is 2, one on each side. Its ZeroPadding2D before VALID is one on each side by definition.
    for size in range(4, 257, 2):
        total = max(0, (-(-size // 2) - 1) * 2 + 4 - size)
        assert (total // 2, total - total // 2) == (1, 1)


# --- training --------------------


def test_the_reference_keeps_its_rate_for_99_epochs_and_ends_at_zero():
    config = create_config("pix2pix_pytorch")
    tx = create_gan_optimizer(config, num_examples=50)
    state = tx.init(jnp.zeros(()))

    def take_step(count):
        # Adam's direction for a first gradient of 1 is 1, but for epsilon.
        at = jax.tree.map(lambda leaf: leaf, state)
        at = (at[0], at[1]._replace(count=jnp.int32(count)))
        return -float(tx.update(jnp.ones(()), at)[0])

    first_steps = [take_step(50 * epoch) for epoch in (0, 98, 99, 149, 199)]
    expected = [2e-4 * factor for factor in (1, 1, 1 - 1 / 101, 1 - 51 / 101, 0)]
    np.testing.assert_allclose(first_steps, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pix2pix_pytorch", ("discriminator_first", 0.5, 1e-8, 10_000, "bicubic")),
        ("pix2pix_torch", ("old_activations", 1.0, 1e-8, 10_000, "bilinear")),
        ("pix2pix_tf1", ("old_activations", 1.0, 1e-8, 8_000, "area")),
        ("pix2pix_tf_tutorial", ("simultaneous", 1.0, 1e-7, 40_000, "nearest")),
    ],
)
def test_order_of_updates_losses_and_length(name, expected):
    config = create_config(name)
    num_steps = config.num_epochs * config.data.num_persons * config.data.num_replicas
    step = gan_trainer.bind_train_step(config, generator=None, discriminator=None, tx=None)
    settings = step.keywords["settings"]
    found = (settings.update_order, settings.discriminator_loss_weight, config.adam_eps, num_steps)
    assert (*found, config.data.interpolation) == expected
    assert (config.learning_rate, config.adam_beta1, config.lambda_l1, config.data.jitter) == (
        2e-4,
        0.5,
        100,
        30,
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_docs_name_the_config_and_every_field_that_it_changes(name):
    text = pathlib.Path("docs/versions.md").read_text(encoding="utf-8")
    assert f"configs/{name}.py" in text
    base = flatten_config(pix2pix_socofing.get_config())
    values = flatten_config(importlib.import_module(f"configs.{name}").get_config())
    changed = {field for field, value in values.items() if value != base[field]}
    assert {field for field in changed | set(VARIANT_FIELDS) if f"`{field}`" not in text} == set()
