"""Owns reading JSON that an editor may have saved."""

import json
import os
import pathlib
from typing import Any

from fpgan_jax.errors import UserError


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file, in UTF-8 or in the encoding of its byte-order mark.

    Raises:
      UserError: it is not JSON; the message has the line and the column of the mistake.
      OSError: it cannot be read.
    """
    data = pathlib.Path(path).read_bytes()
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"line {line}: not in {error.encoding.upper()}, in which JSON is written"
    except ValueError as error:  # a number of thousands of digits
        reason = str(error).partition(";")[0]
    except RecursionError:
        reason = "nested too deeply"
    raise UserError(f"{os.fspath(path)}: not JSON ({reason}); fix it there")
