"""Owns checkpoints' folders, what is wrong with one, and what is done about a damaged or unfinished one."""

import json
import os
import shutil
from collections.abc import Collection

from absl import logging

from fpgan_jax import parallel
from fpgan_jax.errors import UserError
from fpgan_jax.training.checkpoints import checksums, stored_trees
from fpgan_jax.training.checkpoints.stored_trees import describe_error

FOLDER = "checkpoints"
_DAMAGED_FOLDER = "damaged_checkpoints"
METADATA = "metadata"

# Orbax's name for the metrics, and a part of the names of folders that it has not finished.
_METRICS = "metrics"
UNFINISHED = ".orbax-checkpoint-tmp"

# Orbax moves old checkpoints here before it deletes them, so that a kill leaves none that is half deleted.
DELETED = f"deleted{UNFINISHED}"


def set_damaged_aside(workdir: str, root: str) -> None:
    """Move the newest checkpoint away as long as it is damaged, and older ones whose damage a quick check finds."""
    folder = os.path.join(workdir, FOLDER)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    is_last = True
    for step in sorted((int(name) for name in names if name.isdigit()), reverse=True):
        fault = find_fault(find_folder(root, step), is_quick=not is_last)
        if fault is None:
            is_last = False
            continue
        # No process may still read what the main one moves.
        parallel.wait_for_all(f"checkpoint {step} is damaged")
        if parallel.is_main_process():
            place = _find_place(os.path.join(workdir, _DAMAGED_FOLDER), str(step))
            os.rename(os.path.join(folder, str(step)), place)
            logging.warning(
                "%s: damaged (%s); moved to %s; trying the one before it",
                os.path.join(folder, str(step)),
                fault,
                place,
            )


def _find_place(folder: str, name: str) -> str:
    os.makedirs(folder, exist_ok=True)
    taken = set(os.listdir(folder))
    places = [name, *(f"{name}_{count}" for count in range(2, len(taken) + 3))]
    return os.path.join(folder, next(place for place in places if place not in taken))


def find_fault(folder: str, parts: Collection[str] | None = None, *, is_quick: bool = False) -> str | None:
    """Find what is wrong with a checkpoint, by its checksums if it has any; see `checksums.find_fault`.

    A full disk may have had no room for checksums; then all parts are read, see `find_unreadable`.
    """
    has_checksums = checksums.has_checksums(folder)
    if has_checksums and (fault := checksums.find_fault(folder, parts, is_quick=is_quick)):
        return fault
    return find_unreadable(folder, parts, is_quick=has_checksums)


def find_unreadable(folder: str, parts: Collection[str] | None = None, *, is_quick: bool) -> str | None:
    """Check whether a checkpoint's parts (those of `parts` that exist) can be read, see `stored_trees.find_fault`."""
    present = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    for part in sorted({_METRICS, METADATA} | present if parts is None else present & set(parts)):
        if part in (_METRICS, METADATA):
            try:
                with open(os.path.join(folder, part, part), encoding="utf-8") as file:
                    dict(json.load(file))
            except (OSError, ValueError, TypeError):
                return f"{part}/{part}: cannot be read"
        elif fault := stored_trees.find_fault(os.path.join(folder, part), is_quick=is_quick):
            return f"{part}/{fault}"
    return None


def remove_unfinished(workdir: str) -> bool:
    """Remove what an interrupted save has left, and what is no longer kept; return whether nothing of it is left."""
    folder = os.path.join(workdir, FOLDER)
    if not (parallel.is_main_process() and os.path.isdir(folder)):
        return True
    paths = [os.path.join(folder, name) for name in os.listdir(folder) if UNFINISHED in name]
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
    return not any(map(os.path.exists, paths))


def check_not_all_damaged(workdir: str, may_start_anew: bool) -> None:
    """Stop, or warn, if all of a run's checkpoints are damaged.

    Raises:
      UserError: they are, and the run may not start again from step 0.
    """
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
            f"{fault}; to start again from step 0, give launch.train_gan or launch.train_classifier "
            "--may_start_anew, or move this folder away"
        )
    logging.warning("%s; the run starts again from step 0", fault)


def find_disk_fault(error: BaseException) -> str | None:
    """Return why the disk did not accept a write, or None if the error has another cause."""
    if isinstance(error, OSError):
        return error.strerror or describe_error(error)
    # TensorStore raises the system's errors as a ValueError.
    text = str(error)
    for reason in ("No space left on device", "Disk quota exceeded", "File too large", "Input/output error"):
        if reason in text:
            return reason
    return find_disk_fault(error.__cause__) if error.__cause__ else None


def find_folder(workdir: str, step: int) -> str:
    """Return the folder of a step's checkpoint."""
    return os.path.join(workdir, FOLDER, str(step))
