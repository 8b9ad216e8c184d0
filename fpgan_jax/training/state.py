"""Owns the training states: arrays only, all of which are saved, and their division into a checkpoint's trees."""

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn


class NetworkState(flax.struct.PyTreeNode):
    """One network and its optimizer; `batch_stats` is empty without batch norm."""

    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """Return what the module's `apply` takes, which is also what evaluation reads from a checkpoint."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class GanTrainState(flax.struct.PyTreeNode):
    """The state of the alternating training.

    Attributes:
      step: int32 scalar, completed steps.
      generator_ema: moving average of the generator's params, or None.
    """

    step: jax.Array
    generator: NetworkState
    discriminator: NetworkState
    generator_ema: Any = None

    def to_trees(self) -> dict[str, Any]:
        """Divide the state into a checkpoint's trees.

        "generator", "discriminator" and, if it exists, "generator_ema" are for evaluation; "training" has the rest.
        """
        trees = {"generator": self.generator.variables, "discriminator": self.discriminator.variables}
        if self.generator_ema is not None:
            trees["generator_ema"] = {
                "params": self.generator_ema,
                "batch_stats": self.generator.batch_stats,
            }
        opt_states = {"generator": self.generator.opt_state, "discriminator": self.discriminator.opt_state}
        return trees | {"training": {"step": self.step, "opt_state": opt_states}}

    @classmethod
    def from_trees(cls, trees: dict[str, Any]) -> "GanTrainState":
        """Join the trees again; the inverse of `to_trees`."""
        opt_states = trees["training"]["opt_state"]
        networks = {name: NetworkState(**trees[name], opt_state=opt_states[name]) for name in opt_states}
        ema = trees.get("generator_ema")
        return cls(step=trees["training"]["step"], **networks, generator_ema=ema and ema["params"])


class ClassifierTrainState(flax.struct.PyTreeNode):
    """The state of the classifier's training; `step` is an int32 scalar, completed steps."""

    step: jax.Array
    classifier: NetworkState

    def to_trees(self) -> dict[str, Any]:
        """Divide the state into a checkpoint's trees: "classifier" for evaluation, "training" for the rest."""
        training = {"step": self.step, "opt_state": self.classifier.opt_state}
        return {"classifier": self.classifier.variables, "training": training}

    @classmethod
    def from_trees(cls, trees: dict[str, Any]) -> "ClassifierTrainState":
        """Join the trees again; the inverse of `to_trees`."""
        training = trees["training"]
        classifier = NetworkState(**trees["classifier"], opt_state=training["opt_state"])
        return cls(step=training["step"], classifier=classifier)


def create_network_state(variables: Any, tx: optax.GradientTransformation) -> NetworkState:
    """Create a network's state from what the module's `init` returned."""
    params = variables["params"]
    return NetworkState(params, variables.get("batch_stats", {}), tx.init(params))


def create_gan_state(
    key: jax.Array,
    *,
    generator: nn.Module,
    discriminator: nn.Module,
    generator_tx: optax.GradientTransformation,
    discriminator_tx: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
    condition_shape: tuple[int, int, int] | None = None,
    use_ema: bool = False,
) -> GanTrainState:
    """Create the initial state of the alternating training, not replicated; G and D each get a key of their own.

    Args:
      image_shape: (height, width, channels) of a print.
      condition_shape: (height, width, channels) of G's input; by default that of a print, as for noise.
    """

    def create(key: jax.Array) -> GanTrainState:
        generator_key, discriminator_key = jax.random.split(key)
        image, condition = jnp.zeros((1, *image_shape)), jnp.zeros((1, *(condition_shape or image_shape)))
        generator_variables = generator.init(
            generator_key, condition, deterministic=True, use_running_average=False
        )
        discriminator_variables = discriminator.init(
            discriminator_key, condition, image, use_running_average=False
        )
        generator_state = create_network_state(generator_variables, generator_tx)
        return GanTrainState(
            step=jnp.int32(0),
            generator=generator_state,
            discriminator=create_network_state(discriminator_variables, discriminator_tx),
            generator_ema=generator_state.params if use_ema else None,
        )

    return _run_once(create, key)


def create_classifier_state(
    key: jax.Array,
    *,
    classifier: nn.Module,
    tx: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
) -> ClassifierTrainState:
    """Create the initial state of the classifier's training, not replicated, for images (height, width, channels)."""

    def create(key: jax.Array) -> ClassifierTrainState:
        image = jnp.zeros((1, *image_shape))
        variables = classifier.init(key, image, deterministic=True, use_running_average=False)
        return ClassifierTrainState(step=jnp.int32(0), classifier=create_network_state(variables, tx))

    return _run_once(create, key)


def _run_once(create: Callable, key: jax.Array) -> Any:
    # One program, not one for each kind of leaf. On a CPU, optimizing it takes seven times the time that it saves.
    is_cpu = jax.default_backend() == "cpu"
    return jax.jit(create, compiler_options={"xla_backend_optimization_level": 0} if is_cpu else None)(key)
