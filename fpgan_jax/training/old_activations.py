"""Owns a gradient that goes back through other weights than those of the forward pass, as Isola's Torch code takes it.

Does not own the step that asks for it (`gan_step.py`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def apply_with_backward_params(
    module: nn.Module, variables: Any, *args: Any, backward_params: Any, **kwargs: Any
) -> Any:
    """Apply a module so that gradients by its inputs go back through other weights.

    Every layer puts out what it does with its own weights, and every activation keeps its place; but the
    gradient by a layer's input is that of the layer with `backward_params`, at the input as it was. No gradient
    flows into either weights' values by way of the outputs' values.

    Args:
      module: its parameters all lie in submodules that hold no submodules themselves and are called once.
      variables: as of `module.apply`, for the values.
      *args: as of `module.apply`.
      backward_params: like `variables["params"]`, for the gradients.
      **kwargs: as of `module.apply`.

    Returns:
      As of `module.apply`.

    Source: phillipi/pix2pix, train.lua, `fGx`, which calls `updateGradInput` on a network whose weights have
      been updated since its last forward pass; differs in: nothing.
    """

    def apply_layer(next_fun, layer_args, layer_kwargs, context):
        values = next_fun(*layer_args, **layer_kwargs)
        # The module itself, and the copies below, lie at the root.
        if not context.module.path or context.method_name != "__call__":
            return values
        (name,) = context.module.path
        layer_variables = {group: leaves[name] for group, leaves in variables.items() if name in leaves}
        if name in backward_params:
            layer_variables["params"] = backward_params[name]
        differentiated = context.module.clone(parent=None).apply(layer_variables, *layer_args, **layer_kwargs)
        return _take_gradient_of(differentiated, values)

    with nn.intercept_methods(apply_layer):
        return module.apply(variables, *args, **kwargs)


@jax.custom_vjp
def _take_gradient_of(differentiated: jax.Array, values: jax.Array) -> jax.Array:
    """Return `values`; all of the gradient goes to `differentiated`."""
    del differentiated
    return values


_take_gradient_of.defvjp(
    lambda differentiated, values: (values, None), lambda _, gradient: (gradient, jnp.zeros_like(gradient))
)
