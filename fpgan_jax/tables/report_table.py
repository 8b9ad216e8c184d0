"""A table of strings with its title and an explanation, as the report shows it."""

from collections.abc import Sequence
from typing import NamedTuple


class ReportTable(NamedTuple):
    """A table; `name` is that of its files, `explanation` says how to read it."""

    name: str
    title: str
    explanation: str
    header: Sequence[str]
    cells: Sequence[Sequence[str]]
