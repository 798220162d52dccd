"""Secrets in transcripts: what a finding is, what was decided about them, and how one is taken out of a text and put back.

A finding never holds the value: `fingerprint` is a hash of it under a key that stays on this device.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

WARN, HOLD, REDACT = "warn", "hold", "redact"
POLICIES = (WARN, HOLD, REDACT)
PUBLISHED, HELD, REDACTED = "published", "held", "redacted"
"""What became of a record with a finding."""
STATE_OF = {WARN: PUBLISHED, HOLD: HELD, REDACT: REDACTED}

Span = tuple[int, int, str]
"""(start, end, rule)."""
_MARK = re.compile(r"\[redacted:[a-z-]{2,20}:([0-9a-f]{16})\]")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")


@dataclass(frozen=True, slots=True)
class Finding:
    """`path`: the column, and within JSON the way to the text. `state`: one of PUBLISHED, HELD, REDACTED. `at`: Unix milliseconds."""

    session: str
    table: str
    key: str
    path: str
    rule: str
    fingerprint: str
    state: str
    at: int = 0


@dataclass(slots=True)
class Decisions:
    """What the user decided, and the key of the fingerprints. `policy` None: as the vault's encryption suggests."""

    key: bytes
    policy: str | None = None
    fingerprints: set[str] = field(default_factory=set)
    rules: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)

    def policy_for(self, encryption: str) -> str:
        """In an encrypted vault a secret reaches one's own machines only; in a plain one whoever can read the remote."""
        return self.policy or (HOLD if encryption == "none" else WARN)

    def allows(self, rule: str, fingerprint: str) -> bool:
        return rule in self.rules or fingerprint in self.fingerprints

    def fingerprint(self, value: str) -> str:
        return hmac.new(self.key, value.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:16]


# --- texts of a value -------------------------------------------------------------------------------------------------
def parsed(text: str) -> Any:
    """The JSON in a text, or None when it is none worth looking into."""
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def strings(value: Any, path: str, is_safe: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """(path, text) of every string of a JSON value, names of members too. `is_safe`: whether a name may be shown in a path."""
    waiting = [(value, path)]
    while waiting:
        item, where = waiting.pop()
        if isinstance(item, str):
            yield where, item
        elif isinstance(item, dict):
            for name, member in item.items():
                yield f"{where}.*", name
                waiting.append((member, f"{where}.{name if _PLAIN_KEY.fullmatch(name) and is_safe(name) else '*'}"))
        elif isinstance(item, list):
            waiting += [(member, f"{where}[{index}]") for index, member in enumerate(item)]


# --- taking out -------------------------------------------------------------------------------------------------------
def masked(text: str, spans: list[Span], fingerprint: Callable[[str], str]) -> str:
    """The text with each span replaced by a mark that says the rule and the fingerprint."""
    parts, at = [], 0
    for start, end, rule in sorted(spans):
        parts += [text[at:start], f"[redacted:{rule}:{fingerprint(text[start:end])}]"]
        at = end
    return "".join([*parts, text[at:]])


def exchanged(text: str, strings_in_it: Mapping[str, str]) -> str:
    """JSON text with some of its strings exchanged for others; everything else of it stays as it was written, if that can be."""
    changed = text
    for old, new in strings_in_it.items():
        quoted = json.dumps(old, ensure_ascii=False)
        if quoted not in changed:
            return json.dumps(_exchange(json.loads(text), strings_in_it), ensure_ascii=False, separators=(",", ":"))
        changed = changed.replace(quoted, json.dumps(new, ensure_ascii=False))
    return changed


def _exchange(value: Any, strings_in_it: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return strings_in_it.get(value, value)
    if isinstance(value, dict):
        return {strings_in_it.get(name, name): _exchange(member, strings_in_it) for name, member in value.items()}
    return [_exchange(member, strings_in_it) for member in value] if isinstance(value, list) else value


# --- putting back -----------------------------------------------------------------------------------------------------
def marks_in(value: Any) -> set[str]:
    """Fingerprints of the marks in a column's value."""
    if isinstance(value, str):
        return set(_MARK.findall(value)) if "[redacted:" in value else set()
    if isinstance(value, dict):
        value = list(value.values())
    return set().union(*map(marks_in, value)) if isinstance(value, list) else set()


def unmasked(value: Any, originals: Mapping[str, str]) -> Any:
    """A column's value with the marks replaced by what they stand for, as far as that is known."""
    if isinstance(value, dict):
        return {name: unmasked(member, originals) for name, member in value.items()}
    if isinstance(value, list):
        return [unmasked(member, originals) for member in value]
    if not isinstance(value, str) or "[redacted:" not in value:
        return value
    quoted = parsed(value) is not None

    def original(match: re.Match[str]) -> str:
        found = originals.get(match[1])
        return match[0] if found is None else json.dumps(found, ensure_ascii=False)[1:-1] if quoted else found

    return _MARK.sub(original, value)
