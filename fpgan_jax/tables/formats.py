"""Tables of strings as aligned text, Markdown, CSV and LaTeX, and their files."""

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence

from fpgan_jax.host.whole_file import write_whole

# Line breaks would end a row, and a terminal would obey other control characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MARKDOWN_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# An underscore within a word is not markup, and names are full of them.
_MARKDOWN_MARKUP = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
_LATEX_MARKUP = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "[": "{[}",  # at the start of a row it would be an argument of the \\ before
    }
)


def format_text(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Format cells for a terminal, in aligned columns."""
    rows = [[_CONTROL.sub(" ", cell) for cell in row] for row in (header, *cells)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (rows[0], ["-" * width for width in widths], *rows[1:])
    ]
    return "\n".join(lines) + "\n"


def format_markdown(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Format cells as a Markdown table, with Markdown and HTML escaped."""

    def escape(cell: str) -> str:
        cell = _CONTROL.sub(" ", cell).translate(_MARKDOWN_HTML)
        return _MARKDOWN_MARKUP.sub(r"\\\g<0>", cell)

    rows = [list(map(escape, row)) for row in (header, *cells)]
    rows.insert(1, ["---"] * len(header))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def format_csv(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Format cells as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *cells])
    return buffer.getvalue()


def format_latex(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Format cells as a LaTeX tabular with booktabs' rules, with special characters escaped."""

    def write_row(row: Sequence[str]) -> str:
        return " & ".join(_CONTROL.sub(" ", cell).translate(_LATEX_MARKUP) for cell in row) + r" \\"

    lines = [r"\toprule", write_row(header), r"\midrule", *map(write_row, cells), r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{{'l' * len(header)}}}", *lines, r"\end{tabular}", ""])


FORMATS = {"txt": format_text, "md": format_markdown, "csv": format_csv, "tex": format_latex}


def write_table(out_dir: str, name: str, header: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Write a table as NAME.{txt,md,csv,tex}; out_dir is made if missing."""
    os.makedirs(out_dir, exist_ok=True)
    for ending, format_cells in FORMATS.items():
        # A cell may be a file name that is not UTF-8, and so have lone surrogates.
        with write_whole(os.path.join(out_dir, f"{name}.{ending}"), errors="backslashreplace") as file:
            file.write(format_cells(header, cells))


def write_tables(
    out_dir: str, tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]]
) -> list[str]:
    """Write several tables, name -> (header, cells), in every format, and return each as text."""
    for name, (header, cells) in tables.items():
        write_table(out_dir, name, header, cells)
    return [format_text(*parts) for parts in tables.values()]
