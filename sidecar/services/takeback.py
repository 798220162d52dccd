"""A device whose state was restored from a backup goes on with its own log as the remote has it."""

from __future__ import annotations

from sidecar.domain.task import Task
from sidecar.services.heads import read_head
from sidecar.services.publish import was_ours
from sidecar.services.workspace import Workspace


def take_log_back(ws: Workspace, task: Task) -> bool:
    """Bring our branch to the remote's, when that is not behind ours. Whether it moved: then the shadow has to be made anew.

    Segments that were committed here and never pushed stay under `refs/kept/`; what they say is in the database, and is published
    again. Raises segmentCorrupt, wrongKey, newerFormat when the remote's log is not ours.
    """
    identity, repo = ws.identity, ws.repo
    there, here = repo.remote_heads(task).get(identity.branch), repo.local_ref(identity.ref)
    if there is None or there == here or (here is not None and (repo.is_ancestor(there, here) or was_ours(ws, there))):
        return False
    repo.fetch(task, [identity.branch])
    there = repo.local_ref(f"refs/remotes/origin/{identity.branch}") or there
    read_head(ws, identity.device_id, there)
    if here is not None and not repo.is_ancestor(here, there):
        repo.adopt_ref(f"refs/kept/{identity.device_id}-{here[:12]}", here)
    repo.adopt_ref(identity.ref, there)
    return True
