"""Owns reading the documents: their pages in order, their fenced blocks, and the commands in these.

Does not run anything; `test_following_documents.py` does.
"""

import dataclasses
import pathlib
import re
import shlex

import yaml

ROOT = pathlib.Path(__file__).parents[1]

_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_EXEMPTION = re.compile(r"^<!-- not run: (.*) -->$")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
      page: the document, from the top of the repository.
      line: of its fence, from 1.
      language: behind the fence, "" if none.
      text: between the fences.
      exemption: why it is not run, None if it is run: `<!-- not run: REASON -->` on the line before the fence.
    """

    page: str
    line: int
    language: str
    text: str
    exemption: str | None

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.page}:{self.line}"


def list_pages() -> list[str]:
    """List the README and the site's pages, in the order in which they are read."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    return ["README.md", *(f"docs/{name}" for name in _flatten(nav) if name.endswith(".md"))]


def _flatten(nav) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [name for part in (nav.values() if isinstance(nav, dict) else nav) for name in _flatten(part)]


def read_blocks(page: str) -> list[Block]:
    """Read the fenced blocks of a page."""
    return parse_blocks((ROOT / page).read_text(), page)


def parse_blocks(text: str, page: str) -> list[Block]:
    """Find the fenced blocks of a text.

    Args:
      text: Markdown.
      page: its name.

    Returns:
      Its blocks in order.
    """
    blocks, lines, start = [], text.splitlines(), None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if not fence:
            continue
        if start is None:
            start, language = number, fence[2]
            continue
        before = _EXEMPTION.match(lines[start - 1].strip()) if start else None
        body = "\n".join(lines[start + 1 : number])
        blocks.append(Block(page, start + 1, language, body, before and before[1]))
        start = None
    return blocks


def list_commands(text: str) -> list[list[str]]:
    """Divide a block of shell commands into their words, without comments.

    Args:
      text: a block's; a backslash continues a line.

    Returns:
      The words of each command.
    """
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
