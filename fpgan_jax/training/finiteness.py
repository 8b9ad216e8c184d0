"""Owns the search for numbers that are not finite, in a step's gradients and in a state."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fpgan_jax.models import fusion

# Name of the networks' probes among a step's metrics.
PROBES = "gradient_probes"

# Reading every gradient again takes at least 2% of a step. Small leaves are a thousandth of it, at no measurable cost.
_MAX_PROBED_SIZE = 2**14


def probe_gradients(gradients: Any) -> jax.Array:
    """Look for a number in a network's gradients that is not finite, or whose square, which Adam keeps, is not.

    Only small leaves are read: biases, scales of norms, first and last kernels. A nan that goes back through a layer
    reaches its bias or norm, and those of all layers before it. An overflow in the gradient of a large kernel alone is
    found by the next step's loss, or by `find_non_finite` before a checkpoint.

    Returns:
      A float32 scalar: 0 if all are finite, nan if not.
    """
    small = [leaf for leaf in jax.tree.leaves(gradients) if leaf.size <= _MAX_PROBED_SIZE]

    def probe(*leaves: jax.Array) -> jax.Array:
        squares = jnp.square(jnp.concatenate([jnp.ravel(leaf).astype(jnp.float32) for leaf in leaves]))
        return jnp.where(jnp.isfinite(squares).all(), 0.0, jnp.nan).astype(jnp.float32)

    # Compiled apart, so that it does not change how the gradients are computed.
    return fusion.apart_on_cpu(probe)(*small) if small else jnp.float32(0)


def find_non_finite(tree: Any) -> str | None:
    """Return the path of the first host array with a number that is not finite, as "generator/params/down0/kernel"."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not np.isfinite(np.asarray(leaf)).all():
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return None
