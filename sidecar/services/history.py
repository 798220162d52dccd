"""The history of cycles: what each changed here, kept so that it can be taken back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from protocol.sync import Applied, Published
from protocol.trust import HistoryCycle, HistoryResult, HistorySession
from sidecar.domain.records import TODO
from sidecar.domain.state import Op, Row
from sidecar.domain.undo import DELETED, INSERTED, UPDATED, Image
from sidecar.services.workspace import Workspace

_MAX_IMAGE_BYTES = 1 << 31


def note_images(ws: Workspace, cycle: str, session: str, title: str, ops: Sequence[Op], images: Sequence[tuple[str, str, Row | None]], after: list[Any]) -> int:
    """Journal a transaction that is about to be committed; returns the entry's number."""
    written = {(op.table, op.key): op.columns for op in ops}
    found = [_image(table, key, row, written.get((table, key))) for table, key, row in images]
    kinds = [image.kind for image in found]
    counts = (kinds.count(INSERTED), kinds.count(UPDATED), kinds.count(DELETED))
    before = ws.tools.compress(ws.tools.pack([[image.table, image.key, image.kind, image.columns] for image in found]))
    return ws.journal.add(cycle, _now(), session, title, counts, before, ws.tools.pack(after))


def _image(table: str, key: str, row: Row | None, written: Row | None) -> Image:
    if row is None:
        return Image(table, key, INSERTED, None)
    if table == TODO:
        return Image(table, key, UPDATED, row)
    if written is None:
        return Image(table, key, DELETED, row)
    return Image(table, key, UPDATED, {name: row[name] for name in written if name in row and row[name] != written[name]})


def read_images(ws: Workspace, cycle: str, session: str) -> list[Image]:
    """The last write first."""
    found: list[Image] = []
    for packed in ws.journal.images(cycle, session):
        found += [Image(*image) for image in reversed(ws.tools.unpack(ws.tools.decompress(packed, _MAX_IMAGE_BYTES)))]
    return found


def note_cycle(ws: Workspace, cycle: str, published: Published) -> None:
    """Enter a cycle that did something into the history, and forget what is too old."""
    ws.journal.begin(cycle, _now(), "cycle")
    counts = [published.sessions, published.rows, published.tombstones, published.bytes]
    ws.journal.finish(cycle, {"published": counts})
    ws.journal.prune(_now())


def history(ws: Workspace, limit: int) -> HistoryResult:
    """Past cycles, newest first."""
    cycles = []
    for cycle in ws.journal.cycles(limit):
        sessions = [HistorySession(*entry) for entry in cycle.sessions]
        applied = Applied(len(sessions), sum(s.inserted for s in sessions), sum(s.updated for s in sessions), sum(s.deleted for s in sessions))
        published = Published(*cycle.summary.get("published", ()))
        files = [str(name) for name in cycle.summary.get("files", ())]
        cycles.append(HistoryCycle(cycle.id, cycle.at, cycle.kind, published, applied, sessions, files, restorable=bool(sessions or files)))
    return HistoryResult(cycles, ws.journal.size_bytes())


def _now() -> int:
    return int(time.time() * 1000)
