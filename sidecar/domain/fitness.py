"""What of a session in opencode's database can be shared at all. One that cannot stays here, named; the others go on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.state import Row, SessionRows

MAX_KEY = 1024
"""Characters of an id. opencode's have 30."""
MAX_VALUE_BYTES = 256 << 20
"""A text or blob larger than this is not read: a few copies of it have to fit into memory."""


class Unfit(SidecarError):
    """One session of opencode's database cannot be used, and why."""

    def __init__(self, why: str) -> None:
        remedy = "Everything else is synced. Nothing of it is changed here; what was published of it before stays."
        super().__init__("databaseUnsupported", f"A session cannot be shared: {why}.", remedy=remedy)
        self.why = why


def key_problem(key: object) -> str | None:
    """Why this is no id that another machine could have, too."""
    if not isinstance(key, str):
        return f"an id that is no text ({type(key).__name__})"
    if not 0 < len(key) <= MAX_KEY:
        return f"an id of {len(key)} characters"
    try:
        key.encode()
    except UnicodeEncodeError:
        return "an id that is not UTF-8"
    return None


def check_fit(rows: SessionRows) -> None:
    """Raises Unfit."""
    session = rows.session
    keys = [session["id"], *rows.messages, *rows.parts, *rows.session_messages, *(part["message_id"] for part in rows.parts.values())]
    if session.get("parent_id") is not None:
        keys.append(session["parent_id"])
    for key in keys:
        problem = key_problem(key)
        if problem is not None:
            raise Unfit(f"it has {problem}")
    for name in ("project_id", "directory"):
        if not isinstance(session[name], str):
            raise Unfit(f"its {name} is no text")


def last_update(items: Iterable[Row]) -> int | None:
    """The newest `time_updated` of a todo list; None when the list is empty."""
    times = (item.get("time_updated") for item in items)
    return max((time if isinstance(time, int) else 0 for time in times), default=None)


def readable(text: Any) -> str:
    """Text that every file and stream takes: bytes that are not UTF-8 become question marks."""
    return str(text).encode("utf-8", "replace").decode()
