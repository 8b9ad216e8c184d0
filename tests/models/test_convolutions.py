"""Tests of `fpgan_jax.models.convolutions` against sums written out in NumPy, in float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fpgan_jax.models.convolutions.depthwise_3x3 import depthwise_conv_3x3
from fpgan_jax.models.convolutions.pooling import max_pool_2x2, max_pool_3x3_stride2
from fpgan_jax.models.convolutions.products import contract_positions
from fpgan_jax.models.convolutions.stride1 import conv_stride1, pointwise_conv, take_every
from fpgan_jax.models.convolutions.strided_4x4 import (
    conv_4x4_stride2,
    conv_4x4_stride2_plain,
    conv_transpose_4x4_stride2,
    conv_transpose_4x4_stride2_plain,
)

# The batches and sizes of the small map stand on both sides of the bounds under which products are used: of
# positions, and of examples for the kernel's gradient.
FEW, MANY, MANY_EXAMPLES = (2, 3, 2), (2, 20, 14), (9, 10, 7)


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


@pytest.fixture(params=["cpu", "others"])
def platform(request, monkeypatch):
    """What a CPU runs, and what every other platform does, here on the CPU too."""
    if request.param == "others":
        monkeypatch.setattr(lax, "platform_dependent", lambda *args, cpu, default: default(*args))
    return request.param


def _parametrize(function, *plain_functions):
    """Run a function as each platform does; a plain one is the same on all of them."""
    ways = [("cpu", function), ("others", function), *(("cpu", plain) for plain in plain_functions)]
    return pytest.mark.parametrize(("platform", "function"), ways, indirect=["platform"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("small", [FEW, MANY, MANY_EXAMPLES])
@_parametrize(conv_4x4_stride2, conv_4x4_stride2_plain)
def test_conv_and_its_gradients_are_the_written_sums(platform, function, small, dtype):
    batch, height, width = small
    x = _draw(0, (batch, 2 * height, 2 * width, 3), dtype)
    kernel = _draw(1, (4, 4, 3, 5), dtype)
    g = _draw(2, (batch, height, width, 5), dtype)
    y, dx, dkernel = _pull(function, x, kernel, g, dtype)
    _assert_close(y, _conv, x, kernel, num_terms=16 * 3, dtype=dtype)
    _assert_close(dx, _conv_transpose, g, kernel, num_terms=4 * 5, dtype=dtype)
    _assert_close(dkernel, _kernel_gradient, x, g, num_terms=batch * height * width, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("small", [FEW, MANY, MANY_EXAMPLES])
@_parametrize(conv_transpose_4x4_stride2, conv_transpose_4x4_stride2_plain)
def test_transposed_conv_and_its_gradients_are_the_written_sums(platform, function, small, dtype):
    batch, height, width = small
    x = _draw(0, (batch, height, width, 5), dtype)
    kernel = _draw(1, (4, 4, 3, 5), dtype)
    g = _draw(2, (batch, 2 * height, 2 * width, 3), dtype)
    y, dx, dkernel = _pull(function, x, kernel, g, dtype)
    _assert_close(y, _conv_transpose, x, kernel, num_terms=4 * 5, dtype=dtype)
    _assert_close(dx, _conv, g, kernel, num_terms=16 * 3, dtype=dtype)
    _assert_close(dkernel, _kernel_gradient, g, x, num_terms=batch * height * width, dtype=dtype)


# Few positions and many, one feature and several.
@pytest.mark.parametrize(
    ("small", "features"), [((2, 20, 14), 1), ((2, 20, 14), 3), ((3, 1, 1), 1), ((1, 5, 4), 3)]
)
def test_transposed_conv_of_many_features_to_few(platform, small, features):
    batch, height, width = small
    x, kernel = _draw(0, (batch, height, width, 16)), _draw(1, (4, 4, features, 16))
    g = _draw(2, (batch, 2 * height, 2 * width, features))
    y, dx, dkernel = _pull(conv_transpose_4x4_stride2, x, kernel, g, "float32")
    _assert_close(y, _conv_transpose, x, kernel, num_terms=4 * 16, dtype="float32")
    _assert_close(dx, _conv, g, kernel, num_terms=16 * features, dtype="float32")
    _assert_close(dkernel, _kernel_gradient, g, x, num_terms=batch * height * width, dtype="float32")


def _lower_for_cuda(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()


def _differentiate(function):
    return jax.grad(lambda x, kernel: function(x, kernel).sum(), argnums=(0, 1))


# cuDNN would have the many weights of the small layers transposed, and spread an input out for a single feature.
@pytest.mark.parametrize(
    ("function", "x", "kernel"),
    [
        (conv_4x4_stride2, (1, 32, 32, 8), (4, 4, 8, 16)),
        (conv_transpose_4x4_stride2, (1, 16, 16, 16), (4, 4, 8, 16)),
    ],
)
def test_a_gpu_gets_products_where_there_are_few_positions(function, x, kernel):
    text = _lower_for_cuda(_differentiate(function), x, kernel)
    assert "stablehlo.convolution" not in text
    assert "stablehlo.dot_general" in text


def test_a_gpu_gets_convolutions_where_there_are_many_positions():
    text = _lower_for_cuda(_differentiate(conv_4x4_stride2), (1, 64, 64, 8), (4, 4, 8, 16))
    assert "stablehlo.convolution" in text
    assert "stablehlo.dot_general" not in text


def test_a_gpu_gets_a_product_where_a_transposed_convolution_has_one_feature():
    text = _lower_for_cuda(conv_transpose_4x4_stride2, (1, 64, 64, 16), (4, 4, 1, 16))
    assert "stablehlo.convolution" not in text


def test_every_second_position_and_its_gradient():
    x = jnp.arange(15.0).reshape(1, 5, 3, 1)
    y, pull_back = jax.vjp(lambda x: take_every(x, 2), x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[0, 2], [6, 8], [12, 14]])
    expected = [[1, 0, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 1]]
    np.testing.assert_array_equal(pull_back(jnp.ones_like(y))[0][0, :, :, 0], expected)


def test_what_is_taken_is_not_fused_into_what_uses_it():
    text = _lower_for_cuda(lambda x: take_every(x, 2), (1, 5, 5, 1))
    assert "optimization_barrier" in text


def test_one_position_becomes_the_kernels_middle():
    kernel = jnp.arange(16.0).reshape(4, 4, 1, 1)
    y = conv_transpose_4x4_stride2(jnp.ones((1, 1, 1, 1)), kernel)
    np.testing.assert_array_equal(y[0, :, :, 0], [[5, 6], [9, 10]])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@_parametrize(depthwise_conv_3x3)
def test_depthwise_conv_and_its_gradients_are_the_written_sums(platform, function, dtype):
    x, kernel = _draw(0, (2, 6, 5, 7), dtype), _draw(1, (3, 3, 1, 7), dtype)
    g = _draw(2, (2, 6, 5, 7), dtype)
    y, dx, dkernel = _pull(function, x, kernel, g, dtype)
    _assert_close(y, _depthwise, x, kernel, num_terms=9, dtype=dtype)
    _assert_close(dx, lambda g, k: _depthwise(g, k[::-1, ::-1]), g, kernel, num_terms=9, dtype=dtype)
    _assert_close(dkernel, _depthwise_kernel_gradient, x, g, num_terms=2 * 6 * 5, dtype=dtype)


FUNCTIONS = [
    (conv_4x4_stride2, (4, 4, 3, 3)),
    (conv_transpose_4x4_stride2, (4, 4, 3, 3)),
    (depthwise_conv_3x3, (3, 3, 1, 3)),
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

    y, pullback = jax.vjp(max_pool_3x3_stride2, x)
    expected, reference_pullback = jax.vjp(reference, x)
    np.testing.assert_array_equal(y, expected)
    g = jnp.float32(np.random.default_rng(1).integers(-9, 9, y.shape))
    np.testing.assert_array_equal(pullback(g)[0], reference_pullback(g)[0])


def test_max_pool_2x2_keeps_the_largest():
    x = jnp.float32([[1, 5, 2, 2], [3, 4, 9, 0]]).reshape(1, 2, 4, 1)
    np.testing.assert_array_equal(max_pool_2x2(x).ravel(), [5, 9])


def _conv_stride1(x, kernel, padding):
    size = len(kernel)
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = padded.shape[1] - size + 1, padded.shape[2] - size + 1
    return sum(
        padded[:, i : i + rows, j : j + columns] @ kernel[i, j] for i in range(size) for j in range(size)
    )


def _stride1_kernel_gradient(x, g, size, padding):
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = g.shape[1:3]
    taps = [
        np.einsum("bhwi,bhwo->io", padded[:, i : i + rows, j : j + columns], g)
        for i in range(size)
        for j in range(size)
    ]
    return np.stack(taps).reshape(size, size, x.shape[-1], g.shape[-1])


# (size, padding, in_features, features): each way that a CPU goes, and the discriminator's own.
STRIDE1 = [(3, 0, 3, 5), (4, 1, 3, 5), (4, 1, 40, 6), (4, 1, 40, 1), (4, 1, 3, 1)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("size", "padding", "in_features", "features"), STRIDE1)
def test_conv_of_stride_1_and_its_gradients_are_the_written_sums(
    platform, size, padding, in_features, features, dtype
):
    x = _draw(0, (2, 7, 6, in_features), dtype)
    kernel = _draw(1, (size, size, in_features, features), dtype)
    g = _draw(2, (2, 8 + 2 * padding - size, 7 + 2 * padding - size, features), dtype)
    y, dx, dkernel = _pull(lambda x, k: conv_stride1(x, k, padding), x, kernel, g, dtype)

    def input_gradient(g, kernel):
        return _conv_stride1(g, kernel[::-1, ::-1].swapaxes(2, 3), size - 1 - padding)

    taps = size * size
    _assert_close(
        y, lambda x, k: _conv_stride1(x, k, padding), x, kernel, num_terms=taps * in_features, dtype=dtype
    )
    _assert_close(dx, input_gradient, g, kernel, num_terms=taps * features, dtype=dtype)
    _assert_close(
        dkernel,
        lambda x, g: _stride1_kernel_gradient(x, g, size, padding),
        x,
        g,
        num_terms=2 * 8 * 7,
        dtype=dtype,
    )


# The second has more positions than are summed at once.
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 64, 64, 2)])
def test_pointwise_conv_and_its_gradients_are_matrix_products(platform, shape):
    x, kernel, g = _draw(0, shape), _draw(1, (shape[-1], 3)), _draw(2, (*shape[:-1], 3))
    y, dx, dkernel = _pull(pointwise_conv, x, kernel, g, "float32")
    positions = x.size // shape[-1]
    _assert_close(y, lambda x, k: x @ k, x, kernel, num_terms=shape[-1], dtype="float32")
    _assert_close(dx, lambda g, k: g @ k.T, g, kernel, num_terms=3, dtype="float32")
    _assert_close(
        dkernel, lambda x, g: np.einsum("bhwi,bhwo->io", x, g), x, g, num_terms=positions, dtype="float32"
    )


@pytest.mark.parametrize(("in_features", "features"), [(2, 9), (9, 2)])
def test_sum_over_positions_is_right_whichever_operand_is_transposed(in_features, features):
    x, g = _draw(0, (1, 5, 4, in_features)), _draw(1, (1, 5, 4, features))
    actual = jax.jit(contract_positions)(jnp.float32(x), jnp.float32(g))
    _assert_close(actual, lambda x, g: np.einsum("bhwi,bhwo->io", x, g), x, g, num_terms=20, dtype="float32")
