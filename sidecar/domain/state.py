"""What the services and the adapters that store things say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sidecar.domain.records import Version

Row = dict[str, Any]

APPLIED, NEW, FUTURE, UNPLACED, QUARANTINED, PARENT_MISSING, BUSY, UNREADABLE = range(8)
"""States of a session's records in one segment. Everything but APPLIED waits and is retried when its reason may have gone: an UNREADABLE one when
its log moves. A QUARANTINED one was read, and this opencode cannot hold it: it counts as seen."""
UNFIT = "quarantined"
"""The reason why a session that is here is not published at all, see `fitness`."""
REASONS = {
    NEW: "pending",
    FUTURE: "future",
    UNPLACED: "unplaced",
    QUARANTINED: "quarantined",
    PARENT_MISSING: "parentMissing",
    BUSY: "busy",
    UNREADABLE: "quarantined",
}


UNKNOWN = b"\0"
"""No row has this hash: the next scan compares the row column by column."""


@dataclass(slots=True)
class ShadowRow:
    """A row as this device knows it.

    `version`, `sequence`: of the put it came from; `hash`: content of the local row when last seen; `updated`: its
    `time_updated`; `cells`: for a session, column -> [time, counter, device, hash of the local value].
    """

    version: Version
    sequence: int
    hash: bytes
    updated: int | None
    cells: dict[str, list[Any]] | None = None


class SegmentFile(NamedTuple):
    """A file of a log as it is stored: the segments `first` to `sequence`, more than one when it is a compacted one. `blob`: git's name of it."""

    first: int
    sequence: int
    blob: str
    path: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Records of `session` in segment `sequence` of `device` that are not applied."""

    session: str
    device: str
    sequence: int
    state: int
    until: int
    detail: str


@dataclass(slots=True)
class SessionRows:
    """Everything of one session at one moment. `messages` and `parts` map id to columns, in time order."""

    session: Row
    messages: dict[str, Row] = field(default_factory=dict)
    parts: dict[str, Row] = field(default_factory=dict)
    todos: list[Row] = field(default_factory=list)
    session_messages: dict[str, Row] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProjectRow:
    id: str
    worktree: str
    name: str | None


@dataclass(slots=True)
class Op:
    """One row to write. `columns` None deletes. `expected`: hash that the local row must have (None: it must be absent)."""

    table: str
    key: str
    columns: Row | None
    expected: bytes | None
    after: ShadowRow | None = None


@dataclass(slots=True)
class WriteCounts:
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @classmethod
    def planned(cls, ops: Sequence[Op]) -> WriteCounts:
        """What these would come to."""
        puts = [op for op in ops if op.columns is not None]
        return cls(sum(op.expected is None for op in puts), sum(op.expected is not None for op in puts), len(ops) - len(puts))

    def add(self, other: WriteCounts) -> None:
        self.inserted += other.inserted
        self.updated += other.updated
        self.deleted += other.deleted

    @property
    def total(self) -> int:
        return self.inserted + self.updated + self.deleted


class LocalChange(Exception):
    """The database holds something that was not recorded yet: leave it, scan first."""


class WriteRefused(Exception):
    """The database does not take these rows, or would make others of them: a constraint or a trigger that is not opencode's."""
