"""Laws of the three-way merge: what one side changed is there, what nobody changed stays, and nothing is lost in silence."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.config_merge import MISSING, Merged, canonical, get, merge_lines, merge_values, put, same
from sidecar.domain.config_plan import SETS

KEYS = st.sampled_from(["a", "b", "c", "plugin"])
SCALARS = st.one_of(st.integers(0, 2), st.sampled_from(["x", "y"]), st.booleans(), st.none())
VALUES = st.recursive(SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)), max_leaves=5)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
PLUGINS = st.lists(st.sampled_from(["p", "q", "r", "s"]), max_size=4, unique=True)


def merge(base: Any, mine: Any, theirs: Any) -> Merged:
    return merge_values(base, mine, theirs, lambda path: path in SETS)


def paths(value: Any, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if not isinstance(value, dict):
        return {at}
    return {at}.union(*(paths(inner, (*at, key)) for key, inner in value.items()))


@given(OBJECTS, OBJECTS)
def test_one_sided_changes_are_taken(base: Any, changed: Any) -> None:
    for merged in (merge(base, changed, base), merge(base, base, changed), merge(base, changed, changed)):
        assert not merged.conflicts
        assert all(same(side, changed) for side in (merged.mine, merged.theirs, merged.base))


@given(OBJECTS, OBJECTS, OBJECTS)
def test_sides_can_be_exchanged(base: Any, mine: Any, theirs: Any) -> None:
    one, other = merge(base, mine, theirs), merge(base, theirs, mine)

    def unordered(value: Any, path: tuple[str, ...] = ()) -> Any:
        if isinstance(value, dict):
            return {key: unordered(inner, (*path, key)) for key, inner in value.items()}
        return sorted(map(canonical, value)) if isinstance(value, list) and path in SETS else value

    assert same(unordered(one.mine), unordered(other.theirs))
    assert same(unordered(one.base), unordered(other.base))
    assert {conflict.path for conflict in one.conflicts} == {conflict.path for conflict in other.conflicts}


@given(OBJECTS, OBJECTS, OBJECTS)
def test_both_sides_agree_but_where_there_is_a_conflict(base: Any, mine: Any, theirs: Any) -> None:
    merged = merge(base, mine, theirs)
    here, there = merged.mine, merged.theirs
    for conflict in merged.conflicts:
        assert same(get(here, conflict.path), get(mine, conflict.path)), "a local edit was overwritten"
        assert same(get(there, conflict.path), get(theirs, conflict.path)), "an edit of another machine was overwritten"
        here, there = put(here, conflict.path, MISSING), put(there, conflict.path, MISSING)
    assert same(here, there)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_no_key_is_lost(base: Any, mine: Any, theirs: Any) -> None:
    merged = merge(base, mine, theirs)
    for path in paths(mine) - paths(base):
        inside = any(conflict.path == path[: len(conflict.path)] for conflict in merged.conflicts)
        parents = [get(theirs, path[:depth]) for depth in range(len(path))]
        if inside or not all(isinstance(parent, dict) or parent is MISSING for parent in parents):
            continue
        assert get(merged.mine, path) is not MISSING, f"{path} was added here and is gone"


@given(OBJECTS, OBJECTS, OBJECTS)
def test_merging_again_changes_nothing_and_tells_the_same(base: Any, mine: Any, theirs: Any) -> None:
    once = merge(base, mine, theirs)
    twice = merge(once.base, once.mine, once.theirs)
    assert same(once.mine, twice.mine)
    assert same(once.theirs, twice.theirs)
    assert {conflict.path for conflict in once.conflicts} == {conflict.path for conflict in twice.conflicts}


@given(PLUGINS, PLUGINS, PLUGINS)
def test_lists_that_opencode_takes_as_sets_are_merged_by_member(base: list[str], mine: list[str], theirs: list[str]) -> None:
    merged = merge({"plugin": base}, {"plugin": mine}, {"plugin": theirs})
    assert not merged.conflicts
    wanted = (set(mine) & set(theirs)) | ((set(mine) | set(theirs)) - set(base))
    assert set(merged.mine["plugin"]) == wanted


def test_one_plugin_with_two_options_is_for_a_person_to_decide() -> None:
    merged = merge({}, {"plugin": [["p", {"a": 1}]]}, {"plugin": [["p", {"a": 2}]]})
    assert [conflict.path for conflict in merged.conflicts] == [("plugin",)], "opencode would load the plugin twice"


ENTRIES = st.lists(st.integers(0, 9), max_size=6, unique=True)


def lines(numbers: list[int]) -> bytes:
    return b"".join(json.dumps({"input": f"p{number}", "timestamp": number}).encode() + b"\n" for number in numbers)


@given(ENTRIES, ENTRIES, ENTRIES)
def test_prompts_of_both_are_there_in_time_order(base: list[int], mine: list[int], theirs: list[int]) -> None:
    merged = merge_lines(lines(base), lines(mine), lines(theirs))
    assert merged == merge_lines(lines(base), lines(theirs), lines(mine))
    wanted = (set(mine) & set(theirs)) | ((set(mine) | set(theirs)) - set(base))
    assert [json.loads(line)["timestamp"] for line in merged.splitlines()] == sorted(wanted)


def test_a_line_that_a_crash_cut_off_harms_nothing() -> None:
    assert merge_lines(None, b'{"input": "a"}\n{"inp', b'{"input": "b"}\n') == b'{"input": "b"}\n{"input": "a"}\n'
