"""Three-way merge of configuration. A conflict is applied to neither side: mine stays here, theirs stays there, the base stays what it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

Path = tuple[str, ...]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Both changed the same member (`path`; empty: the whole file) in different ways. MISSING: it was removed there."""

    path: Path
    base: Any
    mine: Any
    theirs: Any


@dataclass(slots=True)
class Merged:
    """What belongs here, what belongs in the vault, and what both have agreed on. They differ where there are conflicts, and there only."""

    mine: Any
    theirs: Any
    base: Any
    conflicts: list[Conflict] = field(default_factory=list)


def canonical(value: Any) -> str:
    """Equal for equal JSON values only: 1, 1.0 and true differ."""
    return "" if value is MISSING else json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def same(one: Any, other: Any) -> bool:
    return one is other or canonical(one) == canonical(other)


def merge_values(base: Any, mine: Any, theirs: Any, is_set: Callable[[Path], bool] = lambda _: False, path: Path = ()) -> Merged:
    """By key; anything may be MISSING."""
    if same(mine, theirs):
        return Merged(mine, theirs, mine)
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return _merge_objects(base if isinstance(base, dict) else {}, mine, theirs, is_set, path)
    if base is not MISSING and same(base, mine):
        return Merged(theirs, theirs, theirs)
    if base is not MISSING and same(base, theirs):
        return Merged(mine, mine, mine)
    if base is MISSING and (mine is MISSING or theirs is MISSING):
        value = theirs if mine is MISSING else mine
        return Merged(value, value, value)
    if isinstance(mine, list) and isinstance(theirs, list) and is_set(path):
        union = _merge_sets(base if isinstance(base, list) else [], mine, theirs)
        if union is not None:
            return Merged(union, union, union)
    return Merged(mine, theirs, base, [Conflict(path, base, mine, theirs)])


def _merge_objects(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], is_set: Callable[[Path], bool], path: Path) -> Merged:
    result = Merged({}, {}, {})
    for key in dict.fromkeys([*theirs, *mine, *base]):
        part = merge_values(base.get(key, MISSING), mine.get(key, MISSING), theirs.get(key, MISSING), is_set, (*path, key))
        for whole, value in ((result.mine, part.mine), (result.theirs, part.theirs), (result.base, part.base)):
            if value is not MISSING:
                whole[key] = value
        result.conflicts += part.conflicts
    return result


def _merge_sets(base: list[Any], mine: list[Any], theirs: list[Any]) -> list[Any] | None:
    """Members in the order of theirs, then mine; None when both have a member of one name with different contents."""
    sides = [{canonical(item): item for item in side} for side in (base, mine, theirs)]
    known, here, there = sides
    kept = [item for text, item in there.items() if text in here or text not in known]
    kept += [item for text, item in here.items() if text not in there and text not in known]
    names = [canonical(_name(item)) for item in kept]
    return kept if len(set(names)) == len(names) else None


def _name(item: Any) -> Any:
    """A plugin may be given as [name, options]."""
    return item[0] if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], dict) else item


def get(value: Any, path: Iterable[str]) -> Any:
    """What is at a path, or MISSING."""
    for key in path:
        value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy with `new` at the path, MISSING removing what is there."""
    if not path:
        return new
    whole = dict(value) if isinstance(value, dict) else {}
    inner = put(whole.get(path[0], MISSING), path[1:], new) if len(path) == 1 or new is not MISSING or path[0] in whole else MISSING
    if inner is MISSING:
        whole.pop(path[0], None)
    else:
        whole[path[0]] = inner
    return whole


# --- JSONL ------------------------------------------------------------------------------------------------------------
def merge_lines(base: bytes | None, mine: bytes, theirs: bytes) -> bytes:
    """Entries of both, in time order when they tell the time; an entry that one side dropped stays dropped. Never a conflict."""
    known, here, there = (_entries(text or b"") for text in (base, mine, theirs))
    kept = {key: line for key, line in there.items() if key in here or key not in known}
    kept |= {key: line for key, line in here.items() if key not in there and key not in known}
    lines = list(kept.values())
    times = [_time(line) for line in lines]
    if all(time is not None for time in times):
        lines = [line for _, line in sorted(zip(times, lines, strict=True), key=lambda pair: (pair[0] or 0.0, pair[1]))]
    return b"".join(line + b"\n" for line in lines)


def _entries(text: bytes) -> dict[bytes, bytes]:
    """Key -> line, of which the last one stays where the same is there twice. A line that a crash cut off is none."""
    found: dict[bytes, bytes] = {}
    for line in text.split(b"\n"):
        line = line.strip()
        try:
            key = canonical(json.loads(line)).encode()
        except (ValueError, RecursionError):
            continue
        found.pop(key, None)
        found[key] = line
    return found


def _time(line: bytes) -> float | None:
    value = json.loads(line)
    time = value.get("timestamp") if isinstance(value, dict) else None
    return float(time) if isinstance(time, (int, float)) and not isinstance(time, bool) else None
