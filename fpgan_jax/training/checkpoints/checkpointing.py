"""Owns checkpoints on disk; the only file that knows Orbax.

Does not own what a state means: it saves and restores named pytrees of arrays.
"""

import contextlib
import json
import logging as std_logging
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import flax
import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint import checkpoint_managers

from fpgan_jax import parallel
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import is_utf8
from fpgan_jax.training.checkpoints import checksums, stored_trees
from fpgan_jax.training.checkpoints.stored_trees import describe_error

_FOLDER = "checkpoints"
_DAMAGED_FOLDER = "damaged_checkpoints"
_METADATA = "metadata"
# Orbax's own: its name for the metrics, and what is in the name of a folder that it has not finished.
_METRICS = "metrics"
_UNFINISHED = ".orbax-checkpoint-tmp"
# Where Orbax moves what is no longer kept, so that a kill leaves no half of a checkpoint under its own name.
_DELETED = f"deleted{_UNFINISHED}"
# Orbax searches its own files by a pattern of their whole path, TensorStore takes a backslash for a slash, and both
# take UTF-8 alone.
_MISREAD = re.compile(r"[*?\[\\]")


@contextlib.contextmanager
def _open_root(workdir: str) -> Iterator[str]:
    """Yield a path to a run's folder that Orbax takes literally; it is of use within the block only.

    Raises:
      UserError: there is none on this system.
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
                f"{workdir}: checkpoints cannot be kept under a path with one of * ? [ \\ or a byte that is no "
                "UTF-8; use another one"
            )
        yield root
    finally:
        os.close(descriptor)


def _create_manager(
    root: str, best_metric: str, keep_steps: Collection[int], write_checksums: Callable[[], None]
) -> ocp.CheckpointManager:
    def get_metric(metrics):
        return metrics[best_metric]

    keep = checkpoint_managers.AnyPreservationPolicy(
        [
            # The one before is used where the last is damaged.
            checkpoint_managers.LatestN(2),
            checkpoint_managers.BestN(get_metric_fn=get_metric, reverse=True, n=1),
            checkpoint_managers.CustomSteps(sorted(keep_steps)),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=keep,
        best_fn=get_metric,
        best_mode="min",
        todelete_subdir=_DELETED,
        async_options=ocp.options.AsyncOptions(post_finalization_callback=write_checksums),
    )
    return ocp.CheckpointManager(os.path.join(root, _FOLDER), options=options)


def _create_reading_manager(root: str) -> ocp.CheckpointManager:
    # Not lightweight, it reads every checkpoint's metrics and ends with Python's error where one is damaged.
    options = ocp.CheckpointManagerOptions(create=False, lightweight_initialize=True)
    return ocp.CheckpointManager(os.path.join(root, _FOLDER), options=options)


class CheckpointStore:
    """The checkpoints of one run: the last two, the best by a named metric, and those that are kept for good.

    Attributes:
      workdir: the run's folder; checkpoints lie in its `checkpoints/`.
    """

    def __init__(
        self,
        workdir: str,
        *,
        best_metric: str,
        keep_steps: Collection[int] = (),
        may_start_anew: bool = False,
    ):
        """Open the store for writing; the folder is made if missing.

        The newest checkpoint is compared with its checksums. While it is damaged it is moved to
        `damaged_checkpoints/`, with one line that names the file, so that the last one is whole.

        Args:
          workdir: the run's folder.
          best_metric: the metric whose lowest value makes a checkpoint the best.
          keep_steps: steps whose checkpoints are never deleted.
          may_start_anew: whether a run whose checkpoints are all damaged may begin at step 0.

        Raises:
          UserError: there are damaged checkpoints and no whole one, and it may not start anew.
        """
        self.workdir = workdir
        self._best_metric = best_metric
        self._keep_steps = keep_steps
        self._saving_step: int | None = None
        self._failure: str | None = None
        logging.get_absl_logger().addFilter(_is_for_the_user)
        os.makedirs(workdir, exist_ok=True)
        self._opened = contextlib.ExitStack()
        self._root = self._opened.enter_context(_open_root(workdir))
        _set_damaged_aside(workdir, self._root)
        _remove_unfinished(workdir)
        parallel.wait_for_all("checkpoints are in order")
        self._manager = _create_manager(self._root, best_metric, keep_steps, self._check_and_sum)
        if self.latest_step is None:
            _tell_of_the_damaged(workdir, may_start_anew)

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

        It counts, and takes an older one's place, once every array has been read back from the disk. A save that
        the disk has no room for, or fails to take, costs that save: a line tells of it, by the next save or `poll`,
        and the checkpoints before it are left as they are.

        Args:
          step: completed steps.
          trees: name -> pytree of host arrays; each can be restored alone.
          metadata: what JSON can hold; the config among it.
          metrics: numbers to choose the best checkpoint by.

        Raises:
          UserError: the save before it could not be read back; so do `poll`, `finish` and `close`.
        """
        items = {
            name: ocp.args.StandardSave(flax.serialization.to_state_dict(tree))
            for name, tree in trees.items()
        }
        items[_METADATA] = ocp.args.JsonSave(dict(metadata) | {"metric": metrics[self._best_metric]})
        self._await_save()
        self._saving_step = step
        try:
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=dict(metrics))
        except Exception as error:
            # Which errors are the disk's is told there; Orbax wraps them in others.
            self._give_save_up(error)

    def poll(self) -> None:
        """Tell of a save that has failed meanwhile; do not wait for one under way."""
        if (
            jax.process_count() == 1
            and self._saving_step is not None
            and not self._manager.is_saving_in_progress()
        ):
            self._await_save()

    def finish(self) -> None:
        """Wait for the save under way.

        Raises:
          UserError: the last save failed.
        """
        self._await_save()
        if self._failure:
            newest = (
                "there is no checkpoint"
                if self.latest_step is None
                else (f"the newest checkpoint is that of step {self.latest_step}")
            )
            raise UserError(
                f"{self.workdir}: {self._failure}; {newest}: make room and give the same command again, which goes "
                "on from there"
            )

    def has_tree(self, name: str) -> bool:
        """Return whether the last checkpoint holds a tree of this name."""
        return os.path.isdir(os.path.join(_describe(self.workdir, self.latest_step), name))

    def read_metadata(self) -> dict[str, Any]:
        """Read what was saved with the last checkpoint as `metadata`.

        Raises:
          UserError: the checkpoint is damaged.
        """
        args = {_METADATA: ocp.args.JsonRestore()}
        return _restore_items(self._manager, self.workdir, self.latest_step, args, is_checked=True)[_METADATA]

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
        restore_args = {name: ocp.args.StandardRestore() for name in templates}
        items = _restore_items(self._manager, self.workdir, step, restore_args, is_checked=True)
        path = _describe(self.workdir, step)
        return {name: _match(template, items[name], f"{path}/{name}") for name, template in templates.items()}

    def close(self) -> None:
        """Wait for saves under way and let go of the folder."""
        try:
            self._await_save()
        finally:
            self._manager.close()
            _remove_unfinished(self.workdir)
            self._opened.close()

    def _await_save(self) -> None:
        if self._saving_step is None:
            return
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            # As in `save`.
            self._give_save_up(error)
        else:
            self._saving_step = self._failure = None
            _remove_unfinished(self.workdir)

    def _give_save_up(self, error: Exception) -> None:
        """Go on without a save that the disk did not take; raise any other error again."""
        step, self._saving_step = self._saving_step, None
        reason = _find_disk_fault(error)
        # Of several processes the others are still waiting for this one inside Orbax.
        if reason is None or jax.process_count() > 1:
            raise error
        self._manager.close()
        # Orbax's other threads may still be writing parts of it, and make its folder again.
        for _ in range(20):
            if _remove_unfinished(self.workdir):
                break
            time.sleep(0.1)
        free = shutil.disk_usage(self.workdir).free / 1e6
        self._failure = f"the checkpoint of step {step} could not be saved ({reason}; {free:.0f} MB are free)"
        logging.warning(
            "%s: %s; the run goes on, and the next one is tried again", self.workdir, self._failure
        )
        # A new one reads from the disk which checkpoints there are; the old one takes some for deleted.
        self._manager = _create_manager(self._root, self._best_metric, self._keep_steps, self._check_and_sum)

    def _check_and_sum(self) -> None:
        """Orbax's callback, in its thread, when all files are written and before it renames their folder.

        Raises:
          UserError: what a restore needs is not there; Orbax then leaves the folder as it is, and deletes no other.
        """
        if not parallel.is_main_process():
            return
        folder = _describe(self.workdir, self._saving_step)
        written = f"{_describe(self._root, self._saving_step)}{_UNFINISHED}"
        if fault := _find_unreadable(written, is_quick=False):
            raise UserError(
                f"{folder}: cannot be read back ({fault}) and does not count; the checkpoints before it are left as "
                "they are, and the same command goes on from the last of them"
            )
        try:
            checksums.write_checksums(written)
        except OSError as error:
            # The checkpoint itself is whole; without checksums it is judged by restoring it.
            logging.warning("%s: without checksums (%s)", folder, error.strerror)


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
      UserError: there is no such checkpoint, or one of its files is not as it was written; none is moved.
    """
    if not os.path.isdir(os.path.join(workdir, _FOLDER)):
        raise UserError(f"{workdir}: no checkpoints here; train first, or give the run's own workdir")
    with _open_root(workdir) as root, contextlib.closing(_create_reading_manager(root)) as manager:
        step = _choose_step(manager, workdir, step)
        items = _restore_items(manager, workdir, step, {name: ocp.args.StandardRestore() for name in names})
        metadata = _restore_items(manager, workdir, step, {_METADATA: ocp.args.JsonRestore()})[_METADATA]
        return step, {name: items[name] for name in names}, metadata


def _choose_step(manager: ocp.CheckpointManager, workdir: str, step: int | str | None) -> int:
    steps = sorted(manager.all_steps())
    if step == "best" and steps:
        metadata = [
            _restore_items(manager, workdir, kept, {_METADATA: ocp.args.JsonRestore()}) for kept in steps
        ]
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


def _is_for_the_user(record: std_logging.LogRecord) -> bool:
    # Orbax logs the traceback of what it raises anyway, several times: some hundred lines for a full disk.
    return not (record.exc_info and "orbax" in record.pathname)


def _set_damaged_aside(workdir: str, root: str) -> None:
    """Move the newest checkpoint away while it is damaged, and any older one that is plainly so."""
    folder = os.path.join(workdir, _FOLDER)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    is_last = True
    for step in sorted((int(name) for name in names if name.isdigit()), reverse=True):
        fault = _find_fault(_describe(root, step), is_quick=not is_last)
        if fault is None:
            is_last = False
            continue
        # Every process has come to this before one moves what the others read.
        parallel.wait_for_all(f"checkpoint {step} is damaged")
        if parallel.is_main_process():
            place = _find_place(os.path.join(workdir, _DAMAGED_FOLDER), str(step))
            os.rename(os.path.join(folder, str(step)), place)
            logging.warning(
                "%s: damaged (%s); moved to %s, and the one before it is tried",
                os.path.join(folder, str(step)),
                fault,
                place,
            )


def _find_place(folder: str, name: str) -> str:
    os.makedirs(folder, exist_ok=True)
    taken = set(os.listdir(folder))
    places = [name, *(f"{name}_{count}" for count in range(2, len(taken) + 3))]
    return os.path.join(folder, next(place for place in places if place not in taken))


def _find_fault(folder: str, *, is_quick: bool) -> str | None:
    has_checksums = checksums.has_checksums(folder)
    if has_checksums and (fault := checksums.find_fault(folder, is_quick=is_quick)):
        return fault
    # Without checksums it is of an older version, or they found no room on the disk.
    return _find_unreadable(folder, is_quick=has_checksums)


def _find_unreadable(folder: str, *, is_quick: bool) -> str | None:
    """Look whether a checkpoint's parts can be read, see `stored_trees.find_fault`."""
    parts = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    for part in sorted({_METRICS, _METADATA, *parts}):
        if part in (_METRICS, _METADATA):
            try:
                with open(os.path.join(folder, part, part), encoding="utf-8") as file:
                    dict(json.load(file))
            except (OSError, ValueError, TypeError):
                return f"{part}/{part}: cannot be read"
        elif fault := stored_trees.find_fault(os.path.join(folder, part), is_quick=is_quick):
            return f"{part}/{fault}"
    return None


def _remove_unfinished(workdir: str) -> bool:
    """Remove what an interrupted save has left, and what is no longer kept; either would take up the disk.

    Returns:
      Whether nothing of it is left.
    """
    folder = os.path.join(workdir, _FOLDER)
    if not (parallel.is_main_process() and os.path.isdir(folder)):
        return True
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if _UNFINISHED in name]
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
    return not any(map(os.path.exists, paths))


def _tell_of_the_damaged(workdir: str, may_start_anew: bool) -> None:
    folder = os.path.join(workdir, _DAMAGED_FOLDER)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    damaged = sorted(names, key=lambda name: (len(name), name))
    if not damaged:
        return
    fault = (
        f"{folder}: holds the only checkpoints of this run (steps {', '.join(damaged)}), which are damaged"
    )
    if not may_start_anew:
        raise UserError(
            f"{fault}; to start anew from step 0, give launch.train_gan or launch.train_classifier "
            "--may_start_anew, or move this folder away"
        )
    logging.warning("%s; the run starts anew from step 0", fault)


def _find_disk_fault(error: BaseException) -> str | None:
    """Return why the disk did not take something, or None if that is not what an error is about."""
    if isinstance(error, OSError):
        return error.strerror or describe_error(error)
    # TensorStore tells of the system's errors in a ValueError.
    text = str(error)
    for reason in ("No space left on device", "Disk quota exceeded", "File too large", "Input/output error"):
        if reason in text:
            return reason
    return _find_disk_fault(error.__cause__) if error.__cause__ else None


def _restore_items(
    manager: ocp.CheckpointManager,
    workdir: str,
    step: int,
    restore_args: Mapping,
    *,
    is_checked: bool = False,
) -> Mapping[str, Any]:
    # Without a template Orbax gives back nested dicts of NumPy arrays, whatever devices saved them.
    if not restore_args:
        return {}
    manager.wait_until_finished()
    folder = _describe(workdir, step)
    fault = (
        None if is_checked else _find_parts_fault(os.path.join(manager.directory, str(step)), restore_args)
    )
    if not fault:
        for name in restore_args:
            if not os.path.isdir(os.path.join(folder, name)):
                raise UserError(f"{folder}: holds no {name!r}; is this the workdir of another script's run?")
        try:
            return manager.restore(step, args=ocp.args.Composite(**restore_args))
        except Exception as error:
            # A damaged file makes Orbax raise almost anything.
            fault = describe_error(error).replace(str(manager.directory), os.path.join(workdir, _FOLDER))
    raise UserError(
        f"{folder}: damaged ({fault}); there are checkpoints of steps {sorted(manager.all_steps())}: choose another "
        "one, or start the training again, which sets this one aside and goes on from the one before"
    )


def _find_parts_fault(folder: str, parts: Collection[str]) -> str | None:
    """Look for damage in the parts of a checkpoint that are there."""
    has_checksums = checksums.has_checksums(folder)
    if has_checksums and (fault := checksums.find_fault(folder, parts)):
        return fault
    present = [part for part in parts if part != _METADATA and os.path.isdir(os.path.join(folder, part))]
    for part in present:
        if fault := stored_trees.find_fault(os.path.join(folder, part), is_quick=has_checksums):
            return f"{part}/{fault}"
    return None


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
    return os.path.join(workdir, _FOLDER, str(step))
