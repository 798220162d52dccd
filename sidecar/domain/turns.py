"""Which rows of a session may be published now: whole, finished turns of a session that has gone quiet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

QUIET_MS = 3_000
"""opencode still rewrites the user message and the session about 100 ms after an answer; measured, with a margin."""
ABANDONED_MS = 15 * 60_000
"""A turn that nothing has written to for this long is published as it stands: its process is gone."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`from_index`: first message (in time order) that must wait, or None. `settles_in`: ms until quiet, when that is all."""

    from_index: int | None = None
    settles_in: int = 0


def is_recent(times: Iterable[int], now: int, span: int = QUIET_MS) -> int:
    """Milliseconds until the newest of `times` is `span` old; 0 when it is. Times ahead of the clock say nothing."""
    return max((span - (now - t) for t in times if 0 <= now - t < span), default=0)


def last_turn(messages: Sequence[str]) -> tuple[int, bool]:
    """(index of the first message of the last turn, whether that turn is finished) of messages' `data` in time order.

    A question without any answer is not: the answer's row comes a moment later, or never, and then the turn is abandoned.
    """
    finished, answered = True, False
    for index in range(len(messages) - 1, -1, -1):
        try:
            data = json.loads(messages[index])
            role = data.get("role")
        except (ValueError, AttributeError, RecursionError):
            return index, True
        if role == "user":
            return index, finished and answered
        if not answered:
            answered, finished = True, _is_finished(data)
    return 0, finished


def _is_finished(data: dict[str, object]) -> bool:
    """An assistant message that ended its turn. `tool-calls` means that another step follows."""
    if data.get("error"):
        return True
    finish = data.get("finish")
    if finish:
        return finish not in ("tool-calls", "unknown")
    time = data.get("time")
    return isinstance(time, dict) and bool(time.get("completed"))


def judge(messages: Sequence[str], written: Sequence[int], others: Sequence[int], now: int) -> Verdict:
    """Decide for one session. `messages`: their `data` in time order; `written`: of each the newest `time_updated` among what
    would be published of it, 0 when that is nothing; `others`: `time_updated` of the other rows that would be published.
    """
    settles_in = is_recent([*written, *others], now)
    if settles_in:
        return Verdict(0, settles_in)
    first, finished = last_turn(messages)
    if not finished and is_recent(written[first:], now, ABANDONED_MS):
        return Verdict(first)
    return Verdict()


def turn_start(messages: Sequence[str], index: int) -> int:
    """Index of the first message of the turn that message `index` belongs to; `messages`: their `data` in time order."""
    while index > 0 and _role(messages[index]) != "user":
        index -= 1
    return index


def _role(data: str) -> object:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return found.get("role") if isinstance(found, dict) else None
