"""Finding secrets in text, cheaply: nearly all text is passed by a look at its long words alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from sidecar.adapters.secrets.rules import ASSIGNED, BARE, INSIDE, PRIVATE_KEY, STARTS, token_rules

MIN_WORD = 20
"""No token that shows itself by its form is shorter."""
BEFORE, BEHIND = 80, 400
"""How much of the text around such a place belongs to it."""
SLICE, OVERLAP = 1 << 20, 1 << 14
"""Long text is looked at in slices, so that somebody can stop it; nothing that is found is longer than the overlap."""
_PLAIN = b"abcdefghijklmnopqrstuvwxyz_-./+=:%~"
_WORDS = bytes(120 if byte in _PLAIN or chr(byte).isdigit() or 65 <= byte <= 90 else 32 for byte in range(256))
_LONG = b"x" * MIN_WORD
_LOWER = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in range(256))
_inside = re.compile(INSIDE.encode())
_first = re.compile(STARTS.encode())
_starts = re.compile(rb"[^A-Za-z0-9](?:[bfnrt]|u[0-9a-f]{4}|\d{0,3}m)?(?:" + STARTS.encode() + rb")")
"""At the beginning of a word, or behind an escape of JSON or of a terminal: asking at every letter would cost four times as much."""
BEFORE_WORD = 6
_ESCAPED = re.compile(r"\\u00[2-7]")
_VALUE = re.compile(
    rb"[\w-]{0,30}[\\\"'\]]{0,4}(?::? str(?:ing)?)?\s{0,3}(?::=|=>|={1,3}|:|\?=|,)\s{0,3}[\\\"'`]{0,4}(?=[^\s\"'`\\]{0,199}\d)[^\s\"'`\\]{12}|(?: block)?-----"
)
"""What follows a name: a value with a digit in it; or a private key, whose first line ends so."""
_NAMES = (b"ecret", b"assw", b"oken", b"key")
_BEARER = re.compile(rb"bearer\s{1,3}[\\\"']{0,2}$", re.I)
_AWS = re.compile(rb"(?i:aws)[^\n]{0,80}$")
AWS_SECRET = 40
_LOGIN = re.compile(rb"://[^\s:/@]+:[^\s:/@]+$")
MAX_LOGIN = 300


def may_have(text: str) -> bool:
    """Whether a closer look is due. `text` may be JSON: escapes in it do not hide anything. May say yes for nothing, never no for something."""
    if len(text) < MIN_WORD:
        return False
    return next(_places(text), None) is not None or ("\\u00" in text and _ESCAPED.search(text) is not None)


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where something may be, with what belongs to it around it; in no order, and they may overlap."""
    data = text.encode("ascii", "replace")  # one byte a character
    words = data.translate(_WORDS)
    at = words.find(_LONG)
    while at >= 0:
        end = words.find(b" ", at)
        end = len(words) if end < 0 else end
        if data[at:end].translate(None, _PLAIN) and (_shows_itself(data, at, end) or _is_announced(data, at, end)):
            yield at - BEFORE, end + BEHIND
        at = words.find(_LONG, end)
    lower = data.translate(_LOWER)
    for name in _NAMES:
        at = lower.find(name)
        while at >= 0:
            if _VALUE.match(lower, at + len(name)) is not None:
                yield at - BEFORE, at + (OVERLAP if lower.startswith(b"key", at) else BEHIND)
            at = lower.find(name, at + len(name))
    at = data.find(b"@")
    while at >= 0:
        login = data.rfind(b"://", max(0, at - MAX_LOGIN), at)
        if login >= 0 and _LOGIN.match(data, login, at) is not None:
            yield login - BEFORE, at + BEHIND
        at = data.find(b"@", at + 1)


def _shows_itself(data: bytes, at: int, end: int) -> bool:
    """Whether a long word has in it what a key has."""
    if _starts.search(data, max(0, at - BEFORE_WORD), end) is not None or _inside.search(data, at, end) is not None:
        return True
    return at == 0 and _first.match(data) is not None


def _is_announced(data: bytes, at: int, end: int) -> bool:
    """Whether what stands right before a long word says that it is a secret."""
    before = data[max(0, at - 90) : at]
    return _BEARER.search(before) is not None or (end - at >= AWS_SECRET and _AWS.search(before) is not None)


def find(text: str) -> list[tuple[int, int, str]]:
    """(start, end, rule) of every secret in plain text, in order; where two overlap, the longer one."""
    found: list[tuple[int, int, str]] = []
    for offset, part in _slices(text):
        for start, end in _joined(_places(part)):
            for rule in (PRIVATE_KEY, ASSIGNED, BARE, *token_rules()):
                found += [(offset + first, offset + last, rule.name) for first, last in rule.spans(part, start, end)]
    found.sort(key=lambda span: (span[0] - span[1], span[2] == ASSIGNED.name, span[0]))
    kept: list[tuple[int, int, str]] = []
    for span in found:
        if all(span[1] <= start or span[0] >= end for start, end, _ in kept):
            kept.append(span)
    return sorted(kept)


def _joined(places: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((max(0, start), end))
    return joined


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
