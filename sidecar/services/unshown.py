"""Turns that came in while an undo is open here.

opencode only notes an undo, hides every message from that point on, and deletes them all at the next prompt: also what came in
from elsewhere meanwhile, which nobody here has seen, let alone undone. Those are no deletions of a person's; they come back.
"""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.domain.records import MESSAGE, PART, SESSION
from sidecar.domain.state import Op, SessionRows
from sidecar.domain.undo import At
from sidecar.services.guard import forget_rows
from sidecar.services.scan import Change, SessionScan, ShadowRows
from sidecar.services.workspace import Workspace

_NOTE = "unshown"
"""In the shadow: session -> [[table, key], …] of what came in under the undo that is open in it."""


def note_unshown(ws: Workspace, session: str, known: ShadowRows, ops: Sequence[Op]) -> None:
    """Before these are written: note the messages that are new here, with their parts, if the undo that is open was made on this machine."""
    row = known.get((SESSION, session))
    undo = (row.cells or {}).get("revert") if row is not None else None
    if undo is None or not undo[3] or undo[2] != ws.identity.device_id or any(op.table == SESSION and op.expected is None for op in ops):
        return  # a session that was deleted comes back with what was here when it was undone
    own = ws.identity.device_id  # what this device wrote and gets back, after a loss of the shadow say, had been seen
    new = {op.key for op in ops if op.table == MESSAGE and op.expected is None and op.after is not None and op.after.version.device != own}
    found = [(op.table, op.key) for op in ops if op.columns is not None and op.expected is None and _message_of(op) in new]
    if found:
        noted = ws.shadow.get(_NOTE, {})
        with ws.shadow.writing():
            ws.shadow.put(_NOTE, noted | {session: sorted({*map(tuple, noted.get(session, [])), *found})})


def _message_of(op: Op) -> str:
    return str((op.columns or {}).get("message_id")) if op.table == PART else op.key if op.table == MESSAGE else ""


def take_back(ws: Workspace, scan: SessionScan, rows: SessionRows, *, dry: bool) -> None:
    """Drop deletions of such rows from a scan, and make the records they came from due again. What is there once the undo is over was shown."""
    noted: dict[str, list[list[str]]] = ws.shadow.get(_NOTE, {})
    if scan.session_id not in noted:
        return
    unshown: set[At] = {(table, key) for table, key in noted[scan.session_id]}
    gone = [_at(change) for change in scan.changes if change.record.is_tombstone and _at(change) in unshown]
    scan.changes = [change for change in scan.changes if not (change.record.is_tombstone and _at(change) in unshown)]
    if dry:
        return
    left = unshown.difference(gone) & ws.shadow.rows(scan.session_id).keys()
    if not rows.session.get("revert"):
        left -= {(MESSAGE, key) for key in rows.messages} | {(PART, key) for key in rows.parts}
    with ws.shadow.writing():
        if gone:
            forget_rows(ws, scan.session_id, gone)
        kept = {other: those for other, those in noted.items() if other != scan.session_id}
        ws.shadow.put(_NOTE, kept | ({scan.session_id: sorted(left)} if left else {}))


def _at(change: Change) -> At:
    return change.record.table, change.record.key
