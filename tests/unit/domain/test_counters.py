"""Totals of a session are numbers that SQLite takes, whatever the messages say."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.counters import recompute

NUMBERS = (
    st.integers() | st.floats() | st.sampled_from([10**20, -(10**20), 2**63, -(2**63), 10**400, -(10**400), 1e308, True]) | st.none() | st.text(max_size=3)
)


def answer(number: Any) -> str:
    return json.dumps({"role": "assistant", "cost": number, "tokens": {"input": number, "output": 1, "cache": {"read": number}}})


@given(st.lists(NUMBERS, max_size=6))
def test_any_numbers_add_up_to_something_that_can_be_stored(numbers: list[Any]) -> None:
    """One that cannot ended every cycle, of every machine that had this session, for all sessions."""
    total = recompute(answer(number) for number in numbers)
    assert total["tokens_output"] == len(numbers)
    with sqlite3.connect(":memory:") as db:
        db.execute("CREATE TABLE s (cost REAL NOT NULL, tokens INTEGER NOT NULL)")
        db.execute("INSERT INTO s VALUES (?, ?)", (total["cost"], total["tokens_input"]))


def test_ordinary_numbers_are_added_as_they_are() -> None:
    assert recompute([answer(2**60), answer(5), "nonsense", "{"])["tokens_input"] == 2**60 + 5
    assert recompute([answer(0.25), answer(1)])["cost"] == 1.25
