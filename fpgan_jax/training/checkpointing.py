"""Owns checkpoints on disk; the only file that knows Orbax.

Does not own what a state means: it saves and restores named pytrees of arrays.
"""

import os
from collections.abc import Mapping
from typing import Any

import flax
import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from fpgan_jax.errors import UserError

_METADATA = "metadata"


def _create_manager(workdir: str, best_metric: str | None) -> ocp.CheckpointManager:
    folder = os.path.abspath(os.path.join(workdir, "checkpoints"))
    if best_metric is None:
        return ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(create=False))

    def get_metric(metrics):
        return metrics[best_metric]

    keep = checkpoint_managers.AnyPreservationPolicy(
        [
            checkpoint_managers.LatestN(1),
            checkpoint_managers.BestN(get_metric_fn=get_metric, reverse=True, n=1),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=keep, best_fn=get_metric, best_mode="min", cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(folder, options=options)


class CheckpointStore:
    """The checkpoints of one run: the last, and the best by a named metric.

    Attributes:
      workdir: the run's folder; checkpoints lie in its `checkpoints/`.
    """

    def __init__(self, workdir: str, *, best_metric: str):
        """Open the store for writing; the folder is made if missing.

        Args:
          workdir: the run's folder.
          best_metric: the metric whose lowest value makes a checkpoint the best.
        """
        self.workdir = workdir
        self._best_metric = best_metric
        self._manager = _create_manager(workdir, best_metric)

    @property
    def latest_step(self) -> int | None:
        """The last checkpoint's step, or None."""
        return self._manager.latest_step()

    @property
    def best_step(self) -> int | None:
        """The best checkpoint's step, or None."""
        return self._manager.best_step()

    def save(
        self,
        step: int,
        trees: Mapping[str, Any],
        *,
        metadata: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> None:
        """Save in the background; the trees are copied first.

        Args:
          step: completed steps.
          trees: name -> pytree of host arrays; each can be restored alone.
          metadata: what JSON can hold; the config among it.
          metrics: numbers to choose the best checkpoint by.
        """
        items = {
            name: ocp.args.StandardSave(flax.serialization.to_state_dict(tree))
            for name, tree in trees.items()
        }
        items[_METADATA] = ocp.args.JsonSave(dict(metadata) | {"metric": metrics[self._best_metric]})
        self._manager.save(step, args=ocp.args.Composite(**items), metrics=dict(metrics))

    def has_tree(self, name: str) -> bool:
        """Return whether the last checkpoint holds a tree of this name."""
        return os.path.isdir(os.path.join(_describe(self.workdir, self.latest_step), name))

    def read_metadata(self) -> dict[str, Any]:
        """Read what was saved with the last checkpoint as `metadata`.

        Raises:
          UserError: the checkpoint is damaged.
        """
        args = {_METADATA: ocp.args.JsonRestore()}
        return _restore_items(self._manager, self.latest_step, args)[_METADATA]

    def restore_latest(self, templates: Mapping[str, Any]) -> dict[str, Any]:
        """Restore the last checkpoint.

        Args:
          templates: name -> pytree of the structure, shapes and dtypes expected.

        Returns:
          name -> pytree of NumPy arrays with the template's structure.

        Raises:
          UserError: a tree has other leaves or shapes than its template.
        """
        step = self.latest_step
        items = _restore_items(self._manager, step, {name: ocp.args.StandardRestore() for name in templates})
        path = _describe(self.workdir, step)
        return {name: _match(template, items[name], f"{path}/{name}") for name, template in templates.items()}

    def close(self) -> None:
        """Wait for saves under way and let go of the folder."""
        self._manager.wait_until_finished()
        self._manager.close()


def restore_for_evaluation(
    workdir: str, names: tuple[str, ...], step: int | str | None = None
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Restore some trees of a checkpoint as they are; no optimiser is built or read.

    Args:
      workdir: the run's folder.
      names: the trees wanted; none reads the metadata alone.
      step: the checkpoint; "best" is the one by the run's own metric, None the last.

    Returns:
      (step, name -> nested dicts of NumPy arrays, metadata).

    Raises:
      UserError: there is no such checkpoint.
    """
    if not os.path.isdir(os.path.join(workdir, "checkpoints")):
        raise UserError(f"{workdir}: no checkpoints here; train first, or give the run's own workdir")
    manager = _create_manager(workdir, None)
    try:
        step = _choose_step(manager, workdir, step)
        items = _restore_items(manager, step, {name: ocp.args.StandardRestore() for name in names})
        metadata = _restore_items(manager, step, {_METADATA: ocp.args.JsonRestore()})[_METADATA]
        return step, {name: items[name] for name in names}, metadata
    finally:
        manager.close()


def _choose_step(manager: ocp.CheckpointManager, workdir: str, step: int | str | None) -> int:
    steps = sorted(manager.all_steps())
    if step == "best" and steps:
        metadata = [_restore_items(manager, kept, {_METADATA: ocp.args.JsonRestore()}) for kept in steps]
        return min(zip(steps, metadata, strict=True), key=lambda pair: pair[1][_METADATA]["metric"])[0]
    if not steps or (step is not None and step not in steps):
        wanted = "" if step is None else f" of step {step}"
        raise UserError(f"{workdir}: no checkpoint{wanted}; there are those of steps {steps}")
    return steps[-1] if step is None else step


def check_variables(variables: Mapping, expected: Any, origin: str) -> None:
    """Check that restored variables fit a module.

    Args:
      variables: nested dicts of arrays.
      expected: the same structure of anything with a `shape`.
      origin: where the variables came from, for the message.

    Raises:
      UserError: a leaf is missing, too much, or of another shape.
    """
    _match(expected, variables, origin)


def _restore_items(manager: ocp.CheckpointManager, step: int, restore_args: Mapping) -> Mapping[str, Any]:
    # Without a template Orbax gives back nested dicts of NumPy arrays, whatever devices saved them.
    if not restore_args:
        return {}
    manager.wait_until_finished()
    folder = _describe(os.path.dirname(str(manager.directory)), step)
    for name in restore_args:
        if not os.path.isdir(os.path.join(folder, name)):
            raise UserError(f"{folder}: holds no {name!r}; is this the workdir of another script's run?")
    try:
        return manager.restore(step, args=ocp.args.Composite(**restore_args))
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{folder}: damaged ({reason}); move this folder away to go on from the checkpoint before it"
        ) from error


def _match(template: Any, restored: Mapping, origin: str) -> Any:
    found = _shapes(restored)
    wanted = _shapes(flax.serialization.to_state_dict(template))
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{origin}: {name} is {found.get(name, 'missing')} in the checkpoint and "
                f"{wanted.get(name, 'missing')} in the network of this config; "
                "use the config that the checkpoint was trained with"
            )
    return flax.serialization.from_state_dict(template, restored)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        "/".join(str(getattr(key, "key", key)) for key in path): tuple(leaf.shape) for path, leaf in leaves
    }


def _describe(workdir: str, step: int) -> str:
    return os.path.join(workdir, "checkpoints", str(step))
