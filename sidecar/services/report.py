"""Looking without touching: status and preview."""

from __future__ import annotations

import uuid
from typing import Any

from protocol.sync import (
    Applied,
    Attention,
    Device,
    KeyChange,
    LastError,
    PreviewResult,
    Published,
    SessionChange,
    StatusResult,
)
from sidecar.domain.state import BUSY, FUTURE, NEW, PARENT_MISSING, QUARANTINED, REASONS, UNPLACED, UNREADABLE
from sidecar.domain.task import Task
from sidecar.services.apply import Applier
from sidecar.services.cycle import waiting_counts
from sidecar.services.guard import GUARD_ANSWERS, MAX_LISTED, bring_back, guarded
from sidecar.services.manifest import follow_manifest
from sidecar.services.publish import IDENTITY_ANSWERS, Publisher
from sidecar.services.receive import fetch_others
from sidecar.services.workspace import CLONED, Workspace

MAX_ATTENTION = 200


class _RollBack(Exception):
    pass


def devices(ws: Workspace) -> list[Device]:
    waiting: dict[str, set[int]] = {}
    for entry in ws.shadow.waiting([NEW, FUTURE, UNPLACED, QUARANTINED, PARENT_MISSING, BUSY, UNREADABLE]):
        waiting.setdefault(entry.device, set()).add(entry.sequence)
    now = ws.clock.wall()
    found = []
    for device, info, _, _ in ws.shadow.devices():
        own = device == ws.identity.device_id
        published = info.get("published")
        found.append(
            Device(
                id=device,
                name=ws.identity.device_name if own else str(info.get("name") or device),
                platform=str(info.get("platform") or ""),
                last_published=published if isinstance(published, int) and published else None,
                behind=len(waiting.get(device, ())),
                this_device=own,
                opencode_version=ws.shadow.get("opencode", [None])[0] if own else str(info.get("opencode") or "") or None,
                clock_ahead_ms=max(0, published - now) if isinstance(published, int) else 0,
            )
        )
    if not any(device.this_device for device in found):
        found.append(Device(ws.identity.device_id, ws.identity.device_name, ws.identity.platform, None, 0, True))
    return found


def remote_devices(ws: Workspace, task: Task) -> list[Device]:
    """This device and every other that the remote has a log of; indexes nothing."""
    try:
        with ws.shadow.writing():
            fetch_others(ws, task, ws.repo.remote_heads(task))
            found = devices(ws)
            raise _RollBack
    except _RollBack:
        return found


def status(ws: Workspace, *, running: bool) -> StatusResult:
    """From the shadow alone, but for the database's schema: never waits for a cycle, the network, or a lock."""
    shadow = ws.shadow
    error: dict[str, Any] | None = shadow.get("last_error")
    changed: dict[str, Any] | None = shadow.get("key_changed")
    attention = [
        Attention(w.session, REASONS[w.state], w.detail, shadow.title(w.session), w.until or None)
        for w in shadow.waiting([FUTURE, UNPLACED, QUARANTINED, PARENT_MISSING, BUSY, UNREADABLE])[:MAX_ATTENTION]
    ]
    attention += [Attention(session, reason, detail, title) for session, reason, detail, title in shadow.local_waiting()[:MAX_ATTENTION]]
    attention += [Attention(session, "diverged", "continued on two machines", shadow.title(session)) for session in shadow.get("diverged", [])]
    attention += [Attention("", "quarantined", f"{device} segment {sequence}: {why}") for device, sequence, why in shadow.problems()]
    attention += [Attention(session, "secret", "held: see `opencode-sidecar secrets`") for session in sorted(shadow.held_sessions())[:MAX_ATTENTION]]
    asked = guarded(ws)
    if shadow.get("guarded"):
        attention.append(Attention("", "guard", f"{shadow.get('guarded')} sessions lost rows here. {GUARD_ANSWERS}"))
        attention += [Attention(g.session_id, "guard", f"{'gone, with' if g.whole else 'lost'} {g.rows} rows", g.title) for g in asked[:MAX_ATTENTION]]
    if shadow.get(CLONED):
        attention.append(Attention("", "identity", IDENTITY_ANSWERS))
    return StatusResult(
        configured=True,
        database=str(ws.db.path),
        vault_id=ws.identity.vault_id,
        device_id=ws.identity.device_id,
        device_name=ws.identity.device_name,
        remote=ws.identity.remote,
        opencode_version=shadow.get("opencode", [None])[0],
        encryption=ws.identity.encryption,
        devices=devices(ws),
        sessions=shadow.count_sessions(),
        rows=shadow.count_rows(),
        attention=attention,
        unsynced_tables=shadow.get("others", []),
        last_sync=shadow.get("last_sync"),
        last_error=LastError(error["kind"], error["message"], error["at"]) if error else None,
        vault_bytes=ws.repo.size_bytes(),
        database_bytes=sum(state[2] for state in ws.db.file_state()),
        running=running,
        key_changed=KeyChange(changed["by"], changed["id"], changed["at"]) if changed else None,
        guarded_sessions=asked,
        **waiting_counts(ws),
    )


def preview(ws: Workspace, task: Task, *, allow_deletions: bool = False, restore_deletions: bool = False) -> PreviewResult:
    """The plan of a cycle. Objects may be fetched into our own repository; the shadow is rolled back."""
    result: list[PreviewResult] = []
    outcome = Publisher(ws, task, allow_deletions=allow_deletions, hold_deletions=restore_deletions, dry=True).scan()
    heads = ws.repo.remote_heads(task)
    warnings = follow_manifest(ws, task, heads)
    try:
        with ws.shadow.writing():
            if restore_deletions:
                bring_back(ws, outcome.gone)
                outcome.guarded, outcome.gone = 0, []
            warnings += fetch_others(ws, task, heads)
            applier = Applier(ws, task, "preview", dry=True)
            applier.run()
            result.append(_preview_result(ws, outcome, applier, warnings))
            raise _RollBack
    except _RollBack:
        ws.forget_projects()
    return result[0]


def _preview_result(ws: Workspace, outcome: Any, applier: Applier, warnings: list[str]) -> PreviewResult:
    out = {scan.session_id: (scan.title, len(scan.changes)) for scan in outcome.changes}
    changes = []
    for session in sorted(out.keys() | applier.sessions.keys()):
        title, rows = out.get(session, (applier.titles.get(session) or ws.shadow.title(session), 0))
        incoming = applier.sessions.get(session)
        changes.append(SessionChange(session, title, "both" if incoming and session in out else incoming or "out", rows))
    changes += [SessionChange(session, ws.shadow.title(session), "deleteOut") for session in outcome.vanished]
    counts = waiting_counts(ws) | {"guarded": outcome.guarded, "pending": outcome.pending}
    counts["secrets"] = max(counts["secrets"], outcome.held)
    c = applier.counts
    return PreviewResult(
        cycle_id=uuid.uuid4().hex[:12],
        up_to_date=not changes,
        published=Published(len(out), outcome.rows, outcome.tombstones, 0),
        applied=Applied(len(applier.sessions), c.inserted, c.updated, c.deleted),
        sessions=changes,
        warnings=warnings + outcome.unfit + applier.warnings,
        guarded_sessions=[one.listed for one in outcome.gone[:MAX_LISTED]],
        **counts,
    )
