"""Usage totals of a session, as opencode adds them up (checked against real databases in tests/contract)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

MAX_COUNT = 1 << 53
"""What a JavaScript number holds exactly; more is nobody's usage, and would not fit into the sum."""
_STORED = (1 << 63) - 1


def recompute(messages: Iterable[str]) -> dict[str, float | int]:
    """Sum cost and tokens over the assistant messages' `data`, in the order given: the same order gives the same bits."""
    total: dict[str, float | int] = {
        "cost": 0.0, "tokens_input": 0, "tokens_output": 0, "tokens_reasoning": 0, "tokens_cache_read": 0, "tokens_cache_write": 0,
    }  # fmt: skip
    for text in messages:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(data, dict) or data.get("role") != "assistant":
            continue
        tokens = _mapping(data.get("tokens"))
        cache = _mapping(tokens.get("cache"))
        for column, value in (
            ("cost", data.get("cost")),
            ("tokens_input", tokens.get("input")),
            ("tokens_output", tokens.get("output")),
            ("tokens_reasoning", tokens.get("reasoning")),
            ("tokens_cache_read", cache.get("read")),
            ("tokens_cache_write", cache.get("write")),
        ):
            if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_COUNT:  # no NaN either
                total[column] += value
    return {name: max(-_STORED, min(value, _STORED)) for name, value in total.items()}


def wrong_totals(session: Mapping[str, Any], messages: Iterable[str]) -> dict[str, Any]:
    """The totals that a session's row has columns for, and shows otherwise than its messages say. Column -> what it should be."""
    return {name: value for name, value in recompute(messages).items() if name in session and session[name] != value}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
