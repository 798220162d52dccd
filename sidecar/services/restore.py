"""Taking back what a cycle changed or deleted here.

The rows are written as a person's own edits are: the next scan finds them as local changes, newer than whatever replaced
them, so they win everywhere. What a cycle brought in stays: taking that back would delete it on every machine. A restore is
in the history itself and can be taken back, and then what it had brought back goes again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.sync import Applied, Attention
from protocol.trust import RestoreResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import Unfit
from sidecar.domain.records import COUNTERS, LOCAL_SESSION_COLUMNS, MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO
from sidecar.domain.state import LocalChange, Op, Row, SessionRows, WriteCounts, WriteRefused
from sidecar.domain.task import Task
from sidecar.domain.turns import judge
from sidecar.domain.undo import At, Target, targets
from sidecar.services.history import note_images, read_images
from sidecar.services.recover import recover_journal
from sidecar.services.rows import row_hashes
from sidecar.services.workspace import Workspace

_ORDER = {SESSION: 0, MESSAGE: 1, PART: 2, TODO: 3, SESSION_MESSAGE: 4}


def restore(ws: Workspace, task: Task, cycle: str, session: str | None) -> RestoreResult:
    """Undo one cycle, or one session of it. Raises invalidParams when the journal does not have it."""
    found = next((entry for entry in ws.journal.cycles(-1) if entry.id == cycle), None)
    if found is None or not found.sessions:
        why = "This cycle changed nothing here." if found else "There is no such cycle in the history."
        raise SidecarError("invalidParams", why, detail=cycle, remedy="`opencode-sidecar history` lists what can be restored.")
    chosen = [entry for entry in found.sessions if session in (None, entry[0])]
    if not chosen:
        raise SidecarError("invalidParams", "This cycle changed nothing of that session.", detail=str(session), remedy="See `opencode-sidecar history`.")
    recover_journal(ws, adopt=ws.shadow.get("device") == ws.identity.device_id)
    run = _Restore(ws, task, takes_back_restore=found.kind == "restore")
    ws.journal.begin(run.cycle, int(time.time() * 1000), "restore")
    try:
        for index, (session_id, title, *_) in enumerate(chosen):
            task.report("restore", index, len(chosen))
            run.session(session_id, title, targets(read_images(ws, cycle, session_id)))
    finally:
        run.close()
    counts = run.counts
    restored = Applied(len(run.touched), counts.inserted, counts.updated, counts.deleted)
    return RestoreResult(run.cycle, restored, run.touched, bool(run.touched) and ws.db.schema().renames_move_no_time, skipped=run.skipped)


@dataclass
class _Plan:
    ops: list[Op] = field(default_factory=list)
    stay: int = 0
    lost: int = 0


class _Restore:
    def __init__(self, ws: Workspace, task: Task, *, takes_back_restore: bool) -> None:
        self.ws, self.task, self.deletes = ws, task, takes_back_restore
        self.cycle = uuid.uuid4().hex[:12]
        self.counts = WriteCounts()
        self.touched: list[str] = []
        self.skipped: list[Attention] = []
        self._schema = ws.db.schema()
        self._writer = ws.tools.row_writer(self._schema)
        self._entry = 0

    def close(self) -> None:
        self._writer.close()

    def session(self, session: str, title: str, wanted: dict[At, Target]) -> None:
        try:
            rows = self.ws.db.session(session)
        except Unfit as unfit:
            self._skip(session, title, "quarantined", unfit.why)
            return
        if rows is not None and _being_written(rows, self.ws.clock.wall()):
            self._skip(session, title, "busy", "a turn is being written; try again when it is done")
            return
        at = (SESSION, session)
        project = (wanted[at].columns or {}).get("project_id") if at in wanted else None
        if rows is None and project is not None and project not in self.ws.projects():
            self._skip(session, title, "unplaced", "its project is not in opencode's database any more; open its folder there first")
            return
        plan = self._plan(session, rows, wanted)
        if plan.stay:
            self._skip(session, title, "kept", f"{plan.stay} rows that this cycle brought in stay; delete them in opencode if they are not wanted")
        if plan.lost:
            self._skip(session, title, "parentMissing", f"{plan.lost} rows belong to something that is gone; restore the cycle that deleted it first")
        if plan.ops:
            self._write(session, title, plan.ops)

    def _skip(self, session: str, title: str, reason: str, detail: str) -> None:
        self.skipped.append(Attention(session, reason, detail, title))

    # --- planning -------------------------------------------------------------------------------------------------
    def _plan(self, session: str, rows: SessionRows | None, wanted: dict[At, Target]) -> _Plan:
        plan = _Plan()
        hashes = row_hashes(self.ws, rows) if rows is not None else {}
        present = _by_key(rows)
        there = set(present)
        puts = sorted(wanted.items(), key=lambda item: _ORDER[item[0][0]])
        for at, target in puts:
            if target.columns is None:
                self._without(plan, at, hashes.get(at))
            elif at[0] == TODO:
                if rows is None and (SESSION, session) not in there:
                    plan.lost += 1
                else:
                    items = [self._known(TODO, item) for item in target.columns["items"]]
                    plan.ops.append(Op(TODO, session, {"items": items}, hashes.get(at)))
            elif at in present:
                columns = self._changed(at[0], target, present[at])
                if columns:
                    plan.ops.append(Op(*at, columns, hashes[at]))
            elif not target.whole or not self._has_parents(at[0], target.columns, session, there):
                plan.lost += 1
            else:
                there.add(at)
                plan.ops.append(Op(*at, self._known(at[0], target.columns), None))
        deletes = sorted((op for op in plan.ops if op.columns is None), key=lambda op: -_ORDER[op.table])
        plan.ops = [op for op in plan.ops if op.columns is not None] + deletes
        return plan

    def _without(self, plan: _Plan, at: At, digest: bytes | None) -> None:
        if digest is None:
            return
        if self.deletes:
            plan.ops.append(Op(*at, None, digest))
        else:
            plan.stay += 1

    def _known(self, table: str, columns: Row) -> Row:
        """What this version of opencode has of them; `seq` is numbered anew."""
        names = self._schema.columns[table]
        return {name: value for name, value in columns.items() if name in names and not (table == SESSION_MESSAGE and name == "seq")}

    def _changed(self, table: str, target: Target, now: Row) -> Row:
        leave = {"id", "session_id"} | (set(COUNTERS) | set(LOCAL_SESSION_COLUMNS) if table == SESSION else set())
        columns = self._known(table, target.columns or {})
        return {name: value for name, value in columns.items() if name not in leave and now.get(name) != value}

    @staticmethod
    def _has_parents(table: str, columns: Row, session: str, there: set[At]) -> bool:
        if table == SESSION:
            return True
        return (SESSION, session) in there and (table != PART or (MESSAGE, str(columns.get("message_id"))) in there)

    # --- writing --------------------------------------------------------------------------------------------------
    def _write(self, session: str, title: str, ops: list[Op]) -> None:
        try:
            done = self._writer.write(ops, self.task, lambda chunk, images: self._journal(session, title, chunk, images), self._note)
        except LocalChange as change:
            self._skip(session, title, "busy", f"changed here meanwhile: {change}")
            return
        except WriteRefused as refused:
            self._skip(session, title, "quarantined", f"the database does not take it: {refused}")
            return
        finally:
            with self.ws.shadow.writing():
                self.ws.shadow.forget_scan(session)
                self.ws.shadow.need_recount([session])
                self.ws.shadow.put("file_state", None)
        if done.total:
            self.counts.add(done)
            self.touched.append(session)

    def _journal(self, session: str, title: str, chunk: Sequence[Op], images: Sequence[tuple[str, str, Row | None]]) -> None:
        self._entry = note_images(self.ws, self.cycle, session, title, chunk, images, [])

    def _note(self, _chunk: Sequence[Op]) -> None:
        self.ws.journal.done(self._entry)


def _by_key(rows: SessionRows | None) -> dict[At, Row]:
    if rows is None:
        return {}
    found = {(SESSION, str(rows.session["id"])): rows.session}
    for table, group in ((MESSAGE, rows.messages), (PART, rows.parts), (SESSION_MESSAGE, rows.session_messages)):
        found.update(((table, key), row) for key, row in group.items())
    return found


def _being_written(rows: SessionRows, now: int) -> bool:
    written = {key: int(row.get("time_updated") or 0) for key, row in rows.messages.items()}
    for part in rows.parts.values():
        written[part["message_id"]] = max(written.get(part["message_id"], 0), int(part.get("time_updated") or 0))
    messages = [str(row["data"]) for row in rows.messages.values()]
    return judge(messages, [written[key] for key in rows.messages], [], now).from_index is not None
