"""Applying what waits in the logs to opencode's database, one session at a time.

The unit of progress is one session's records in one segment. Its entry in the shadow says APPLIED only after the
database has them, so a crash anywhere means that the same records are planned again, against what the database then
holds; rows that are already as they should be are adopted without a write.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sidecar.domain.counters import recompute
from sidecar.domain.errors import SidecarError
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO, Group, Version, any_unseen, covers
from sidecar.domain.state import (
    APPLIED,
    BUSY,
    FUTURE,
    NEW,
    PARENT_MISSING,
    QUARANTINED,
    UNPLACED,
    LocalChange,
    Op,
    Row,
    SessionRows,
    ShadowRow,
    Waiting,
    WriteCounts,
)
from sidecar.domain.task import Task
from sidecar.services.merge import Environment, Plan, plan_group
from sidecar.services.publish import note_divergence
from sidecar.services.receive import MAX_SEGMENT_BYTES
from sidecar.services.scan import ShadowRows
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.adapters.segments import SegmentReader
    from sidecar.adapters.sqlite.writer import RowWriter

MAX_VALUE_BYTES = 2 << 30
_DELETE_ORDER = {PART: 0, MESSAGE: 1, SESSION_MESSAGE: 2, TODO: 3, SESSION: 4}


class Applier:
    """Everything that one cycle applies. `dry` plans and counts, and writes nothing anywhere."""

    def __init__(self, workspace: Workspace, task: Task, cycle: str, *, dry: bool = False) -> None:
        self.ws, self.task, self.cycle, self.dry = workspace, task, cycle, dry
        self.counts = WriteCounts()
        self.sessions: dict[str, str] = {}
        self.warnings: list[str] = []
        self._schema = workspace.db.schema()
        self._writer: RowWriter | None = None
        self._reader: tuple[tuple[str, int], SegmentReader] | None = None
        self._refolding: set[str] = set()
        self._entry = 0

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    # --- which records to try -------------------------------------------------------------------------------------
    def run(self, states: Iterable[int] = (NEW, BUSY, PARENT_MISSING), *, device: str | None = None) -> None:
        """Apply what waits in these states, and what became possible meanwhile, until nothing more does."""
        states = set(states) | self._due()
        while True:
            before = (self.counts.total, len(self.sessions))
            work = [w for w in self.ws.shadow.waiting(sorted(states)) if (device is None or w.device == device) and self._is_due(w)]
            if not work:
                return
            self._pass(work)
            left = [w for w in self.ws.shadow.waiting([NEW]) if device is None or w.device == device]
            if self.dry or (not left and (self.counts.total, len(self.sessions)) == before):
                return
            states = {NEW, PARENT_MISSING}

    def _due(self) -> set[int]:
        """Reasons that may have gone since the last cycle."""
        shadow, due = self.ws.shadow, {FUTURE}
        projects = self.ws.projects_fingerprint()
        if shadow.get("projects") != projects:
            due.add(UNPLACED)
        schema = [self._schema.fingerprint, self._schema.level]
        if shadow.get("schema") != schema:
            due.add(QUARANTINED)
            if shadow.get("schema") is not None and not self.dry:
                with shadow.writing():
                    shadow.reopen_unknown_columns()
        if not self.dry:
            with shadow.writing():
                shadow.put("projects", projects)
                shadow.put("schema", schema)
        return due

    def _is_due(self, waiting: Waiting) -> bool:
        return waiting.state != FUTURE or waiting.until <= self.ws.clock.wall()

    def _pass(self, work: Sequence[Waiting]) -> None:
        by_segment: dict[tuple[str, int], set[str]] = {}
        for waiting in work:
            by_segment.setdefault((waiting.device, waiting.sequence), set()).add(waiting.session)
        total, done = len(work), 0
        for (device, sequence), sessions in by_segment.items():
            try:
                reader = self._open(device, sequence)
                for group in reader.groups(frozenset(sessions)):
                    self.task.report("apply", done, total)
                    self._group(group)
                    done += 1
            except SidecarError as error:
                if error.kind not in ("segmentCorrupt", "newerFormat"):
                    raise
                self.warnings.append(f"{error.message} ({error.detail})")

    def _open(self, device: str, sequence: int) -> SegmentReader:
        if self._reader is None or self._reader[0] != (device, sequence):
            found = self.ws.shadow.segment(device, sequence)
            if found is None:
                raise SidecarError("segmentCorrupt", "A segment is missing.", detail=f"{device} {sequence}")
            data = self.ws.repo.read_blob(found[0], limit=MAX_SEGMENT_BYTES)
            self._reader = ((device, sequence), self.ws.tools.segment_reader(data, found[1], device=device, sequence=sequence))
        return self._reader[1]

    # --- one session's records in one segment ---------------------------------------------------------------------
    def _group(self, group: Group) -> None:
        shadow, session = self.ws.shadow, group.session_id
        tombstones = [record for record in group.records if record.is_tombstone]
        if tombstones:
            with shadow.writing():
                for record in tombstones:
                    shadow.bury(session, record.table, record.key, record.seen or {})
        tombs, known = shadow.tombstones(session), shadow.rows(session)
        buried = tombs.get((SESSION, session))
        try:
            if buried is not None and not any_unseen(buried, shadow.put_dots(session)):
                self._delete_session(session, known)
                return
            if buried is not None and not known and session not in self._refolding:
                self._refold(session)
                return
            self._merge(group, known, tombs)
        except LocalChange as change:
            with shadow.writing():
                shadow.mark(session, group.device, group.sequence, BUSY, detail=f"changed here meanwhile: {change}")
                shadow.forget_scan(session)

    def _refold(self, session: str) -> None:
        """A deleted session that somebody had gone on with comes back whole, here too: every record of it is due again."""
        self._refolding.add(session)
        with self.ws.shadow.writing():
            self.ws.shadow.mark_all(session, NEW)

    def _merge(self, group: Group, known: ShadowRows, tombs: dict[tuple[str, str], dict[str, int]]) -> None:
        shadow, session = self.ws.shadow, group.session_id
        parent = next((r.columns.get("parent_id") for r in group.records if r.table == SESSION and r.columns), None)
        if parent and (SESSION, session) not in known and not shadow.has_session(parent) and parent not in self.sessions and shadow.put_dots(parent):
            unplaced = UNPLACED in shadow.states_of(parent)
            plan = Plan(state=UNPLACED if unplaced else PARENT_MISSING, detail="its parent session has not been applied")
        else:
            plan = plan_group(group, known, tombs, self._environment())
        ops = plan.ops + self._deletes(plan, known, tombs, session)
        self._write(session, ops)
        if not self.dry and ops:
            self._recount(session, ops)
        with shadow.writing():
            shadow.mark(session, group.device, group.sequence, plan.state, until=plan.until, detail=plan.detail)
            if len(shadow.writers(session)) > 1:
                note_divergence(self.ws, session)

    def _environment(self) -> Environment:
        columns = {
            table: {name: _default(column) for name, column in found.items() if not (table == SESSION_MESSAGE and name == "seq")}
            for table, found in self._schema.columns.items()
        }
        ws = self.ws
        return Environment(columns, ws.tools.hash_row, ws.localise_session, ws.tools.problem_with, ws.tools.role_of, self._load, ws.clock.wall())

    def _load(self, value: Any) -> Any:
        """Fetch a large value that a record only refers to."""
        chunks = getattr(value, "chunks", None)
        if chunks is None or self._reader is None:
            return value
        (device, _), _reader = self._reader
        commit = self.ws.shadow.head_of(device)[0] or ""
        data = b""
        for path in chunks:
            part = self.ws.repo.read_file(commit, path, limit=MAX_VALUE_BYTES)
            if part is None:
                raise SidecarError("segmentCorrupt", "A large value is missing from the vault.", detail=path)
            data += self.ws.tools.decompress(part, value.size)
        if len(data) != value.size or self.ws.tools.sha256(data) != value.sha256:
            raise SidecarError("segmentCorrupt", "A large value does not match its checksum.", detail=chunks[0])
        return data.decode("utf-8", "surrogateescape") if value.is_text else data

    # --- deletions ------------------------------------------------------------------------------------------------
    def _deletes(self, plan: Plan, known: ShadowRows, tombs: dict[tuple[str, str], dict[str, int]], session: str) -> list[Op]:
        ops: list[Op] = []
        for at in plan.contested:
            row = known.get(at)
            if row is None:
                continue
            survivor = self._unseen_put(session, at, tombs[at]) if any_unseen(tombs[at], self.ws.shadow.put_dots(session)) else None
            if survivor is not None:
                ops.append(Op(at[0], at[1], survivor[0], row.hash, survivor[1]))
                known[at] = survivor[1]
            else:
                ops.append(Op(at[0], at[1], None, row.hash))
                known.pop(at, None)
        return sorted(ops, key=lambda op: _DELETE_ORDER[op.table] if op.columns is None else 9)

    def _unseen_put(self, session: str, at: tuple[str, str], seen: dict[str, int]) -> tuple[Row, ShadowRow] | None:
        """The newest put of a row that the deleter had not seen, from the logs."""
        best: tuple[Version, int, Row] | None = None
        kept = self._reader
        for device, sequence in self.ws.shadow.session_segments(session):
            if covers(seen, device, sequence):
                continue
            for group in self._open(device, sequence).groups(frozenset({session})):
                for record in group.records:
                    if (record.table, record.key) == at and record.columns is not None and (best is None or record.version > best[0]):
                        columns = {name: self._load(value) for name, value in record.columns.items()}
                        best = (record.version, sequence, columns)
        self._reader = kept
        if best is None:
            return None
        version, sequence, columns = best
        schema = self._schema.columns[at[0]]
        local = {"id": at[1], "session_id": session, **{name: value for name, value in columns.items() if name in schema}}
        return local, ShadowRow(version, sequence, self.ws.tools.hash_row(local), local.get("time_updated"))

    def _delete_session(self, session: str, known: ShadowRows) -> None:
        ops = [Op(table, key, None, row.hash) for (table, key), row in known.items()]
        ops.sort(key=lambda op: _DELETE_ORDER[op.table])
        self._write(session, ops, deletes=True)
        if not self.dry:
            with self.ws.shadow.writing():
                self.ws.shadow.drop_session(session)
        with self.ws.shadow.writing():
            self.ws.shadow.mark_all(session, APPLIED)

    # --- writing --------------------------------------------------------------------------------------------------
    def _write(self, session: str, ops: Sequence[Op], *, deletes: bool = False) -> None:
        if not ops:
            return
        change = "deleteIn" if deletes else "in"
        if self.dry:
            self.sessions[session] = change
            self.counts.add(
                WriteCounts(
                    inserted=sum(op.columns is not None and op.expected is None for op in ops),
                    updated=sum(op.columns is not None and op.expected is not None for op in ops),
                    deleted=sum(op.columns is None for op in ops),
                )
            )
            return
        if self._writer is None:
            self._writer = self.ws.tools.row_writer(self._schema)
        done = self._writer.write(ops, self.task, lambda chunk, images: self._journal(session, chunk, images), lambda chunk: self._note(session, chunk))
        self.counts.add(done)
        if self._writer.unknown_rows:
            self._writer.unknown_rows = False
            with self.ws.shadow.writing():
                self.ws.shadow.forget_scan(session)
        if done.total:
            self.sessions[session] = change

    def _journal(self, session: str, chunk: Sequence[Op], images: Sequence[tuple[str, str, Row | None]]) -> None:
        tools, shadow = self.ws.tools, self.ws.shadow
        before = tools.compress(tools.pack([list(image) for image in images]))
        after = tools.pack([[op.table, op.key, _packed(op.after)] for op in chunk])
        with shadow.writing():
            self._entry = shadow.journal(self.cycle, int(time.time() * 1000), session, before, after)

    def _note(self, session: str, chunk: Sequence[Op]) -> None:
        with self.ws.shadow.writing():
            _remember(self.ws, session, [(op.table, op.key, op.after) for op in chunk])
            self.ws.shadow.journal_done(self._entry)

    def _recount(self, session: str, ops: Sequence[Op]) -> None:
        """Counters are not registers: with several writers they follow from the merged messages, the same everywhere."""
        columns = self._schema.columns[SESSION]
        if "cost" not in columns or not any(op.table in (MESSAGE, SESSION) for op in ops):
            return
        known = self.ws.shadow.rows(session).get((SESSION, session))
        if known is None or (len(self.ws.shadow.writers(session)) < 2 and "cost" in (known.cells or {})):
            return
        rows = self.ws.db.session(session)
        if rows is None:
            return
        totals = {name: value for name, value in recompute(str(m["data"]) for m in rows.messages.values()).items() if name in columns}
        wrong = {name: value for name, value in totals.items() if rows.session.get(name) != value}
        if wrong:
            after = ShadowRow(known.version, known.sequence, b"", known.updated, known.cells)
            self._write(session, [Op(SESSION, session, wrong, known.hash, after)])


def _default(column: Any) -> Any:
    """What a NOT NULL column gets that the record's writer never knew; None when the database has a default of its own."""
    return column.empty if column.not_null and column.default is None and not column.primary_key else None


def _packed(row: ShadowRow | None) -> list[Any] | None:
    return None if row is None else [list(row.version), row.sequence, row.hash, row.updated, row.cells]


def _remember(ws: Workspace, session: str, rows: Iterable[tuple[str, str, ShadowRow | None]]) -> None:
    puts, gone = [], []
    for table, key, row in rows:
        if row is None:
            gone.append((table, key))
        else:
            puts.append((table, key, row))
    ws.shadow.put_rows(session, puts)
    ws.shadow.drop_rows(session, gone)


def recover_journal(ws: Workspace) -> None:
    """After a crash between the database's commit and the shadow's: adopt what did reach the database."""
    for entry, session, after in ws.shadow.journal_open():
        rows = ws.db.session(session)
        present = row_hashes(ws, rows) if rows is not None else {}
        adopted: list[tuple[str, str, ShadowRow | None]] = []
        for table, key, packed in ws.tools.unpack(after):
            if packed is None:
                if (table, key) not in present:
                    adopted.append((table, key, None))
                continue
            version, sequence, digest, updated, cells = packed
            if present.get((table, key)) == digest:
                adopted.append((table, key, ShadowRow(Version(*version), sequence, digest, updated, cells)))
        with ws.shadow.writing():
            _remember(ws, session, adopted)
            ws.shadow.journal_done(entry)


def row_hashes(ws: Workspace, rows: SessionRows) -> dict[tuple[str, str], bytes]:
    """Content hash of every row of a session, as the shadow records them."""
    hash_row, session = ws.tools.hash_row, str(rows.session["id"])
    found = {(SESSION, session): hash_row(rows.session)}
    for table, group in ((MESSAGE, rows.messages), (PART, rows.parts)):
        found.update(((table, key), hash_row(row)) for key, row in group.items())
    for key, row in rows.session_messages.items():
        found[(SESSION_MESSAGE, key)] = hash_row({name: value for name, value in row.items() if name != "seq"})
    if rows.todos:
        items = [{name: value for name, value in item.items() if name != "session_id"} for item in rows.todos]
        updated = max((item.get("time_updated") or 0 for item in items), default=None)
        found[(TODO, session)] = hash_row({"items": items, "time_updated": updated})
    return found
