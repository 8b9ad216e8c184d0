"""Owns a gradient that goes back through other weights than the forward pass used, as in Isola's Torch code."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def apply_with_backward_params(
    module: nn.Module, variables: Any, *args: Any, backward_params: Any, **kwargs: Any
) -> Any:
    """Run the forward pass with `variables`; gradients by the input go back through other weights.

    Each layer's input gradient uses `backward_params`, at the inputs that the forward pass stored. Parameters get no
    gradient.

    Args:
      module: all its parameters are in submodules without submodules, each called once.
      variables: for the forward pass, as `module.apply` takes them.
      backward_params: like `variables["params"]`, for the gradients.

    Source: phillipi/pix2pix, train.lua, `fGx`, which calls `updateGradInput` on a network whose weights have been
      updated since its last forward pass; differs in: nothing.
    """

    def apply_layer(
        next_fun: Callable,
        layer_args: tuple,
        layer_kwargs: dict[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        values = next_fun(*layer_args, **layer_kwargs)
        # The module itself, and the copies below, have an empty path.
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
