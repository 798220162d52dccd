"""Bytes read as choices: the same bytes make the same input in every fuzzer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")
_ODD = ("", "\0", "\ud800", "\x1b[2J", "..", "/", "C:\\", "-x", "ü", "x" * 300, "__proto__", "\ufeff", "{", '"')


class Feed:
    """What is asked for beyond the end is zero and empty."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def bytes(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        self._at += count
        return found

    def int(self, size: int = 1) -> int:
        return int.from_bytes(self.bytes(size).ljust(size, b"\0"), "big")

    def rest(self) -> bytes:
        return self.bytes(max(0, len(self._data) - self._at))

    def part(self) -> bytes:
        """A piece with its length in front."""
        return self.bytes(self.int(2) % 4096)

    def text(self) -> str:
        return self.part().decode("utf-8", "surrogateescape")

    def pick(self, of: Sequence[T]) -> T:
        return of[self.int() % len(of)]

    def json(self, names: Sequence[str] = (), depth: int = 4) -> Any:
        """A JSON value, with these names among those of its members."""
        kind = self.int() % 10
        if kind == 0:
            return None
        if kind == 1:
            return bool(self.int() & 1)
        if kind == 2:
            return int.from_bytes(self.bytes(self.int() % 10), "big", signed=True)
        if kind == 3:
            return float(self.int(2)) / 7 * 10.0 ** (self.int() - 128)
        if kind == 4:
            return self.pick(_ODD)
        if kind == 5 or depth == 0:
            return self.bytes(self.int() % 24).decode("utf-8", "replace")
        if kind == 6:
            return [self.json(names, depth - 1) for _ in range(self.int() % 4)]
        return {self._name(names): self.json(names, depth - 1) for _ in range(self.int() % 5)}

    def _name(self, names: Sequence[str]) -> str:
        return self.pick(names) if names and self.int() % 4 else self.bytes(self.int() % 6).decode("utf-8", "replace")
