"""How a JSON text is laid out, so that what is put in looks like the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.adapters.config.jsonc import Document, Tree

BOM = b"\xef\xbb\xbf"


def line_end(document: Document) -> bytes:
    """The line ends of a text."""
    return b"\r\n" if b"\r\n" in document.text else b"\n"


def indent_at(document: Document, place: int) -> bytes:
    """The blanks in front of the line that `place` is on."""
    line = document.text[document.text.rfind(b"\n", 0, place) + 1 : place]
    return line[: len(line) - len(line.lstrip(b" \t"))].removeprefix(BOM)


def unit(document: Document) -> bytes:
    if document.root.items:
        found = indent_at(document, document.root.items[0].start)
        if found and b"\n" in document.text[: document.root.items[0].start]:
            return found
    return b"  "


def inner_indent(document: Document, tree: Tree) -> bytes:
    if tree.items and b"\n" in document.text[tree.start : tree.items[0].start]:
        return indent_at(document, tree.items[0].start)
    return indent_at(document, tree.start) + unit(document)
