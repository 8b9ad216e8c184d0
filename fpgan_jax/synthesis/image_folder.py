"""A folder of images: what they were made with, so that no folder holds images of two kinds."""

import json
import os
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from fpgan_jax.config.fields import flatten_config, is_at_later_default
from fpgan_jax.errors import UserError
from fpgan_jax.host.file_managers import is_leftover
from fpgan_jax.host.folder_lock import LOCK_FILENAME
from fpgan_jax.host.json_file import read_json
from fpgan_jax.host.whole_file import TEMPORARY_ENDING, write_whole
from fpgan_jax.training.checkpoints.checksums import hash_variables

SETTINGS_FILENAME = "synthesis.json"
_WEIGHTS_HASH = "weights_hash"
# Differences that a message lists.
_NUM_NAMED = 5


def describe_settings(config: ConfigDict, metadata: Mapping, step: int, variables: Mapping) -> dict[str, Any]:
    """Describe, in what JSON can hold, everything that decides the pixels of a folder of images."""
    return {
        "checkpoint_step": step,
        _WEIGHTS_HASH: hash_variables(variables),
        "config_hash": metadata["config_hash"],
        "data_hash": metadata["data_hash"],
        "synthesis": {
            name: value
            for name, value in config.synthesis.items()
            # A folder that is older than a field has images of its default.
            if name != "batch_size" and not is_at_later_default(f"synthesis.{name}", value)
        },
    }


def claim_folder(out_dir: str, settings: dict[str, Any]) -> None:
    """Write what a folder's images are made with, if it is empty or made with the same.

    Raises:
      UserError: it holds something else.
    """
    path = os.path.join(out_dir, SETTINGS_FILENAME)
    if os.path.exists(path):
        if differences := find_differences(read_settings(out_dir), settings):
            raise UserError(
                f"{path}: this folder holds images made otherwise ({'; '.join(differences[:_NUM_NAMED])}"
                f"{'; ...' * (len(differences) > _NUM_NAMED)}); move it away or use another --out_dir"
            )
        return
    others = set(os.listdir(out_dir)) - {LOCK_FILENAME}
    if not all(name.endswith(TEMPORARY_ENDING) or is_leftover(name) for name in others):
        raise UserError(f"--out_dir={out_dir}: holds other files; use an empty or a new folder")
    write_settings(out_dir, settings)


def find_differences(old: dict, new: dict) -> list[str]:
    """List how a folder's settings differ from new ones, as "synthesis.seed was 0, is 1".

    Settings from before weights were hashed may lack that hash.
    """
    old, new = (flatten_config(settings) for settings in (old, new))
    return [
        f"{name} was {old.get(name, 'not set')}, is {new.get(name, 'not set')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and (name != _WEIGHTS_HASH or name in old)
    ]


def write_settings(out_dir: str, settings: dict[str, Any]) -> None:
    """Write what a folder's images are made with."""
    with write_whole(os.path.join(out_dir, SETTINGS_FILENAME)) as file:
        json.dump(settings, file, indent=2)


def read_settings(out_dir: str) -> dict[str, Any]:
    """Read what a claimed folder's images are made with.

    Raises:
      UserError: the file is damaged.
    """
    try:
        return read_json(os.path.join(out_dir, SETTINGS_FILENAME))
    except UserError as error:
        raise UserError(f"{error}, or use another --out_dir") from error
