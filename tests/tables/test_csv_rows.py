"""CSV files of dataclasses."""

import dataclasses

import pytest

from fpgan_jax.errors import UserError
from fpgan_jax.tables.csv_rows import read_rows, write_rows


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    count: int
    share: float


def test_rows_come_back_exactly(tmp_path):
    rows = [Row('a "quoted", b', 3, 1 / 3), Row("", -1, 5e-324)]
    write_rows(str(tmp_path / "new" / "rows.csv"), rows)
    assert read_rows(str(tmp_path / "new" / "rows.csv"), Row, "x") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,count\na,1\n", r"not a file of launch\.x"),
        ("name,count,share\na,1,2\nb,one,2\n", r"not a file of launch\.x \(line 3, column count: .*'one'"),
        ("name,count,share\n", r"holds no rows; run python -m launch\.x again"),
        ("name,count,share\na,1\n", r"not a file of launch\.x"),
        ("\0", r"not a file of launch\.x|holds no rows"),
    ],
    ids=["column", "type", "empty", "short", "binary"],
)
def test_a_foreign_file_is_named(tmp_path, text, message):
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(UserError, match=rf"rows\.csv: ({message})"):
        read_rows(str(tmp_path / "rows.csv"), Row, "x")


def test_what_a_spreadsheet_saved_is_read(tmp_path):
    (tmp_path / "rows.csv").write_text("name,count,share\r\nä,1,2.5\r\n", encoding="utf-8-sig", newline="")
    assert read_rows(str(tmp_path / "rows.csv"), Row, "x") == [Row("ä", 1, 2.5)]


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"rows\.csv: cannot be read; run python -m launch\.x first"):
        read_rows(str(tmp_path / "rows.csv"), Row, "x")
