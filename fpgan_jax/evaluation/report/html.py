"""Owns the building of HTML: elements, tables that scroll in their own box, and the page around them.

Does not know what is reported. Text enters as text nodes and attributes of a tree, which is written at the end, so
that nothing in it can become markup.
"""

import html
import importlib.resources
import re
from collections.abc import Iterable, Iterator, Sequence
from xml.etree import ElementTree

Element = ElementTree.Element
Content = str | Element | None | Iterable["Content"]

_VOID = ("meta", "link", "img")
# What HTML forbids, half characters of file names that are no UTF-8, and what turns the direction of reading.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
# The page asks for nothing, even if it is served and even if something in it wanted to.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def create_element(tag: str, *content: Content, **attributes: str | None) -> Element:
    """Create an element.

    Args:
      tag: its name.
      content: text, elements, or nested sequences of them; None is left out.
      attributes: a trailing underscore is cut ("class_") and others are hyphens; None is left out.

    Returns:
      The element. What HTML cannot hold stands as U+FFFD.
    """
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    element = Element(
        tag, {name: make_printable(value) for name, value in names.items() if value is not None}
    )
    _append(element, content)
    return element


def _append(element: Element, content: Content) -> None:
    if content is None:
        return
    if isinstance(content, Element):
        element.append(content)
    elif isinstance(content, str):
        text = make_printable(content)
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text
    else:
        for part in content:
            _append(element, part)


def make_printable(text: str) -> str:
    """Replace what HTML forbids and what would reorder the text around it by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


def create_table(
    caption: str,
    header: Sequence[Content],
    rows: Sequence[Sequence[Content]],
    *,
    class_: str | None = None,
    is_caption_shown: bool = False,
) -> Element:
    """Create a table in a box of its own that scrolls sideways.

    Args:
      caption: what the table holds, also for readers who hear it.
      header: a cell a column.
      rows: a cell a column; the first cell is the row's header. A cell may be a "td" element already.
      class_: of the table.
      is_caption_shown: False leaves the caption to those who hear it.

    Returns:
      The box.
    """
    head = create_element("tr", [create_element("th", cell, scope="col") for cell in header])
    body = [
        create_element(
            "tr", create_element("th", row[0], scope="row"), [_create_cell(cell) for cell in row[1:]]
        )
        for row in rows
    ]
    table = create_element(
        "table",
        create_element("caption", caption, class_=None if is_caption_shown else "unseen"),
        create_element("thead", head),
        create_element("tbody", body),
        class_=class_,
    )
    return create_element("div", table, class_="scroll", role="region", tabindex="0", aria_label=caption)


def _create_cell(cell: Content) -> Element:
    return cell if isinstance(cell, Element) and cell.tag == "td" else create_element("td", cell)


def create_details(
    summary: Content, *content: Content, is_open: bool = False, class_: str | None = None
) -> Element:
    """Create a part that the reader opens and closes, without a script.

    Args:
      summary: what is always seen.
      content: the rest.
      is_open: whether the rest is seen at first.
      class_: of the element.

    Returns:
      A "details" element.
    """
    open_ = "" if is_open else None
    return create_element("details", create_element("summary", summary), *content, open=open_, class_=class_)


def format_page(title: str, body: Sequence[Content]) -> str:
    """Format the page: one file that loads nothing.

    Args:
      title: of the window.
      body: what stands in it.

    Returns:
      The HTML.
    """
    style = importlib.resources.files("fpgan_jax.evaluation.report").joinpath("report.css").read_text("utf-8")
    head = create_element(
        "head",
        create_element("meta", charset="utf-8"),
        create_element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        create_element("meta", name="color-scheme", content="light dark"),
        create_element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        create_element("link", rel="icon", href="data:,"),
        create_element("title", title),
    )
    # Of a style nothing is escaped, nor may it be: the text is the package's own file.
    head.append(create_element("style", style))
    page = create_element("html", head, create_element("body", body), lang="en")
    return "".join(["<!DOCTYPE html>\n", *_format_element(page), "\n"])


def _format_element(element: Element) -> Iterator[str]:
    # ElementTree's own form of HTML leaves "<" in attributes as it is: allowed, but a scare to whoever looks for it.
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in element.items())
    yield f"<{element.tag}{attributes}>"
    if element.tag not in _VOID:
        text = element.text or ""
        yield text if element.tag == "style" else html.escape(text, quote=False)
        for child in element:
            yield from _format_element(child)
        yield f"</{element.tag}>"
    yield html.escape(element.tail or "", quote=False)
