"""Tests of `fpgan_jax.models.xception`."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.models.xception import Xception


def _init(model, shape, **kwargs):
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    return lambda: model.init_with_output(
        keys, jnp.zeros(shape), deterministic=False, use_running_average=True, **kwargs
    )


def _variables(model, shape):
    return jax.eval_shape(_init(model, shape))[1]


def _count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts_are_kerass():
    variables = _variables(Xception(1000), (1, 71, 71, 3))
    assert (_count(variables), _count(variables["params"])) == (22_910_480, 22_855_952)


def test_grey_images_change_the_first_kernel_only():
    gray = _variables(Xception(1000), (1, 71, 71, 1))
    assert gray["params"]["block1_conv1"]["kernel"].shape == (3, 3, 1, 32)
    assert _count(gray) == 22_910_480 - 2 * 9 * 32


@pytest.mark.parametrize(("size", "dtype"), [(71, "float32"), (128, "bfloat16")])
def test_logits_are_float32(size, dtype):
    logits, _ = jax.eval_shape(_init(Xception(7, dtype=dtype), (2, size, size, 1)))
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)


@pytest.mark.parametrize(
    ("size", "expected"),
    # 299 is Chollet's figure 5; 71 by hand: VALID 35, 33, then halved upwards four times.
    [(299, [(147, 147, 64), (74, 74, 128), (37, 37, 256), (19, 19, 728), (10, 10, 1024)]),
     (71, [(33, 33, 64), (17, 17, 128), (9, 9, 256), (5, 5, 728), (3, 3, 1024)])],
)  # fmt: skip
def test_sizes_between_the_flows(size, expected):
    names = ["block1_conv2", "block2_shortcut_conv", "block3_shortcut_conv", "block4_shortcut_conv",
             "block13_shortcut_conv"]  # fmt: skip
    run = _init(Xception(2), (1, size, size, 1), capture_intermediates=True)
    found = jax.eval_shape(run)[1]["intermediates"]
    assert [found[name]["__call__"][0].shape[1:] for name in names] == expected


def test_width_and_middle_blocks():
    params = _variables(Xception(2, width=0.25, num_middle_blocks=1), (1, 71, 71, 1))["params"]
    assert params["block5_sepconv3"]["pointwise_kernel"].shape == (1, 1, 182, 182)
    assert params["block6_sepconv2"]["pointwise_kernel"].shape == (1, 1, 182, 256)
    assert params["predictions"]["kernel"].shape == (512, 2)
    assert "block8_sepconv1" not in params


def test_all_kernels_start_from_kerass_glorot_uniform():
    params = jax.jit(_init(Xception(50, width=0.25, num_middle_blocks=0), (1, 71, 71, 3)))()[1]["params"]

    def assert_uniform(kernel, fan_in, fan_out):
        limit = np.sqrt(6 / (fan_in + fan_out))
        values = np.asarray(kernel, np.float64)
        assert np.abs(values).max() <= limit
        # Five standard errors: a uniform square has the mean 1/3 and the standard deviation sqrt(4/45).
        assert abs(((values / limit) ** 2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / values.size)

    assert_uniform(params["block1_conv2"]["kernel"], 9 * 8, 9 * 16)
    assert_uniform(params["block4_shortcut_conv"]["kernel"], 64, 182)
    # Keras counts a depthwise kernel (3, 3, C, 1): C * 9 in, 1 * 9 out.
    assert_uniform(params["block4_sepconv2"]["depthwise_kernel"], 9 * 182, 9)
    assert_uniform(params["block4_sepconv2"]["pointwise_kernel"], 182, 182)
    assert_uniform(params["predictions"]["kernel"], 512, 50)


@pytest.fixture(name="small", scope="module")
def _small(draw_variables):
    model = Xception(3, width=1 / 16, num_middle_blocks=0, batch_norm_momentum=0.75)
    return model, draw_variables(lambda: _init(model, (1, 71, 71, 1))()[1])


@pytest.fixture(name="images", scope="module")
def _images():
    return jnp.float32(np.random.default_rng(0).uniform(-1, 1, (2, 71, 71, 1)))


def test_dropout_is_before_the_last_layer_only(small, images):
    model, _ = small
    run = _init(model, images.shape, capture_intermediates=lambda module, _: isinstance(module, nn.Dropout))
    found = jax.eval_shape(run)[1]["intermediates"]
    assert {name: leaf["__call__"][0].shape for name, leaf in found.items()} == {"dropout": (2, 128)}


def test_momentum_is_the_asked(small, images):
    model, variables = small

    @jax.jit
    def update(variables, images):
        return model.apply(
            variables,
            images,
            deterministic=True,
            use_running_average=False,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda module, _: module.name == "block1_conv1",
        )[1]

    found = update(variables, images)
    map_ = np.asarray(found["intermediates"]["block1_conv1"]["__call__"][0], np.float64)
    old, new = (tree["batch_stats"]["block1_conv1_bn"]["mean"] for tree in (variables, found))
    np.testing.assert_allclose(new, 0.75 * old + 0.25 * map_.mean((0, 1, 2)), rtol=0, atol=1e-6)


def _copy_from_keras(keras_model, variables):
    """Return the variables with every value of the Keras model, by name; shortcuts by order."""
    shortcuts = iter(["block2", "block3", "block4", "block13"])
    shortcut_bns = iter(["block2", "block3", "block4", "block13"])
    names = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
    copied = {"params": {}, "batch_stats": {}}
    for layer in keras_model.layers:
        if not layer.weights:
            continue
        name = layer.name
        if name.startswith("conv2d"):
            name = f"{next(shortcuts)}_shortcut_conv"
        if name.startswith("batch_normalization"):
            name = f"{next(shortcut_bns)}_shortcut_bn"
        for weight in layer.weights:
            leaf = names.get(weight.name, weight.name)
            value = weight.numpy()
            value = value.swapaxes(2, 3) if leaf == "depthwise_kernel" else value
            collection = "batch_stats" if leaf in ("mean", "var") else "params"
            copied[collection].setdefault(name, {})[leaf] = jnp.asarray(value)
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (copied, variables)]
    assert shapes[0] == shapes[1]
    return copied


@pytest.mark.slow
def test_values_are_kerass():
    """Rows of an even and columns of an odd size, so that both of TensorFlow's paddings are met."""
    import keras

    keras.utils.set_random_seed(0)
    shape = (96, 71, 3)
    keras_model = keras.applications.Xception(
        weights=None, classes=5, input_shape=shape, classifier_activation=None
    )
    random = np.random.default_rng(0)
    for layer in keras_model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            scale, bias, mean, var = (w.shape for w in layer.weights)
            layer.set_weights(
                [random.uniform(0.8, 1.6, scale), random.normal(0, 0.2, bias), random.normal(0, 0.2, mean),
                 random.uniform(0.5, 1.0, var)]
            )  # fmt: skip
    images = random.uniform(-1, 1, (2, *shape)).astype(np.float32)
    expected = keras_model.predict(images, verbose=0)
    model = Xception(5)
    variables = _copy_from_keras(keras_model, _variables(model, (1, *shape)))
    logits = jax.jit(lambda v, x: model.apply(v, x, deterministic=True, use_running_average=True))(
        variables, images
    )
    # 74 layers in a row, each rounding a sum of up to 9 * 2048 terms; roundings add as their roots.
    tolerance = np.finfo(np.float32).eps * np.sqrt(9 * 2048) * np.sqrt(74)
    assert expected.std() > 0
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance * np.abs(expected).max())
