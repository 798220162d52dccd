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
LOOK, MEASURE = "upkeep_look", "upkeep_measure"
"""When to look next whether there is anything to do (loading the keys costs something), and when to look at the size of the log."""


def is_due(ws: Workspace) -> bool:
    """Whether `upkeep` should be called when there is nothing else to do; said once an hour at most. The caller holds the lock."""
    if _waits(ws, LOOK, HOUR):
        return False
    _set(ws, LOOK, HOUR)
    commit = ws.repo.local_ref(ws.identity.ref)
    if commit is None or _under_former_key(ws):
        return commit is not None
    if _waits(ws, MEASURE, WEEK):
        return False
    _set(ws, MEASURE, WEEK)
    return sum(entry.size for entry in ws.repo.tree(commit, sizes=True)) >= MIN_BYTES


def upkeep(ws: Workspace, task: Task) -> bool:
    """Compact the own log if that is worth it. Whether it was done. Raises what a compaction raises; it is tried again later."""
    from sidecar.services.compact import compact

    key = _current_key(ws)
    try:
        done = compact(ws, task, share=MAX_SHARE).done
    except SidecarError:
        _set(ws, MEASURE, DAY)
        raise
    with ws.shadow.writing():
        ws.shadow.put("sealed_with", key)
    _set(ws, MEASURE, WEEK)
    return done


def _under_former_key(ws: Workspace) -> bool:
    """Whether something of the log may still open with a key that was replaced."""
    return ws.sealer is not None and bool(ws.sealer.ring.retired) and ws.shadow.get("sealed_with") != _current_key(ws)


def _current_key(ws: Workspace) -> str | None:
    return ws.sealer.ring.current.id.hex() if ws.sealer is not None else None


def _waits(ws: Workspace, what: str, longest: int) -> bool:
    """Also after the clock was turned back not for ever."""
    return bool(0 < ws.shadow.get(what, 0) - time.time() <= longest)


def _set(ws: Workspace, what: str, seconds: int) -> None:
    with ws.shadow.writing():
        ws.shadow.put(what, int(time.time()) + seconds)
