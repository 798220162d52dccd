"""Records: what a log is made of, and the versions that order them.

A put says that a row had these column values as of a version; a tombstone says that whoever wrote it deleted the row
having seen the logs up to a version vector (an observed-remove: what the deleter had not seen survives).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SESSION, MESSAGE, PART, TODO, SESSION_MESSAGE = "session", "message", "part", "todo", "session_message"
TABLES = (SESSION, MESSAGE, PART, TODO, SESSION_MESSAGE)
"""Every table that may ever be published: an allow-list. Parents come before children."""

STANDARD_COLUMNS: Mapping[str, frozenset[str]] = {
    MESSAGE: frozenset({"time_created", "time_updated", "data"}),
    PART: frozenset({"message_id", "time_created", "time_updated", "data"}),
    SESSION_MESSAGE: frozenset({"type", "time_created", "time_updated", "data"}),
    TODO: frozenset({"items"}),
}
"""Columns that always travel together in these tables, so that one version serves the whole row."""

LOCAL_SESSION_COLUMNS = frozenset({"id", "workspace_id", "share_url", "path"})
"""Session columns that mean something on one machine only (`path` follows from `directory`)."""

FIRST_SESSION_COLUMNS = frozenset(
    [
        "id",
        "project_id",
        "parent_id",
        "slug",
        "directory",
        "title",
        "version",
        "share_url",
        "summary_additions",
        "summary_deletions",
        "summary_files",
        "summary_diffs",
        "revert",
        "permission",
        "time_created",
        "time_updated",
        "time_compacting",
        "time_archived",
    ]
)
"""What every version of opencode has (1.2.1 on). Another one that is empty may have come with an upgrade, and then nobody emptied it."""
COUNTERS = ("cost", "tokens_input", "tokens_output", "tokens_reasoning", "tokens_cache_read", "tokens_cache_write")
"""Session columns that opencode adds up from the assistant messages."""

Value = Any  # a SQLite value, or for portable columns a JSON-like mapping
VersionVector = dict[str, int]


MAX_VERSION = 1 << 62
"""Of a version's time and counter, and of a time below zero: SQLite holds no more than twice that. A record with more is refused."""


class Version(NamedTuple):
    """Hybrid logical clock reading: Unix milliseconds, counter, device id. Totally ordered."""

    time: int
    counter: int
    device: str

    def after(self, device: str) -> Version:
        """The next one, of this device; at the end of all numbers, where only a forged record can be, it stays there."""
        if self.counter < MAX_VERSION and self.time <= MAX_VERSION:
            return Version(self.time, self.counter + 1, device)
        return Version(self.time + 1, 0, device) if self.time < MAX_VERSION else Version(MAX_VERSION, MAX_VERSION, device)


class Mention(NamedTuple):
    """What a segment holds of a session: any put? and, when it adds messages, what its device had seen of the session."""

    puts: bool
    context: VersionVector | None


Place = tuple[str, int]
"""(session, sequence): where in a log a group of records is. Compaction moves it to another file, never to another place."""
Mentions = dict[Place, Mention]


@dataclass(slots=True)
class Record:
    """One row version (columns given) or its deletion (columns None, `seen` given).

    On the first message put of a group `seen` is the group's context, see `Mention`.
    """

    table: str
    key: str
    session_id: str
    version: Version
    columns: dict[str, Value] | None
    seen: VersionVector | None = None

    @property
    def is_tombstone(self) -> bool:
        return self.columns is None


@dataclass(slots=True)
class Group:
    """The records of one session in one segment. `sequence` is the segment's place in its device's log, also after a compaction."""

    session_id: str
    device: str
    sequence: int
    records: list[Record] = field(default_factory=list)


def join(a: Mapping[str, int], b: Mapping[str, int]) -> VersionVector:
    """Least upper bound of two version vectors."""
    return {device: max(a.get(device, 0), b.get(device, 0)) for device in a.keys() | b.keys()}


def covers(seen: Mapping[str, int], device: str, sequence: int) -> bool:
    """Whether someone who had seen `seen` had seen what `device` published in segment `sequence`."""
    return seen.get(device, 0) >= sequence


def includes(a: Mapping[str, int], b: Mapping[str, int]) -> bool:
    """Whether `a` has seen all that `b` has."""
    return all(covers(a, device, sequence) for device, sequence in b.items())


def any_unseen(seen: Mapping[str, int], puts: Iterable[tuple[str, int]]) -> bool:
    """Whether one of these (device, sequence) dots was not seen."""
    return any(not covers(seen, device, sequence) for device, sequence in puts)


def next_version(device: str, time_ms: int, previous: Version | None) -> Version:
    """The version of a local change at `time_ms` that replaces `previous`: later than it whatever the clocks say."""
    candidate = Version(max(-MAX_VERSION, min(time_ms, MAX_VERSION)), 0, device)
    if previous is None or candidate > previous:
        return candidate
    return previous.after(device)


def diverged(groups: Iterable[tuple[str, int, VersionVector]]) -> bool:
    """Whether two devices added messages without having seen each other's, and nobody went on from both since.

    `groups`: (device, sequence, context) of every group that added messages.
    """
    entries = list(groups)

    def concurrent(a: tuple[str, int, VersionVector], b: tuple[str, int, VersionVector]) -> bool:
        return a[0] != b[0] and not covers(a[2], b[0], b[1]) and not covers(b[2], a[0], a[1])

    def follows(c: tuple[str, int, VersionVector], a: tuple[str, int, VersionVector]) -> bool:
        return (c[0] == a[0] and c[1] > a[1]) or covers(c[2], a[0], a[1])

    for index, a in enumerate(entries):
        for b in entries[index + 1 :]:
            if concurrent(a, b) and not any(follows(c, a) and follows(c, b) for c in entries):
                return True
    return False
