"""Owns how a file appears: whole, or not at all."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

# Ending of a file until it is whole; a killed process may leave one.
TEMPORARY_ENDING = ".tmp"


@contextlib.contextmanager
def write_whole(path: str | os.PathLike, mode: str = "w", **options) -> Iterator[IO]:
    """Open a file that takes its name only once everything is written.

    Args:
      path: the file; an existing one is replaced at the end, and kept if the writing fails.
      mode: "w" (UTF-8, line ends as they are written) or "wb".

    Yields:
      The open file; its `name` is the temporary one.
    """
    if "b" not in mode:
        options = {"encoding": "utf-8", "newline": ""} | options
    temporary = f"{os.fspath(path)}{TEMPORARY_ENDING}"
    # In a folder of somebody else, the file of a killed process may be a link to elsewhere.
    with contextlib.suppress(FileNotFoundError):
        os.remove(temporary)
    try:
        with open(temporary, mode.replace("w", "x"), **options) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        # On a full disk half a file would take the rest of the space.
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
