"""Usage totals of a session, as opencode adds them up (checked against real databases in tests/contract)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any


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
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                total[column] += _storable(value)
    return {column: _storable(value) for column, value in total.items()}


def _storable(value: float | int) -> float | int:
    """A number that SQLite has, as near as it can be: one message with another one must not keep everything else from being synced."""
    if isinstance(value, float):
        return 0.0 if math.isnan(value) else value
    if value.bit_length() < 64:
        return value
    return float(value) if value.bit_length() < 1024 else math.inf if value > 0 else -math.inf


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
