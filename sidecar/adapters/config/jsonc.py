"""JSON with comments, edited in place: what an edit does not concern keeps its bytes, comments and order.

tree-sitter gives the place of every member; the standard library's parser decides what is valid and what a value is. Comments and
trailing commas, which opencode allows, are blanked out for both, so that all places stay the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sidecar.adapters.config.style import BOM, indent_at, inner_indent, line_end, unit

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Path = tuple[str, ...]
MAX_BYTES = 2 << 20
MAX_WORK = 32 << 20
"""Differences times size, beyond which a file is not merged: somebody made it to keep us busy."""
MAX_DEPTH = 100
_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*+"|//[^\n]*|/\*.*?\*/|[,{}\[\]]|[^\s"/,{}\[\]]++|["/]', re.DOTALL)
_EXPONENT = re.compile(rb'"(?:[^"\\]|\\.)*+"|[0-9][eE]\+')
"""tree-sitter's grammar lacks the plus sign of an exponent."""


class SyntaxProblem(ValueError):
    """Not JSON with comments; says where."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line, self.column = line, column


@dataclass(slots=True)
class Item:
    """A member or element: its own range, the range of its value, and what is inside that."""

    start: int
    end: int
    key: str | None
    value: Tree


@dataclass(slots=True)
class Tree:
    """A value's range; `items` of an object or array."""

    start: int
    end: int
    kind: str
    items: list[Item] = field(default_factory=list)

    def member(self, key: str) -> Item | None:
        """The last one of that name, which is the one that counts."""
        return next((item for item in reversed(self.items) if item.key == key), None)


@dataclass(slots=True)
class Document:
    """A parsed text. `comments`: their ranges in order."""

    text: bytes
    value: Any
    root: Tree
    comments: list[tuple[int, int]]
    commas: list[int]
    """Places of trailing commas."""

    def find(self, path: Sequence[str]) -> Item | None:
        tree, item = self.root, None
        for key in path:
            item = tree.member(key) if tree.kind == "object" else None
            if item is None:
                return None
            tree = item.value
        return item


def parse(text: bytes) -> Document:
    """Raises SyntaxProblem."""
    if len(text) > MAX_BYTES:
        raise SyntaxProblem(f"the file is larger than {MAX_BYTES >> 20} MB", 1, 1)
    plain, comments, commas = _blanked(text)
    try:
        decoded = plain.decode()
    except UnicodeDecodeError as error:
        raise _at(text, error.start, "not UTF-8") from None
    if not decoded.strip(" \t\r\n"):
        return Document(text, {}, Tree(len(text), len(text), "nothing"), comments, commas)
    try:
        value = json.loads(decoded, parse_constant=_refuse)
        _check_depth(value)
    except json.JSONDecodeError as error:
        raise SyntaxProblem(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise SyntaxProblem("nested too deeply", 1, 1) from None
    except ValueError as error:
        raise SyntaxProblem(str(error), 1, 1) from None
    parsed = _parser().parse(_EXPONENT.sub(lambda found: found[0] if found[0][:1] == b'"' else found[0][:2] + b"0", plain)).root_node
    if parsed.has_error or parsed.named_child_count != 1:
        raise SyntaxProblem("this spelling is not understood", 1, 1)
    return Document(text, value, _tree(parsed.named_children[0]), comments, commas)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise RecursionError
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, depth + 1)


@cache
def _parser() -> Parser:
    import tree_sitter_json
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_json.language()))


def _blanked(text: bytes) -> tuple[bytes, list[tuple[int, int]], list[int]]:
    """The text with comments, trailing commas and a byte order mark replaced by spaces."""
    plain, comments, commas = bytearray(text), [], []
    comma: int | None = None
    for found in _TOKEN.finditer(text, len(BOM) if text.startswith(BOM) else 0):
        token = found[0]
        if token.startswith((b"//", b"/*")) and len(token) > 1:
            comments.append(found.span())
        elif token == b",":
            comma = found.start()
        else:
            if token in (b"}", b"]") and comma is not None:
                commas.append(comma)
            comma = None
    if text.startswith(BOM):
        plain[:3] = b"   "
    for start, end in comments:
        plain[start:end] = bytes(byte if byte in b"\r\n" else 32 for byte in text[start:end])
    for place in commas:
        plain[place] = 32
    return bytes(plain), comments, commas


def _tree(node: Node) -> Tree:
    tree = Tree(node.start_byte, node.end_byte, node.type)
    for child in node.named_children:
        if child.type == "pair":
            key, value = child.child_by_field_name("key"), child.child_by_field_name("value")
            if key is not None and value is not None and key.text is not None:
                tree.items.append(Item(child.start_byte, child.end_byte, json.loads(key.text), _tree(value)))
        elif node.type == "array":
            tree.items.append(Item(child.start_byte, child.end_byte, None, _tree(child)))
    return tree


def _at(text: bytes, place: int, message: str) -> SyntaxProblem:
    return SyntaxProblem(message, text.count(b"\n", 0, place) + 1, place - (text.rfind(b"\n", 0, place) + 1) + 1)


# --- editing ----------------------------------------------------------------------------------------------------------
MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()


def edit(text: bytes, wanted: Any, source: bytes | None = None) -> bytes:
    """The text changed as little as possible so that its value is `wanted`. Values are copied as `source` writes them, where it has them."""
    document = parse(text)
    other = _parse_or_none(source)
    if document.root.kind != "object" or not isinstance(wanted, dict):
        if _same(document.value, wanted) and document.root.kind != "nothing":
            return text
        return _replaced(document, wanted)
    needed = list(changes(document.value, wanted))
    if len(needed) * len(text) > MAX_WORK:
        raise SyntaxProblem(f"{len(needed)} differences are too many to put in one by one", 1, 1)
    for path, value in needed:
        document = parse(text)
        text = _set(document, path, value, other) if value is not MISSING else _without(document, document.find(path), path)
    return text


def _replaced(document: Document, wanted: Any) -> bytes:
    before, after = document.text[: document.root.start], document.text[document.root.end :]
    return (before.rstrip() + b"\n" if before.strip() else b"") + _written(wanted, b"", b"  ", b"\n") + (after or b"\n")


def _parse_or_none(text: bytes | None) -> Document | None:
    try:
        return parse(text) if text is not None else None
    except SyntaxProblem:
        return None


def changes(before: Any, after: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Members to set or (MISSING) to remove, so that `before` becomes `after`."""
    for key in before:
        if key not in after:
            yield (*path, key), MISSING
    for key, value in after.items():
        known = before.get(key, MISSING)
        if isinstance(known, dict) and isinstance(value, dict):
            yield from changes(known, value, (*path, key))
        elif not _same(known, value):
            yield (*path, key), value


def _same(one: Any, other: Any) -> bool:
    return one is other or (one is not MISSING and other is not MISSING and canonical(one) == canonical(other))


def canonical(value: Any) -> str:
    """Equal for equal JSON values only: 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _set(document: Document, path: Path, value: Any, source: Document | None) -> bytes:
    item = document.find(path)
    if item is not None:
        if item.value.kind == "array" and isinstance(value, list):
            return _array(document, path, item.value, value)
        start, end = item.value.start, item.value.end
        return document.text[:start] + _value(document, path, value, source, indent_at(document, item.start)) + document.text[end:]
    parent = document.find(path[:-1])
    tree = parent.value if parent is not None else document.root
    indent, newline = inner_indent(document, tree), line_end(document)
    body = _written(path[-1], b"", b"", newline) + b": " + _value(document, path, value, source, indent)
    return _appended(document, tree, _leading_comments(source, path, indent, newline) + body, indent)


def _array(document: Document, path: Path, tree: Tree, wanted: list[Any]) -> bytes:
    """Elements that stay keep their place and comments, when the new list has others in the place of some, or leaves some out and adds others at the end."""
    in_place = _in_place(document, tree, wanted)
    if in_place is not None:
        return in_place
    old, new = _elements(document, tree), [canonical(value) for value in wanted]
    kept = [index for index, text in enumerate(old) if text in new]
    if [old[index] for index in kept] != new[: len(kept)] or not kept:
        indent = indent_at(document, tree.start)
        return document.text[: tree.start] + _written(wanted, indent, unit(document), line_end(document)) + document.text[tree.end :]
    for index in reversed(range(len(old))):
        if index not in kept:
            found = document.find(path)
            assert found is not None
            document = parse(_without(document, found.value.items[index], path, found.value))
    for value in wanted[len(kept) :]:
        found = document.find(path)
        assert found is not None
        indent = inner_indent(document, found.value)
        document = parse(_appended(document, found.value, _written(value, indent, unit(document), line_end(document)), indent))
    return document.text


def _elements(document: Document, tree: Tree) -> list[str]:
    return [canonical(json.loads(_blanked(document.text[item.start : item.end])[0])) for item in tree.items]


def _in_place(document: Document, tree: Tree, wanted: list[Any]) -> bytes | None:
    """A list of which some elements are others now, and nothing moved."""
    old, new = _elements(document, tree), [canonical(value) for value in wanted]
    replaced = [index for index in range(len(old)) if len(old) == len(new) and old[index] != new[index]]
    if not replaced or {old[index] for index in replaced} & set(new) or {new[index] for index in replaced} & set(old):
        return None
    text, indent = document.text, inner_indent(document, tree)
    for index in reversed(replaced):
        place, value, part = tree.items[index].value, wanted[index], b""
        if place.kind == "object" and isinstance(value, dict):
            part = edit(text[place.start : place.end], value)
        elif place.kind == "array" and isinstance(value, list):
            inner = parse(text[place.start : place.end])
            part = _in_place(inner, inner.root, value) or b""
        text = text[: place.start] + (part or _written(value, indent, unit(document), line_end(document))) + text[place.end :]
    return text


def _value(document: Document, path: Path, value: Any, source: Document | None, indent: bytes) -> bytes:
    item = source.find(path) if source is not None else None
    if source is not None and item is not None:
        text = source.text[item.value.start : item.value.end]
        if _same(json.loads(_blanked(text)[0]), value):
            old = indent_at(source, item.start)
            lines = text.replace(b"\r\n", b"\n").split(b"\n")
            return line_end(document).join([lines[0], *(indent + line.removeprefix(old) if line.strip() else line for line in lines[1:])])
    return _written(value, indent, unit(document), line_end(document))


def _written(value: Any, indent: bytes, unit: bytes, newline: bytes) -> bytes:
    step = unit.decode() if value and isinstance(value, (dict, list)) else None
    text = json.dumps(value, ensure_ascii=False, indent=step)
    if any("\ud800" <= character <= "\udfff" for character in text):  # half of a pair, which UTF-8 cannot write
        text = json.dumps(value, indent=step)
    return (newline + indent).join(line.encode() for line in text.split("\n"))


def _leading_comments(source: Document | None, path: Path, indent: bytes, newline: bytes) -> bytes:
    """Comments on lines of their own right above the member where it comes from."""
    item = source.find(path) if source is not None else None
    if source is None or item is None:
        return b""
    taken: list[bytes] = []
    place = item.start
    for start, end in reversed(source.comments):
        if end <= place and not source.text[end:place].strip() and source.text[end:place].count(b"\n") == 1:
            line = source.text.rfind(b"\n", 0, start) + 1
            if source.text[line:start].strip():
                break
            taken.insert(0, source.text[start:end].rstrip(b"\r") + newline + indent)
            place = start
    return b"".join(taken)


def _appended(document: Document, tree: Tree, body: bytes, indent: bytes) -> bytes:
    """A new member or element after the last one."""
    text, newline = document.text, line_end(document)
    if not tree.items:
        inside = text[tree.start + 1 : tree.end - 1]
        closing = newline + indent_at(document, tree.start)
        return text[: tree.start + 1] + inside.rstrip() + newline + indent + body + closing + text[tree.end - 1 :]
    last = tree.items[-1].end
    trailing = next((place for place in document.commas if last <= place < tree.end), None)
    place = last if trailing is None else trailing + 1
    for start, end in document.comments:
        if place <= start < tree.end and b"\n" not in text[place:start]:
            place = end
    if trailing is None:
        text, place = text[:last] + b"," + text[last:], place + 1
    multiline = b"\n" in text[place : tree.end + 1] or b"\n" in text[tree.start : tree.items[0].start]
    return text[:place] + (newline + indent if multiline else b" ") + body + text[place:]


def _without(document: Document, item: Item | None, path: Path, tree: Tree | None = None) -> bytes:
    """The text without a member or element, its comma, and its line when nothing else is on it. All of one name go."""
    if item is None:
        return document.text
    if tree is None:
        parent = document.find(path[:-1])
        tree = parent.value if parent is not None else document.root
        again = [other for other in tree.items if other.key == item.key]
        if len(again) > 1:
            rest = parse(_without(document, item, path, tree))
            return _without(rest, rest.find(path), path)
    text, index = document.text, next(number for number, other in enumerate(tree.items) if other is item)
    following = tree.items[index + 1].start if index + 1 < len(tree.items) else tree.end - 1
    comma = _comma(document, item.end, following)
    before = _comma(document, tree.items[index - 1].end, item.start) if comma is None and index else None
    cut = [(item.start, item.end)] + [(place, place + 1) for place in (comma, before) if place is not None]
    for start, end in sorted(cut, reverse=True):
        text = text[:start] + text[end:]
    shift = item.start - (1 if before is not None else 0)
    return _tidied(text, shift)


def _comma(document: Document, start: int, end: int) -> int | None:
    place, comments = start, dict(document.comments)
    while place < end:
        if place in comments:
            place = comments[place]
            continue
        if document.text[place : place + 1] == b",":
            return place
        place += 1
    return None


def _tidied(text: bytes, place: int) -> bytes:
    """Without the line at `place` when it is blank, else without the blanks there that are two now."""
    line, end = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
    if end != -1 and line > 0 and not text[line:end].strip():
        return text[:line] + text[end + 1 :]
    if text[place - 1 : place] in (b" ", b"\t") and text[place : place + 1] in (b" ", b"\t"):
        return text[:place] + text[place + 1 :]
    return text


def without_comments(text: bytes, unwanted: Callable[[str], bool]) -> bytes:
    """The text with the comments that are not wanted blanked out."""
    for start, end in parse(text).comments:
        if unwanted(text[start:end].decode("utf-8", "replace")):
            text = text[:start] + bytes(byte if byte in b"\r\n" else 32 for byte in text[start:end]) + text[end:]
    return text
