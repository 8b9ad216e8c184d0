"""Owns a table with its title and how to read it, as whoever measures gives it to a report.

Does not lay it out (`evaluation/report/`) or write it (`formats.py`).
"""

from collections.abc import Sequence
from typing import NamedTuple


class ReportTable(NamedTuple):
    """A table of strings that the report shows as it is.

    Attributes:
      name: of its files, such as "seeds".
      title: for people.
      explanation: how to read it.
      header: names of the columns.
      cells: rows of as many strings.
    """

    name: str
    title: str
    explanation: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
