"""Comparing everything with everything: database, shadow, logs, remote. Changes nothing; holds a few sessions at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from protocol.sync import Difference, VerifyResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import Unfit
from sidecar.domain.records import LOCAL_SESSION_COLUMNS, MESSAGE, PART, SESSION, SESSION_MESSAGE, Version, includes
from sidecar.domain.state import APPLIED, Row
from sidecar.domain.task import Task
from sidecar.services.guard import GUARD_ANSWERS, guarded
from sidecar.services.logged import At, Logged, Place, Put, read_logs
from sidecar.services.rows import no_todos, row_hashes
from sidecar.services.scan import ShadowRows, value_hash
from sidecar.services.verify_logs import OURS, SYNC, LogCheck
from sidecar.services.workspace import Workspace

MAX_DIFFERENCES = 1000
BATCH = 200
EDITED = {
    "missing": "It was deleted here, and not synced yet.",
    "extra": "It is new here, and not synced yet.",
    "changed": "It was changed here, and not synced yet.",
}
_MEANINGS = EDITED | {
    "shadowLost": "The shadow does not know this row although it came from the logs.",
    "shadowWrong": "The shadow has something of this row that neither the logs nor the database say.",
    "notApplied": "The logs have a newer version of this row, which counts as applied and is not here.",
    "unaccounted": "The logs have this row; it is not here, and nothing says why.",
    "deleted": "The logs say that this row was deleted; it is still here.",
}

_TOMBSTONE = "The shadow and the logs do not say the same about its deletion."


def verify(ws: Workspace, task: Task, *, offline: bool) -> VerifyResult:
    """Compare the database with the shadow, the shadow with the fold of all logs, and the logs with the remote."""
    run = _Verification(ws, task)
    run.sessions()
    logs = LogCheck(ws, task)
    for difference in logs.run():
        run.add(difference)
    if not offline:
        try:
            for difference in logs.remote(run.notes):
                run.add(difference)
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            run.notes.append(f"The remote was not compared: {error.message}")
    return VerifyResult(
        ok=not run.count,
        rows_compared=run.rows,
        differences=run.differences,
        waiting=run.waiting,
        unsynced=run.unsynced,
        segments_checked=logs.segments,
        records_checked=run.records,
        digests={name: f"{value:032x}" for name, value in run.digests.items()},
        notes=run.notes,
    )


class _Verification:
    def __init__(self, ws: Workspace, task: Task) -> None:
        self.ws, self.task = ws, task
        self.differences: list[Difference] = []
        self.notes: list[str] = []
        self.count = self.unsynced = self.rows = self.records = 0
        self.waiting = sum(ws.shadow.counts().values())
        self.digests = dict.fromkeys(("database", "shadow", "logs"), 0)
        self.columns = ws.db.schema().columns
        self.empty = no_todos(ws)
        self._known = ws.shadow.known_sessions()
        self._asked = {one.session_id for one in guarded(ws)}
        self._local = {session for session, *_ in ws.shadow.local_waiting()} | ws.shadow.held_sessions()

    def add(self, difference: Difference) -> None:
        """Real ones before those that a sync settles, when there are too many to name all."""
        self.count += 1
        self.unsynced += difference.kind in EDITED
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)
        elif difference.kind not in EDITED:
            last = next((index for index in reversed(range(MAX_DIFFERENCES)) if self.differences[index].kind in EDITED), None)
            if last is not None:
                self.differences[last] = difference

    def row(self, session: str, at: At, kind: str, *, put: Put | None = None, columns: list[str] | None = None, meaning: str = "") -> None:
        meaning, remedy = meaning or _MEANINGS[kind], SYNC if kind in EDITED else OURS
        if kind == "missing" and session in self._asked:
            meaning, remedy = "It vanished here, with so many others that it may be an accident.", GUARD_ANSWERS
        where = {"device": put.device, "sequence": put.sequence} if put is not None else {}
        self.add(Difference(*at, session, kind, columns or [], meaning=meaning, remedy=remedy, **where))  # type: ignore[arg-type]

    # --- sessions -------------------------------------------------------------------------------------------------
    def sessions(self) -> None:
        batches = list(self._batches())
        done, total = 0, sum(map(len, batches))
        for batch in batches:
            logs = read_logs(self.ws, self.task, batch, self.columns)
            for session in batch:
                self.task.report("verify", done, total)
                done += 1
                self._session(session, logs.pop(session))

    def _batches(self) -> Iterator[list[str]]:
        """Sessions that lie together in the logs are looked at together: each part of a segment is read once."""
        logged = self.ws.shadow.logged_sessions()
        rest = sorted((self._known | set(self.ws.db.session_ids())) - {session for session, *_ in logged})
        for _, group in groupby(logged, key=lambda entry: entry[1:]):
            sessions = [session for session, *_ in group]
            yield from (sessions[start : start + BATCH] for start in range(0, len(sessions), BATCH))
        yield from (rest[start : start + BATCH] for start in range(0, len(rest), BATCH))

    def _session(self, session: str, logged: Logged) -> None:
        try:
            rows = self.ws.db.session(session)
        except Unfit:  # it stays on this machine, and `status` names it
            self.row(session, (SESSION, session), "changed" if session in self._known else "extra")
            return
        here = row_hashes(self.ws, rows) if rows is not None else {}
        known = self.ws.shadow.rows(session)
        places = self.ws.shadow.places(session)
        waits = {place for place, (state, _) in places.items() if state != APPLIED}
        partly = {place for place, (_, detail) in places.items() if detail}
        self.rows += len(here)
        self.records += sum(map(len, logged.puts.values()))
        _Compare(self, session, logged, here, known, waits, partly, rows.session if rows is not None else {}).run()
        for name, content in (("database", here), ("shadow", {at: row.hash for at, row in known.items() if row.hash != self.empty})):
            for at, digest in content.items():
                self._digest(name, session, at, digest)

    def _digest(self, name: str, session: str, at: At, value: bytes) -> None:
        """Add to a digest that does not depend on the order."""
        entry = hashlib.blake2b("\0".join((session, *at)).encode("utf-8", "surrogateescape") + b"\0" + value, digest_size=16).digest()
        self.digests[name] = (self.digests[name] + int.from_bytes(entry, "big")) % (1 << 128)

    def log_row(self, session: str, at: At, version: Version) -> None:
        self._digest("logs", session, at, repr(tuple(version)).encode())

    def waits_here(self, session: str) -> bool:
        return session in self._local


@dataclass
class _Compare:
    """One session: what is `here`, what the shadow has `known`, what is `logged`. `waits`, `partly`: segments that are not applied, or not wholly."""

    whole: _Verification
    session: str
    logged: Logged
    here: dict[At, bytes]
    known: ShadowRows
    waits: set[Place]
    partly: set[Place]
    row: Row

    def __post_init__(self) -> None:
        self.lives = self.logged.lives(self.session)

    def run(self) -> None:
        for at in sorted(self.here.keys() | self.known.keys() | self.logged.puts.keys()):
            winner = self._winner(at)
            if winner is not None:
                self.whole.log_row(self.session, at, winner.version)
            if not self._database(at, winner) and self.logged.complete:
                self._logs(at, winner)
        if self.logged.complete:
            self._tombstones()

    def _winner(self, at: At) -> Put | None:
        if not self.lives:
            return None
        if at[0] == SESSION:
            return max(self.logged.puts.get(at, ()), default=None, key=lambda put: put.version)
        return self.logged.winner(at)

    def _say(self, at: At, kind: str, put: Put | None = None, columns: list[str] | None = None) -> None:
        self.whole.row(self.session, at, kind, put=put, columns=columns)

    # --- database and shadow ------------------------------------------------------------------------------------------
    def _database(self, at: At, winner: Put | None) -> bool:
        """Whether they differ: then that is said, or is known to wait."""
        here, row = self.here.get(at), self.known.get(at)
        known = row.hash if row is not None and not (at not in self.here and row.hash == self.whole.empty) else None
        if here == known:
            return False
        applied = winner is not None and winner.place not in self.waits
        if here is not None and applied and winner is not None and (winner.digest == here or (at[0] == SESSION and row is None)):
            self._say(at, "shadowLost" if row is None else "shadowWrong", winner)
        elif self.whole.waits_here(self.session) or (winner is not None and not applied):
            self.whole.waiting += 1
        else:
            kind = "missing" if here is None else "extra" if row is None else "changed"
            self._say(at, kind, columns=self._changed_columns() if at[0] == SESSION and kind == "changed" else None)
        return True

    def _changed_columns(self) -> list[str]:
        cells = self.known[(SESSION, self.session)].cells or {}
        return sorted(name for name, value in self.row.items() if name in cells and cells[name][3] != value_hash(value))

    # --- shadow and logs ----------------------------------------------------------------------------------------------
    def _logs(self, at: At, winner: Put | None) -> None:
        row = self.known.get(at)
        if row is None:
            if winner is not None and winner.place not in self.waits and not self._may_lack(at, winner):
                self._say(at, "unaccounted", winner)
        elif at[0] == SESSION and self.lives:
            self._session_row(at)
        elif winner is None or winner.version < row.version:
            put = next((put for put in self.logged.puts.get(at, ()) if put.version == row.version), None)
            if put is None:
                self._say(at, "shadowWrong", winner)
            elif not (self._buriers(at) & self.waits):
                self._say(at, "deleted", put)
        elif winner.place not in self.waits and winner.digest not in (None, row.hash):
            self._say(at, "shadowWrong" if winner.version == row.version else "notApplied", winner)

    def _tombstones(self) -> None:
        """One too many keeps out what comes, or deletes what is here; one too few lets in what was deleted."""
        known = self.whole.ws.shadow.tombstones(self.session)
        for at in sorted(known.keys() | self.logged.tombs.keys()):
            said, logged = known.get(at, {}), self.logged.tombs.get(at, {})
            applied = self.lives and not (self.logged.buried_by.get(at, set()) & self.waits)  # of a session that is gone nothing more is noted
            if not includes(logged, said) or (applied and not includes(said, logged)):
                self.whole.row(self.session, at, "shadowWrong", meaning=_TOMBSTONE)

    def _buriers(self, at: At) -> set[tuple[str, int]]:
        return self.logged.buried_by.get(at, set()) | self.logged.buried_by.get((SESSION, self.session), set())

    def _may_lack(self, at: At, winner: Put) -> bool:
        """Tables that this opencode lacks, or empties when it is upgraded; parts of messages that are gone."""
        table = at[0]
        return table not in self.whole.columns or table == SESSION_MESSAGE or (table == PART and (MESSAGE, str(winner.message)) not in self.known)

    def _session_row(self, at: At) -> None:
        cells, schema = self.known[at].cells or {}, self.whole.columns[SESSION]
        behind, wrong = [], []
        for name in sorted(cells.keys() | self.logged.cells.keys()):
            if name in LOCAL_SESSION_COLUMNS or name not in schema:
                continue
            put, cell = self.logged.cells.get(name), cells.get(name)
            if cell is not None and (put is None or Version(*cell[:3]) > put.version):
                wrong.append(name)
            elif put is not None and put.place not in self.waits | self.partly and (cell is None or Version(*cell[:3]) < put.version):
                behind.append(name)
        if wrong:
            self._say(at, "shadowWrong", columns=wrong)
        if behind:
            self._say(at, "notApplied", columns=behind)
