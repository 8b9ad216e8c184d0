"""Owns how a file appears: whole, or not at all."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

# What a file is called until it is whole; a process that is killed may leave one.
TEMPORARY_ENDING = ".tmp"


@contextlib.contextmanager
def write_whole(path: str | os.PathLike, mode: str = "w", **options) -> Iterator[IO]:
    """Open a file that takes its name only once everything is written.

    Args:
      path: the file; an existing one is replaced at the end, and kept if the writing fails.
      mode: "w" (UTF-8, line ends as they are written) or "wb".
      options: further arguments of `open`.

    Yields:
      The open file; its `name` is the temporary one.
    """
    if "b" not in mode:
        options = {"encoding": "utf-8", "newline": ""} | options
    temporary = f"{os.fspath(path)}{TEMPORARY_ENDING}"
    # What a killed process left may be a link to elsewhere, if somebody else made the folder.
    with contextlib.suppress(FileNotFoundError):
        os.remove(temporary)
    try:
        with open(temporary, mode.replace("w", "x"), **options) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        # On a full disk half a file would take up what is left of it.
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
