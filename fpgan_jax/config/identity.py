"""Owns which configs are the same run: the hash, the differences, and the claim on a folder."""

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.fields import (
    FIELDS,
    FORMER_FIELDS,
    flatten_config,
    is_at_later_default,
    list_later_defaults,
)
from fpgan_jax.config.files import CONFIG_FILENAME, load_config
from fpgan_jax.errors import UserError
from fpgan_jax.host.user_paths import find_path_fault
from fpgan_jax.host.whole_file import write_whole

# Prefixes of the fields that the numbers of each training depend on.
GAN_FIELDS = tuple(
    name for name in FIELDS if not name.startswith(("classifier.", "synthesis.", "evaluation."))
)
CLASSIFIER_FIELDS = ("seed", "data.", "classifier.")

# Fields that everything except the averages of the scores depends on; others may change in a finished experiment.
EXPERIMENT_FIELDS = tuple(name for name in FIELDS if not name.startswith("evaluation."))

_FREE_FIELDS = frozenset(name for name, field in FIELDS.items() if field.is_free or field.is_path)

# Fields with which a run may be trained on in its workdir.
TRAIN_ON_FIELDS = frozenset(name for name, field in FIELDS.items() if field.may_train_on)


def hash_config(config: Mapping) -> str:
    """Compute a short name for everything in a config that changes a number.

    Returns:
      12 hexadecimal digits of a SHA-256, the same on every machine and for every folder. A field that came later counts
      only if it is not at its default, so that existing configs keep their names.
    """
    relevant = FORMER_FIELDS | {
        name: _canonical(name, value)
        for name, value in flatten_config(config).items()
        if name not in _FREE_FIELDS and not is_at_later_default(name, value)
    }
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:12]


def find_differences(
    old: Mapping, new: Mapping, prefixes: Iterable[str] = ("",), *, may_change: Collection[str] = ()
) -> list[str]:
    """List the changes that `find_changes` finds, except those of the fields in `may_change`, as `describe_changes`."""
    changes = find_changes(old, new, prefixes)
    return describe_changes({name: change for name, change in changes.items() if name not in may_change})


def describe_changes(changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Write each change that `find_changes` found as "config.lambda_l1 was 100.0, is 50.0"."""
    return [f"config.{name} was {was!r}, is {now!r}" for name, (was, now) in changes.items()]


def find_changes(old: Mapping, new: Mapping, prefixes: Iterable[str] = ("",)) -> dict[str, tuple[Any, Any]]:
    """Find the fields, whose dotted names start with one of `prefixes`, by which the numbers of two configs differ.

    Returns:
      Field -> (old value, new value), sorted by field; None if a config has no such field.
    """
    old, new = (list_later_defaults() | flatten_config(config) for config in (old, new))
    names = (
        name
        for name in sorted(old.keys() | new.keys())
        if name not in _FREE_FIELDS and name not in FORMER_FIELDS and name.startswith(tuple(prefixes))
    )
    return {
        name: (old.get(name), new.get(name))
        for name in names
        if _canonical(name, old.get(name)) != _canonical(name, new.get(name))
    }


def _canonical(name: str, value: Any) -> Any:
    # Persons are used in the order of their ids.
    if name == "data.persons" and value and FIELDS[name].find_fault(value) is None:
        return sorted(value)
    # An archive contains the prints of a folder. The hash of the data shows whether they are the same.
    return "socofing" if name == "data.source" and value == "npz" else value


def claim_workdir(
    workdir: str,
    config: ConfigDict,
    *,
    prefixes: Iterable[str] = ("",),
    may_change: Collection[str] = (),
    is_writer: bool = True,
) -> None:
    """Write the config into a run's folder, unless the folder has a run of another one.

    If it has the same run, fields that may differ get their new values.

    Args:
      prefixes: the fields that must agree, see `find_differences`.
      may_change: those of them that need not.
      is_writer: False only checks; for processes other than the main one.

    Raises:
      UserError: the folder has a run of another config, which is left untouched.
    """
    if fault := find_path_fault(workdir):
        raise UserError(f"--workdir={workdir}: {fault}")
    path = os.path.join(workdir, CONFIG_FILENAME)
    if os.path.exists(path):
        old = load_config(path)
        if differences := find_differences(old, config, prefixes, may_change=may_change):
            raise UserError(
                f"{path}: the run in this workdir has another config ({'; '.join(differences)}); "
                "use another --workdir, or the config it was started with"
            )
    if not is_writer:
        return
    try:
        os.makedirs(workdir, exist_ok=True)
        with write_whole(path) as file:
            json.dump(config.to_dict(), file, indent=2)
            file.write("\n")
    except OSError as error:
        raise UserError(f"--workdir={workdir}: cannot be written to ({error.strerror})") from error
