"""Finding secrets in text, cheaply: nearly all text is passed by a look at its long words alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from sidecar.adapters.secrets.rules import ASSIGNED, HINTS, PRIVATE_KEY, token_rules

MIN_WORD = 20
"""No token that shows itself by its form is shorter."""
SLICE, OVERLAP = 1 << 20, 1 << 14
"""Long text is looked at in slices, so that somebody can stop it; nothing that is found is longer than the overlap."""
_WORD_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+=:"
_WORDS = bytes(120 if byte in _WORD_BYTES else 32 for byte in range(256))
_LONG = b"x" * MIN_WORD
_LOWER = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in range(256))
_hints = re.compile(HINTS.encode())
_ESCAPED = re.compile(rb"\\u00[2-7]")
_VALUE = re.compile(rb"[\w-]{0,30}[\\\"'\]]{0,4}\s{0,3}(?::=|=>|={1,3}|:)\s{0,3}[\\\"'`]{0,4}(?=[^\s\"'`\\]{0,199}\d)[^\s\"'`\\]{12}")
_NAMES = (
    (b"ecret", _VALUE),
    (b"assw", _VALUE),
    (b"oken", _VALUE),
    (b"key", _VALUE),
    (b"aws", re.compile(rb".{0,60}?[0-9a-z/+]{40}")),
    (b"bearer", re.compile(rb"\s{1,3}[a-z0-9._~+/-]{24}")),
    (b"://", re.compile(rb"[^\s:/@]+:[^\s:/@]+@")),
)
"""What stands before secrets, and what must follow."""


def may_have(text: str) -> bool:
    """Whether a closer look is due. `text` may be JSON: escapes in it do not hide anything. May say yes for nothing, never no for something."""
    data = text.encode("utf-8", "surrogateescape")
    if b"PRIVATE KEY" in data or (b"\\u00" in data and _ESCAPED.search(data) is not None):
        return True
    words = data.translate(_WORDS)
    at = words.find(_LONG)
    while at >= 0:
        end = words.find(b" ", at)
        end = len(words) if end < 0 else end
        if _hints.search(data, at, end) is not None:
            return True
        at = words.find(_LONG, end)
    lower = data.translate(_LOWER)
    return any(_follows(lower, name, pattern) for name, pattern in _NAMES)


def _follows(data: bytes, name: bytes, pattern: re.Pattern[bytes]) -> bool:
    at = data.find(name)
    while at >= 0:
        at += len(name)
        if pattern.match(data, at) is not None:
            return True
        at = data.find(name, at)
    return False


def find(text: str) -> list[tuple[int, int, str]]:
    """(start, end, rule) of every secret in plain text, in order; where two overlap, the longer one."""
    found: list[tuple[int, int, str]] = []
    for offset, part in _slices(text):
        for rule in (PRIVATE_KEY, ASSIGNED, *token_rules()):
            if rule is PRIVATE_KEY and rule.hint not in part:
                continue
            if rule not in (PRIVATE_KEY, ASSIGNED) and _hint(rule.hint).search(part) is None:
                continue
            found += [(offset + start, offset + end, rule.name) for start, end in rule.spans(part)]
    found.sort(key=lambda span: (span[0] - span[1], span[2] == ASSIGNED.name, span[0]))
    kept: list[tuple[int, int, str]] = []
    for span in found:
        if all(span[1] <= start or span[0] >= end for start, end, _ in kept):
            kept.append(span)
    return sorted(kept)


@cache
def _hint(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _slices(text: str) -> Iterator[tuple[int, str]]:
    if len(text) <= SLICE:
        yield 0, text
        return
    for start in range(0, len(text), SLICE):
        yield start, text[start : start + SLICE + OVERLAP]


def look(text: str, check: Callable[[], None]) -> bool:
    """`may_have`, with `check` called on the way through what is long."""
    for _, part in _slices(text):
        check()
        if may_have(part):
            return True
    return False
