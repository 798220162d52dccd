"""What the logs say of sessions: the fold of all records, by version and digest, without keeping what is in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from sidecar.domain.errors import SidecarError
from sidecar.domain.records import SESSION, SESSION_MESSAGE, TODO, Record, Version, VersionVector, any_unseen, covers, join
from sidecar.domain.state import SegmentFile
from sidecar.domain.task import Task
from sidecar.services.receive import open_segment
from sidecar.services.standing import UNUSABLE
from sidecar.services.workspace import Workspace

At = tuple[str, str]
Place = tuple[str, int]
"""(device, sequence)."""
Columns = Mapping[str, Mapping[str, Any]]
"""table -> columns that the database has."""


class Put(NamedTuple):
    """`digest`: of the row as it would be here; None where that depends on more than the record. `message`: that of a part."""

    version: Version
    device: str
    sequence: int
    digest: bytes | None
    message: str | None

    @property
    def place(self) -> Place:
        return self.device, self.sequence


@dataclass(slots=True)
class Logged:
    """One session in the logs. `cells`: column of the session's row -> the newest put of it. `complete`: every segment of it could be read."""

    puts: dict[At, list[Put]] = field(default_factory=dict)
    cells: dict[str, Put] = field(default_factory=dict)
    tombs: dict[At, VersionVector] = field(default_factory=dict)
    buried_by: dict[At, set[Place]] = field(default_factory=dict)
    complete: bool = True

    def add(self, record: Record, sequence: int, digest: bytes | None) -> None:
        at, device = (record.table, record.key), record.version.device
        if record.columns is None:
            self.tombs[at] = join(self.tombs.get(at, {}), record.seen or {})
            self.buried_by.setdefault(at, set()).add((device, sequence))
            return
        message = record.columns.get("message_id")
        put = Put(record.version, device, sequence, digest, message if isinstance(message, str) else None)
        self.puts.setdefault(at, []).append(put)
        if record.table == SESSION:
            for name in record.columns:
                if name not in self.cells or put.version > self.cells[name].version:
                    self.cells[name] = put

    def lives(self, session: str) -> bool:
        """Whether somebody put something of it that whoever deleted it had not seen."""
        buried = self.tombs.get((SESSION, session))
        return buried is None or any_unseen(buried, {put.place for puts in self.puts.values() for put in puts})

    def winner(self, at: At) -> Put | None:
        """The put that counts of a row, other than a session's: the newest that no tombstone removes."""
        seen = self.tombs.get(at, {})
        return max((put for put in self.puts.get(at, ()) if not covers(seen, put.device, put.sequence)), default=None, key=lambda put: put.version)


def read_logs(ws: Workspace, task: Task, sessions: Collection[str], columns: Columns) -> dict[str, Logged]:
    """Fold what the logs have of these sessions. One segment is in memory at a time."""
    found = {session: Logged() for session in sessions}
    stored = cache(ws.shadow.segment)
    wanted: dict[tuple[str, SegmentFile | None], tuple[int, set[str]]] = {}
    for session in sessions:
        for device, sequence in ws.shadow.places(session):
            wanted.setdefault((device, stored(device, sequence)), (sequence, set()))[1].add(session)
    for (device, segment), (sequence, mentioned) in sorted(wanted.items(), key=lambda item: (item[1][0], item[0][0])):
        task.check()
        try:
            _read(ws, (device, sequence), segment, mentioned, columns, found)
        except SidecarError as error:
            if error.kind not in UNUSABLE:
                raise
            for session in mentioned:
                found[session].complete = False
    return found


def _read(ws: Workspace, place: Place, file: SegmentFile | None, sessions: Iterable[str], columns: Columns, found: dict[str, Logged]) -> None:
    device, sequence = place
    if file is None:
        raise SidecarError("segmentCorrupt", "A segment is missing.", detail=f"{device} {sequence}")
    for group in open_segment(ws, device, file).groups(frozenset(sessions)):
        for record in group.records:
            logged = found[group.session_id]
            if not _well_formed(record):
                logged.complete = False  # no version of ours writes that; it is quarantined
                continue
            try:
                digest = _digest(ws, record, columns)
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
                digest = None
            logged.add(record, group.sequence, digest)


def _well_formed(record: Record) -> bool:
    """Whether what is compared here has the types that our own records have."""
    version, seen = record.version, record.seen if record.columns is None else None
    return (
        all(type(number) is int for number in (version.time, version.counter))
        and isinstance(record.key, str)
        and isinstance(record.columns, dict | None)
        and (seen is None or (isinstance(seen, dict) and all(type(number) is int for number in seen.values())))
    )


def _digest(ws: Workspace, record: Record, columns: Columns) -> bytes | None:
    """Of the row that applying this record makes; None when it has more columns here, refers to a large value, or lacks a secret."""
    known = columns.get(record.table)
    if record.columns is None or known is None or record.table == SESSION:
        return None
    if any(getattr(value, "sha256", None) is not None or (isinstance(value, str) and "[redacted:" in value) for value in record.columns.values()):
        return None
    if record.table == TODO:
        items = [{name: value for name, value in item.items() if name in known} for item in record.columns["items"]]
        if "[redacted:" in str(items) or any(getattr(value, "sha256", None) for item in items for value in item.values()):
            return None
        return ws.tools.hash_row({"items": items, "time_updated": max((item.get("time_updated") or 0 for item in items), default=None)})
    row = {name: value for name, value in record.columns.items() if name in known} | {"id": record.key, "session_id": record.session_id}
    if not row.keys() >= known.keys() - {"seq"}:
        return None
    return ws.tools.hash_row({name: value for name, value in row.items() if not (record.table == SESSION_MESSAGE and name == "seq")})
