"""Owns what a path given by a user means: `~` is the home folder, and what is no path on this machine is refused."""

import os
import re

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def expand_path(path: str) -> str:
    """Replace a `~` or `~USER` at the beginning by that home folder, which a shell does not do within `--flag=~/x`."""
    return os.path.expanduser(path)


def is_utf8(path: str) -> bool:
    """Return whether a path's bytes are UTF-8; Python has others as surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_path_fault(path: str) -> str | None:
    """Say why a path cannot be used on this machine, or None."""
    if url := _URL.match(path):
        return f"a path on this machine is needed, and {url[0]} names another place; mount that, or copy it"
    if expand_path(path).split(os.sep)[0] == "~":
        return "~ is not known here; set HOME, or write the path without ~"
    return None
