"""The gradient through new weights at old activations, against a backward pass written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from fpgan_jax.models.patchgan import PatchDiscriminator
from fpgan_jax.training.old_activations import apply_with_backward_params


@pytest.fixture(name="setting", scope="module")
def _setting():
    """A discriminator, two sets of weights, and a batch of two pairs."""
    model = PatchDiscriminator(16, num_features=2)
    noise, image, shape = (jnp.float32(x) for x in np.random.default_rng(0).uniform(-1, 1, (3, 2, 16, 16, 1)))
    variables = jax.jit(lambda: model.init(jax.random.key(0), noise, shape, use_running_average=False))()

    def draw(seed):
        random = np.random.default_rng(seed)
        return jax.tree.map(lambda leaf: jnp.float32(random.normal(0, 0.5, leaf.shape)), variables["params"])

    return model, draw(1), draw(2), noise, image


def _judge(model, params, noise, image, **kwargs):
    variables = {
        "params": params,
        "batch_stats": {"norm1": {"mean": jnp.zeros(4), "var": jnp.ones(4)}},
    }
    arguments = {"use_running_average": False, "mutable": ["batch_stats"]}
    if kwargs:
        return apply_with_backward_params(model, variables, noise, image, **arguments, **kwargs)[0]
    return model.apply(variables, noise, image, **arguments)[0]


def _pull_back(function, x, g):
    values, pull_back = jax.jit(lambda x: jax.vjp(function, x))(x)
    return values, jax.jit(pull_back)(g)[0]


def _conv(x, layer, stride):
    y = lax.conv_general_dilated(
        x, layer["kernel"], (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + layer.get("bias", 0)


def _norm(x, layer):
    centered = x - x.mean((0, 1, 2))
    return centered / jnp.sqrt(x.var((0, 1, 2)) + 1e-5) * layer["scale"] + layer["bias"]


def _by_hand(old, new, noise, image, g):
    """Run forward with the old weights, and each layer's own backward with the new ones where it was."""
    layers = [
        lambda params, x: _conv(x, params["conv0"], 2),
        lambda _, x: jnp.where(x > 0, x, 0.2 * x),
        lambda params, x: _conv(x, params["conv1"], 1),
        lambda params, x: _norm(x, params["norm1"]),
        lambda _, x: jnp.where(x > 0, x, 0.2 * x),
        lambda params, x: _conv(x, params["conv2"], 1),
    ]
    inputs = [jnp.concatenate([noise, image], -1)]
    for layer in layers:
        inputs.append(layer(old, inputs[-1]))
    for layer, x in zip(reversed(layers), reversed(inputs[:-1]), strict=True):
        (g,) = jax.vjp(lambda x, layer=layer: layer(new, x), x)[1](g)
    return inputs[-1], g[..., 1:]


def test_values_are_the_old_and_each_layers_gradient_is_the_new_ones(setting):
    model, old, new, noise, image = setting
    g = jnp.float32(np.random.default_rng(3).standard_normal((2, 6, 6, 1)))
    values, gradient = _pull_back(lambda x: _judge(model, old, noise, x, backward_params=new), image, g)
    expected_values, expected = jax.jit(_by_hand)(old, new, noise, image, g)
    # Six layers, each of sums of up to 64 products.
    tolerance = 6 * 64 * np.finfo(np.float32).eps
    np.testing.assert_allclose(
        values, expected_values, rtol=0, atol=tolerance * np.abs(expected_values).max()
    )
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    for params in (old, new):
        _, usual = _pull_back(lambda x, params=params: _judge(model, params, noise, x), image, g)
        assert np.abs(usual - expected).max() > 0.1 * np.abs(expected).max()


def test_with_the_same_weights_it_is_the_usual_gradient(setting):
    model, old, _, noise, image = setting
    g = jnp.ones((2, 6, 6, 1))
    with_both = _pull_back(lambda x: _judge(model, old, noise, x, backward_params=old), image, g)
    usual = _pull_back(lambda x: _judge(model, old, noise, x), image, g)
    for found, expected in zip(with_both, usual, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
