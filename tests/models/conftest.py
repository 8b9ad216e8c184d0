"""Owns what the tests of the models share: weights drawn without running a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture(scope="session")
def draw_variables():
    """Return a function that draws the variables of a network, given its `init` as a function of nothing.

    Kernels keep the size of what passes through them, and norms have any scale, offset and statistics.
    """

    def draw(init):
        random = np.random.default_rng(0)

        def draw_leaf(path, leaf):
            name = path[-1].key
            if "kernel" in name:
                fan_in = max(1, leaf.size // max(leaf.shape[-2:]))
                return jnp.float32(random.normal(0, np.sqrt(2 / fan_in), leaf.shape))
            if name in ("scale", "var"):
                return jnp.float32(random.uniform(0.5, 1.5, leaf.shape))
            return jnp.float32(random.normal(0, 0.2, leaf.shape))

        return jax.tree_util.tree_map_with_path(draw_leaf, jax.eval_shape(init))

    return draw
