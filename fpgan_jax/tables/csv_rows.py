"""CSV files whose rows are dataclasses, such as manifests and scores."""

import csv
import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fpgan_jax.errors import UserError
from fpgan_jax.host.whole_file import write_whole

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def read_rows(path: str, row_type: type[Row], script: str) -> list[Row]:
    """Read a CSV that `write_rows` wrote.

    Args:
      path: the CSV.
      row_type: a dataclass of str, int and float fields.
      script: the launch script that writes the file, for messages.

    Raises:
      UserError: the file is missing, has no rows, or is another kind of file.
    """
    fields: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(row_type)}
    place = ""
    try:
        # Files saved by a spreadsheet begin with a byte-order mark.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = []
            for row in reader:
                values = {}
                for name, convert in fields.items():
                    place = f"line {reader.line_num}, column {name}: "
                    values[name] = convert(row[name])
                rows.append(row_type(**values))
    except OSError as error:
        raise UserError(f"{path}: cannot be read; run python -m launch.{script} first") from error
    except KeyError as error:
        raise UserError(f"{path}: not a file of launch.{script} (it has no column {error})") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not a file of launch.{script} ({place}{error})") from error
    if not rows:
        raise UserError(f"{path}: holds no rows; run python -m launch.{script} again")
    return rows


def write_rows(path: str, rows: Sequence) -> None:
    """Write dataclasses as a CSV, which appears whole or not at all, and from which floats come back exactly.

    Args:
      path: the CSV; its folder is made if missing.
      rows: at least one, all of one dataclass.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    names = [field.name for field in dataclasses.fields(rows[0])]
    values = [[getattr(row, name) for name in names] for row in rows]
    # Python's writer leaves a carriage return unquoted, and its reader ends the row there.
    has_return = any("\r" in str(value) for row in values for value in row)
    with write_whole(path) as file:
        writer = csv.writer(
            file, lineterminator="\n", quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL
        )
        writer.writerows([names, *values])
