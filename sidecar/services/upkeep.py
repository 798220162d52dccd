"""What nobody has to ask for: whether this device's log is due to be compacted. Asked at the end of every cycle, so it costs next to nothing."""

from __future__ import annotations

import time

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Workspace

WEEK, DAY, HOUR = 7 * 24 * 3600, 24 * 3600, 3600
MIN_BYTES = 8 << 20
"""A smaller log is left alone."""
MAX_SHARE = 0.5
"""What is left must be less than this share, or a former key must go: else the log stays as it is."""
_NEXT = "upkeep_next"


def is_due(ws: Workspace) -> bool:
    """Whether `upkeep` should be called when there is nothing else to do; said once an hour at most. The caller holds the lock."""
    wait = ws.shadow.get(_NEXT, 0) - time.time()
    commit, resealing = ws.repo.local_ref(ws.identity.ref), _under_former_key(ws)
    if commit is None or 0 < wait <= (HOUR if resealing else WEEK):
        return False
    due = resealing or sum(entry.size for entry in ws.repo.tree(commit, sizes=True)) >= MIN_BYTES
    _next(ws, HOUR if due else WEEK)
    return due


def upkeep(ws: Workspace, task: Task) -> bool:
    """Compact the own log if that is worth it. Whether it was done. Raises what a compaction raises; it is tried again later."""
    from sidecar.services.compact import compact

    key = _current_key(ws)
    try:
        done = compact(ws, task, share=MAX_SHARE).done
    except SidecarError:
        _next(ws, HOUR if _under_former_key(ws) else DAY)
        raise
    with ws.shadow.writing():
        ws.shadow.put("sealed_with", key)
    _next(ws, WEEK)
    return done


def _under_former_key(ws: Workspace) -> bool:
    """Whether something of the log may still open with a key that was replaced."""
    return ws.sealer is not None and bool(ws.sealer.ring.retired) and ws.shadow.get("sealed_with") != _current_key(ws)


def _current_key(ws: Workspace) -> str | None:
    return ws.sealer.ring.current.id.hex() if ws.sealer is not None else None


def _next(ws: Workspace, seconds: int) -> None:
    with ws.shadow.writing():
        ws.shadow.put(_NEXT, int(time.time()) + seconds)
