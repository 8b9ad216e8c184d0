"""Owns the norms, and the types of modules' fields."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Dtype = Any
Initializer = Callable[..., jax.Array]
NORMS = ("batch", "batch_per_example", "instance", "none")


def gan_scale_init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> jax.Array:
    """Draw a norm's scale from N(1, 0.02).

    Source: junyanz/pytorch-CycleGAN-and-pix2pix, `init_weights`; differs in: nothing.
    """
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class BatchNorm(nn.Module):
    """Batch normalization over all examples or over each example alone, with float32 statistics.

    Normalizing by the batch's own statistics works whether or not "batch_stats" is mutable (pix2pix does so at test
    time); the running statistics change only if it is.

    Attributes:
      per_example: use each example's own statistics instead of the batch's: the meaning of a batch of one, at any batch
        size. The running statistics then follow the mean over the examples.
      num_passes: number of equal parts of the batch that are normalized as if they came one after another: each by its
        own statistics, and the running ones see them in that order.
      momentum: of the running statistics, in Flax's sense: new = momentum * old + (1 - momentum) * batch.
      dtype: of the result; None is the widest of input and parameters.

    Source: Ioffe & Szegedy 2015, algorithm 1; differs in: the running variance is the biased one, as in Flax, while
      PyTorch keeps the unbiased one (n / (n - 1) times as much). Only `use_running_average` shows the difference.
    """

    use_running_average: bool
    per_example: bool = False
    num_passes: int = 1
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalize [batch, h, w, features]."""
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), shape, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if self.use_running_average:
            return _normalize(x, running_mean.value, running_var.value, self.epsilon, scale, bias, self.dtype)
        passes = x.reshape(self.num_passes, -1, *x.shape[1:])
        axes = (2, 3) if self.per_example else (1, 2, 3)
        y, mean, var = normalize_by_moments(passes, scale, bias, axes, self.epsilon)
        self._update(running_mean, mean)
        self._update(running_var, var)
        return y.reshape(x.shape).astype(_result_dtype(self.dtype, x, scale, bias))

    def _update(self, running: nn.Variable, values: jax.Array) -> None:
        if self.is_initializing() or not self.is_mutable_collection("batch_stats"):
            return
        values = values.reshape(self.num_passes, -1, values.shape[-1]).mean(1)
        for value in values:
            running.value = self.momentum * running.value + (1 - self.momentum) * value


class InstanceNorm(nn.Module):
    """Normalize each example and feature by its own mean and variance; no parameters, no running statistics.

    Source: Ulyanov et al. 2016, as torch.nn.InstanceNorm2d; differs in: nothing.
    """

    epsilon: float = 1e-5
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalize [batch, h, w, features]."""
        one, zero = jnp.ones((x.shape[-1],)), jnp.zeros((x.shape[-1],))
        y, _, _ = normalize_by_moments(x, one, zero, (1, 2), self.epsilon)
        return y.astype(self.dtype or x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_by_moments(
    x: jax.Array, scale: jax.Array, bias: jax.Array, axes: tuple[int, ...], epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalize [.., features] by mean and variance over some axes, then scale and shift; all in float32.

    The gradient is written out, which takes fewer passes over the map than differentiating mean, variance and
    normalization one by one. No gradient flows into the returned moments.

    Returns:
      (normalized, the shape of `x`; mean; biased variance, both of that shape with 1 for each of `axes`), float32.

    Source: Ioffe & Szegedy 2015, algorithm 1 and the gradients in section 3; differs in: nothing.
    """
    values = x.astype(jnp.float32)
    mean = values.mean(axes, keepdims=True)
    # Two passes: mean(x^2) - mean^2 loses all digits if the mean is large compared with the spread.
    var = jnp.square(values - mean).mean(axes, keepdims=True)
    return _normalize(x, mean, var, epsilon, scale, bias, jnp.float32), mean, var


def _normalize_forward(x, scale, bias, axes, epsilon):
    outputs = normalize_by_moments(x, scale, bias, axes, epsilon)
    return outputs, (x, scale, bias, *outputs[1:])


def _normalize_backward(axes, epsilon, residuals, cotangents):
    x, scale, bias, mean, var = residuals
    g = cotangents[0]
    centered = x.astype(jnp.float32) - mean
    inverse = lax.rsqrt(var + epsilon)
    factor = inverse * scale.astype(jnp.float32)
    g_sum = g.sum(axes, keepdims=True)
    product_sum = (g * centered).sum(axes, keepdims=True)
    count = x.size // g_sum.size
    x_gradient = factor * (g - g_sum / count - centered * (jnp.square(inverse) * product_sum / count))
    others = tuple(range(x.ndim - 1))
    scale_gradient = (product_sum * inverse).sum(others)
    return (
        x_gradient.astype(x.dtype),
        scale_gradient.astype(scale.dtype),
        g_sum.sum(others).astype(bias.dtype),
    )


normalize_by_moments.defvjp(_normalize_forward, _normalize_backward)


def _normalize(x, mean, var, epsilon, scale, bias, dtype):
    factor = lax.rsqrt(var + epsilon) * scale.astype(jnp.float32)
    y = (x.astype(jnp.float32) - mean) * factor + bias.astype(jnp.float32)
    return y.astype(_result_dtype(dtype, x, scale, bias))


def _result_dtype(dtype, *arrays):
    return dtype or jnp.result_type(*arrays)


def create_gan_norm(
    norm: str,
    *,
    use_running_average: bool,
    dtype: Dtype | None,
    name: str,
    num_passes: int = 1,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> Callable[[jax.Array], jax.Array]:
    """Create the norm of a generator or discriminator, by its name in `NORMS`; "none" is the identity.

    Running statistics and passes are for batch norms only, see `BatchNorm`.

    Raises:
      ValueError: `norm` is not one of `NORMS`.

    Source: junyanz/pytorch-CycleGAN-and-pix2pix, `get_norm_layer`; differs in: "batch_per_example" is new.
    """
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r} is not one of {NORMS}")
    if norm == "none":
        return lambda x: x
    if norm == "instance":
        return InstanceNorm(epsilon, dtype=dtype, name=name)
    return BatchNorm(
        use_running_average,
        per_example=norm == "batch_per_example",
        num_passes=num_passes,
        momentum=momentum,
        epsilon=epsilon,
        dtype=dtype,
        scale_init=gan_scale_init,
        name=name,
    )
