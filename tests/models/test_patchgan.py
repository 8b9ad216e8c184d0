"""Tests of `fpgan_jax.models.patchgan`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from fpgan_jax.models.patchgan import PatchDiscriminator


def _init(model, size, num_channels=1):
    image = jnp.zeros((1, size, size, num_channels))
    return lambda: model.init(jax.random.key(0), image, image, use_running_average=False)


def _shapes(model, size, num_channels=1):
    return jax.eval_shape(_init(model, size, num_channels))


def _names(tree):
    return {"/".join(path) for path in flatten_dict(tree)}


@pytest.mark.parametrize(("num_channels", "expected"), [(3, 2_768_705), (1, 2_764_609)])
def test_parameter_count_is_the_references(num_channels, expected):
    params = _shapes(PatchDiscriminator(), 64, num_channels)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


@pytest.mark.parametrize(
    ("receptive_field", "features"),
    [
        (1, [64, 128, 1]),
        (16, [64, 128, 1]),
        (34, [64, 128, 256, 1]),
        (70, [64, 128, 256, 512, 1]),
        (142, [64, 128, 256, 512, 512, 1]),
        (286, [64, 128, 256, 512, 512, 512, 1]),
    ],
)
def test_features_are_the_references(receptive_field, features):
    params = _shapes(PatchDiscriminator(receptive_field), 128)["params"]
    assert [params[f"conv{i}"]["kernel"].shape[-1] for i in range(len(features))] == features


@pytest.mark.parametrize(
    ("receptive_field", "size"), [(1, 32), (16, 32), (34, 64), (70, 128), (142, 256), (286, 512)]
)
def test_a_logit_sees_its_receptive_field_of_both_images(receptive_field, size, draw_variables):
    model = PatchDiscriminator(receptive_field, num_features=1, norm="none")
    variables = draw_variables(_init(model, size))
    images = jnp.float32(np.random.default_rng(0).uniform(-1, 1, (2, 1, size, size, 1)))

    @jax.jit
    def differentiate(variables, images):
        return jax.grad(lambda images: take_central_logit(variables, images))(images)

    def take_central_logit(variables, images):
        logits = model.apply(variables, images[0], images[1], use_running_average=False)
        return logits[0, logits.shape[1] // 2, logits.shape[2] // 2, 0]

    for gradient in np.asarray(differentiate(variables, images))[:, 0, :, :, 0]:
        rows, columns = np.nonzero(gradient)
        assert np.ptp(rows) + 1 == receptive_field
        assert np.ptp(columns) + 1 == receptive_field


@pytest.mark.parametrize(
    ("receptive_field", "size", "expected"),
    [(1, 256, 256), (16, 256, 126), (34, 256, 62), (70, 256, 30), (142, 256, 14), (286, 256, 6), (70, 24, 1)],
)
def test_number_of_logits(receptive_field, size, expected):
    model = PatchDiscriminator(receptive_field, num_features=1, dtype=jnp.bfloat16)
    image = jnp.zeros((2, size, size, 1))
    logits, _ = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), image, image, use_running_average=False)
    )
    assert (logits.shape, logits.dtype) == ((2, expected, expected, 1), jnp.float32)


@pytest.mark.parametrize(
    ("receptive_field", "num_convs", "biases"), [(1, 3, {0}), (16, 3, {0, 2}), (70, 5, {0, 4})]
)
def test_with_batch_norm_the_middle_has_norms_and_no_biases(receptive_field, num_convs, biases):
    variables = _shapes(PatchDiscriminator(receptive_field, num_features=1), 32)
    norms = [f"norm{i}" for i in range(1, num_convs - 1)]
    expected = {f"conv{i}/kernel" for i in range(num_convs)} | {f"conv{i}/bias" for i in biases}
    expected |= {f"{norm}/{leaf}" for norm in norms for leaf in ("scale", "bias")}
    assert _names(variables["params"]) == expected
    assert _names(variables["batch_stats"]) == {f"{n}/{leaf}" for n in norms for leaf in ("mean", "var")}


@pytest.mark.parametrize("receptive_field", [1, 70])
def test_with_instance_norm_every_conv_has_a_bias_and_nothing_else_is_learned(receptive_field):
    variables = _shapes(PatchDiscriminator(receptive_field, num_features=1, norm="instance"), 32)
    num_convs = 3 if receptive_field == 1 else 5
    names = {f"params/conv{i}/{leaf}" for i in range(num_convs) for leaf in ("kernel", "bias")}
    assert _names(variables) == names


def test_weights_start_as_the_references():
    params = jax.jit(_init(PatchDiscriminator(34, num_features=32), 32))()["params"]

    def assert_normal(values, mean, std):
        values = np.asarray(values, np.float64).ravel()
        # Five standard errors of a mean and of a standard deviation.
        assert abs(values.mean() - mean) < 5 * std / np.sqrt(values.size)
        assert abs(values.std() / std - 1) < 5 / np.sqrt(2 * values.size)

    assert_normal(params["conv1"]["kernel"], 0, 0.02)
    assert_normal(params["conv2"]["kernel"], 0, 0.02)
    assert_normal(np.concatenate([params["norm1"]["scale"], params["norm2"]["scale"]]), 1, 0.02)
    assert not np.any(params["conv0"]["bias"])


def test_noise_image_and_image_are_told_apart(draw_variables):
    model = PatchDiscriminator(1, num_features=2, norm="none")
    variables = draw_variables(_init(model, 4))
    kernel = variables["params"]["conv0"]["kernel"].at[:, :, 0].set(0)
    variables["params"]["conv0"]["kernel"] = kernel  # blind to the first channel, the noise image
    first, second = jnp.float32(np.random.default_rng(0).uniform(-1, 1, (2, 1, 4, 4, 1)))

    @jax.jit
    def judge(noise_image, image):
        return model.apply(variables, noise_image, image, use_running_average=False)

    np.testing.assert_array_equal(judge(first, second), judge(second, second))
    assert np.any(judge(first, first) != judge(first, second))


@pytest.mark.compare
@pytest.mark.parametrize("receptive_field", [1, 34])
def test_values_are_pytorchs(receptive_field, draw_variables):
    """Hold the error to a few times that of PyTorch in float32, both against PyTorch in float64."""
    import torch
    import torch.nn.functional as F

    model = PatchDiscriminator(receptive_field, num_features=4)
    variables = draw_variables(_init(model, 32))
    noise_image, image = jnp.float32(np.random.default_rng(0).uniform(-1, 1, (2, 2, 32, 32, 1)))
    logits = jax.jit(lambda v, x, y: model.apply(v, x, y, use_running_average=False))(
        variables, noise_image, image
    )

    def run(dtype):
        weights = {
            path: torch.tensor(np.asarray(leaf)).to(dtype)
            for path, leaf in flatten_dict(variables["params"]).items()
        }
        num_convs = sum(path[-1] == "kernel" for path in weights)
        x = torch.tensor(np.concatenate([noise_image, image], -1)).to(dtype).permute(0, 3, 1, 2)
        for i in range(num_convs):
            stride, padding = (1, 0) if receptive_field == 1 else (2 if i < num_convs - 2 else 1, 1)
            kernel = weights[f"conv{i}", "kernel"].permute(3, 2, 0, 1)
            x = F.conv2d(x, kernel, weights.get((f"conv{i}", "bias")), stride, padding)
            if (f"norm{i}", "scale") in weights:
                scale, bias = weights[f"norm{i}", "scale"], weights[f"norm{i}", "bias"]
                x = F.batch_norm(x, None, None, scale, bias, training=True)
            x = x if i == num_convs - 1 else F.leaky_relu(x, 0.2)
        return x.permute(0, 2, 3, 1).double().numpy()

    exact = run(torch.float64)
    torch_error = np.abs(run(torch.float32) - exact).max()
    assert np.abs(np.asarray(logits, np.float64) - exact).max() < 8 * torch_error
