"""Editing JSON with comments: what an edit does not concern keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.config import jsonc

KEYS = st.one_of(st.sampled_from(["a", "b", "mcp", 'q"x', "ü", "/", "//", "{"]), st.text(max_size=4))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6))
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=2)), max_leaves=4)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)
COMMENTS = ["// line one", "/* a block */", "/* two\n lines */", '// "a": 1,', "// }", "/* { */", ""]


@st.composite
def texts(draw: st.DrawFn, value: Any = None) -> tuple[bytes, list[str]]:
    """The text of a value, written in some style, and the comments in it."""
    used: list[str] = []
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    trailing, spread = draw(st.booleans()), draw(st.booleans())

    def comment() -> str:
        text = draw(st.sampled_from(COMMENTS))
        if not text or not draw(st.booleans()):
            return ""
        used.append(text)
        return text + newline if text.startswith("//") else text

    def write(inner: Any, depth: int) -> str:
        if not isinstance(inner, (dict, list)):
            return json.dumps(inner, ensure_ascii=draw(st.booleans()))
        pad = newline + "  " * depth if spread else ""
        items = (
            [f"{json.dumps(key)}:{comment()}{write(sub, depth + 1)}" for key, sub in inner.items()]
            if isinstance(inner, dict)
            else [write(sub, depth + 1) for sub in inner]
        )
        body = "".join(f"{pad}{comment()}{item}{comment()}{',' if number < len(items) - 1 or trailing else ''}{comment()}" for number, item in enumerate(items))
        start, end = "{}" if isinstance(inner, dict) else "[]"
        return f"{start}{comment() if not items else ''}{body}{comment()}{newline + '  ' * (depth - 1) if spread else ''}{end}"

    text = comment() + write(draw(OBJECTS) if value is None else value, 1) + comment()
    return text.encode("utf-8", "surrogatepass"), [part.replace("\n", newline) if newline == "\n" else part for part in used]


@settings(max_examples=200)
@given(texts())
def test_what_opencode_reads_is_what_we_read(given_text: tuple[bytes, list[str]]) -> None:
    text, _ = given_text
    document = jsonc.parse(text)
    assert jsonc.edit(text, document.value) == text, "an edit that changes nothing changed the file"


@settings(max_examples=300)
@given(texts(), OBJECTS)
def test_an_edit_gives_the_value_and_keeps_every_comment_outside_of_what_it_replaced(given_text: tuple[bytes, list[str]], wanted: dict[str, Any]) -> None:
    text, _ = given_text
    before = jsonc.parse(text)
    after = jsonc.edit(text, wanted)
    assert jsonc.canonical(jsonc.parse(after).value) == jsonc.canonical(wanted)
    gone = [item for path, _ in jsonc.changes(before.value, wanted) if (item := before.find(path)) is not None]
    gone += [other for item in list(gone) for other in before.root.items if other.key == item.key]
    for start, end in before.comments:
        if not any(item.start <= start and end <= item.end for item in gone):
            assert text[start:end] in after, "a comment of the user was lost"


@settings(max_examples=200)
@given(texts(), texts())
def test_values_are_taken_over_as_they_were_written(one: tuple[bytes, list[str]], other: tuple[bytes, list[str]]) -> None:
    wanted = jsonc.parse(other[0]).value
    after = jsonc.edit(one[0], wanted, other[0])
    assert jsonc.canonical(jsonc.parse(after).value) == jsonc.canonical(wanted)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{\n  "a": 1,\n  "b" 2\n}', "line 3, column 7"),
        (b'{"a": 1,,}', "line 1, column 10"),
        (b"{a: 1}", "line 1, column 2"),
        (b'{"a": NaN}', "line 1"),
        (b'{"a": 1} {"b": 2}', "line 1, column 10"),
        (b'{"a": "\xff"}', "line 1, column 8"),
        (b'{"a": "unfinished', "line 1"),
        (b"[" * 200 + b"]" * 200, "nested too deeply"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_said_with_its_place(text: bytes, place: str) -> None:
    with pytest.raises(jsonc.SyntaxProblem, match=place):
        jsonc.parse(text)


@pytest.mark.parametrize(
    ("text", "wanted", "result"),
    [
        ('{\n  "a": 1 // one\n}\n', {"a": 1, "b": 2}, '{\n  "a": 1, // one\n  "b": 2\n}\n'),
        ('{\n\t"a": 1,\n}\n', {"a": 1, "b": [2]}, '{\n\t"a": 1,\n\t"b": [\n\t\t2\n\t]\n}\n'),
        ('{"a": 1}', {"a": 1, "b": 2}, '{"a": 1, "b": 2}'),
        ('{\n  "a": 1,\n  "b": 2 // two\n}', {"a": 1}, '{\n  "a": 1\n  // two\n}'),
        ('{"a": [1, /* x */ 2]}', {"a": [1, 2, 3]}, '{"a": [1, /* x */ 2, 3]}'),
        ('\ufeff{\r\n  "a": 1\r\n}\r\n', {"a": 1, "b": {"c": 1}}, '\ufeff{\r\n  "a": 1,\r\n  "b": {\r\n    "c": 1\r\n  }\r\n}\r\n'),
        ('{"a": 1, "a": 2}', {}, "{ }"),
        ("// only a comment\n", {"a": 1}, '// only a comment\n{\n  "a": 1\n}\n'),
    ],
)
def test_style_is_kept(text: str, wanted: Any, result: str) -> None:
    assert jsonc.edit(text.encode(), wanted).decode() == result


def test_many_comments_and_commas_take_no_time() -> None:
    jsonc.parse(b"[" + b"1,/* a */ " * 20_000 + b"1]")
    jsonc.parse(b"{}" + b"/* a */" * 20_000)
    jsonc.edit(b'{"a": 1' + b"/* a */ " * 50_000 + b', "b": 2}', {"b": 2})
    with pytest.raises(jsonc.SyntaxProblem, match="too many"):
        jsonc.edit(b"{}" + b" " * 100_000, {str(number): 1 for number in range(1000)})


def test_a_comment_above_a_setting_goes_with_it() -> None:
    source = b'{\n  "a": 1,\n  // why: because\n  // of this\n  "b": {\n    "x": 1 // inside\n  }\n}\n'
    assert jsonc.edit(b'{\n    "a": 1\n}\n', {"a": 1, "b": {"x": 1}}, source).decode() == (
        '{\n    "a": 1,\n    // why: because\n    // of this\n    "b": {\n      "x": 1 // inside\n    }\n}\n'
    )


def test_a_comment_inside_a_list_stays_when_only_its_neighbour_changes() -> None:
    text = b'{"plugin": [\n  "one", // first\n  ["two", {\n    // why\n    "token": "x"\n  }] // second\n]}'
    changed = jsonc.edit(text, {"plugin": ["one", ["two", {"token": "{env:T}"}]]})
    assert changed == text.replace(b'"x"', b'"{env:T}"')
    assert jsonc.edit(text, {"plugin": ["three", ["two", {"token": "x"}]]}) == text.replace(b'"one"', b'"three"')
