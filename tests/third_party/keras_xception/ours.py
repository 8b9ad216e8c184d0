"""Owns the running of our Xception for comparisons with Keras's, in float32 and wholly in float64.

Does not draw inputs or compare: `third_party.keras_xception.reference` does.
"""

import contextlib
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from fpgan_jax.models import layers, norms, xception
from fpgan_jax.models.convolutions import depthwise_3x3, pooling, products, stride1, strided_4x4


class _Float64Numpy:
    """jax.numpy whose float32 is float64, for modules that compute in float32 whatever comes in."""

    def __getattr__(self, name):
        return jnp.float64 if name == "float32" else getattr(jnp, name)


@contextlib.contextmanager
def _computing_in(dtype):
    if dtype == "float32":
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        for module in (depthwise_3x3, pooling, products, stride1, strided_4x4, layers, norms, xception):
            stack.enter_context(mock.patch.object(module, "jnp", _Float64Numpy()))
        yield


def run(variables, images, cotangent, *, training, width=1.0, dtype="float32", with_gradients=True):
    """Run our network as `third_party.keras_xception.live.run` runs Keras's, with the same result."""
    model = xception.Xception(cotangent.shape[1], width=width, dtype=dtype)

    def forward(params, images):
        return model.apply(
            {"params": params, "batch_stats": variables["batch_stats"]},
            images,
            deterministic=True,
            use_running_average=not training,
            mutable=["batch_stats"],
        )

    @jax.jit
    def compute(params, images, cotangent):
        if not with_gradients:
            return forward(params, images)
        logits, pull, moved = jax.vjp(forward, params, images, has_aux=True)
        return logits, moved, pull(cotangent)

    with _computing_in(dtype):
        variables, images, cotangent = jax.tree.map(
            lambda x: np.asarray(x, dtype), (variables, images, cotangent)
        )
        results = jax.device_get(compute(variables["params"], images, cotangent))
    result = {"logits": results[0], "batch_stats": results[1].get("batch_stats", {})}
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(results))
    if with_gradients:
        result["gradients"] = {"params": results[2][0], "images": results[2][1]}
    return result
