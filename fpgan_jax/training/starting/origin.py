"""Owns the weights that a new run takes from another run's checkpoint, for fine-tuning."""

import os
from collections.abc import Mapping
from typing import Any

from absl import logging

from fpgan_jax.config.identity import describe_changes, find_changes
from fpgan_jax.errors import UserError
from fpgan_jax.models.xception import HEAD
from fpgan_jax.training.checkpoints.restore import check_variables, restore_for_evaluation
from fpgan_jax.training.run import Training

# Key of the origin in a run's metadata.
ORIGIN = "init_from"
# Fields that determine the shapes of weights.
_SHAPE_FIELDS = frozenset(
    {
        *("generator.form", "generator.num_levels", "generator.upsampling", "generator.num_features"),
        *("generator.norm", "generator.bottleneck_norm", "generator.conv_bias"),
        *("discriminator.receptive_field", "discriminator.num_features", "discriminator.norm"),
        *("discriminator.conv_bias", "classifier.width", "classifier.num_middle_blocks"),
        *("data.image_size", "data.image_width", "data.num_channels", "data.condition"),
    }
)


class Origin:
    """A run whose weights and running statistics initialize a new run, which has optimizers of its own."""

    def __init__(self, workdir: str, networks: tuple[str, ...]):
        self.workdir = os.path.abspath(workdir)
        self._networks = networks
        self._loaded: tuple[Any, dict[str, Any]] | None = None

    def load(self, state: Any, training: Training) -> tuple[Any, dict[str, Any]]:
        """Return a new run's state, at step 0, with the weights of its last checkpoint, which is read once.

        A classifier of other persons keeps its own last layer. The second value, for the metadata, is {"init_from":
        workdir, step and hashes}.

        Raises:
          UserError: there is no checkpoint, or its networks are not those of the config.
        """
        if self._loaded is None:
            self._loaded = self._load(state, training)
        return self._loaded

    def check(self, metadata: Mapping[str, Any], workdir: str) -> None:
        """Check that a run that is resumed, with the metadata of its checkpoint, started from these weights.

        Raises:
          UserError: it did not.
        """
        recorded = metadata.get(ORIGIN, {}).get("workdir")
        if recorded != self.workdir:
            started = f"started from {recorded}" if recorded else "did not start from another run"
            raise UserError(
                f"--init_from={self.workdir}: the run in {workdir} {started}; leave --init_from away to resume it, or "
                "use another --workdir"
            )

    def _load(self, state: Any, training: Training) -> tuple[Any, dict[str, Any]]:
        step, trees, metadata = restore_for_evaluation(self.workdir, self._networks)
        if metadata.get("persons") != training.metadata.get("persons"):
            head = state.classifier.params.get(HEAD)
            trees["classifier"]["params"] = trees["classifier"]["params"] | {HEAD: head}
            logging.warning(
                "%s: has other persons; the classifier's last layer is initialized again", self.workdir
            )
        hashes = {name: metadata.get(name) for name in ("config_hash", "data_hash")}
        try:
            state = take_weights(state, trees)
        except UserError as error:
            changes = find_changes(metadata.get("config", {}), training.config)
            changes = {field: change for field, change in changes.items() if field in _SHAPE_FIELDS}
            reason = "; ".join(describe_changes(changes)) or error
            raise UserError(
                f"--init_from={self.workdir}: its networks are not those of this config ({reason}); set these fields "
                "as they were there"
            ) from error
        return state, {ORIGIN: {"workdir": self.workdir, "step": step, **hashes}}


def take_weights(state: Any, variables: Mapping[str, Mapping]) -> Any:
    """Replace weights and running statistics of the named networks of a state; the moving average starts from them.

    Raises:
      UserError: they are of another network.
    """
    for name, tree in variables.items():
        network = getattr(state, name)
        check_variables(tree, network.variables, name)
        state = state.replace(**{name: network.replace(**tree)})
    if getattr(state, "generator_ema", None) is not None:
        state = state.replace(generator_ema=state.generator.params)
    return state
