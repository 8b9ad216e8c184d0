"""Tests of `fpgan_jax.models.layers` against NumPy, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.models import layers, norms


def _draw(seed, shape):
    return np.float64(np.float32(np.random.default_rng(seed).standard_normal(shape)))


def test_up_conv_2x2_writes_each_position_as_its_own_patch():
    module = layers.UpConv2x2(1)
    kernel = jnp.float32([[1, 2], [3, 4]]).reshape(2, 2, 1, 1)
    x = jnp.float32([[1, 10]]).reshape(1, 1, 2, 1)
    y = module.apply({"params": {"kernel": kernel, "bias": jnp.float32([0.5])}}, x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[1.5, 2.5, 10.5, 20.5], [3.5, 4.5, 30.5, 40.5]])


def _convolve(x, kernel, strides=1):
    """Convolve [h, w, c] by [k, k, c, features], one zero around, output by output."""
    size, padded = len(kernel), np.pad(x, ((1, 1), (1, 1), (0, 0)))
    rows, columns = ((length - size) // strides + 1 for length in padded.shape[:2])
    return np.array(
        [
            [
                np.tensordot(padded[i : i + size, j : j + size], kernel, 3)
                for j in range(0, strides * columns, strides)
            ]
            for i in range(0, strides * rows, strides)
        ]
    )


@pytest.mark.parametrize("size", [(4, 6), (24, 26)], ids=["few positions", "many positions"])
def test_resize_conv_is_a_convolution_of_repeated_pixels(size):
    x, kernel = _draw(0, (1, *size, 2)), _draw(1, (3, 3, 2, 3))
    y = layers.ResizeConv3x3(3, use_bias=False).apply(
        {"params": {"kernel": jnp.float32(kernel)}}, jnp.float32(x)
    )
    expected = _convolve(x[0].repeat(2, axis=0).repeat(2, axis=1), kernel)
    np.testing.assert_allclose(y[0], expected, atol=2e-5)


def test_the_gradient_of_a_resize_conv_is_that_of_its_sum_of_taps():
    # An all-one image of 3x3, repeated to 6x6: in the sum of the outputs a corner's tap stands 25 times, an edge's 30.
    x = jnp.ones((1, 3, 3, 1))
    module = layers.ResizeConv3x3(1, use_bias=False)
    gradient = jax.grad(lambda kernel: module.apply({"params": {"kernel": kernel}}, x).sum())(
        jnp.ones((3, 3, 1, 1))
    )
    np.testing.assert_allclose(gradient[..., 0, 0], [[25, 30, 25], [30, 36, 30], [25, 30, 25]])


@pytest.mark.parametrize("size", [(5, 7), (5, 6), (8, 9)])
def test_an_odd_size_is_halved_as_pytorch_does(size):
    x, kernel = _draw(0, (1, *size, 2)), _draw(1, (4, 4, 2, 3))
    module = layers.Conv4x4Stride2(3, use_bias=False)
    y = module.apply({"params": {"kernel": jnp.float32(kernel)}}, jnp.float32(x))
    assert y.shape == (1, size[0] // 2, size[1] // 2, 3)
    np.testing.assert_allclose(y[0], _convolve(x[0], kernel, strides=2), atol=2e-5)


def _normalize(x, axes, epsilon=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def _apply_norm(module, x, variables, **kwargs):
    return module.apply(variables, jnp.asarray(x), **kwargs)


@pytest.fixture(name="norm_variables")
def _norm_variables():
    return {
        "params": {"scale": jnp.float32([2, 1, -1]), "bias": jnp.float32([0, 1, 2])},
        "batch_stats": {"mean": jnp.float32([1, 2, 3]), "var": jnp.float32([4, 1, 9])},
    }


@pytest.mark.parametrize(("per_example", "axes"), [(False, (0, 1, 2)), (True, (1, 2))])
def test_batch_norm_uses_its_own_statistics(norm_variables, per_example, axes):
    x = _draw(0, (4, 3, 2, 3))
    module = norms.BatchNorm(False, per_example=per_example)
    y = _apply_norm(module, np.float32(x), norm_variables)
    expected = _normalize(x, axes) * [2, 1, -1] + [0, 1, 2]
    # A handful of roundings of values up to 8.
    np.testing.assert_allclose(y, expected, rtol=0, atol=8 * 8 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("per_example", [False, True])
def test_batch_norm_moves_its_running_statistics_when_mutable(norm_variables, per_example):
    x = _draw(0, (4, 3, 2, 3))
    module = norms.BatchNorm(False, per_example=per_example)
    _, updates = _apply_norm(module, np.float32(x), norm_variables, mutable=["batch_stats"])
    variances = x.var((1, 2)).mean(0) if per_example else x.var((0, 1, 2))
    stats = updates["batch_stats"]
    expected_mean = 0.9 * np.array([1, 2, 3]) + 0.1 * x.mean((0, 1, 2))
    np.testing.assert_allclose(stats["mean"], expected_mean, rtol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 * np.array([4, 1, 9]) + 0.1 * variances, rtol=1e-6)


def test_batch_norm_by_running_statistics(norm_variables):
    x = np.float32(_draw(0, (2, 2, 2, 3)))
    y = _apply_norm(norms.BatchNorm(True, epsilon=0.0), x, norm_variables)
    expected = (x - [1, 2, 3]) / [2, 1, 3] * [2, 1, -1] + [0, 1, 2]
    np.testing.assert_allclose(y, expected, rtol=0, atol=8 * 8 * np.finfo(np.float32).eps)


def test_batch_norm_starts_from_the_neutral_running_statistics():
    variables = norms.BatchNorm(False).init(jax.random.key(0), 7 * jnp.ones((1, 2, 2, 3)))
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones(3))


def test_batch_norm_keeps_its_digits_where_the_mean_is_large(norm_variables):
    x = np.float32(_draw(0, (4, 3, 2, 3)) + 4096)
    _, updates = _apply_norm(norms.BatchNorm(False), x, norm_variables, mutable=["batch_stats"])
    expected = 0.9 * np.array([4, 1, 9]) + 0.1 * np.float64(x).var((0, 1, 2))
    # The mean is rounded to 4096 * eps = 5e-4, which enters squared; mean(x^2) - mean^2 would be off by
    # about 2.
    np.testing.assert_allclose(updates["batch_stats"]["var"], expected, rtol=1e-6)


def test_batch_norm_takes_statistics_in_float32(norm_variables):
    # In bfloat16 a sum of 512 ones stays at 256, so that the mean would be half of what it is.
    module = norms.BatchNorm(False, dtype=jnp.bfloat16)
    y, updates = _apply_norm(
        module, jnp.ones((2, 16, 16, 3), jnp.bfloat16), norm_variables, mutable=["batch_stats"]
    )
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(updates["batch_stats"]["mean"], [1.0, 1.9, 2.8], rtol=1e-6)


def test_instance_norm_is_per_example_and_feature_and_has_no_variables():
    x = _draw(0, (2, 3, 4, 3))
    y, variables = norms.InstanceNorm().init_with_output(jax.random.key(0), jnp.float32(x))
    assert not variables
    np.testing.assert_allclose(y, _normalize(x, (1, 2)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "batch_per_example"])
def test_epsilon_and_momentum_by_hand(norm):
    # 0 and 4 have mean 2 and variance 4, so that they lie 2 / sqrt(4 + 12) = 0.5 from their mean.
    module = norms.create_gan_norm(
        norm,
        use_running_average=False,
        dtype=None,
        name=None,
        epsilon=12.0,
        momentum=0.25,
    )
    variables = {
        "params": {"scale": jnp.ones(1), "bias": jnp.zeros(1)},
        "batch_stats": {"mean": jnp.zeros(1), "var": jnp.ones(1)},
    }
    y, updates = module.apply(variables, jnp.float32([[[[0], [4]]]]), mutable=["batch_stats"])
    np.testing.assert_allclose(y.ravel(), [-0.5, 0.5], rtol=1e-6)
    stats = updates["batch_stats"]
    np.testing.assert_array_equal([stats["mean"][0], stats["var"][0]], [0.75 * 2, 0.25 * 1 + 0.75 * 4])


def test_epsilon_of_instance_norm_by_hand():
    module = norms.create_gan_norm(
        "instance",
        use_running_average=False,
        dtype=None,
        name=None,
        epsilon=12.0,
    )
    y = module.apply({}, jnp.float32([[[[0], [4]]]]))
    np.testing.assert_allclose(y.ravel(), [-0.5, 0.5], rtol=1e-6)


def test_unknown_conv_bias_is_refused():
    with pytest.raises(ValueError, match="conv_bias='some'"):
        layers.GanNetwork(conv_bias="some").needs_bias()


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm='layer'"):
        norms.create_gan_norm("layer", use_running_average=False, dtype=None, name="n")


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2)])
def test_gradients_of_a_norm_are_those_of_its_definition(axes):
    """Central differences in float64 of the definition in NumPy, against the gradients written out."""
    x, g = _draw(0, (3, 4, 2, 2)), _draw(1, (3, 4, 2, 2))
    scale, bias = np.array([2.0, -0.5]), np.array([1.0, 3.0])

    def define(x, scale, bias):
        return ((_normalize(x, axes) * scale + bias) * g).sum()

    def differentiate(place):
        args = [x, scale, bias]

        def move(step):
            return define(*args[:place], args[place] + step.reshape(args[place].shape), *args[place + 1 :])

        steps = 1e-6 * np.eye(args[place].size)
        return np.reshape([(move(s) - move(-s)) / 2e-6 for s in steps], args[place].shape)

    y, pullback = jax.vjp(
        lambda x, scale, bias: norms.normalize_by_moments(x, scale, bias, axes, 1e-5)[0],
        *map(jnp.float32, (x, scale, bias)),
    )
    np.testing.assert_allclose(y, _normalize(x, axes) * scale + bias, rtol=0, atol=1e-5)
    for place, gradient in enumerate(pullback(jnp.float32(g))):
        # The differences are good to 1e-8; float32 sums of 24 values of order 3 to 24 * 3 * eps = 9e-6.
        np.testing.assert_allclose(gradient, differentiate(place), rtol=0, atol=3e-5)


def test_two_passes_in_one_batch_are_as_two_batches(norm_variables):
    x = np.float32(_draw(0, (4, 3, 2, 3)))
    together, stats = _apply_norm(
        norms.BatchNorm(False, num_passes=2), x, norm_variables, mutable=["batch_stats"]
    )
    variables, apart = dict(norm_variables), []
    for half in np.split(x, 2):
        y, updates = _apply_norm(norms.BatchNorm(False), half, variables, mutable=["batch_stats"])
        variables |= updates
        apart.append(y)
    np.testing.assert_allclose(together, np.concatenate(apart), rtol=0, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        stats["batch_stats"],
        variables["batch_stats"],
    )


def test_recomputing_keeps_the_convolutions_outputs_only():
    module = layers.Conv4x4Stride2(8)
    x = jnp.ones((1, 8, 8, 8))
    variables = module.init(jax.random.key(0), x)

    def forward(x):
        return jnp.tanh(jnp.sin(module.apply(variables, jnp.cos(jnp.exp(x))))).sum()

    def count_kept(function):
        pullback = jax.eval_shape(lambda x: jax.vjp(function, x)[1], x)
        return sum(leaf.size for leaf in jax.tree.leaves(pullback))

    # Of the 512 inputs and 128 outputs, each kept once, beside the weights: not those of cos, sin and tanh.
    assert count_kept(layers.recompute_activations(forward)) < count_kept(forward)
    gradient = jax.grad(forward)(x)
    np.testing.assert_allclose(
        jax.grad(layers.recompute_activations(forward))(x), gradient, rtol=1e-5, atol=1e-7
    )
