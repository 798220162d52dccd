"""Usage totals are always numbers that opencode's database takes, whatever a message from elsewhere claims."""

from __future__ import annotations

import sqlite3

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
