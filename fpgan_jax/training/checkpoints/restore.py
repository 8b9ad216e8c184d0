"""Owns reading trees and metadata back from a checkpoint."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import flax
import jax
import orbax.checkpoint as ocp

from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import is_utf8
from fpgan_jax.training.checkpoints.damage import FOLDER, METADATA, find_fault, find_folder
from fpgan_jax.training.checkpoints.stored_trees import describe_error

# Orbax uses paths as search patterns, TensorStore takes a backslash for a slash, and both accept UTF-8 only.
_MISREAD = re.compile(r"[*?\[\\]")


@contextlib.contextmanager
def open_root(workdir: str) -> Iterator[str]:
    """Yield a path to a run's folder that Orbax takes literally, valid within the block only.

    Raises:
      UserError: this system has no such path.
    """
    path = os.path.abspath(workdir)
    if is_utf8(path) and not _MISREAD.search(path):
        yield path
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Linux's name for an open folder.
        root = f"/proc/self/fd/{descriptor}"
        if not os.path.isdir(root):
            raise UserError(
                f"{workdir}: checkpoints cannot be kept under a path with one of * ? [ \\ or a byte that is not "
                "UTF-8; use another path"
            )
        yield root
    finally:
        os.close(descriptor)


def _create_reading_manager(root: str) -> ocp.CheckpointManager:
    # Otherwise it reads the metrics of every checkpoint, and a damaged one ends in a traceback.
    options = ocp.CheckpointManagerOptions(create=False, lightweight_initialize=True)
    return ocp.CheckpointManager(os.path.join(root, FOLDER), options=options)


def has_checkpoints(workdir: str) -> bool:
    """Return whether a run has started to keep checkpoints in a folder."""
    return os.path.isdir(os.path.join(workdir, FOLDER))


def restore_for_evaluation(
    workdir: str, names: tuple[str, ...], step: int | str | None = None
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Restore some trees of a checkpoint; no optimizer is built or read.

    Args:
      names: the trees; if empty, only the metadata is read.
      step: the checkpoint; "best" by the run's own metric, None the last one.

    Returns:
      (step, name -> nested dicts of NumPy arrays, metadata).

    Raises:
      UserError: there is no such checkpoint, or one of its files is damaged; none is moved.
    """
    if not has_checkpoints(workdir):
        raise UserError(f"{workdir}: no checkpoints here; train first, or give the run's own workdir")
    with open_root(workdir) as root, contextlib.closing(_create_reading_manager(root)) as manager:
        step = _choose_step(manager, workdir, step)
        items = restore_items(manager, workdir, step, {name: ocp.args.StandardRestore() for name in names})
        metadata = restore_items(manager, workdir, step, {METADATA: ocp.args.JsonRestore()})[METADATA]
        return step, {name: items[name] for name in names}, metadata


def _choose_step(manager: ocp.CheckpointManager, workdir: str, step: int | str | None) -> int:
    steps = sorted(manager.all_steps())
    if step == "best" and steps:
        metadata = [
            restore_items(manager, workdir, kept, {METADATA: ocp.args.JsonRestore()}) for kept in steps
        ]
        return min(zip(steps, metadata, strict=True), key=lambda pair: pair[1][METADATA]["metric"])[0]
    if not steps or (step is not None and step not in steps):
        wanted = "" if step is None else f" of step {step}"
        raise UserError(f"{workdir}: no checkpoint{wanted}; there are steps {steps}")
    return steps[-1] if step is None else int(step)


def check_variables(variables: Mapping, expected: Any, origin: str) -> None:
    """Check that restored variables, nested dicts of arrays, fit a module's, which are anything with a `shape`.

    Raises:
      UserError: a leaf is missing, unknown, or of another shape; the message begins with `origin`.
    """
    match_trees(expected, dict(variables), origin)


def restore_items(
    manager: ocp.CheckpointManager,
    workdir: str,
    step: int,
    restore_args: Mapping,
    *,
    is_checked: bool = False,
) -> Mapping[str, Any]:
    """Restore items of one checkpoint.

    Args:
      restore_args: an item's name -> Orbax's arguments.
      is_checked: whether its files have been compared with their checksums already.

    Returns:
      The items by name; trees as nested dicts of NumPy arrays.

    Raises:
      UserError: an item is missing or damaged.
    """
    # Without a template Orbax returns nested dicts of NumPy arrays, whatever devices saved them.
    if not restore_args:
        return {}
    manager.wait_until_finished()
    folder = find_folder(workdir, step)
    fault = None if is_checked else find_fault(os.path.join(manager.directory, str(step)), restore_args)
    if not fault:
        for name in restore_args:
            if not os.path.isdir(os.path.join(folder, name)):
                raise UserError(f"{folder}: has no {name!r}; is this the workdir of another script's run?")
        try:
            return manager.restore(step, args=ocp.args.Composite(**restore_args))
        except Exception as error:
            # On a damaged file Orbax can raise almost anything.
            fault = describe_error(error).replace(str(manager.directory), os.path.join(workdir, FOLDER))
    raise UserError(
        f"{folder}: damaged ({fault}); there are checkpoints of steps {sorted(manager.all_steps())}: choose another "
        "one, or run the training again, which moves this one away and resumes from the one before"
    )


def match_trees(template: Any, restored: dict[str, Any], origin: str) -> Any:
    """Give restored nested dicts the structure of a template.

    Raises:
      UserError: a leaf is missing, unknown, or of another shape.
    """
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
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves
    }
