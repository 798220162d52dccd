"""One cycle: scan, publish, fetch, apply, report."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from protocol.sync import Applied, CycleResult, Published
from sidecar.domain.state import BUSY, FUTURE, NEW, PARENT_MISSING, QUARANTINED, UNFIT, UNPLACED
from sidecar.domain.task import Task
from sidecar.services.apply import Applier
from sidecar.services.findings import warnings as secret_warnings
from sidecar.services.guard import bring_back, note_guarded
from sidecar.services.history import note_cycle
from sidecar.services.manifest import follow_manifest
from sidecar.services.present import present_own
from sidecar.services.publish import Outcome, Publisher, push_own
from sidecar.services.receive import fetch_others
from sidecar.services.recover import recover
from sidecar.services.standing import REMOTE_REFS
from sidecar.services.workspace import CLONED, Workspace

MAX_SETTLE_SECONDS = 5.0
"""How long a cycle waits for a session that was written to just now to go quiet."""
FULL_SCAN_SECONDS = 6 * 3600
"""How often every row is compared, whatever the cheap test says."""


@dataclass
class _Totals:
    scans: list[Outcome] = field(default_factory=list)
    pushed: bool = False
    fetched: bool = False
    warnings: list[str] = field(default_factory=list)


def run_cycle(
    ws: Workspace, task: Task, *, publish: bool = True, fetch: bool = True, allow_deletions: bool = False, restore_deletions: bool = False
) -> CycleResult:
    """A whole cycle, or half of one. The caller holds the lock. Raises SidecarError; what was finished before it stays.

    `restore_deletions`: what vanished here comes back, before anything else: that needs no remote.
    """
    cycle = uuid.uuid4().hex[:12]
    totals = _Totals()
    state = ws.db.file_state()
    recovered, totals.warnings = recover(ws, task)
    moved = ws.shadow.get("file_state") != state or (_is_full_due(ws) and ws.shadow.get("full_state") != state)
    if recovered or allow_deletions or restore_deletions or moved or _unsettled(ws):
        _scan(ws, task, totals, state, allow_deletions=allow_deletions, restore_deletions=restore_deletions)
    applier = Applier(ws, task, cycle) if fetch else None
    try:
        if applier is not None and restore_deletions:
            _apply(ws, task, applier, totals)
        task.report("connect")
        heads = ws.heads = ws.repo.remote_heads(task)
        totals.warnings += follow_manifest(ws, task, heads)
        if publish:
            present_own(ws, task, heads)
            totals.pushed = push_own(ws, task, heads)
        if applier is not None:
            before = ws.repo.refs(REMOTE_REFS)
            totals.warnings += fetch_others(ws, task, heads)
            totals.fetched = ws.repo.refs(REMOTE_REFS) != before
            _apply(ws, task, applier, totals)
    finally:
        if applier is not None:
            applier.close()
    if fetch and publish and ws.repo.local_ref(ws.identity.ref) not in (heads.get(ws.identity.branch), ws.shadow.get("confirmed")):
        totals.pushed |= push_own(ws, task, heads)
    if totals.pushed or totals.fetched:
        ws.repo.maintain()
    return _result(ws, cycle, totals, applier, publish=publish)


def _unsettled(ws: Workspace) -> bool:
    """Whether something waits for a scan that may now find more than the last one did."""
    return bool(_unfinished(ws) or _contended(ws, BUSY) or ws.shadow.recounts())


def _is_full_due(ws: Workspace) -> bool:
    return bool(abs(time.time() - ws.shadow.get("full_scan", 0)) > FULL_SCAN_SECONDS)  # also when the clock was wrong then


def _unfinished(ws: Workspace) -> list[str]:
    """Sessions of which something waits here until a turn is done."""
    return [session for session, reason, *_ in ws.shadow.local_waiting() if reason != UNFIT]


def _contended(ws: Workspace, *states: int) -> bool:
    """Whether records in these states wait for something that another cycle may bring. What is held for a secret waits for a decision."""
    waiting = ws.shadow.waiting(states)
    held = ws.shadow.held_sessions() if waiting else set()
    return any(entry.session not in held for entry in waiting)


def _scan(ws: Workspace, task: Task, totals: _Totals, state: list[list[int]], *, allow_deletions: bool, restore_deletions: bool) -> None:
    """Scan; and when a session was written to a moment ago, wait for it to go quiet and look again."""
    full = _is_full_due(ws)
    deadline = time.monotonic() + MAX_SETTLE_SECONDS
    while True:
        outcome = Publisher(ws, task, allow_deletions=allow_deletions, hold_deletions=restore_deletions).scan(full=full)
        totals.scans.append(outcome)
        if not outcome.settles_in or time.monotonic() > deadline:
            break
        task.report("settle", message="waiting for a session to go quiet")
        task.wait(min(outcome.settles_in / 1000 + 0.05, max(0.05, deadline - time.monotonic())))
        state = ws.db.file_state()
    with ws.shadow.writing():
        if full:
            ws.shadow.put("full_scan", int(time.time()))
            ws.shadow.put("full_state", state)
        ws.shadow.put("file_state", state if not outcome.pending else None)
        note_guarded(ws, outcome.gone)
        if restore_deletions:
            bring_back(ws, outcome.gone)


def _apply(ws: Workspace, task: Task, applier: Applier, totals: _Totals) -> None:
    applier.run()
    totals.warnings += [warning for warning in applier.warnings if warning not in totals.warnings]
    if _contended(ws, BUSY) or ws.shadow.recounts():
        # Something changed under our hands: record it, then merge against it.
        outcome = Publisher(ws, task).scan()
        totals.scans.append(outcome)
        with ws.shadow.writing():
            note_guarded(ws, outcome.gone)
        applier.run()


def _result(ws: Workspace, cycle: str, totals: _Totals, applier: Applier | None, *, publish: bool) -> CycleResult:
    counts = waiting_counts(ws)
    sessions = set().union(*(scan.sessions for scan in totals.scans)) if totals.scans else set()
    published = Published(
        sessions=len(sessions),
        rows=sum(scan.rows for scan in totals.scans),
        tombstones=sum(scan.tombstones for scan in totals.scans),
        bytes=sum(scan.bytes for scan in totals.scans),
    )
    applied = Applied()
    if applier is not None:
        c = applier.counts
        applied = Applied(len(applier.sessions), c.inserted, c.updated, c.deleted)
    if published.rows or published.tombstones or applied.sessions:
        note_cycle(ws, cycle, published)
    with ws.shadow.writing():
        ws.shadow.put("last_sync", int(time.time() * 1000))
        ws.shadow.put("last_error", None)
        if publish:
            ws.shadow.put(CLONED, None)  # the remote took what goes out under this identity
        ws.shadow.note_quarantined(int(time.time() * 1000))
    return CycleResult(
        cycle_id=cycle,
        up_to_date=not (totals.pushed or published.rows or published.tombstones or (applier and applier.counts.total) or _contended(ws, NEW, BUSY)),
        published=published,
        applied=applied,
        session_ids=sorted(applier.sessions) if applier else [],
        refreshable=bool(applier and applier.sessions) and ws.db.schema().renames_move_no_time,
        notices=ws.notices,
        warnings=totals.warnings
        + [text for scan in totals.scans for text in scan.unfit]
        + secret_warnings([finding for scan in totals.scans for finding in scan.found]),
        **counts,
    )


def waiting_counts(ws: Workspace) -> dict[str, Any]:
    """The counts that every result and `status` share."""
    states = ws.shadow.counts()
    return {
        "held": states.get(FUTURE, 0) + states.get(PARENT_MISSING, 0) + states.get(BUSY, 0),
        "unplaced": states.get(UNPLACED, 0),
        "quarantined": states.get(QUARANTINED, 0) + len(ws.shadow.problems()) + len(ws.shadow.local_waiting()) - len(_unfinished(ws)),
        "diverged": len(ws.shadow.get("diverged", [])),
        "pending": len(_unfinished(ws)),
        "guarded": ws.shadow.get("guarded", 0) or 0,
        "secrets": len(ws.shadow.held_sessions()),
    }
