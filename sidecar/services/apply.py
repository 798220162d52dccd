"""Applying what waits in the logs to opencode's database, one session at a time.

The unit of progress is one session's records in one segment. Its entry in the shadow says APPLIED only after the
database has them, so a crash anywhere means that the same records are planned again, against what the database then
holds; rows that are already as they should be are adopted without a write.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from protocol import VERSION
from sidecar.domain.counters import wrong_totals
from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import Unfit, readable
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO, Group, Place, Version, any_unseen, covers
from sidecar.domain.state import (
    APPLIED,
    BUSY,
    FUTURE,
    NEW,
    PARENT_MISSING,
    QUARANTINED,
    UNKNOWN,
    UNPLACED,
    UNREADABLE,
    LocalChange,
    Op,
    Row,
    ShadowRow,
    Waiting,
    WriteCounts,
    WriteRefused,
)
from sidecar.domain.task import Task
from sidecar.services.history import note_images
from sidecar.services.merge import Environment, Plan, plan_group
from sidecar.services.publish import note_divergence
from sidecar.services.receive import by_file, open_segment
from sidecar.services.rows import load_value, packed, row_hashes
from sidecar.services.scan import ShadowRows
from sidecar.services.secrets import Originals
from sidecar.services.standing import UNUSABLE
from sidecar.services.unshown import note_unshown
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.adapters.segments import SegmentReader
    from sidecar.adapters.sqlite.writer import RowWriter

_DELETE_ORDER = {PART: 0, MESSAGE: 1, SESSION_MESSAGE: 2, TODO: 3, SESSION: 4}


class Applier:
    """Everything that one cycle applies. `dry` plans and counts, and writes nothing anywhere."""

    def __init__(self, workspace: Workspace, task: Task, cycle: str, *, dry: bool = False) -> None:
        self.ws, self.task, self.cycle, self.dry = workspace, task, cycle, dry
        self.counts = WriteCounts()
        self.sessions: dict[str, str] = {}
        self.titles: dict[str, str] = {}
        self.warnings: list[str] = []
        self._schema = workspace.db.schema()
        self._originals = Originals(workspace)
        self._env = self._environment()
        self._writer: RowWriter | None = None
        self._reader: tuple[tuple[str, str], SegmentReader] | None = None
        self._refolding: set[str] = set()
        self._writing: set[str] = set()
        self._reopened: set[tuple[str, str, int]] = set()
        self._placed = False
        self._entry = 0

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    # --- which records to try -------------------------------------------------------------------------------------
    def run(self) -> None:
        """Apply what waits, and what became possible meanwhile, until nothing more does."""
        self._settle({NEW, BUSY, PARENT_MISSING} | self._due())
        while self._placed:  # what hung on it can be placed, too, or never will be
            self._placed = False
            self._settle({UNPLACED})
        if not self.dry:
            with self.ws.shadow.writing():  # only now: who dies before this finds the same reasons gone again
                self.ws.shadow.put("projects", self._projects)
                self.ws.shadow.put("schema", self._state)
            for session, anyway in self.ws.shadow.recounts().items():
                self._recount(session, anyway=anyway)

    def _settle(self, states: set[int]) -> None:
        while True:
            before = (self.counts.total, len(self.sessions))
            work = [w for w in self.ws.shadow.waiting(sorted(states)) if self._is_due(w)]
            if not work:
                return
            self._pass(work)
            left = self.ws.shadow.waiting([NEW])
            if self.dry or (not left and (self.counts.total, len(self.sessions)) == before):
                return
            states = {NEW, PARENT_MISSING}

    def _due(self) -> set[int]:
        """Reasons that may have gone since the last cycle."""
        shadow, due = self.ws.shadow, {FUTURE}
        self._projects = self.ws.projects_fingerprint()
        if shadow.get("projects") != self._projects:
            due.add(UNPLACED)
        self._state = [self._schema.fingerprint, self._schema.level, shadow.get("opencode", [None])[0], VERSION]
        if shadow.get("schema") != self._state:
            due.add(QUARANTINED)
            if shadow.get("schema") is not None and not self.dry:
                with shadow.writing():
                    shadow.reopen_unknown_columns()
        return due

    def _is_due(self, waiting: Waiting) -> bool:
        return waiting.state != FUTURE or waiting.until <= self.ws.clock.wall()

    def _pass(self, work: Sequence[Waiting]) -> None:
        self._env = self._environment()
        self._writing = {session for session, reason, *_ in self.ws.shadow.local_waiting() if reason == "busy"}
        total, done = len(work), 0
        for device, places in by_file(self.ws, ((w.device, (w.session, w.sequence)) for w in work)):
            left = set(places)
            try:
                for group in self._open(device, next(iter(places))[1]).groups(exactly=places):
                    self.task.report("apply", done, total)
                    left.discard((group.session_id, group.sequence))
                    self._group(group)
                    done += 1
                if left:
                    raise SidecarError("segmentCorrupt", "A segment lacks what its directory names.", detail=f"{device} {min(left)[1]}")
            except SidecarError as error:
                self._unusable(device, left, error)

    def _unusable(self, device: str, places: set[Place], error: SidecarError) -> None:
        """What cannot be read waits until its device's log moves; the rest goes on. Other errors are raised again."""
        if error.kind not in UNUSABLE:
            raise error
        self.warnings.append(f"{error.message} ({error.detail})")
        with self.ws.shadow.writing():
            for session, sequence in places:
                self.ws.shadow.mark(session, device, sequence, UNREADABLE, detail=error.message)
                self.ws.shadow.put_problem(device, sequence, error.message)

    def _open(self, device: str, sequence: int) -> SegmentReader:
        found = self.ws.shadow.segment(device, sequence)
        if found is None:
            raise SidecarError("segmentCorrupt", "A segment is missing.", detail=f"{device} {sequence}")
        if self._reader is None or self._reader[0] != (device, found.blob):
            self._reader = ((device, found.blob), open_segment(self.ws, device, found))
        return self._reader[1]

    # --- one session's records in one segment ---------------------------------------------------------------------
    def _group(self, group: Group) -> None:
        shadow, session = self.ws.shadow, group.session_id
        self._originals.forget()
        tombstones = [record for record in group.records if record.is_tombstone]
        if tombstones:
            with shadow.writing():
                for record in tombstones:
                    shadow.bury(session, record.table, record.key, record.seen or {})
        tombs, known = shadow.tombstones(session), shadow.rows(session)
        buried = tombs.get((SESSION, session))
        if session in self._writing:
            with shadow.writing():
                shadow.mark(session, group.device, group.sequence, BUSY, detail="a turn is being written here")
            return
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
        except (Unfit, WriteRefused) as error:
            self._quarantine(group, f"it cannot be written here: {error}")
        except SidecarError as error:
            self._unusable(group.device, {(session, group.sequence)}, error)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            # Records of a shape that no version of ours writes: one session of one device, not the end of all sync.
            self._quarantine(group, f"malformed records ({type(error).__name__})")

    def _quarantine(self, group: Group, why: str) -> None:
        with self.ws.shadow.writing():
            self.ws.shadow.mark(group.session_id, group.device, group.sequence, QUARANTINED, detail=why)

    def _refold(self, session: str) -> None:
        """A deleted session that somebody had gone on with comes back whole, here too: every record of it is due again."""
        self._refolding.add(session)
        with self.ws.shadow.writing():
            self.ws.shadow.mark_all(session, NEW)

    def _merge(self, group: Group, known: ShadowRows, tombs: dict[tuple[str, str], dict[str, int]]) -> None:
        shadow, session = self.ws.shadow, group.session_id
        parent = next((r.columns.get("parent_id") for r in group.records if r.table == SESSION and r.columns), None)
        if parent and (SESSION, session) not in known and self._is_to_come(parent):
            unplaced = UNPLACED in shadow.states_of(parent)
            plan = Plan(state=UNPLACED if unplaced else PARENT_MISSING, detail="its parent session has not been applied")
        else:
            plan = plan_group(group, known, tombs, self._env)
        ops = plan.ops + self._deletes(plan, known, tombs, session)
        entry = (session, group.device, group.sequence)
        waited = UNPLACED in shadow.states_of(session) and not self._is_here(session)
        if plan.returned and entry not in self._reopened:  # once: what the database refuses returns again and again
            self._reopened.add(entry)
            with shadow.writing():
                shadow.reopen(session)
        if not self.dry:
            note_unshown(self.ws, session, known, ops)
        self._write(session, ops)
        with shadow.writing():
            shadow.put_rows(session, [(table, key, row) for table, key, row in plan.adopted if known.get((table, key)) is row])
            shadow.mark(*entry, plan.state, until=plan.until, detail=plan.detail)
            if waited and (self._is_here(session) or UNPLACED not in shadow.states_of(session)):
                self._note_placed()
            shadow.need_recount([session], anyway=group.device == self.ws.identity.device_id)
            if not plan.state and not any(op.table == MESSAGE and op.expected is None for op in ops):
                shadow.forget_context(session, group.device, group.sequence)  # it brought no message that was not here: a copied database, say
            if len(shadow.writers(session)) > 1:
                note_divergence(self.ws, session)

    def _note_placed(self) -> None:
        """What hangs on a session that waited for its project is due, in this cycle or, when it dies, in the next."""
        self._placed = True
        self.ws.shadow.put("projects", None)

    def _is_here(self, session: str) -> bool:
        return session in self.sessions or self.ws.shadow.has_session(session)

    def _is_to_come(self, parent: str) -> bool:
        """Whether a parent session that is not here will be: one that was deleted will not, and its child may live on."""
        shadow = self.ws.shadow
        if self._is_here(parent):
            return False
        puts, buried = shadow.put_dots(parent), shadow.tombstones(parent).get((SESSION, parent))
        return bool(puts) and (buried is None or any_unseen(buried, puts))

    def _environment(self) -> Environment:
        columns = {
            table: {name: column.filler for name, column in found.items() if not (table == SESSION_MESSAGE and name == "seq")}
            for table, found in self._schema.columns.items()
        }
        ws = self.ws
        return Environment(
            columns, ws.tools.hash_row, ws.localise_session, ws.tools.problem_with, ws.tools.role_of, self._load, ws.clock.wall(), self._originals.row
        )

    def _load(self, value: Any) -> Any:
        """Fetch a large value that a record of the open segment only refers to."""
        return load_value(self.ws, value, self._reader[0][0]) if self._reader is not None else value

    # --- deletions ------------------------------------------------------------------------------------------------
    def _deletes(self, plan: Plan, known: ShadowRows, tombs: dict[tuple[str, str], dict[str, int]], session: str) -> list[Op]:
        ops: dict[tuple[str, str], Op] = {}
        for at in plan.contested:
            row = known.get(at)
            if row is None:
                continue
            survivor = self._unseen_put(session, at, tombs[at]) if any_unseen(tombs[at], self.ws.shadow.put_dots(session)) else None
            if survivor is not None:
                ops[at] = Op(at[0], at[1], survivor[0], row.hash, survivor[1])
                known[at] = survivor[1]
            else:
                ops[at] = Op(at[0], at[1], None, row.hash)
        for part in self._parts_of({key for (table, key), op in ops.items() if table == MESSAGE and op.columns is None}, session):
            # A message takes its parts along, also one that somebody changed meanwhile: what keeps a message is a change of itself.
            at = (PART, part)
            if at in known:
                ops[at] = Op(PART, part, None, ops[at].expected if at in ops else known[at].hash)
        for at, op in ops.items():
            if op.columns is None:
                known.pop(at, None)
        return sorted(ops.values(), key=lambda op: _DELETE_ORDER[op.table] if op.columns is None else 9)

    def _parts_of(self, messages: set[str], session: str) -> list[str]:
        rows = self.ws.db.session(session) if messages else None
        return [key for key, part in rows.parts.items() if part["message_id"] in messages] if rows is not None else []

    def _unseen_put(self, session: str, at: tuple[str, str], seen: dict[str, int]) -> tuple[Row, ShadowRow] | None:
        """The newest put of a row that the deleter had not seen, from the logs."""
        best: tuple[Version, int, Row] | None = None
        kept = self._reader
        unseen = [(device, (session, sequence)) for device, sequence in self.ws.shadow.session_segments(session) if not covers(seen, device, sequence)]
        for device, places in by_file(self.ws, unseen):
            for group in self._open(device, next(iter(places))[1]).groups(exactly=places):
                for record in group.records:
                    if (record.table, record.key) == at and record.columns is not None and (best is None or record.version > best[0]):
                        columns = {name: self._load(value) for name, value in record.columns.items()}
                        best = (record.version, group.sequence, columns)
        self._reader = kept
        if best is None:
            return None
        version, sequence, columns = best
        columns = self._originals.row(session, *at, columns)
        schema = self._schema.columns[at[0]]
        local = {"id": at[1], "session_id": session, **{name: value for name, value in columns.items() if name in schema}}
        return local, ShadowRow(version, sequence, self.ws.tools.hash_row(local), local.get("time_updated"))

    def _delete_session(self, session: str, known: ShadowRows) -> None:
        """Delete all of a session, or nothing: what is here and was never recorded may be somebody's next turn."""
        shadow = self.ws.shadow
        local = self.ws.db.session(session)
        present = row_hashes(self.ws, local) if local is not None else {}
        ops = [Op(table, key, None, row.hash) for (table, key), row in known.items()]
        ops.sort(key=lambda op: _DELETE_ORDER[op.table])
        try:
            if any(at not in known or known[at].hash != digest for at, digest in present.items()):
                raise LocalChange(f"session {session}")
            self._write(session, ops, deletes=True)
        except LocalChange as change:
            # What was deleted before the change came is in the logs: should the session turn out to live, all of it is due again.
            with shadow.writing():
                shadow.mark_all(session, BUSY, f"changed here meanwhile: {change}")
                shadow.forget_scan(session)
            return
        with shadow.writing():
            if not self.dry:
                shadow.drop_session(session)
            if UNPLACED in shadow.states_of(session):
                self._note_placed()
            shadow.mark_all(session, APPLIED)

    # --- writing --------------------------------------------------------------------------------------------------
    def _write(self, session: str, ops: Sequence[Op], *, deletes: bool = False) -> None:
        if not ops:
            return
        change = "deleteIn" if deletes else "in"
        title = next(
            (readable(op.columns["title"]) for op in ops if op.table == SESSION and op.columns and op.columns.get("title")), self.ws.shadow.title(session)
        )
        if self.dry:
            self.titles[session] = title
            self.sessions[session] = change
            self.counts.add(WriteCounts.planned(ops))
            return
        if self._writer is None:
            self._before_first_write()
            self._writer = self.ws.tools.row_writer(self._schema)
        done = self._writer.write(ops, self.task, lambda chunk, images: self._journal(session, title, chunk, images), lambda chunk: self._note(session, chunk))
        self.counts.add(done)
        if done.total:
            self.sessions[session] = change

    def _before_first_write(self) -> None:
        """The first write ever into a database that holds something: keep a copy of it. The first of a cycle: open its entry in the journal."""
        if not self.ws.journal.has_entries() and self.ws.db.session_ids() and not self.ws.tools.snapshot(self.task):
            self.warnings.append("No copy of the database was made before the first change: the disk has too little room for one.")
        self.ws.journal.begin(self.cycle, int(time.time() * 1000), "cycle")

    def _journal(self, session: str, title: str, chunk: Sequence[Op], images: Sequence[tuple[str, str, Row | None]]) -> None:
        self._entry = note_images(self.ws, self.cycle, session, title, chunk, images, [[op.table, op.key, packed(op.after)] for op in chunk])

    def _note(self, session: str, chunk: Sequence[Op]) -> None:
        shadow = self.ws.shadow
        with shadow.writing():
            shadow.put_rows(session, [(op.table, op.key, op.after) for op in chunk if op.after is not None])
            shadow.drop_rows(session, [(op.table, op.key) for op in chunk if op.after is None])
            shadow.forget_scan(session)  # a later edit may bring back just what the last scan saw
        self.ws.journal.done(self._entry)

    def _recount(self, session: str, *, anyway: bool) -> None:
        """Counters are not registers: with several writers they follow from the merged messages, the same everywhere.

        So they do (`anyway`) where something of this device's own log was due, whose totals leave out what only the database had: that sum is published.
        """
        shadow, wrong = self.ws.shadow, dict[str, Any]()
        known = shadow.rows(session, SESSION).get((SESSION, session))
        derived = (
            "cost" in self._schema.columns[SESSION] and known is not None and (anyway or len(shadow.writers(session)) > 1 or "cost" not in (known.cells or {}))
        )
        rows = self.ws.db.fit_session(session) if derived else None
        if rows is not None and known is not None:
            wrong = wrong_totals(rows.session, (str(message["data"]) for message in rows.messages.values()))
            after = ShadowRow(known.version, known.sequence, UNKNOWN if anyway else b"", known.updated, known.cells)
            try:
                self._write(session, [Op(SESSION, session, wrong, known.hash, after)] if wrong else [])
            except WriteRefused:
                wrong = {}  # the totals are opencode's to show; nothing else follows from them
            except LocalChange:
                with shadow.writing():
                    shadow.forget_scan(session)
                return  # the cycle scans and comes back
        with shadow.writing():
            shadow.recounted(session)
            if anyway and wrong:
                shadow.need_recount([session])  # this time for the scan that publishes it, see `cycle`
