"""Reads the texts out of Go sources: literals, `+`, names that stand for them and a few calls. Nothing is run; what is not understood is None."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

Value = object
"""A str, an int, a list of (key or None, value), or None for what is not understood."""

_TOKEN = re.compile(r"//[^\n]*|/\*.*?\*/|`[^`]*`|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\])+'|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\d\w*|:=|==|!=|\.\.\.|\S", re.S)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Source:
    """One file. `names` fills as it is read; `calls` says what a function gives for its arguments."""

    def __init__(self, text: str, calls: dict[str, Callable[..., Value]] | None = None) -> None:
        self.tokens = [token for token in _TOKEN.findall(text) if not token.startswith(("//", "/*"))] + [""]
        self.at = 0
        self.names: dict[str, Value] = {}
        self.calls: dict[str, Callable[..., Value]] = {"append": _append, "fmt.Sprintf": _sprintf, "string": _same, "strings.Repeat": _repeat, **(calls or {})}
        self.literals: list[dict[str, Value]] = []
        """Every composite literal with keys, in order."""

    def walk(self) -> Iterator[str]:
        """Each token in turn, with `at` behind it and what was given to names before it known."""
        for place, token in enumerate(self.tokens[:-1]):
            self.at = place + 1
            if token.isidentifier() and self.tokens[place + 1] in (":=", "="):
                self.at = place + 2
                self.names[token] = self.expression()
                self.at = place + 1
            yield token

    def expression(self) -> Value:
        value = self._term()
        while self._peek() == "+":
            self.at += 1
            more = self._term()
            value = value + more if isinstance(value, str) and isinstance(more, str) else None
        return value

    def items(self, close: str) -> list[tuple[str | None, Value]]:
        """What stands between brackets, up to `close`, which is passed too. Keys that are texts come as theirs."""
        found: list[tuple[str | None, Value]] = []
        while self._peek() not in (close, ""):
            key = None
            if self.tokens[self.at + 1 : self.at + 2] == [":"]:
                key = _text(self._peek()) or self._peek()
                self.at += 2
            value = self.expression()
            if self._peek() == "...":
                self.at += 1
            if self._peek() not in (",", close):
                value = None
                self._skip(close)
            if self._peek() == ",":
                self.at += 1
            found.append((key, value))
        self.at += 1
        if any(key for key, _ in found):
            self.literals.append({key: value for key, value in found if key})
        return found

    def _peek(self) -> str:
        return self.tokens[min(self.at, len(self.tokens) - 1)]

    def _term(self) -> Value:
        token = self._peek()
        if token in ("", ")", "]", "}", ","):
            return None
        self.at += 1
        text = _text(token)
        if text is not None:
            return text
        if token == "(":
            inner = self.items(")")
            return inner[0][1] if len(inner) == 1 else None
        if token == "{":
            return self.items("}")
        if token in ("[", "map"):
            return self._typed(token)
        if token.isdigit():
            return int(token)
        if self._peek() == "(" and token[0].isalpha():
            self.at += 1
            given = [value for _, value in self.items(")")]
            return self.calls[token](*given) if token in self.calls else None
        if self._peek() == "{" and token[0].isalpha():
            self.at += 1
            return self.items("}")
        return self.names.get(token)

    def _typed(self, token: str) -> Value:
        """`[]string{…}`, `map[string]string{…}`, `[]struct {…}{…}`, `[]byte(…)`."""
        self.at += token == "map"
        self._skip("]")
        self.at += 1
        kind = self._peek()
        while self._peek() not in ("{", "(", ""):
            self.at += 1
        if kind == "struct":
            self.at += 1
            self._skip("}")
            self.at += 1
        opening = self._peek()
        self.at += 1
        inner = self.items(_CLOSING.get(opening, ""))
        return inner[0][1] if opening == "(" and len(inner) == 1 else inner

    def _skip(self, close: str) -> None:
        """To the next comma or `close` of this level."""
        depth = 0
        while self._peek() and not (depth == 0 and self._peek() in (",", close) and not (close == "]" and self._peek() == ",")):
            depth += (self._peek() in _CLOSING) - (self._peek() in _CLOSING.values())
            self.at += 1


def texts(value: Value) -> list[str | None]:
    """The values of a list or map, None for each that was not understood."""
    if isinstance(value, list):
        return [item if isinstance(item, str) else None for _, item in value]
    return []


def _text(token: str) -> str | None:
    if token.startswith("`"):
        return token[1:-1]
    if token.startswith('"'):
        try:
            return str(ast.literal_eval(token))
        except (SyntaxError, ValueError):
            return None
    return None


def _append(first: Value = None, *more: Value) -> Value:
    if not isinstance(first, list):
        return None
    return first + [pair for value in more for pair in (value if isinstance(value, list) else [(None, value)])]


def _sprintf(form: Value = None, *given: Value) -> Value:
    if not isinstance(form, str) or None in given:
        return None
    try:
        return form.replace("%v", "%s").replace("%q", '"%s"') % given[: len(re.findall(r"(?<!%)%[a-z]", form))]
    except (TypeError, ValueError):
        return None


def _same(value: Value = None) -> Value:
    return value


def _repeat(text: Value = None, count: Value = None) -> Value:
    return text * count if isinstance(text, str) and isinstance(count, int) else None
