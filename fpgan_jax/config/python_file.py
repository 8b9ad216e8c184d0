"""Owns running the Python files that users write: configs and sweeps."""

import os
import runpy
from typing import Any

from fpgan_jax.errors import UserError


def call_function(name: str, path: str, flag: str) -> Any:
    """Run a Python file and return what its function `name` returns; messages begin with the flag that names the file.

    Raises:
      UserError: the file does not exist, is not a .py file or cannot be run, or the function is missing.
    """
    if not os.path.isfile(path):
        raise UserError(f"{flag}: {path}: no such file")
    if not path.endswith(".py"):  # runpy would execute any text
        raise UserError(f"{flag}: {path} is not a Python file (.py)")
    try:
        namespace = runpy.run_path(path)
        if name in namespace:
            return namespace[name]()
    except Exception as error:
        # The file is a program and can raise anything.
        raise UserError(f"{flag}: {path} cannot be loaded: {type(error).__name__}: {error}") from error
    raise UserError(f"{flag}: {path} defines no {name}()")
