"""Scan and publish: local changes become records, segments, and a commit on this device's own branch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import Unfit, key_problem, readable
from sidecar.domain.records import MESSAGE, SESSION, Mentions, Record, diverged
from sidecar.domain.secrets import Finding
from sidecar.domain.state import APPLIED, UNFIT, SegmentFile, ShadowRow
from sidecar.domain.task import Task
from sidecar.services.guard import Gone, find_gone, is_older, is_suspicious, note_database, unanswered
from sidecar.services.heads import mark_of, new_head, own_generation, written_head
from sidecar.services.scan import Change, Scanner, SessionScan
from sidecar.services.secrets import Guard
from sidecar.services.unshown import take_back
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.adapters.segments import SegmentWriter
    from sidecar.adapters.sqlite.shadow import Shadow

IDENTITY_ANSWERS = (
    "Is this a copy of another machine? `opencode-sidecar link REMOTE --new-device`. "
    "Is it the original, restored from a backup? `opencode-sidecar link REMOTE --same-device`. Either way its own work is kept."
)
REPLACED_REF = "refs/replaced/own"
"""What the own branch was before it was compacted, until the remote is known to have the new log."""


@dataclass
class Outcome:
    """What one scan recorded and what it left for later."""

    sessions: set[str] = field(default_factory=set)
    rows: int = 0
    tombstones: int = 0
    bytes: int = 0
    pending: int = 0
    guarded: int = 0
    settles_in: int = 0
    found: list[Finding] = field(default_factory=list)
    held: int = 0
    changes: list[SessionScan] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    """What is said of sessions that cannot be shared."""
    gone: list[Gone] = field(default_factory=list)
    """What `guarded` counts."""


@dataclass
class _Open:
    """The segment being filled."""

    writer: SegmentWriter
    rows: list[tuple[str, str, str, ShadowRow | None]] = field(default_factory=list)
    scanned: list[tuple[str, bytes, str]] = field(default_factory=list)
    tombs: list[Record] = field(default_factory=list)
    contexts: set[str] = field(default_factory=set)


class Publisher:
    """One scan. `allow_deletions`: without asking; `hold_deletions`: publish none. `dry` records nothing and keeps the changes in the outcome."""

    def __init__(self, workspace: Workspace, task: Task, *, allow_deletions: bool = False, hold_deletions: bool = False, dry: bool = False) -> None:
        self.ws, self.task, self.allow_deletions, self.dry = workspace, task, allow_deletions, dry
        self._hold_deletions = hold_deletions
        self.outcome = Outcome()
        self._scanner = Scanner(workspace.identity.device_id, workspace.clock, workspace.tools.hash_row, workspace.portable_session)
        self._guard = Guard(workspace, task, dry=dry)
        self._open: _Open | None = None
        self._went_back = False

    def scan(self, *, full: bool = False) -> Outcome:
        """Record every change of every session that moved. `full` looks at every row whatever the cheap tests say."""
        ws, shadow = self.ws, self.ws.shadow
        self.task.report("scan")
        schema = ws.db.schema()
        fingerprints = ws.db.fingerprints()
        known = {} if full else shadow.fingerprints()
        candidates = [session for session, fingerprint in fingerprints.items() if known.get(session) != fingerprint]
        remembered = shadow.known_sessions()
        vanished = sorted(remembered - fingerprints.keys())
        deletions: list[tuple[SessionScan, list[Change]]] = []
        for index, session in enumerate(self._parents_first(candidates)):
            self.task.report("scan", index, len(candidates))
            scan = self._examined(session, fingerprints[session])
            if scan is None:
                continue
            gone = [change for change in scan.changes if change.record.is_tombstone]
            if gone:
                scan.changes = [change for change in scan.changes if not change.record.is_tombstone]
                deletions.append((scan, gone))
            self._record(scan, None if gone or scan.withheld else fingerprints[session])
        self._delete(vanished, deletions, fingerprints, total=len(remembered))
        self._flush()
        if not self.dry:
            with shadow.writing():
                self._guard.forget(set(fingerprints))
                self._forget_gone(fingerprints.keys() | {readable(session)[:80] for session in fingerprints})
                shadow.put("clock", ws.clock.last)
                shadow.put("others", list(schema.others))
                for session in self.outcome.sessions & {s for s in self.outcome.sessions if len(shadow.writers(s)) > 1}:
                    note_divergence(ws, session)
        return self.outcome

    def _forget_gone(self, present: set[str]) -> None:
        """What waited of a session that opencode deleted before any of it was published waits no more."""
        for session, *_ in self.ws.shadow.local_waiting():
            if session not in present:
                self.ws.shadow.set_waiting(session, None)

    def _parents_first(self, sessions: list[str]) -> list[str]:
        if len(sessions) < 2:
            return sessions
        order = {session: index for index, session in enumerate(self.ws.db.session_ids())}
        return sorted(sessions, key=lambda session: order.get(session, len(order)))

    def _examined(self, session: Any, fingerprint: bytes) -> SessionScan | None:
        """`_session`; one that cannot be shared is noted, and looked at again when it moves."""
        try:
            problem = key_problem(session)
            if problem is not None:
                raise Unfit(f"it has {problem}")
            return self._session(session)
        except Unfit as found:
            why = found.why
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            why = f"its rows have a form that no version of opencode writes ({type(error).__name__})"
        name = readable(session)[:80]
        self.outcome.unfit.append(f"Session {name} cannot be shared: {why}. Everything else is synced.")
        if not self.dry:
            with self.ws.shadow.writing():
                self.ws.shadow.set_waiting(name, UNFIT, why)
                if name == session:
                    self.ws.shadow.put_scanned(session, fingerprint, self.ws.shadow.title(session))
        return None

    def _session(self, session: str) -> SessionScan | None:
        rows = self.ws.db.session(session)
        if rows is None:
            return None
        shadow = self.ws.shadow
        derived = len(shadow.writers(session)) > 1
        known = shadow.rows(session)
        scan = self._scanner.session(rows, known, shadow.seen(session), derived_counters=derived)
        self._went_back |= any(is_older(change, known) for change in scan.changes)
        take_back(self.ws, scan, rows, dry=self.dry)
        self.outcome.found += self._guard.examine(scan, rows)
        self.outcome.held += scan.held
        if scan.withheld:
            self.outcome.pending += 1
            self.outcome.settles_in = max(self.outcome.settles_in, scan.verdict.settles_in)
        return scan

    def _record(self, scan: SessionScan, fingerprint: bytes | None) -> None:
        if self.dry:
            if scan.changes:
                self.outcome.changes.append(scan)
                self.outcome.sessions.add(scan.session_id)
                self.outcome.rows += len(scan.changes)
            return
        shadow = self.ws.shadow
        with shadow.writing():
            shadow.drop_rows(scan.session_id, scan.forgotten)
            shadow.put_rows(scan.session_id, scan.adopted)
            self._note_opencode(scan)
            if scan.withheld:
                shadow.set_waiting(scan.session_id, "busy", "the last turn is not finished", scan.title)
            elif not scan.changes and fingerprint is not None:
                shadow.set_waiting(scan.session_id, None)
                shadow.put_scanned(scan.session_id, fingerprint, scan.title)
        for change in scan.changes:
            self._add(change)
        if scan.changes and fingerprint is not None and self._open is not None:
            self._open.scanned.append((scan.session_id, fingerprint, scan.title))

    def _note_opencode(self, scan: SessionScan) -> None:
        """The version of opencode here is the one that its newest session of this device was made with."""
        for change in scan.changes:
            columns = change.record.columns or {}
            version, created = columns.get("version"), columns.get("time_created")
            if change.record.table == SESSION and version and isinstance(created, int) and created >= self.ws.shadow.get("opencode", ["", 0])[1]:
                self.ws.shadow.put("opencode", [str(version)[:40], created])

    def _add(self, change: Change) -> None:
        record = change.record
        if self._open is not None and self._open.writer.full and record.table in (SESSION, MESSAGE):
            self._flush()
        if self._open is None:
            _, sequence = self.ws.shadow.head_of(self.ws.identity.device_id)
            before = self.ws.shadow.segment(self.ws.identity.device_id, sequence)
            writer = self.ws.tools.segment_writer(
                self.ws.identity.device_id, sequence + 1, sealer=self.ws.sealer, previous=mark_of(before.path) if before is not None else None
            )
            self._open = _Open(writer)
        if record.table == MESSAGE and not record.is_tombstone and record.session_id not in self._open.contexts:
            self._open.contexts.add(record.session_id)
            record.seen = self.ws.shadow.seen(record.session_id)
        self._open.writer.add(record)
        self._open.rows.append((record.session_id, record.table, record.key, change.shadow))
        self.outcome.sessions.add(record.session_id)
        if record.is_tombstone:
            self.outcome.tombstones += 1
            self._open.tombs.append(record)
        else:
            self.outcome.rows += 1

    def _delete(self, vanished: list[str], deletions: list[tuple[SessionScan, list[Change]]], fingerprints: dict[str, bytes], *, total: int) -> None:
        """Publish deletions, unless there are so many, or the file is so different, that nobody may have meant them."""
        shadow, held = self.ws.shadow, {*vanished, *(scan.session_id for scan, _ in deletions)}
        if self.allow_deletions and held:
            held = unanswered(self.ws, find_gone(self.ws, vanished, deletions))
        if self._hold_deletions or is_suspicious(self.ws, len(held), total, answered=self.allow_deletions, went_back=self._went_back):
            self.outcome.gone = [one for one in find_gone(self.ws, vanished, deletions) if one.session in held]
            self.outcome.guarded = len(self.outcome.gone)
            vanished, deletions = [s for s in vanished if s not in held], [(scan, gone) for scan, gone in deletions if scan.session_id not in held]
        self.outcome.vanished = vanished
        if self.dry:
            self.outcome.tombstones = len(vanished) + sum(len(gone) for _, gone in deletions)
            return
        for session in vanished:
            self._add(self._scanner.vanished(session, shadow.seen(session), shadow.rows(session)))
        for scan, gone in deletions:
            for change in gone:
                self._add(change)
            if self._open is not None and not scan.withheld:
                self._open.scanned.append((scan.session_id, fingerprints[scan.session_id], scan.title))
        if not self.outcome.guarded:
            with shadow.writing():
                note_database(self.ws)

    def _flush(self) -> None:
        """Commit the open segment, then let the shadow know: after a crash in between, the own log is read back."""
        if self._open is None or self._open.writer.records == 0:
            self._open = None
            return
        opened, self._open = self._open, None
        identity, shadow = self.ws.identity, self.ws.shadow
        segment = opened.writer.finish()
        parent = self.ws.repo.local_ref(identity.ref)
        head = new_head(self.ws, segment.sequence, {"path": segment.path, "sha256": segment.sha256}, parent)
        files = {segment.path: segment.data, **segment.blobs, **written_head(self.ws, head)}
        self.task.report("record", bytes_done=len(segment.data))
        commit = self.ws.repo.commit(identity.ref, parent, files, f"segment {segment.sequence}", self.ws.clock.wall() // 1000)
        self.outcome.bytes += sum(len(data) for data in files.values())
        with shadow.writing():
            file = SegmentFile(segment.sequence, segment.sequence, self.ws.repo.blob_name(segment.data), segment.path)
            note_own_segment(self.ws, file, segment.mentions, commit)
            by_session: dict[str, list[tuple[str, str, ShadowRow]]] = {}
            for session, table, key, row in opened.rows:
                if row is not None:
                    row.sequence = segment.sequence
                    by_session.setdefault(session, []).append((table, key, row))
                elif table == SESSION:
                    shadow.drop_session(session)
                else:
                    shadow.drop_rows(session, [(table, key)])
            for session, rows in by_session.items():
                note_return(shadow, session, [key for table, key, _ in rows if table == MESSAGE])
                shadow.put_rows(session, rows)
            shadow.need_recount(session for session, _ in segment.mentions if len(shadow.writers(session)) > 1 or not _says_totals(by_session.get(session, [])))
            for record in opened.tombs:
                shadow.bury(record.session_id, record.table, record.key, record.seen or {})
            for session, fingerprint, title in opened.scanned:
                shadow.put_scanned(session, fingerprint, title)
                shadow.set_waiting(session, None)


def note_own_segment(ws: Workspace, file: SegmentFile, mentions: Mentions, commit: str) -> None:
    """Enter a segment of this device's own log into the shadow's index."""
    ws.shadow.add_segment(ws.identity.device_id, file, mentions, state=APPLIED)
    note_own_log(ws, commit, file.sequence)


def note_own_log(ws: Workspace, commit: str, sequence: int) -> None:
    """Enter where this device's own log is now into the shadow's index."""
    said = {"name": ws.identity.device_name, "platform": ws.identity.platform, "published": ws.clock.wall()}
    ws.shadow.put_device(ws.identity.device_id, said | {"generation": own_generation(ws)}, commit, sequence)


def _says_totals(rows: list[tuple[str, str, ShadowRow]]) -> bool:
    """Whether these have the session's row with totals of opencode's own: an old version has none, and then all add them up."""
    return any(table == SESSION and "cost" in (row.cells or {}) for table, _, row in rows)


def note_return(shadow: Shadow, session: str, messages: Iterable[str]) -> None:
    """A session, or some of these messages of it, may have been deleted here and be here again, restored: then what came for it meanwhile is due again."""
    tombs = shadow.tombstones(session)
    back = [(MESSAGE, message) for message in messages if (MESSAGE, message) in tombs]
    session_is_back = (SESSION, session) in tombs and not shadow.has_session(session)
    if session_is_back or (back and not shadow.rows(session, MESSAGE).keys() >= set(back)):
        shadow.reopen(session)


def note_divergence(ws: Workspace, session: str) -> bool:
    """Recompute whether a session has been continued on two machines at once."""
    found = diverged(ws.shadow.contexts(session))
    known = set(ws.shadow.get("diverged", []))
    if found != (session in known):
        ws.shadow.put("diverged", sorted(known | {session} if found else known - {session}))
    return found


def push_own(ws: Workspace, task: Task, heads: dict[str, str]) -> bool:
    """Bring the remote's copy of this device's branch to ours. True when something went out; only then is it success.

    `heads`: where the remote's branches are, this one included once it went out.
    """
    local = ws.repo.local_ref(ws.identity.ref)
    remote = heads.get(ws.identity.branch)
    if local is None or local == remote:
        if remote is not None and local is None:
            raise _cloned(ws, remote)
        ws.repo.forget_ref(REPLACED_REF)
        return False
    compacted = remote is not None and not ws.repo.is_ancestor(remote, local)
    if remote is not None and compacted and not was_ours(ws, remote):
        raise _cloned(ws, remote)
    ws.journal.note_position(ws.identity.device_id, ws.shadow.head_of(ws.identity.device_id)[1], own_generation(ws))
    task.report("push")
    confirmed = _push_over(ws, task, remote) if remote is not None and compacted else ws.repo.push(task, ws.identity.branch)
    heads[ws.identity.branch] = confirmed
    with ws.shadow.writing():
        ws.shadow.put("confirmed", confirmed)
    ws.repo.forget_ref(REPLACED_REF)
    return True


def was_ours(ws: Workspace, commit: str) -> bool:
    """Whether this device's branch was there before it was compacted."""
    kept = ws.repo.local_ref(REPLACED_REF)
    return (kept is not None and ws.repo.is_ancestor(commit, kept)) or commit[:16] in ws.shadow.get("replaced", [])


def _push_over(ws: Workspace, task: Task, remote: str) -> str:
    """Put the compacted log in the place of the one before, which the remote has still. Where no branch may be replaced it goes on top of it."""
    try:
        return ws.repo.push(task, ws.identity.branch, force_from=remote)
    except SidecarError as error:
        refused = error.kind == "authFailed" or (error.kind == "remoteBusy" and error.detail == "nonFastForward")
        if not refused or not ws.repo.has(remote) or ws.repo.remote_heads(task).get(ws.identity.branch) != remote:
            raise
    commit = ws.repo.put_behind(ws.identity.ref, remote)
    with ws.shadow.writing():
        _, sequence = ws.shadow.head_of(ws.identity.device_id)
        ws.shadow.put_device(ws.identity.device_id, ws.shadow.info_of(ws.identity.device_id), commit, sequence)
    return ws.repo.push(task, ws.identity.branch)


def _cloned(ws: Workspace, remote: str) -> SidecarError:
    return SidecarError(
        "identityCloned",
        "Another machine publishes under this device's identity: this state folder was copied or restored from a backup.",
        detail=f"{ws.identity.branch} is at {remote[:12]} on the remote",
        remedy=f"Nothing was pushed. {IDENTITY_ANSWERS}",
    )
