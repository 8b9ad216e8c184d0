"""Owns checksums: of files and weights, and the file in a checkpoint's folder by which damage is found."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from flax.traverse_util import flatten_dict

from fpgan_jax.host.whole_file import write_whole

CHECKSUMS_FILENAME = "checksums.json"

# Files up to this size are read even by a quick check.
_SMALL_BYTES = 2**16


def write_checksums(folder: str) -> None:
    """Write the sizes and SHA-256 sums of all files in a checkpoint's parts, which are its folders.

    Files beside these folders are left out: Orbax writes them last, and needs none of them to restore.
    """
    sums = {}
    for name in _list_files(folder):
        path = os.path.join(folder, name)
        sums[name] = {"size": os.path.getsize(path), "sha256": hash_file(path)}
    path = os.path.join(folder, CHECKSUMS_FILENAME)
    with write_whole(path) as file:
        json.dump(sums, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def has_checksums(folder: str) -> bool:
    """Return whether a checkpoint has a file of checksums; it has none if the disk was full."""
    return os.path.exists(os.path.join(folder, CHECKSUMS_FILENAME))


def find_fault(folder: str, parts: Iterable[str] | None = None, *, is_quick: bool = False) -> str | None:
    """Compare a checkpoint's files with their checksums.

    Args:
      parts: the parts to check; None is all of them.
      is_quick: of large files, check the size only.

    Returns:
      None, or the fault, beginning with the file's name.
    """
    try:
        with open(os.path.join(folder, CHECKSUMS_FILENAME), encoding="utf-8") as file:
            sums = {name: (entry["size"], entry["sha256"]) for name, entry in json.load(file).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{CHECKSUMS_FILENAME}: cannot be read"
    wanted = None if parts is None else set(parts)
    for name in sorted(sums):
        if wanted is None or name.split("/")[0] in wanted:
            fault = _find_file_fault(os.path.join(folder, name), *sums[name], is_quick=is_quick)
            if fault:
                return f"{name}: {fault}"
    return None


def hash_variables(variables: Mapping) -> str:
    """Compute a short name for a network's weights, nested dicts, wherever and by whatever run they were saved.

    Returns:
      12 hexadecimal digits of a SHA-256 of the arrays' names, types, shapes and values.
    """
    digest = hashlib.sha256()
    for name, leaf in sorted(flatten_dict(variables, sep="/").items()):
        array = np.ascontiguousarray(leaf)
        digest.update(repr((name, array.dtype.name, np.shape(leaf))).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]


def hash_file(path: str) -> str:
    """Return the SHA-256 of a file's contents, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_file_fault(path: str, size: int, sha256: str, *, is_quick: bool) -> str | None:
    try:
        found = os.path.getsize(path)
        if found != size:
            return f"has {found} bytes instead of {size}"
        if not (is_quick and size > _SMALL_BYTES) and hash_file(path) != sha256:
            return "its checksum is another"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def _list_files(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        if parent != folder:
            for name in names:
                yield os.path.relpath(os.path.join(parent, name), folder).replace(os.sep, "/")
