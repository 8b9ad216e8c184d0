"""Owns writing a run's checkpoints, and which of them are kept; with `restore.py` the only file that knows Orbax."""

import contextlib
import logging as std_logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import flax
import jax
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint import checkpoint_managers

from fpgan_jax import parallel
from fpgan_jax.errors import UserError
from fpgan_jax.training.checkpoints import checksums
from fpgan_jax.training.checkpoints.damage import (
    DELETED,
    FOLDER,
    METADATA,
    UNFINISHED,
    check_not_all_damaged,
    find_disk_fault,
    find_folder,
    find_unreadable,
    remove_unfinished,
    set_damaged_aside,
)
from fpgan_jax.training.checkpoints.restore import match_trees, open_root, restore_items


def _create_manager(
    root: str, best_metric: str, keep_steps: Collection[int], write_checksums: Callable[[], None]
) -> ocp.CheckpointManager:
    def get_metric(metrics: Mapping[str, float]) -> float:
        return metrics[best_metric]

    keep = checkpoint_managers.AnyPreservationPolicy(
        [
            # The one before is used if the last is damaged.
            checkpoint_managers.LatestN(2),
            checkpoint_managers.BestN(get_metric_fn=get_metric, reverse=True, n=1),
            checkpoint_managers.CustomSteps(sorted(keep_steps)),
        ]
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=keep,
        best_fn=get_metric,
        best_mode="min",
        todelete_subdir=DELETED,
        async_options=ocp.options.AsyncOptions(post_finalization_callback=write_checksums),
    )
    return ocp.CheckpointManager(os.path.join(root, FOLDER), options=options)


class CheckpointStore:
    """The checkpoints of one run, in `checkpoints/`: the last two, the best by a metric, and those kept for good."""

    def __init__(
        self,
        workdir: str,
        *,
        best_metric: str,
        keep_steps: Collection[int] = (),
        may_start_anew: bool = False,
    ):
        """Open the store for writing; the folder is made if missing.

        The newest checkpoint is compared with its checksums. As long as it is damaged it is moved to
        `damaged_checkpoints/`, with one line that names the file, so that the last one is whole.

        Args:
          best_metric: the checkpoint with its lowest value is the best.
          keep_steps: steps whose checkpoints are never deleted.
          may_start_anew: whether a run whose checkpoints are all damaged may start at step 0.

        Raises:
          UserError: there are damaged checkpoints and no whole one, and it may not start again.
        """
        self.workdir = workdir
        self._best_metric = best_metric
        self._keep_steps = keep_steps
        self._saving_step: int | None = None
        self._failure: str | None = None
        logging.get_absl_logger().addFilter(_is_for_the_user)
        os.makedirs(workdir, exist_ok=True)
        self._opened = contextlib.ExitStack()
        self._root = self._opened.enter_context(open_root(workdir))
        set_damaged_aside(workdir, self._root)
        remove_unfinished(workdir)
        parallel.wait_for_all("checkpoints are in order")
        self._manager = _create_manager(self._root, best_metric, keep_steps, self._check_and_sum)
        if self.latest_step is None:
            check_not_all_damaged(workdir, may_start_anew)

    @property
    def latest_step(self) -> int | None:
        """The last checkpoint's step, or None."""
        return self._manager.latest_step()

    def save(
        self,
        step: int,
        trees: Mapping[str, Any],
        *,
        metadata: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> None:
        """Save in the background; the trees are copied first.

        A save counts, and replaces an older one, once every array has been read back from the disk. If the disk is full
        or fails, that save is lost: the next save or `poll` logs a line, and earlier checkpoints stay.

        Args:
          trees: name -> pytree of host arrays; each can be restored alone.
          metadata: values that JSON can hold, including the config.

        Raises:
          UserError: the previous save could not be read back; `poll`, `finish` and `close` raise it too.
        """
        items = {
            name: ocp.args.StandardSave(flax.serialization.to_state_dict(tree))
            for name, tree in trees.items()
        }
        items[METADATA] = ocp.args.JsonSave(dict(metadata) | {"metric": metrics[self._best_metric]})
        self._await_save()
        self._saving_step = step
        try:
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=dict(metrics))
        except Exception as error:
            # Orbax wraps errors of the disk in others.
            self._give_save_up(error)

    def poll(self) -> None:
        """Log a save that has failed meanwhile; do not wait for one in progress."""
        if (
            jax.process_count() == 1
            and self._saving_step is not None
            and not self._manager.is_saving_in_progress()
        ):
            self._await_save()

    def finish(self) -> None:
        """Wait for the save in progress.

        Raises:
          UserError: the last save failed.
        """
        self._await_save()
        if self._failure:
            newest = "there is no checkpoint"
            if self.latest_step is not None:
                newest = f"the newest checkpoint is that of step {self.latest_step}"
            raise UserError(
                f"{self.workdir}: {self._failure}; {newest}: free some space and run the same command again to resume"
            )

    def has_tree(self, name: str) -> bool:
        """Return whether the last checkpoint has a tree of this name."""
        return os.path.isdir(os.path.join(find_folder(self.workdir, self._find_latest()), name))

    def read_metadata(self) -> dict[str, Any]:
        """Read the metadata of the last checkpoint.

        Raises:
          UserError: the checkpoint is damaged.
        """
        args = {METADATA: ocp.args.JsonRestore()}
        step = self._find_latest()
        return restore_items(self._manager, self.workdir, step, args, is_checked=True)[METADATA]

    def restore_latest(self, templates: Mapping[str, Any]) -> dict[str, Any]:
        """Restore the last checkpoint's trees as NumPy arrays, with the structure, shapes and dtypes of templates.

        Raises:
          UserError: a tree has other leaves or shapes than its template.
        """
        step = self._find_latest()
        restore_args = {name: ocp.args.StandardRestore() for name in templates}
        items = restore_items(self._manager, self.workdir, step, restore_args, is_checked=True)
        path = find_folder(self.workdir, step)
        return {
            name: match_trees(template, items[name], f"{path}/{name}") for name, template in templates.items()
        }

    def _find_latest(self) -> int:
        step = self.latest_step
        assert step is not None, "the caller asks whether there is a checkpoint"
        return step

    def close(self) -> None:
        """Wait for the save in progress and release the folder."""
        try:
            self._await_save()
        finally:
            self._manager.close()
            remove_unfinished(self.workdir)
            self._opened.close()

    def _await_save(self) -> None:
        if self._saving_step is None:
            return
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            # See `save`.
            self._give_save_up(error)
        else:
            self._saving_step = self._failure = None
            remove_unfinished(self.workdir)

    def _give_save_up(self, error: Exception) -> None:
        """Continue after a save that failed because of the disk; raise any other error again."""
        step, self._saving_step = self._saving_step, None
        reason = find_disk_fault(error)
        # Other processes are still waiting for this one inside Orbax.
        if reason is None or jax.process_count() > 1:
            raise error
        self._manager.close()
        # Other threads of Orbax may still write parts of it, and make its folder again.
        for _ in range(20):
            if remove_unfinished(self.workdir):
                break
            time.sleep(0.1)
        free = shutil.disk_usage(self.workdir).free / 1e6
        self._failure = f"the checkpoint of step {step} could not be saved ({reason}; {free:.0f} MB are free)"
        logging.warning("%s: %s; the run continues, and the next one is tried", self.workdir, self._failure)
        # A new manager reads from the disk which checkpoints exist; the old one believes that some are deleted.
        self._manager = _create_manager(self._root, self._best_metric, self._keep_steps, self._check_and_sum)

    def _check_and_sum(self) -> None:
        """Check a save: Orbax's callback, in its thread, after all files are written and before they count.

        Raises:
          UserError: an array cannot be read back; Orbax then leaves the folder as it is, and deletes no other.
        """
        if not parallel.is_main_process():
            return
        assert self._saving_step is not None  # Orbax calls during a save
        folder = find_folder(self.workdir, self._saving_step)
        written = f"{find_folder(self._root, self._saving_step)}{UNFINISHED}"
        if fault := find_unreadable(written, is_quick=False):
            raise UserError(
                f"{folder}: cannot be read back ({fault}) and does not count; earlier checkpoints stay; run the same "
                "command again to resume from the last of them"
            )
        try:
            checksums.write_checksums(written)
        except OSError as error:
            # The checkpoint itself is whole; without checksums all of it is read to check it.
            logging.warning("%s: without checksums (%s)", folder, error.strerror)


def _is_for_the_user(record: std_logging.LogRecord) -> bool:
    # Orbax also logs the traceback of everything that it raises, several times: hundreds of lines for a full disk.
    return not (record.exc_info and "orbax" in record.pathname)
