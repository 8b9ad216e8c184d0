"""The tutorial's networks against Keras, the TensorFlow 1 port's order of updates and its enlargement, live."""

import importlib

import jax
import numpy as np
import pytest

from fpgan_jax.data import preprocessing
from fpgan_jax.models import factory

pytestmark = [pytest.mark.slow, pytest.mark.optimized]

SIZE, FEATURES = 64, 4


@pytest.fixture(name="config")
def _config():
    config = importlib.import_module("configs.pix2pix_tf_tutorial").get_config()
    config.data.image_size, config.data.num_channels = SIZE, 3
    config.generator.num_features = config.discriminator.num_features = FEATURES
    return config


@pytest.fixture(name="keras")
def _keras():
    import keras

    before = keras.config.dtype_policy()
    yield keras
    keras.config.set_dtype_policy(before)


def _down(keras, x, features, *, has_norm=True):
    x = keras.layers.Conv2D(features, 4, strides=2, padding="same", use_bias=False)(x)
    return keras.layers.LeakyReLU()(keras.layers.BatchNormalization()(x) if has_norm else x)


def _build_generator(keras):
    """The tutorial's U-Net for six levels, without its dropout, which would be drawn otherwise."""
    x = image = keras.Input((SIZE, SIZE, 3))
    skips = []
    for level in range(6):
        x = _down(keras, x, FEATURES * min(2**level, 8), has_norm=level > 0)
        skips.append(x)
    for level in range(5, 0, -1):
        features = FEATURES * min(2 ** (level - 1), 8)
        x = keras.layers.Conv2DTranspose(features, 4, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = keras.layers.Concatenate()([x, skips[level - 1]])
    x = keras.layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh")(x)
    return keras.Model(image, x)


def _build_discriminator(keras):
    noise_image, image = keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Concatenate()([noise_image, image])
    for level in range(3):
        x = _down(keras, x, FEATURES * 2**level, has_norm=level > 0)
    x = keras.layers.Conv2D(FEATURES * 8, 4, use_bias=False)(keras.layers.ZeroPadding2D()(x))
    x = keras.layers.LeakyReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Conv2D(1, 4)(keras.layers.ZeroPadding2D()(x))
    return keras.Model([noise_image, image], x)


def _randomise(model):
    """Give every trainable weight values that are seen in the output, the same at each call."""
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        if weight.path.endswith("kernel"):
            scale = np.sqrt(2 / (np.prod(weight.shape) / max(weight.shape[-2:])))
            weight.assign(np.float32(random.normal(0, scale, weight.shape)))
        else:
            centre = float(weight.path.endswith("gamma"))
            weight.assign(np.float32(centre + random.uniform(-0.5, 0.5, weight.shape)))
    return model


def _copy_layers(model):
    """Return Keras's convolutions and norms in the order that they were made, as our parameters."""
    convs, norms = [], []
    for layer in model.layers:
        values = {weight.path.rsplit("/", 1)[-1]: np.asarray(weight) for weight in layer.trainable_variables}
        if "gamma" in values:
            norms.append({"scale": values["gamma"], "bias": values["beta"]})
        elif values:
            convs.append(values)
    return convs, norms


def _copy_generator(model):
    convs, norms = _copy_layers(model)
    names = [f"down{level}" for level in range(6)] + [f"up{level}" for level in range(5, -1, -1)]
    params = {f"{name}_conv": conv for name, conv in zip(names, convs, strict=True)}
    for level in range(5):
        # Keras's halves are [up, skip], ours [skip, up].
        up, skip = np.split(params[f"up{level}_conv"]["kernel"], 2, axis=-1)
        params[f"up{level}_conv"]["kernel"] = np.concatenate([skip, up], axis=-1)
    normed = [name for name in names if name not in ("down0", "up0")]
    return params | {f"{name}_norm": norm for name, norm in zip(normed, norms, strict=True)}


def _copy_discriminator(model):
    convs, norms = _copy_layers(model)
    params = {f"conv{i}": conv for i, conv in enumerate(convs)}
    return params | {f"norm{i + 1}": norm for i, norm in enumerate(norms)}


def _assert_as_exact_as_keras(keras, build, copy, run, inputs):
    """Hold the error to a few times that of Keras in float32, both against Keras in float64."""
    found = run(copy(_randomise(build(keras))))
    results = {}
    for dtype in ("float32", "float64"):
        keras.config.set_dtype_policy(dtype)
        model = _randomise(build(keras))
        arrays = [image.astype(dtype) for image in inputs]
        results[dtype] = np.float64(model(arrays if len(arrays) > 1 else arrays[0], training=True))
    exact = results["float64"]
    keras_error = np.abs(results["float32"] - exact).max()
    assert found.shape == exact.shape and exact.std() > 0.1
    assert np.abs(np.float64(found) - exact).max() < 8 * keras_error


def _draw_images(count):
    return np.random.default_rng(1).uniform(-1, 1, (count, 3, SIZE, SIZE, 3)).astype(np.float32)


def test_generators_values_are_kerass(config, keras):
    (noise,) = _draw_images(1)
    model = factory.create_generator(config)

    @jax.jit
    def run(params):
        modes = {"deterministic": True, "use_running_average": False, "mutable": ["batch_stats"]}
        return model.apply({"params": params}, noise, **modes)[0]

    _assert_as_exact_as_keras(keras, _build_generator, _copy_generator, run, [noise])


def test_discriminators_values_are_kerass(config, keras):
    images = _draw_images(2)
    model = factory.create_discriminator(config)

    @jax.jit
    def run(params):
        modes = {"use_running_average": False, "mutable": ["batch_stats"]}
        return model.apply({"params": params}, *images, **modes)[0]

    _assert_as_exact_as_keras(keras, _build_discriminator, _copy_discriminator, run, list(images))


@pytest.mark.parametrize("size", [256, 40])
def test_area_is_tensorflows(size):
    import tensorflow as tf

    image = np.random.default_rng(0).integers(0, 256, (103, 96, 3), np.uint8)
    exact = tf.image.resize(image.astype(np.float32), (size, size), method="area").numpy()
    # Half a gray level of rounding, and float32 sums of up to 12 pixels.
    assert np.abs(preprocessing.resize(image, (size, size), "area") - exact).max() < 0.5 + 1e-3


@pytest.mark.parametrize(("use_resource", "expected"), [(False, 0.75), (True, 1.0)])
def test_the_tensorflow_1_ports_generator_learns_through_new_weights(use_resource, expected):
    """A graph of the port's form: G = w x, D = a G, D's update from 1 to 0.75 before G's gradient."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        v1 = tf.compat.v1
        ones = tf.ones((1, 1))
        w = v1.get_variable("w", initializer=ones, use_resource=use_resource)
        a = v1.get_variable("a", initializer=ones, use_resource=use_resource)
        logit = tf.matmul(tf.matmul(ones, w), a)
        discriminator_optimizer = v1.train.GradientDescentOptimizer(0.25)
        # Its gradient by a is the logit times G's output, so that D's pass comes before D's update, as there.
        gradients = discriminator_optimizer.compute_gradients(tf.square(logit) / 2, [a])
        with tf.control_dependencies([discriminator_optimizer.apply_gradients(gradients)]):
            gradient = v1.train.GradientDescentOptimizer(1.0).compute_gradients(logit, [w])[0][0]
        session.run(v1.global_variables_initializer())
        found, judged = session.run([gradient, logit])
        assert (float(found[0, 0]), float(judged[0, 0]), float(session.run(a)[0, 0])) == (expected, 1.0, 0.75)
