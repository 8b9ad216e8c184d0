"""Tables of strings as text, Markdown, CSV and LaTeX."""

import csv
import io

import pytest

from fpgan_jax.tables import formats


def test_text_is_aligned():
    assert formats.format_text(("a", "bb"), [("ccc", "d")]) == "a    bb\n---  --\nccc  d\n"


def test_markdown_escapes_what_would_be_markup():
    text = formats.format_markdown(("set",), [("<b>|x",)])
    assert text == "| set |\n| --- |\n| &lt;b&gt;\\|x |\n"


def test_csv_comes_back():
    cells = [("P50", 'with "quotes", commas')]
    text = formats.format_csv(("set", "note"), cells)
    assert list(csv.reader(io.StringIO(text)))[1:] == [list(cells[0])]


def test_latex_escapes_its_own_characters():
    text = formats.format_latex(("set",), [("a_b & 5%",)])
    assert r"a\_b \& 5\% \\" in text
    assert text.count("\n") == 7


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("new_noise_1.png", "new_noise_1.png"),
        ("_a_ *b*", r"\_a\_ \*b\*"),
        ("![x](https://example.org/a.png)", r"!\[x\](https://example.org/a.png)"),
        ("`code`", r"\`code\`"),
        ("a\\|b", r"a\\\|b"),
        ("two\nlines", "two lines"),
    ],
)
def test_markdown_keeps_names_and_escapes_markup(cell, expected):
    assert formats.format_markdown(("x",), [(cell,)]).splitlines()[2] == f"| {expected} |"


def test_a_bracket_that_starts_a_row_is_no_argument_of_the_line_before():
    text = formats.format_latex(("set",), [("a",), ("[1].png",)])
    assert r"{[}1].png \\" in text


@pytest.mark.parametrize("ending", ["txt", "md", "tex"])
def test_a_line_break_in_a_cell_does_not_end_the_row(ending):
    plain = formats.FORMATS[ending](("x",), [("a b",)])
    assert formats.FORMATS[ending](("x",), [("a\n\u2028b",)]) == plain


def test_text_has_no_escape_sequences_for_the_terminal():
    assert "\x1b" not in formats.format_text(("x",), [("\x1b[2J",)])


def test_a_table_is_written_in_every_form(tmp_path):
    formats.write_table(str(tmp_path / "out"), "measures", ("a",), [("1",)])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["measures.csv", "measures.md", "measures.tex", "measures.txt"]
    assert (tmp_path / "out" / "measures.csv").read_text() == "a\n1\n"


def test_a_name_that_is_no_utf8_is_written(tmp_path):
    formats.write_table(str(tmp_path), "x", ("file",), [(b"\xff.png".decode("utf-8", "surrogateescape"),)])
    assert "udcff.png" in (tmp_path / "x.csv").read_text()
