"""Whether opencode could read a row: one message or part of an unknown shape makes a whole session unreadable."""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE

PART_TYPES = frozenset({"text", "reasoning", "tool", "file", "step-start", "step-finish", "patch", "compaction", "snapshot", "agent", "subtask", "retry"})
_SESSION_JSON = ("summary_diffs", "metadata", "revert", "permission", "model")


_STORED = (str, float, bytes)


class _Part(msgspec.Struct):
    type: str


class _Message(msgspec.Struct):
    role: str


_part = msgspec.json.Decoder(_Part)
_message = msgspec.json.Decoder(_Message)
_any = msgspec.json.Decoder(msgspec.Raw)


def problem_with(table: str, columns: dict[str, Any]) -> str | None:
    """Why this row must not be written here, or None."""
    for name, value in columns.items():
        if not (value is None or type(value) in _STORED or (type(value) is int and -(2**63) <= value < 2**63)):
            return f"{table} whose {name[:40]!r} is no SQLite value"
    try:
        if table == PART:
            kind = _part.decode(columns["data"]).type
            return None if kind in PART_TYPES else f"part of unknown type {kind[:40]!r}"
        if table == MESSAGE:
            role = _message.decode(columns["data"]).role
            return None if role in ("user", "assistant") else f"message of unknown role {role[:40]!r}"
        if table == SESSION_MESSAGE:
            _any.decode(columns["data"])
        if table == SESSION:
            for name in _SESSION_JSON:
                value = columns.get(name)
                # opencode 1.14 stores a model as plain JSON text; an empty string has been seen nowhere and is refused
                if isinstance(value, str):
                    _any.decode(value)
    except (msgspec.DecodeError, KeyError, TypeError, UnicodeEncodeError, RecursionError):
        return f"{table} whose data is not the JSON that opencode expects"
    return None


def role_of(data: str) -> str:
    """`user`, `assistant` or empty."""
    try:
        return _message.decode(data).role
    except (msgspec.DecodeError, UnicodeEncodeError, TypeError, RecursionError):
        return ""
