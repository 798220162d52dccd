"""Finding what changed in one session since it was last recorded, as records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sidecar.domain.clock import HybridClock
from sidecar.domain.fitness import last_update, readable
from sidecar.domain.records import (
    COUNTERS,
    LOCAL_SESSION_COLUMNS,
    MESSAGE,
    PART,
    SESSION,
    SESSION_MESSAGE,
    TODO,
    Record,
    Version,
    VersionVector,
    next_version,
)
from sidecar.domain.state import Row, SessionRows, ShadowRow
from sidecar.domain.turns import Verdict, judge

ShadowRows = dict[tuple[str, str], ShadowRow]


def value_hash(value: Any) -> str:
    """Short hash of one column's local value; NULL has the empty one."""
    if value is None:
        return ""
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value if isinstance(value, bytes) else repr(value).encode()
    return hashlib.blake2b(data, digest_size=6, person=type(value).__name__.encode()[:16]).hexdigest()


@dataclass(slots=True)
class Change:
    """A record to publish and what the shadow is to know of the row once it is (None: the row is gone)."""

    record: Record
    shadow: ShadowRow | None


@dataclass(slots=True)
class SessionScan:
    """Changes of one session, parents first; `verdict` says from where on they must wait."""

    session_id: str
    title: str
    changes: list[Change] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    adopted: list[tuple[str, str, ShadowRow]] = field(default_factory=list)
    """Rows that differ only in what never leaves this machine: the shadow is to know them as they are."""
    held: bool = False
    """Something is left out because of a secret in it."""

    @property
    def withheld(self) -> bool:
        return self.verdict.from_index is not None


@dataclass(frozen=True, slots=True)
class Scanner:
    """Compares a session's rows with the shadow. Pure but for the functions it is given."""

    device: str
    clock: HybridClock
    hash_row: Callable[[Row], bytes]
    portable: Callable[[Row], Row]

    def vanished(self, session_id: str, seen: VersionVector, known: ShadowRows) -> Change:
        """The tombstone of a whole session: it covers every row of it that this device had seen."""
        newest = max((row.version for row in known.values()), default=Version(self.clock.now(), 0, self.device))
        version = newest.after(self.device)
        return Change(Record(SESSION, session_id, session_id, version, None, dict(seen)), None)

    def everything(self, rows: SessionRows) -> Iterator[Change]:
        """Every row of a session, an empty todo list included, as if nothing had ever been recorded."""
        session_id = str(rows.session["id"])
        return self._changes(session_id, rows, {(TODO, session_id): ShadowRow(Version(0, 0, ""), 0, b"", None)}, derived_counters=False)

    def session(self, rows: SessionRows, known: ShadowRows, seen: VersionVector, *, derived_counters: bool) -> SessionScan:
        session_id = str(rows.session["id"])
        scan = SessionScan(session_id, readable(rows.session.get("title") or ""))
        changed = list(self._changes(session_id, rows, known, derived_counters=derived_counters))
        if changed and changed[0].record.columns == {} and changed[0].shadow is not None:
            scan.adopted.append((SESSION, session_id, changed.pop(0).shadow))  # type: ignore[arg-type]
        present = {(SESSION, session_id), (TODO, session_id)}
        present.update((table, key) for table, found in _tables(rows) for key in found)
        for (table, key), row in known.items():
            if (table, key) in present:
                continue
            if table == SESSION_MESSAGE:
                # An upgrade to 1.17 empties this table: its rows are never reported as deleted one by one.
                scan.forgotten.append((table, key))
                continue
            version = row.version.after(self.device)
            changed.append(Change(Record(table, key, session_id, version, None, dict(seen)), None))
        if changed:
            scan.verdict = self._judge(changed, rows)
        scan.changes = changed if scan.verdict.from_index is None else before(changed, rows, scan.verdict.from_index)
        return scan

    def _judge(self, changed: list[Change], rows: SessionRows) -> Verdict:
        written, others = dict.fromkeys(rows.messages, 0), []
        for record, shadow in ((change.record, change.shadow) for change in changed):
            if shadow is None:
                continue
            message = rows.parts[record.key]["message_id"] if record.table == PART else record.key
            if message in written:
                written[message] = max(written[message], shadow.updated or 0)
            else:
                others.append(shadow.updated or 0)
        return judge([str(row["data"]) for row in rows.messages.values()], list(written.values()), others, self.clock.wall())

    def _changes(self, session_id: str, rows: SessionRows, known: ShadowRows, *, derived_counters: bool) -> Iterator[Change]:
        change = self._session_row(rows.session, known.get((SESSION, session_id)), derived_counters=derived_counters)
        if change is not None:
            yield change
        parts_of: dict[str, list[str]] = {}
        for part_id, part in rows.parts.items():
            parts_of.setdefault(part["message_id"], []).append(part_id)
        for message_id, message in rows.messages.items():
            yield from self._row(MESSAGE, message_id, session_id, message, known)
            for part_id in parts_of.get(message_id, ()):
                yield from self._row(PART, part_id, session_id, rows.parts[part_id], known)
        if rows.todos or (TODO, session_id) in known:
            items = [{name: value for name, value in item.items() if name != "session_id"} for item in rows.todos]
            updated = last_update(items)
            yield from self._row(TODO, session_id, session_id, {"items": items, "time_updated": updated}, known)
        for key, row in rows.session_messages.items():
            yield from self._row(SESSION_MESSAGE, key, session_id, {name: value for name, value in row.items() if name != "seq"}, known)

    def _row(self, table: str, key: str, session_id: str, row: Row, known: ShadowRows) -> Iterator[Change]:
        digest = self.hash_row(row)
        before = known.get((table, key))
        if before is not None and before.hash == digest:
            return
        updated = row.get("time_updated")
        moved = isinstance(updated, int) and (before is None or before.updated != updated)
        version = next_version(self.device, updated if moved and isinstance(updated, int) else self.clock.now(), before.version if before else None)
        columns = {name: value for name, value in row.items() if name not in ("id", "session_id")}
        if table == TODO:
            columns = {"items": row["items"]}
        yield Change(Record(table, key, session_id, version, columns), ShadowRow(version, 0, digest, updated if isinstance(updated, int) else None))

    def _session_row(self, row: Row, before: ShadowRow | None, *, derived_counters: bool) -> Change | None:
        digest = self.hash_row(row)
        if before is not None and before.hash == digest:
            return None
        cells = dict(before.cells or {}) if before else {}
        changed = []
        for name, value in row.items():
            if name in LOCAL_SESSION_COLUMNS or (derived_counters and name in COUNTERS):
                continue
            cell = cells.get(name)
            if cell is None:
                # A column that came with an upgrade says nothing as long as it is empty, or a total that opencode filled in.
                if before is None or (value is not None and name not in COUNTERS):
                    changed.append(name)
            elif cell[3] != value_hash(value):
                changed.append(name)
        if not changed and before is not None:
            adopted = ShadowRow(before.version, before.sequence, digest, before.updated, before.cells)
            return Change(Record(SESSION, str(row["id"]), str(row["id"]), before.version, {}), adopted)
        session_id, updated = str(row["id"]), row.get("time_updated")
        moved = "time_updated" in changed and isinstance(updated, int)
        version = next_version(self.device, updated if moved and isinstance(updated, int) else self.clock.now(), before.version if before else None)
        if {"project_id", "directory"} & set(changed):
            changed = [*changed, *({"project_id", "directory"} - set(changed))]
        for name in changed:
            cells[name] = [*version, value_hash(row.get(name))]
        portable = self.portable(row)
        columns = {name: portable[name] for name in changed if name in portable}
        return Change(
            Record(SESSION, session_id, session_id, version, columns),
            ShadowRow(version, 0, digest, updated if isinstance(updated, int) else None, cells),
        )


def _tables(rows: SessionRows) -> tuple[tuple[str, dict[str, Row]], ...]:
    return ((MESSAGE, rows.messages), (PART, rows.parts), (SESSION_MESSAGE, rows.session_messages))


def before(changes: list[Change], rows: SessionRows, index: int) -> list[Change]:
    """What may be published while the messages from `index` on must wait: nothing of them, nor what they changed around them."""
    if index == 0:
        return []
    waiting = set(list(rows.messages)[index:])
    kept = []
    for change in changes:
        record = change.record
        if record.key in waiting or (record.table == PART and record.key in rows.parts and rows.parts[record.key]["message_id"] in waiting):
            continue
        if record.table in (TODO, SESSION_MESSAGE) or (record.table == SESSION and change.shadow is not None and change.shadow.cells is None):
            continue
        kept.append(change)
    return kept
