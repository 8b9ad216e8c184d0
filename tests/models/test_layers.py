"""Tests of `fpgan_jax.models.layers` against sums written out in NumPy, in float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fpgan_jax.models import layers

# The batches and sizes of the small map stand on both sides of the bound under which products are used.
FEW, MANY = (2, 3, 2), (2, 20, 14)


def _draw(seed, shape, dtype="float32"):
    values = np.random.default_rng(seed).standard_normal(shape)
    return np.asarray(jnp.asarray(values, dtype).astype(jnp.float32), np.float64)


def _pad(x):
    return np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _conv(x, kernel):
    _, height, width, _ = x.shape
    padded = _pad(x)
    return sum(
        padded[:, i : i + height : 2, j : j + width : 2] @ kernel[i, j] for i in range(4) for j in range(4)
    )


def _conv_transpose(x, kernel):
    batch, height, width, _ = x.shape
    padded = np.zeros((batch, 2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for i in range(4):
        for j in range(4):
            padded[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += x @ kernel[i, j].T
    return padded[:, 1:-1, 1:-1]


def _kernel_gradient(big, small):
    _, height, width, _ = big.shape
    padded = _pad(big)
    taps = [padded[:, i : i + height : 2, j : j + width : 2] for i in range(4) for j in range(4)]
    gradient = np.stack([np.einsum("bhwi,bhwo->io", tap, small) for tap in taps])
    return gradient.reshape(4, 4, big.shape[-1], small.shape[-1])


def _depthwise(x, kernel):
    _, height, width, _ = x.shape
    padded = _pad(x)
    return sum(padded[:, i : i + height, j : j + width] * kernel[i, j, 0] for i in range(3) for j in range(3))


def _depthwise_kernel_gradient(x, g):
    _, height, width, _ = x.shape
    padded = _pad(x)
    taps = [(padded[:, i : i + height, j : j + width] * g).sum((0, 1, 2)) for i in range(3) for j in range(3)]
    return np.stack(taps).reshape(3, 3, 1, -1)


def _assert_close(actual, reference, *operands, num_terms, dtype):
    """Hold every value to the bound of a float32 sum in any order, and one rounding to `dtype`.

    A sum of n products is off by n * eps * (sum of the products' absolute values) at most.
    """
    assert actual.dtype == dtype
    expected = reference(*operands)
    size = reference(*map(np.abs, operands))
    bound = num_terms * np.finfo(np.float32).eps * size
    bound += float(jnp.finfo(dtype).eps) * np.abs(expected)
    error = np.abs(np.asarray(actual.astype(jnp.float32), np.float64) - expected)
    np.testing.assert_array_less(error, bound + np.finfo(np.float32).tiny)


def _pull(function, x, kernel, g, dtype):
    x, kernel, g = (jnp.asarray(a, dtype) for a in (x, kernel, g))

    @jax.jit
    def run(x, kernel, g):
        y, pullback = jax.vjp(function, x, kernel)
        return y, *pullback(g)

    return run(x, kernel, g)


CONVS = [layers.conv_4x4_stride2, layers.conv_4x4_stride2_plain]
TRANSPOSES = [layers.conv_transpose_4x4_stride2, layers.conv_transpose_4x4_stride2_plain]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("small", [FEW, MANY])
@pytest.mark.parametrize("function", CONVS)
def test_conv_and_its_gradients_are_the_written_sums(function, small, dtype):
    batch, height, width = small
    x = _draw(0, (batch, 2 * height, 2 * width, 3), dtype)
    kernel = _draw(1, (4, 4, 3, 5), dtype)
    g = _draw(2, (batch, height, width, 5), dtype)
    y, dx, dkernel = _pull(function, x, kernel, g, dtype)
    _assert_close(y, _conv, x, kernel, num_terms=16 * 3, dtype=dtype)
    _assert_close(dx, _conv_transpose, g, kernel, num_terms=4 * 5, dtype=dtype)
    _assert_close(dkernel, _kernel_gradient, x, g, num_terms=batch * height * width, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("small", [FEW, MANY])
@pytest.mark.parametrize("function", TRANSPOSES)
def test_transposed_conv_and_its_gradients_are_the_written_sums(function, small, dtype):
    batch, height, width = small
    x = _draw(0, (batch, height, width, 5), dtype)
    kernel = _draw(1, (4, 4, 3, 5), dtype)
    g = _draw(2, (batch, 2 * height, 2 * width, 3), dtype)
    y, dx, dkernel = _pull(function, x, kernel, g, dtype)
    _assert_close(y, _conv_transpose, x, kernel, num_terms=4 * 5, dtype=dtype)
    _assert_close(dx, _conv, g, kernel, num_terms=16 * 3, dtype=dtype)
    _assert_close(dkernel, _kernel_gradient, g, x, num_terms=batch * height * width, dtype=dtype)


def test_one_position_becomes_the_kernels_middle():
    kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
    y = layers.conv_transpose_4x4_stride2(jnp.ones((1, 1, 1, 1)), kernel)
    np.testing.assert_array_equal(y[0, :, :, 0], [[5, 6], [9, 10]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("function", [layers.depthwise_conv_3x3, layers.depthwise_conv_3x3_plain])
def test_depthwise_conv_and_its_gradients_are_the_written_sums(function, dtype):
    x, kernel = _draw(0, (2, 6, 5, 7), dtype), _draw(1, (3, 3, 1, 7), dtype)
    g = _draw(2, (2, 6, 5, 7), dtype)
    y, dx, dkernel = _pull(function, x, kernel, g, dtype)
    _assert_close(y, _depthwise, x, kernel, num_terms=9, dtype=dtype)
    _assert_close(dx, lambda g, k: _depthwise(g, k[::-1, ::-1]), g, kernel, num_terms=9, dtype=dtype)
    _assert_close(dkernel, _depthwise_kernel_gradient, x, g, num_terms=2 * 6 * 5, dtype=dtype)


def test_depthwise_kernel_gradient_for_other_platforms_is_the_written_sum():
    x, g = _draw(0, (2, 6, 5, 7)), _draw(1, (2, 6, 5, 7))
    actual = layers._depthwise_kernel_gradient(jnp.float32(x), jnp.float32(g)).reshape(3, 3, 1, 7)
    _assert_close(actual, _depthwise_kernel_gradient, x, g, num_terms=60, dtype="float32")


FUNCTIONS = [
    (layers.conv_4x4_stride2, (4, 4, 3, 3)),
    (layers.conv_transpose_4x4_stride2, (4, 4, 3, 3)),
    (layers.depthwise_conv_3x3, (3, 3, 1, 3)),
]


@pytest.mark.parametrize(("function", "shape"), FUNCTIONS)
@pytest.mark.parametrize("transform", [jax.vmap, jax.pmap])
def test_mapped_over_an_axis_each_element_is_as_if_alone(transform, function, shape):
    # Whole numbers, so that every order of summation gives the same bits.
    x = jnp.round(jnp.float32(_draw(0, (jax.local_device_count(), 2, 4, 4, 3)) * 4))
    kernel = jnp.round(jnp.float32(_draw(1, shape) * 4))
    mapped = transform(lambda x: function(x, kernel))(x)
    np.testing.assert_array_equal(mapped[0], function(x[0], kernel))


@pytest.mark.parametrize(("function", "shape"), FUNCTIONS)
def test_gradient_of_a_gradient(function, shape):
    """The penalty |d f / d x|^2 of f = sum(y^2) has the gradient that finite differences give."""
    x, kernel = jnp.float32(_draw(0, (1, 4, 4, 3))), jnp.float32(_draw(1, shape))

    @jax.jit
    def penalty(kernel):
        return jnp.square(jax.grad(lambda x: jnp.square(function(x, kernel)).sum())(x)).sum()

    direction = jnp.float32(_draw(2, shape))
    slope = jnp.vdot(jax.jit(jax.grad(penalty))(kernel), direction)
    # The penalty is a polynomial of degree 4 in the kernel, for which this five-point rule is exact; what
    # is left is rounding: a few eps of the values, divided by the step.
    values = [float(penalty(kernel + h * direction)) for h in (-2, -1, 1, 2)]
    expected = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12
    assert abs(slope - expected) < 100 * np.finfo(np.float32).eps * max(values)


@pytest.mark.parametrize("size", [(7, 6), (6, 7), (4, 4)])
def test_max_pool_3x3_is_flax_with_gradients_also_where_values_are_equal(size):
    x = jnp.float32(np.random.default_rng(0).integers(0, 3, (2, *size, 3)))

    def reference(x):
        return nn.max_pool(x, (3, 3), (2, 2), "SAME")

    y, pullback = jax.vjp(layers.max_pool_3x3_stride2, x)
    expected, reference_pullback = jax.vjp(reference, x)
    np.testing.assert_array_equal(y, expected)
    g = jnp.float32(np.random.default_rng(1).integers(-9, 9, y.shape))
    np.testing.assert_array_equal(pullback(g)[0], reference_pullback(g)[0])


def test_max_pool_2x2_keeps_the_largest():
    x = jnp.float32([[1, 5, 2, 2], [3, 4, 9, 0]]).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(layers.max_pool_2x2(x).ravel(), [5, 9])


def test_up_conv_2x2_writes_each_position_as_its_own_patch():
    module = layers.UpConv2x2(1)
    kernel = jnp.float32([[1, 2], [3, 4]]).reshape(2, 2, 1, 1)
    x = jnp.float32([[1, 10]]).reshape(1, 1, 2, 1)
    y = module.apply({"params": {"kernel": kernel, "bias": jnp.float32([0.5])}}, x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[1.5, 2.5, 10.5, 20.5], [3.5, 4.5, 30.5, 40.5]])


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
    module = layers.BatchNorm(False, per_example=per_example)
    y = _apply_norm(module, np.float32(x), norm_variables)
    expected = _normalize(x, axes) * [2, 1, -1] + [0, 1, 2]
    # A handful of roundings of values up to 8.
    np.testing.assert_allclose(y, expected, rtol=0, atol=8 * 8 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("per_example", [False, True])
def test_batch_norm_moves_its_running_statistics_when_mutable(norm_variables, per_example):
    x = _draw(0, (4, 3, 2, 3))
    module = layers.BatchNorm(False, per_example=per_example)
    _, updates = _apply_norm(module, np.float32(x), norm_variables, mutable=["batch_stats"])
    variances = x.var((1, 2)).mean(0) if per_example else x.var((0, 1, 2))
    stats = updates["batch_stats"]
    expected_mean = 0.9 * np.array([1, 2, 3]) + 0.1 * x.mean((0, 1, 2))
    np.testing.assert_allclose(stats["mean"], expected_mean, rtol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 * np.array([4, 1, 9]) + 0.1 * variances, rtol=1e-6)


def test_batch_norm_by_running_statistics(norm_variables):
    x = np.float32(_draw(0, (2, 2, 2, 3)))
    y = _apply_norm(layers.BatchNorm(True, epsilon=0.0), x, norm_variables)
    expected = (x - [1, 2, 3]) / [2, 1, 3] * [2, 1, -1] + [0, 1, 2]
    np.testing.assert_allclose(y, expected, rtol=0, atol=8 * 8 * np.finfo(np.float32).eps)


def test_batch_norm_starts_from_the_neutral_running_statistics():
    variables = layers.BatchNorm(False).init(jax.random.key(0), 7 * jnp.ones((1, 2, 2, 3)))
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))
    np.testing.assert_array_equal(variables["batch_stats"]["var"], np.ones(3))


def test_batch_norm_keeps_its_digits_where_the_mean_is_large(norm_variables):
    x = np.float32(_draw(0, (4, 3, 2, 3)) + 4096)
    _, updates = _apply_norm(layers.BatchNorm(False), x, norm_variables, mutable=["batch_stats"])
    expected = 0.9 * np.array([4, 1, 9]) + 0.1 * np.float64(x).var((0, 1, 2))
    # The mean is rounded to 4096 * eps = 5e-4, which enters squared; mean(x^2) - mean^2 would be off by
    # about 2.
    np.testing.assert_allclose(updates["batch_stats"]["var"], expected, rtol=1e-6)


def test_batch_norm_over_devices_is_that_of_the_whole_batch(norm_variables):
    x = np.float32(_draw(0, (4, 3, 2, 3)))
    whole, whole_updates = _apply_norm(layers.BatchNorm(False), x, norm_variables, mutable=["batch_stats"])
    module = layers.BatchNorm(False, axis_name="devices")
    y, updates = jax.vmap(
        lambda x: module.apply(norm_variables, x, mutable=["batch_stats"]), axis_name="devices"
    )(x.reshape(2, 2, 3, 2, 3))
    np.testing.assert_allclose(y.reshape(x.shape), whole, rtol=0, atol=1e-5)
    for device in range(2):
        of_device = jax.tree.map(lambda a, device=device: a[device], updates)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), of_device, whole_updates)


def test_batch_norm_takes_statistics_in_float32(norm_variables):
    # In bfloat16 a sum of 512 ones stays at 256, so that the mean would be half of what it is.
    module = layers.BatchNorm(False, dtype=jnp.bfloat16)
    y, updates = _apply_norm(
        module, jnp.ones((2, 16, 16, 3), jnp.bfloat16), norm_variables, mutable=["batch_stats"]
    )
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(updates["batch_stats"]["mean"], [1.0, 1.9, 2.8], rtol=1e-6)


def test_instance_norm_is_per_example_and_feature_and_has_no_variables():
    x = _draw(0, (2, 3, 4, 3))
    y, variables = layers.InstanceNorm().init_with_output(jax.random.key(0), jnp.float32(x))
    assert not variables
    np.testing.assert_allclose(y, _normalize(x, (1, 2)), rtol=0, atol=1e-5)


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm='layer'"):
        layers.create_gan_norm(
            "layer", use_running_average=False, dtype=None, param_dtype=None, axis_name=None, name="n"
        )
