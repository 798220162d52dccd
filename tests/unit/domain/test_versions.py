"""Versions only grow, and never beyond what can be stored and is read elsewhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.records import MAX_VERSION, Version, next_version

numbers = st.integers(-MAX_VERSION, MAX_VERSION) | st.sampled_from([MAX_VERSION, MAX_VERSION - 1, -MAX_VERSION])
counters = st.integers(0, 100) | st.sampled_from([MAX_VERSION, MAX_VERSION - 1])
END = (MAX_VERSION, MAX_VERSION)


@given(st.integers(-(2**63), 2**63 - 1), st.none() | st.builds(Version, numbers, counters, st.sampled_from("ax")))
def test_a_change_here_is_later_than_what_it_replaces_and_fits(time: int, previous: Version | None) -> None:
    found = next_version("m", time, previous)
    assert -MAX_VERSION <= found.time <= MAX_VERSION
    assert 0 <= found.counter <= MAX_VERSION
    assert previous is None or found > previous or previous[:2] == END
