"""Owns the meaning of the variable XLA_FLAGS."""

import os

from fpgan_jax.errors import UserError


def read_flags(text: str) -> str:
    """Return the flags in the text of XLA_FLAGS, which contains them or names a file of them.

    To add one, put it in front: XLA stops reading at the first word that is no flag, and a quote may be left open.

    Raises:
      UserError: it is neither flags nor a file.

    Source: XLA's parse_flags_from_env.cc.
    """
    if not text or text.lstrip(" \t\r\n").startswith("-"):
        return text
    try:
        with open(text, "rb") as file:
            return os.fsdecode(file.read())
    except OSError as error:
        raise UserError(
            f"XLA_FLAGS={text}: neither flags, which begin with --, nor a file of flags ({error.strerror})"
        ) from error
