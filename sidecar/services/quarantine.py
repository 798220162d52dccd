"""What could not be used: whose it is, why, since when; and trying it again."""

from __future__ import annotations

import uuid
from contextlib import closing

from protocol.sync import Applied
from protocol.trust import Quarantined, QuarantineResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.apply import Applier
from sidecar.services.receive import index_fetched
from sidecar.services.standing import REMOTE_REFS
from sidecar.services.workspace import Workspace


def listing(ws: Workspace) -> QuarantineResult:
    """From the shadow alone."""
    names = {device: str(info.get("name") or device) for device, info, _, _ in ws.shadow.devices()}
    return QuarantineResult(
        [
            Quarantined("record" if session else "segment", device, names.get(device, device), sequence, session, ws.shadow.title(session), why, since)
            for device, sequence, session, why, since in ws.shadow.quarantined()
        ]
    )


def retry(ws: Workspace, task: Task) -> QuarantineResult:
    """Fetch the logs it is in, read it again, apply what can be. Without the remote, from what was fetched before."""
    before = {entry[:3] for entry in ws.shadow.quarantined()}
    warnings = read_again(ws, task)
    with closing(Applier(ws, task, uuid.uuid4().hex[:12])) as applier:
        applier.run()
    with ws.shadow.writing():
        ws.shadow.note_quarantined(ws.clock.wall())
    after, counts = listing(ws), applier.counts
    return QuarantineResult(
        after.entries,
        len(before - {(entry.device, entry.sequence, entry.session_id) for entry in after.entries}),
        Applied(len(applier.sessions), counts.inserted, counts.updated, counts.deleted),
        sorted(applier.sessions),
        bool(applier.sessions) and ws.db.schema().renames_move_no_time,
        list(dict.fromkeys(warnings + applier.warnings)),
    )


def read_again(ws: Workspace, task: Task) -> list[str]:
    """Make what is kept aside due: fetch and index the logs anew that have segments which could not be read. Applies nothing."""
    warnings = _index_again(ws, task)
    with ws.shadow.writing():
        ws.shadow.retry_quarantined()
    return warnings


def _index_again(ws: Workspace, task: Task) -> list[str]:
    """The remote may have been mended without moving."""
    devices = {device for device, *_ in ws.shadow.problems()} - {ws.identity.device_id}
    if not devices:
        return []
    warnings = []
    forgotten = {device for device, _ in ws.sealer.ring.forgotten} if ws.sealer is not None else set()
    try:
        heads = ws.repo.remote_heads(task)
        ws.repo.fetch(task, sorted(f"sessions/{device}" for device in devices - forgotten if f"sessions/{device}" in heads))
    except SidecarError as error:
        if error.kind == "cancelled":
            raise
        warnings.append(f"Not fetched again: {error.message}")
    for device in sorted(devices):
        head = ws.repo.local_ref(f"{REMOTE_REFS}{device}")
        if head is not None:
            warnings += index_fetched(ws, task, device, head)
    return warnings
