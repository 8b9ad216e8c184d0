"""Owns `config_history.json`: changes of the config when a run was trained on, and whose weights it started from."""

import json
import os
from collections.abc import Mapping
from typing import Any

from fpgan_jax.errors import UserError
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import write_whole

HISTORY_FILENAME = "config_history.json"


def update_history(
    workdir: str, step: int, changes: Mapping[str, tuple[Any, Any]], origin: Mapping[str, Any] | None
) -> None:
    """Write what a run is from `step` on; there is no such file for a run without changes and origin.

    Entries of later steps are dropped, since their checkpoints are gone. One of the same step is replaced: `changes`,
    field -> (value before, value now), are relative to the config in that step's checkpoint.

    Raises:
      UserError: see `read_history`.
      OSError: it cannot be written.
    """
    path = os.path.join(workdir, HISTORY_FILENAME)
    old = read_history(workdir)
    entries = [{"step": 0, "init_from": dict(origin)}] if origin else []
    entries += [entry for entry in old if "changes" in entry and entry["step"] < step]
    if changes:
        values = {f"config.{name}": {"was": was, "is": now} for name, (was, now) in changes.items()}
        entries.append({"step": step, "changes": values})
    if entries or old:
        with write_whole(path) as file:
            json.dump(entries, file, indent=2)
            file.write("\n")


def read_history(workdir: str) -> list[dict[str, Any]]:
    """Read a run's history.

    Returns:
      Entries in the order of their steps: {"step": int, "changes": field -> {"was": value, "is": value}}, and before
      them {"step": 0, "init_from": origin} if there is one. Empty if there is no file.

    Raises:
      UserError: the file is not JSON, or not a history.
    """
    path = os.path.join(workdir, HISTORY_FILENAME)
    try:
        entries = read_json(path)
    except FileNotFoundError:
        return []
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise UserError(f"{path}: not the history of a run; fix it, or move it away")
    return entries


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("step"), int)
        and isinstance(entry.get("changes", {}), dict)
        and isinstance(entry.get("init_from", {}), dict)
    )


def find_origin(workdir: str) -> str | None:
    """Return the workdir of the run whose weights a run started from, or was about to, or None; see `read_history`."""
    origins = (entry["init_from"].get("workdir") for entry in read_history(workdir) if "init_from" in entry)
    return next(origins, None)
