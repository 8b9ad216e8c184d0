"""Owns the check of a saved tree on disk: whether it has every array that a restore needs.

Knows Orbax's layout (`_METADATA`, zarr arrays in an OCDBT store). Reads one array after the other, without an event
loop: Orbax reads many at once, and closes its loop at the first error while TensorStore still reports the others to it,
each with a traceback that nobody can catch.
"""

import json
import os

import tensorstore

TREE_METADATA = "_METADATA"


def find_fault(folder: str, *, is_quick: bool) -> str | None:
    """Look for an array that a saved tree lists but does not contain.

    Args:
      folder: the tree's, by a path without a backslash, which TensorStore takes for a slash.
      is_quick: check the list of stored arrays only; otherwise read every value.

    Returns:
      None, or the fault, in one line.
    """
    try:
        with open(os.path.join(folder, TREE_METADATA), encoding="utf-8") as file:
            metadata = json.load(file)
        driver, descriptor = ("zarr3", "zarr.json") if metadata.get("use_zarr3") else ("zarr", ".zarray")
        names = [
            ".".join(part["key"] for part in leaf["key_metadata"])
            for leaf in metadata["tree_metadata"].values()
            # Of a node without arrays.
            if not leaf["value_metadata"].get("skip_deserialize")
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{TREE_METADATA}: cannot be read"
    store = {"driver": "ocdbt", "base": {"driver": "file", "path": os.path.join(folder, "")}}
    try:
        stored = set(tensorstore.KvStore.open(store).result().list().result())
        for name in names:
            if f"{name}/{descriptor}".encode() not in stored:
                return f"{name}: missing"
            if not is_quick:
                spec = {
                    "driver": driver,
                    "kvstore": store | {"path": f"{name}/"},
                    "fill_missing_data_reads": False,
                }
                tensorstore.open(spec, open=True, read=True).result().read().result()
    except ValueError as error:
        return describe_error(error)
    return None


def describe_error(error: BaseException) -> str:
    """Shorten an error of Orbax or TensorStore to one line, without the kilobytes of a store's specification."""
    line = (str(error).splitlines() or [type(error).__name__])[0].partition(" [tensorstore_spec=")[0]
    return line if len(line) <= 300 else f"{line[:297]}..."
