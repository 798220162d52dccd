"""Usage totals are always numbers that opencode's database takes, whatever a message from elsewhere claims."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.counters import recompute

numbers = st.integers(-(10**30), 10**30).map(str) | st.floats().map(str) | st.sampled_from(["NaN", "Infinity", "1e999", str(2**53), str(2**63 - 1)])
messages = st.builds('{{"role":"assistant","cost":{},"tokens":{{"input":{}}}}}'.format, numbers, numbers)


@given(st.lists(messages, max_size=6))
def test_what_is_added_up_can_be_stored(found: list[str]) -> None:
    total = recompute(found * 400)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (cost REAL NOT NULL, tokens INTEGER NOT NULL)")
    connection.execute("INSERT INTO t VALUES (?, ?)", (total["cost"], total["tokens_input"]))
    connection.close()


def test_ordinary_numbers_are_added_as_they_are() -> None:
    assert recompute([answer(2**50), answer(5), "nonsense", "{"])["tokens_input"] == 2**50 + 5
    assert recompute([answer(0.25), answer(1)])["cost"] == 1.25


@given(st.lists(st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), True]) | st.none() | st.text(max_size=3), max_size=6))
def test_what_is_no_number_of_ours_takes_nothing_from_the_rest(numbers: list[Any]) -> None:
    assert recompute(answer(number) for number in numbers)["tokens_output"] == len(numbers)


def answer(number: Any) -> str:
    return json.dumps({"role": "assistant", "cost": number, "tokens": {"input": number, "output": 1, "cache": {"read": number}}})
