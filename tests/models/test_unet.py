"""Tests of `fpgan_jax.models.unet`."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from fpgan_jax.models.unet import RonnebergerUNetGenerator, UNetGenerator, count_levels

KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}


def _init(model, shape):
    return model.init(KEYS, jnp.zeros(shape), deterministic=False, use_running_average=False)


def _shapes(model, size, num_channels=1):
    return jax.eval_shape(lambda: _init(model, (1, size, size, num_channels)))


def _generate(model, variables, noise, *, use_running_average=False):
    """Generate without dropout."""
    return _jitted_generate(model, use_running_average)(variables, noise)


@functools.cache
def _jitted_generate(model, use_running_average):
    return jax.jit(
        lambda v, x: model.apply(v, x, deterministic=True, use_running_average=use_running_average)
    )


def _count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _names(tree):
    return {"/".join(path) for path in flatten_dict(tree)}


def _noise(shape, seed=0):
    return jnp.float32(np.random.default_rng(seed).uniform(-1, 1, shape))


@pytest.fixture(name="small", scope="module")
def _small(draw_variables):
    """A generator of three levels and its variables."""
    model = UNetGenerator(num_features=4, dropout_outputs=(4,))
    return model, draw_variables(lambda: _init(model, (1, 8, 8, 1)))


@pytest.mark.parametrize(
    ("size", "num_channels", "expected"),
    [(256, 3, 54_413_955), (256, 1, 54_407_809), (128, 3, 41_828_995)],
)
def test_parameter_count_is_the_references(size, num_channels, expected):
    assert _count(_shapes(UNetGenerator(num_channels), size, num_channels)["params"]) == expected


@pytest.mark.parametrize("norm", ["batch", "batch_per_example"])
def test_batch_norms_stand_where_the_reference_has_them_and_only_the_last_conv_has_a_bias(norm):
    variables = _shapes(UNetGenerator(num_features=1, norm=norm), 16)
    norms = ["down1_norm", "down2_norm", "up3_norm", "up2_norm", "up1_norm"]
    convs = [f"{way}{level}_conv" for way in ("down", "up") for level in range(4)]
    expected = {f"{conv}/kernel" for conv in convs} | {"up0_conv/bias"}
    expected |= {f"{name}/{leaf}" for name in norms for leaf in ("scale", "bias")}
    assert _names(variables["params"]) == expected
    assert _names(variables["batch_stats"]) == {f"{n}/{leaf}" for n in norms for leaf in ("mean", "var")}


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_without_batch_norm_every_conv_has_a_bias_and_nothing_else_is_learned(norm):
    variables = _shapes(UNetGenerator(num_features=1, norm=norm), 8)
    convs = [f"{way}{level}_conv" for way in ("down", "up") for level in range(3)]
    assert _names(variables) == {f"params/{conv}/{leaf}" for conv in convs for leaf in ("kernel", "bias")}


def test_features_double_up_to_eight_times_the_first():
    params = _shapes(UNetGenerator(num_channels=3, num_features=2), 64, num_channels=3)["params"]
    down = [params[f"down{level}_conv"]["kernel"].shape[2:] for level in range(6)]
    up = [params[f"up{level}_conv"]["kernel"].shape[2:] for level in range(6)]
    assert down == [(3, 2), (2, 4), (4, 8), (8, 16), (16, 16), (16, 16)]
    # (out, in); all but the innermost see the skip beside the level below.
    assert up == [(3, 4), (2, 8), (4, 16), (8, 32), (16, 32), (16, 16)]


@pytest.mark.parametrize("size", [4, 16])
def test_image_has_the_noise_images_size_and_the_asked_channels(size):
    model = UNetGenerator(num_channels=2, num_features=2, dropout_outputs=())
    image, _ = jax.eval_shape(
        lambda: model.init_with_output(
            KEYS, jnp.zeros((3, size, size, 1)), deterministic=True, use_running_average=False
        )
    )
    assert image.shape == (3, size, size, 2)


def test_bfloat16_computes_in_bfloat16_and_gives_float32_from_float32_parameters():
    model = UNetGenerator(num_features=2, dtype=jnp.bfloat16, dropout_outputs=())

    def run():
        image = jnp.zeros((1, 8, 8, 1))
        return model.init_with_output(
            KEYS, image, deterministic=True, use_running_average=False, capture_intermediates=True
        )

    image, variables = jax.eval_shape(run)
    assert image.dtype == jnp.float32
    assert variables["intermediates"]["up1_norm"]["__call__"][0].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables["params"])} == {jnp.dtype("float32")}


def test_weights_start_as_the_references():
    model = UNetGenerator(num_features=32)
    image = jnp.zeros((1, 16, 16, 1))
    init = jax.jit(lambda: model.init(KEYS, image, deterministic=True, use_running_average=False))
    params = init()["params"]

    def assert_normal(values, mean, std):
        values = np.asarray(values, np.float64).ravel()
        # Five standard errors of a mean and of a standard deviation.
        assert abs(values.mean() - mean) < 5 * std / np.sqrt(values.size)
        assert abs(values.std() / std - 1) < 5 / np.sqrt(2 * values.size)

    assert_normal(params["down2_conv"]["kernel"], 0, 0.02)
    assert_normal(params["up2_conv"]["kernel"], 0, 0.02)
    scales = [params[name]["scale"] for name in params if name.endswith("norm")]
    assert_normal(np.concatenate(scales), 1, 0.02)
    assert not any(np.any(leaf) for path, leaf in flatten_dict(params).items() if path[-1] == "bias")


def _find_dropouts(model, shape):
    """Return the name of each dropout -> height and width of what comes out of it, for noise of a shape."""

    def run():
        return model.init_with_output(
            KEYS,
            jnp.zeros(shape),
            deterministic=False,
            use_running_average=False,
            capture_intermediates=lambda module, _: isinstance(module, nn.Dropout),
        )[1]["intermediates"]

    return {name: found["__call__"][0].shape[1:3] for name, found in jax.eval_shape(run).items()}


def test_dropout_stands_at_the_asked_decoder_outputs():
    model = UNetGenerator(num_features=1, dropout_outputs=(4, 16))
    assert _find_dropouts(model, (1, 32, 32, 1)) == {"up3_dropout": (4, 4), "up1_dropout": (16, 16)}


def test_dropout_follows_the_norm(small):
    model, variables = small
    generate = jax.jit(
        lambda v, x: model.apply(
            v,
            x,
            deterministic=False,
            use_running_average=False,
            rngs={"dropout": jax.random.key(3)},
            capture_intermediates=True,
            mutable=["intermediates"],
        )
    )
    _, found = generate(variables, _noise((1, 8, 8, 1)))
    before = np.asarray(found["intermediates"]["up1_norm"]["__call__"][0])
    after = np.asarray(found["intermediates"]["up1_dropout"]["__call__"][0])
    # XLA may compute the norm for each of the two apart, and fuse its product and sum in one only.
    np.testing.assert_allclose(after, np.where(after == 0, 0, 2 * before), rtol=1e-6)
    # 64 coins: 5 standard deviations of 4 from the half.
    assert 12 <= np.count_nonzero(after == 0) <= 52


def test_dropout_key_matters_unless_deterministic(small):
    model, variables = small

    noise = _noise((1, 8, 8, 1))

    @functools.partial(jax.jit, static_argnums=2)
    def generate(variables, seed, deterministic):
        keys = {"dropout": jax.random.key(seed)}
        return model.apply(
            variables, noise, deterministic=deterministic, use_running_average=False, rngs=keys
        )

    assert np.any(generate(variables, 0, False) != generate(variables, 1, False))
    np.testing.assert_array_equal(generate(variables, 0, True), generate(variables, 1, True))


def test_running_statistics_make_an_example_independent_of_its_batch(small):
    batch = _noise((3, 8, 8, 1))
    alone = _generate(*small, batch[:1], use_running_average=True)
    together = _generate(*small, batch, use_running_average=True)
    # Ten layers, each of a few roundings of values near 1.
    np.testing.assert_allclose(together[:1], alone, rtol=0, atol=100 * np.finfo(np.float32).eps)


def test_own_statistics_make_an_example_depend_on_its_batch(small):
    batch = _noise((3, 8, 8, 1))
    assert np.abs(_generate(*small, batch)[:1] - _generate(*small, batch[:1])).max() > 1e-3


def test_batch_per_example_is_batch_norm_of_each_example_alone(small):
    model, variables = small
    batch = _noise((3, 8, 8, 1))
    images = _generate(model.clone(norm="batch_per_example"), variables, batch)
    for i in range(3):
        alone = _generate(model, variables, batch[i : i + 1])
        np.testing.assert_allclose(images[i], alone[0], rtol=0, atol=100 * np.finfo(np.float32).eps)


def test_a_norm_on_the_bottleneck_lets_nothing_but_its_bias_through_at_batch_1(draw_variables):
    model = UNetGenerator(num_features=4, bottleneck_norm=True, dropout_outputs=())
    variables = draw_variables(lambda: _init(model, (1, 8, 8, 1)))
    generate = jax.jit(
        lambda v, x: model.apply(
            v,
            x,
            deterministic=True,
            use_running_average=False,
            capture_intermediates=True,
            mutable=["intermediates"],
        )
    )
    _, found = generate(variables, _noise((1, 8, 8, 1)))
    bottleneck = found["intermediates"]["down2_norm"]["__call__"][0]
    assert bottleneck.shape == (1, 1, 1, 16)
    np.testing.assert_array_equal(bottleneck.ravel(), variables["params"]["down2_norm"]["bias"])


def test_an_unknown_skip_is_refused():
    with pytest.raises(ValueError, match="skip='none'"):
        _shapes(UNetGenerator(skip="none"), 8)


def test_statistics_move_in_training(small):
    model, variables = small
    update = jax.jit(
        functools.partial(model.apply, deterministic=True, use_running_average=False, mutable=["batch_stats"])
    )
    _, updates = update(variables, _noise((1, 8, 8, 1)))
    old, new = flatten_dict(variables["batch_stats"]), flatten_dict(updates["batch_stats"])
    assert not any(np.array_equal(old[path], new[path]) for path in old)


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="3x8"):
        UNetGenerator().init(KEYS, jnp.zeros((1, 3, 8, 1)), deterministic=True, use_running_average=False)


@pytest.mark.parametrize(
    ("size", "num_levels"),
    [
        ((256, 256), 8),
        ((4, 4), 2),
        # SOCOFing's scans to 128x96; a sixth level would make 96 a third wider.
        ((103, 96), 5),
        # To 112x96; 97 is just above 96.
        ((97, 90), 4),
        # 320x224; 320x256 would be 28% wider. 257 to 320: 24.5%.
        ((300, 200), 5),
        ((257, 257), 6),
        ((5, 40), 1),
        ((255, 256), 8),
    ],
)
def test_levels_add_at_most_a_quarter_to_a_side(size, num_levels):
    assert count_levels(*size) == num_levels


@pytest.mark.parametrize(
    ("model", "size", "padding"),
    [
        # To multiples of 4 and of 16; of an odd number the larger half comes after.
        (UNetGenerator(num_features=2, num_levels=2, dropout_outputs=()), (9, 14), ((1, 2), (1, 1))),
        (UNetGenerator(num_features=2, upsampling="resize", dropout_outputs=()), (7, 8), ((0, 1), (0, 0))),
        (RonnebergerUNetGenerator(num_features=1), (24, 30), ((4, 4), (1, 1))),
        (RonnebergerUNetGenerator(num_features=1, upsampling="resize"), (16, 17), ((0, 0), (7, 8))),
    ],
    ids=["isola", "isola resize", "ronneberger", "ronneberger resize"],
)
def test_any_size_is_mirrored_at_its_edges_and_cut_back(draw_variables, model, size, padding):
    noise = _noise((1, *size, 1))
    variables = draw_variables(lambda: _init(model, noise.shape))
    mirrored = np.pad(noise, ((0, 0), *padding, (0, 0)), mode="reflect")
    whole = _generate(model, variables, jnp.asarray(mirrored))
    (top, _), (left, _) = padding
    expected = whole[:, top : top + size[0], left : left + size[1]]
    image = _generate(model, variables, noise)
    assert image.shape == (1, *size, 1) and np.std(image) > 0
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_fewer_levels_leave_the_innermost_ones_out():
    names = _names(_shapes(UNetGenerator(num_features=1, num_levels=3, dropout_outputs=(2,)), 64)["params"])
    assert {name.split("/")[0] for name in names if "conv" in name} == {
        f"{way}{level}_conv" for way in ("down", "up") for level in range(3)
    }


def test_dropout_outputs_count_from_the_innermost_map():
    model = UNetGenerator(num_features=1, num_levels=3, dropout_outputs=(2,))
    # Innermost 3x5.
    assert _find_dropouts(model, (1, 24, 40, 1)) == {"up2_dropout": (6, 10)}


@pytest.mark.parametrize(
    ("model", "name", "shape"),
    [
        (UNetGenerator(num_features=4, upsampling="resize", dropout_outputs=()), "up1_conv", (3, 3, 16, 4)),
        (RonnebergerUNetGenerator(num_features=4, upsampling="resize"), "up1_upconv", (3, 3, 16, 8)),
    ],
    ids=["isola", "ronneberger"],
)
def test_resize_upsampling_has_3x3_kernels(model, name, shape):
    assert _shapes(model, 16)["params"][name]["kernel"].shape == shape


@pytest.mark.parametrize("model", [UNetGenerator, RonnebergerUNetGenerator])
def test_unknown_upsampling_is_refused(model):
    with pytest.raises(ValueError, match="upsampling='nearest'"):
        _shapes(model(upsampling="nearest"), 16)


# --- Ronneberger's form --------------------


def test_ronneberger_parameter_count():
    pairs = [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    down = sum(9 * i * o + o + 9 * o * o + o for i, o in pairs)
    up = sum(
        4 * 2 * o * o + o + 9 * 2 * o * o + o + 9 * o * o + o for o in (512, 256, 128, 64)
    )  # up-convolution, then two convolutions of which the first sees both halves
    assert _count(_shapes(RonnebergerUNetGenerator(), 256)) == down + up + 64 + 1


@pytest.mark.parametrize(("norm", "num_norms"), [("none", 0), ("batch", 18)])
def test_ronneberger_has_norms_only_if_asked(norm, num_norms):
    variables = _shapes(RonnebergerUNetGenerator(num_features=1, norm=norm), 16)
    assert len({name.split("/")[0] for name in _names(variables["params"]) if "norm" in name}) == num_norms


@pytest.mark.parametrize(("conv_bias", "biased"), [("always", 9 * 2 + 4 + 1), ("last", 4 + 1), ("never", 4)])
def test_ronneberger_has_the_biases_asked_for_and_always_those_of_its_up_convolutions(conv_bias, biased):
    model = RonnebergerUNetGenerator(num_features=1, norm="batch", conv_bias=conv_bias)
    names = _names(_shapes(model, 16)["params"])
    assert sum(name.endswith("/bias") and "conv" in name for name in names) == biased


def test_ronneberger_keeps_a_size_that_is_no_power_of_two():
    model = RonnebergerUNetGenerator(num_channels=2, num_features=1)
    image, _ = jax.eval_shape(
        lambda: model.init_with_output(
            KEYS, jnp.zeros((2, 48, 32, 1)), deterministic=True, use_running_average=False
        )
    )
    assert (image.shape, image.dtype) == ((2, 48, 32, 2), jnp.float32)


def test_ronneberger_concatenates_the_skip_before_what_comes_from_below(draw_variables):
    model = RonnebergerUNetGenerator(num_features=2)
    noise = _noise((1, 32, 32, 1))
    params = draw_variables(lambda: _init(model, noise.shape))["params"]
    compute_gradients = jax.jit(jax.grad(lambda params: _generate(model, {"params": params}, noise).std()))

    def find_deaf_levels(params):
        gradients = compute_gradients(params)
        return [level for level in range(4) if not np.any(gradients[f"up{level}_upconv"]["bias"])]

    assert find_deaf_levels(params) == []
    for level in range(4):
        name, num_features = f"up{level}_conv1", 2 * 2**level
        kernel = params[name]["kernel"]
        assert kernel.shape[2] == 2 * num_features
        skips_alone = params | {name: params[name] | {"kernel": kernel.at[:, :, num_features:].set(0)}}
        # Nothing that comes up to this level from below counts any more; above it, all does.
        assert find_deaf_levels(skips_alone) == list(range(level, 4))


# --- against PyTorch --------------------


def _to_torch(array):
    import torch

    return torch.tensor(np.asarray(array, np.float64))


def _torch_isola(params, noise, num_levels, dtype):
    """Run the reference's order of layers, written out with PyTorch's own functions."""
    import torch
    import torch.nn.functional as F

    weights = {path: _to_torch(leaf).to(dtype) for path, leaf in flatten_dict(params).items()}

    def kernel(name):
        return weights[name, "kernel"].permute(3, 2, 0, 1)

    def norm(x, name):
        return F.batch_norm(x, None, None, weights[name, "scale"], weights[name, "bias"], training=True)

    def block(x, level):
        is_outermost, is_innermost = level == 0, level == num_levels - 1
        y = x if is_outermost else F.leaky_relu(x, 0.2)
        y = F.conv2d(y, kernel(f"down{level}_conv"), stride=2, padding=1)
        if not is_innermost:
            y = block(y if is_outermost else norm(y, f"down{level}_norm"), level + 1)
        bias = weights.get((f"up{level}_conv", "bias"))
        y = F.conv_transpose2d(F.relu(y), kernel(f"up{level}_conv"), bias, stride=2, padding=1)
        if is_outermost:
            return y.tanh()
        return torch.cat([x, norm(y, f"up{level}_norm")], 1)

    return block(_to_torch(noise).to(dtype).permute(0, 3, 1, 2), 0).permute(0, 2, 3, 1).double().numpy()


def _torch_ronneberger(params, noise, dtype):
    import torch
    import torch.nn.functional as F

    weights = {path: _to_torch(leaf).to(dtype) for path, leaf in flatten_dict(params).items()}

    def conv(x, name, padding):
        return F.conv2d(
            x, weights[name, "kernel"].permute(3, 2, 0, 1), weights[name, "bias"], padding=padding
        )

    def twice(x, name):
        return F.relu(conv(F.relu(conv(x, f"{name}_conv1", 1)), f"{name}_conv2", 1))

    x, skips = _to_torch(noise).to(dtype).permute(0, 3, 1, 2), []
    for level in range(4):
        skips.append(twice(x, f"down{level}"))
        x = F.max_pool2d(skips[-1], 2)
    x = twice(x, "bottom")
    for level in (3, 2, 1, 0):
        name = f"up{level}_upconv"
        kernel = weights[name, "kernel"].permute(3, 2, 0, 1)
        x = F.conv_transpose2d(x, kernel, weights[name, "bias"], stride=2)
        x = twice(torch.cat([skips[level], x], 1), f"up{level}")
    return conv(x, "output_conv", 0).tanh().permute(0, 2, 3, 1).double().numpy()


def _assert_as_exact_as_torch(image, run):
    """Hold the error to a few times that of PyTorch in float32, both against PyTorch in float64."""
    import torch

    exact = run(torch.float64)
    torch_error = np.abs(run(torch.float32) - exact).max()
    assert exact.std() > 0.1
    assert np.abs(np.asarray(image, np.float64) - exact).max() < 8 * torch_error


@pytest.mark.compare
def test_isola_values_are_pytorchs(draw_variables):
    model = UNetGenerator(num_channels=2, num_features=4, dropout_outputs=())
    noise = _noise((2, 32, 32, 1))
    variables = draw_variables(lambda: _init(model, noise.shape))
    image = _generate(model, variables, noise)
    _assert_as_exact_as_torch(image, lambda dtype: _torch_isola(variables["params"], noise, 5, dtype))


@pytest.mark.compare
def test_ronneberger_values_are_pytorchs(draw_variables):
    model = RonnebergerUNetGenerator(num_features=4)
    noise = _noise((2, 32, 16, 1))
    variables = draw_variables(lambda: _init(model, noise.shape))
    image = _generate(model, variables, noise)
    _assert_as_exact_as_torch(image, lambda dtype: _torch_ronneberger(variables["params"], noise, dtype))
