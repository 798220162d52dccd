"""After a crash or a lost shadow: let the shadow know again what the database and the logs already hold.

Nothing here writes to opencode's database. Whatever the shadow learns is a *base*: the version that a row's content has in
the logs. What the next scan finds beyond the base is a local change, what the logs hold beyond it is applied by the cycle.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

from sidecar.domain.errors import SidecarError
from sidecar.domain.records import (
    COUNTERS,
    FIRST_SESSION_COLUMNS,
    LOCAL_SESSION_COLUMNS,
    MESSAGE,
    PART,
    SESSION,
    SESSION_MESSAGE,
    TODO,
    Group,
    Record,
    Version,
    VersionVector,
    covers,
)
from sidecar.domain.state import APPLIED, NEW, QUARANTINED, UNKNOWN, Row, SessionRows, ShadowRow
from sidecar.domain.task import Task
from sidecar.domain.undo import At
from sidecar.services.manifest import follow_manifest
from sidecar.services.mend import fill, is_lost
from sidecar.services.publish import note_return
from sidecar.services.receive import fetch_others, index_fetched, index_kept, index_log, is_log_branch, open_segment
from sidecar.services.rows import load_value, no_todos, row_hashes
from sidecar.services.scan import ShadowRows, value_hash
from sidecar.services.secrets import Originals
from sidecar.services.standing import REMOTE_REFS, UNUSABLE, counted
from sidecar.services.workspace import Workspace

_OTHER = "?"
"""No value has this hash, see `value_hash`."""


def recover(ws: Workspace, task: Task, *, looked: bool = False) -> tuple[bool, list[str]]:
    """Finish what a crash interrupted. (Whether there was something, so that the caller scans; warnings).

    `looked`: what became of the own log was looked into. Raises segmentCorrupt when it is not here, or not as far as it was.
    """
    own, remembered = ws.identity.device_id, ws.shadow.get("device")
    pending = bool(ws.journal.open_entries())
    recover_journal(ws, adopt=remembered == own)
    commit = ws.repo.local_ref(ws.identity.ref)
    known, _ = ws.shadow.head_of(own)
    if not looked and is_lost(ws, commit, known):
        raise SidecarError(
            "segmentCorrupt",
            "This device's log is not in our copy of the vault any more.",
            remedy="Nothing was published. Run `opencode-sidecar repair`: it fetches what the remote has of it and makes the rest again.",
        )
    if remembered != own:
        _catch_up(ws, task)
        with ws.shadow.writing():
            warnings = _rebuild(ws, task) + fill(ws, task)
            ws.shadow.put("device", own)
        return True, warnings
    if commit is not None and commit != known:
        with ws.shadow.writing():
            _redo(ws, task, commit)
        return True, []
    return pending, []


def recover_journal(ws: Workspace, *, adopt: bool = True) -> None:
    """After a crash between the database's commit and the shadow's: adopt what did reach the database.

    A shadow that remembers nothing learns it from the logs instead.
    """
    for entry, session, after in ws.journal.open_entries():
        if not adopt:
            ws.journal.done(entry)
            continue
        rows = ws.db.fit_session(session)
        present = {(TODO, session): no_todos(ws)} | row_hashes(ws, rows) if rows is not None else {}
        puts: list[tuple[str, str, ShadowRow]] = []
        gone: list[tuple[str, str]] = []
        for table, key, packed in ws.tools.unpack(after):
            if packed is None:
                if (table, key) not in present:
                    gone.append((table, key))
                continue
            version, sequence, digest, updated, cells = packed
            if present.get((table, key)) == digest:
                puts.append((table, key, ShadowRow(Version(*version), sequence, digest, updated, cells)))
        with ws.shadow.writing():
            ws.shadow.put_rows(session, puts)
            ws.shadow.drop_rows(session, gone)
            ws.shadow.forget_scan(session)
            ws.shadow.need_recount([session])
        ws.journal.done(entry)


# --- own log ahead of the shadow --------------------------------------------------------------------------------------
def _redo(ws: Workspace, task: Task, commit: str) -> None:
    """Our last commits did not reach the shadow: what they say was in the database when they were made."""
    own = ws.identity.device_id
    _, before = ws.shadow.head_of(own)
    index_log(ws, task, own, commit, state=APPLIED)
    for group in _groups(ws, task, own, after=before):
        session = group.session_id
        local = ws.db.fit_session(session)
        puts = [record for record in group.records if not record.is_tombstone]
        if puts:
            note_return(ws.shadow, session, [record.key for record in puts if record.table == MESSAGE])
        fold = _Fold(ws, ws.shadow.rows(session), local, redo=True)
        for record in group.records:
            if record.is_tombstone:
                ws.shadow.bury(session, record.table, record.key, record.seen or {})
                if record.table == SESSION:
                    ws.shadow.drop_session(session)
                    fold.known.clear()
                else:
                    ws.shadow.drop_rows(session, [(record.table, record.key)])
                    fold.known.pop((record.table, record.key), None)
            else:
                fold.put(record, group.sequence, own)
        fold.save(session)
        ws.shadow.need_recount([session])
        ws.shadow.forget_scan(session)


# --- a lost shadow, or none yet ---------------------------------------------------------------------------------------
def _catch_up(ws: Workspace, task: Task) -> None:
    """Fetch, where the copy of a log that is here counts no more or not yet: it is older than a change of the key.

    Without that log its rows would pass for this device's own, and what was deleted in it since would be back everywhere.
    """
    for device, head in _fetched(ws):
        try:
            counted(ws, device, head)
        except SidecarError as error:
            if error.kind not in ("segmentCorrupt", "wrongKey"):
                raise
            heads = _asked(ws, task)
            follow_manifest(ws, task, heads)
            fetch_others(ws, task, heads)
            return


def _asked(ws: Workspace, task: Task) -> dict[str, str]:
    try:
        return ws.repo.remote_heads(task)
    except SidecarError as error:
        if error.kind != "cancelled":
            error.message += " This device's shadow is lost, and cannot be made anew without the remote: until then nothing is recorded, and nothing is lost."
        raise


def _fetched(ws: Workspace) -> list[tuple[str, str]]:
    """(device, commit) of the others' logs, as they were fetched last."""
    devices = [(ref.rpartition("/")[2], head) for ref, head in ws.repo.refs(REMOTE_REFS).items()]
    return [(device, head) for device, head in devices if device != ws.identity.device_id and is_log_branch(f"sessions/{device}")]


def _rebuild(ws: Workspace, task: Task) -> list[str]:
    """The shadow remembers nothing: find the version of every row that is here, in our log and in those that were fetched.

    The same for a device that is new and whose database was copied from another by hand: what came from there is not its own.
    A row that some log has and the database has not is due to be applied: it may have been deleted here without that having
    been published, and of the two mistakes only bringing it back can be put right.
    """
    own, commit = ws.identity.device_id, ws.repo.local_ref(ws.identity.ref)
    here = frozenset(ws.db.session_ids())
    logs = ([(own, commit)] if commit is not None else []) + _fetched(ws)
    folds: dict[str, _Fold] = {}
    schema = ws.db.schema().columns
    groups: list[tuple[str, str, int, list[_Said]]] = []
    warnings: list[str] = []
    index_kept(ws, task)
    for device, head in logs:
        warnings += (index_log if device == own else index_fetched)(ws, task, device, head)
        for group in _groups(ws, task, device, after=0, only=here):
            session = group.session_id
            fold = folds.get(session)
            if fold is None:
                fold = folds[session] = _Fold(ws, {}, ws.db.fit_session(session), redo=False, schema=schema)
            said: list[_Said] = []
            for record in group.records:
                if not record.is_tombstone:
                    fold.put(record, group.sequence, device)
                else:
                    fold.bury(record)
                    if record.table != SESSION:
                        ws.shadow.bury(session, record.table, record.key, record.seen or {})
                said.append(fold.said(record))
            groups.append((session, device, group.sequence, said))
    compacted = any(info.get("generation") for _, info, _, _ in ws.shadow.devices())
    for session, fold in folds.items():
        if compacted:
            fold.assume_older()
        fold.save(session)
    for session, device, sequence, said in groups:
        state, detail = _state(folds[session], ws.shadow.tombstones(session), device, sequence, said)
        ws.shadow.mark(session, device, sequence, state, detail=detail)
    ws.shadow.need_recount(folds)
    return warnings


def _groups(ws: Workspace, task: Task, device: str, *, after: int, only: frozenset[str] | None = None) -> Iterator[Group]:
    """All groups of a log's segments from `after` on, in order; segments that cannot be read are skipped: they are reported elsewhere."""
    if only is not None and not only:
        return
    segments = ws.shadow.segments(device, after)
    for index, file in enumerate(segments):
        task.report("recover", index, len(segments))
        try:
            yield from open_segment(ws, device, file).groups(only)
        except SidecarError as error:
            if error.kind not in UNUSABLE:
                raise


def _time(value: object) -> int:
    return value if isinstance(value, int) else 0


class _Said(NamedTuple):
    """What is kept of a record until all logs were read. `message`: of a part; `problem`: why this opencode cannot hold what it says."""

    table: str
    key: str
    version: Version | None
    columns: tuple[str, ...]
    message: str
    problem: str


def _state(fold: _Fold, tombs: Mapping[At, VersionVector], device: str, sequence: int, said: list[_Said]) -> tuple[int, str]:
    """(State, detail) of a session's records in one segment: whether the database is as it would be once they were applied.

    Of what this calls NEW a deletion says that it was not seen: a session that is deleted next would come back for it.
    """
    state, detail = APPLIED, ""
    for one in said:
        at, message = (one.table, one.key), (MESSAGE, one.message)
        if one.version is None:
            row = fold.known.get(at)
            shown = one.table != SESSION and (row is None or not covers(tombs[at], row.version.device, row.sequence))
        else:
            deleted = at in tombs and covers(tombs[at], device, sequence)
            shown = fold.has(one) or deleted or (message in tombs and message not in fold.known)
            if not shown and one.problem:
                shown, state, detail = True, QUARANTINED, one.problem
            elif state == APPLIED and not fold.fits(one):
                detail = "unknown-columns"
        if not shown:
            return NEW, ""
    return state, detail


@dataclass
class _Fold:
    """The base of one session's rows. Order-free: the greatest version whose content is here, else the greatest of all."""

    ws: Workspace
    known: ShadowRows
    local: InitVar[SessionRows | None]
    redo: bool
    """Redoing our own last scan: the newest record is the base whatever the database holds now, also where the row is gone."""
    _buried: dict[tuple[str, str], int] = field(default_factory=dict)
    """Rows that some log says were deleted, and of what time the last version was that the deleter saw."""
    schema: Mapping[str, Container[str]] = field(default_factory=dict)
    """Table -> its columns here; not needed to redo."""
    _changed: ShadowRows = field(default_factory=dict)
    _hashes: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _updated: dict[tuple[str, str], int] = field(default_factory=dict)
    _session_row: Row | None = None
    _originals: Originals = field(init=False)

    def __post_init__(self, local: SessionRows | None) -> None:
        self._originals = Originals(self.ws)
        if local is not None:
            self._hashes, self._session_row = row_hashes(self.ws, local), local.session
            for table, rows in ((MESSAGE, local.messages), (PART, local.parts), (SESSION_MESSAGE, local.session_messages)):
                self._updated.update({(table, key): _time(row.get("time_updated")) for key, row in rows.items()})
            self._updated[TODO, str(local.session["id"])] = max((_time(item.get("time_updated")) for item in local.todos), default=0)

    def put(self, record: Record, sequence: int, device: str) -> None:
        at = (record.table, record.key)
        emptied = record.table == TODO and (record.columns or {}).get("items") == []
        if at not in self._hashes and not self.redo and not emptied:
            return
        row = self._session(record, sequence, device) if record.table == SESSION else self._row(record, sequence, device)
        if row is not None:
            self.known[at] = self._changed[at] = row

    def said(self, record: Record) -> _Said:
        """To be asked right after `put`."""
        columns, version = record.columns or {}, None if record.is_tombstone else record.version
        message = str(columns.get("message_id", "")) if record.table == PART else ""
        said = _Said(record.table, record.key, version, tuple(columns) if record.table == SESSION else (), message, "")
        if record.table not in (MESSAGE, PART) or record.is_tombstone or type(columns.get("data")) is not str or self.has(said):
            return said
        return said._replace(problem=self.ws.tools.problem_with(record.table, columns) or "")

    def has(self, put: _Said) -> bool:
        """Whether the database is at this put or beyond, as far as it has tables and columns for it."""
        row = self.known.get((put.table, put.key))
        if row is None or put.version is None:
            return put.table not in self.schema
        if row.cells is None:
            return row.version >= put.version
        return all(name in row.cells and Version(*row.cells[name][:3]) >= put.version for name in put.columns if name in self.schema[SESSION])

    def fits(self, put: _Said) -> bool:
        return put.table in self.schema and all(name in self.schema[put.table] for name in put.columns if name not in LOCAL_SESSION_COLUMNS)

    def bury(self, record: Record) -> None:
        at = (record.table, record.key)
        self._buried[at] = max(self._buried.get(at, -1), record.version.time)

    def assume_older(self) -> None:
        """Content that is in no log may be that of a version which a compaction left out: then it is older than what the logs have.

        So of the two the later one wins, by `time_updated`, as between any two edits. Without this a database that was put back from a
        backup would pass for the newest everywhere, and bring back what was deleted since.
        """
        for at, updated in self._updated.items():
            row, here = self.known.get(at), self._hashes.get(at)
            if here is not None and (updated <= self._buried.get(at, -1) if row is None else row.hash != here and updated < row.version.time):
                self.known[at] = self._changed[at] = ShadowRow(Version(updated, 0, ""), 0, here, updated)
        row, local = next((row for at, row in self.known.items() if at[0] == SESSION), None), self._session_row or {}
        updated = _time(local.get("time_updated"))
        for name, cell in (row.cells or {}).items() if row is not None else ():
            if cell[3] == _OTHER and name in local and updated < cell[0]:
                cell[:] = [updated, 0, "", value_hash(local[name])]

    def save(self, session: str) -> None:
        self.ws.shadow.put_rows(session, [(table, key, row) for (table, key), row in self._changed.items() if (table, key) in self.known])

    def _row(self, record: Record, sequence: int, device: str) -> ShadowRow | None:
        at = (record.table, record.key)
        here, before = self._hashes.get(at, no_todos(self.ws) if record.table == TODO else None), self.known.get(at)
        columns = {name: load_value(self.ws, value, device) for name, value in (record.columns or {}).items()}
        columns = self._originals.row(record.session_id, record.table, record.key, columns)
        if record.table == TODO:
            updated = max((item.get("time_updated") or 0 for item in columns.get("items", ())), default=None)
            content: Row = {"items": columns.get("items", []), "time_updated": updated}
        else:
            content, updated = {"id": record.key, "session_id": record.session_id, **columns}, columns.get("time_updated")
        digest = self.ws.tools.hash_row(content)
        if not self._better(record.version, digest == here, before.version if before else None, before is not None and before.hash == here):
            return None
        return ShadowRow(record.version, sequence, digest, updated if isinstance(updated, int) else None)

    def _session(self, record: Record, sequence: int, device: str) -> ShadowRow:
        before = self.known.get((SESSION, record.key))
        cells = dict(before.cells or {}) if before else {}
        columns = {name: load_value(self.ws, value, device) for name, value in (record.columns or {}).items()}
        columns = self._originals.row(record.session_id, record.table, record.key, columns)
        said = self.ws.localise_session(columns, False)
        if said is None:
            said = {name: value for name, value in columns.items() if name not in ("project_id", "directory")}
        row = self._session_row or {}
        portable = self.ws.portable_session(row) if row else {}  # a folder that is not there now reads differently coming in than going out

        def is_here(name: str) -> bool:
            local = name in said and value_hash(said[name]) == value_hash(row.get(name))
            return local or (name in ("project_id", "directory") and portable.get(name) == columns[name])

        in_its_project = "project_id" not in columns or is_here("project_id")  # a folder is said as seen from there
        for name in columns:
            if row and name not in row:
                continue
            here = value_hash(row.get(name))
            same = is_here(name) and (name != "directory" or in_its_project)
            if not (same or self.redo or name in FIRST_SESSION_COLUMNS) and (row.get(name) is None or name in COUNTERS):
                continue  # as the scan sees it, see `Scanner`: what the log says is due
            found = here if same else _OTHER
            cell = cells.get(name)
            if self._better(record.version, found == here, Version(*cell[:3]) if cell else None, cell is not None and cell[3] == here):
                cells[name] = [*record.version, found]
        newest = before is None or record.version >= before.version
        version, at = (record.version, sequence) if newest or before is None else (before.version, before.sequence)
        updated = row.get("time_updated")
        return ShadowRow(version, at, UNKNOWN, updated if isinstance(updated, int) else None, cells)

    def _better(self, version: Version, matches: bool, before: Version | None, before_matches: bool) -> bool:
        """Whether this put is a better base than the one found before."""
        if before is None:
            return True
        if matches != before_matches and not self.redo:
            return matches
        return version >= before
