"""A device whose state was restored from a backup goes on with its own log as the remote has it."""

from __future__ import annotations

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.heads import read_head
from sidecar.services.manifest import follow_manifest
from sidecar.services.publish import REPLACED_REF, was_ours
from sidecar.services.receive import MAX_SEGMENT_BYTES, keep_own
from sidecar.services.standing import counted, vouched
from sidecar.services.workspace import Workspace


def take_log_back(ws: Workspace, task: Task) -> bool:
    """Bring our branch to the remote's, when that is not behind ours. Whether it moved: then the shadow has to be made anew.

    Segments that were committed here and never pushed stay under `refs/kept/`; what they say is in the database, and is published
    again. What somebody added with a key that was replaced is not taken, and the next push puts our log in its place.
    Raises segmentCorrupt, wrongKey, newerFormat when the remote's log is not ours.
    """
    identity, repo = ws.identity, ws.repo
    heads = repo.remote_heads(task)
    follow_manifest(ws, task, heads)  # a key that was changed since the backup says what of the log counts
    there, here = heads.get(identity.branch), repo.local_ref(identity.ref)
    if there is None or there == here or (here is not None and (repo.is_ancestor(there, here) or was_ours(ws, there))):
        return False
    repo.fetch(task, [identity.branch])
    there = repo.local_ref(f"refs/remotes/origin/{identity.branch}") or there
    ours = _ours(ws, there, here)
    if ours != there:
        repo.adopt_ref(REPLACED_REF, there)
    if here is not None and repo.is_ancestor(ours, here):
        return False
    if here is not None and not repo.is_ancestor(here, ours):
        keep_own(repo, identity, here)
    repo.adopt_ref(identity.ref, ours)
    return True


def _ours(ws: Workspace, there: str, here: str | None) -> str:
    """How much of what the remote has under our name is ours: whoever kept a key that was replaced can still write there."""
    own = ws.identity.device_id
    try:
        commit = counted(ws, own, there, fetched=True)
    except SidecarError as error:
        if error.kind != "wrongKey" or here is None:
            raise
        return here  # nothing of it
    info = read_head(ws, own, commit)
    counts = vouched(ws, own, commit, info["previous"], fetched=True)
    if all(counts(ws.repo.read_blob(entry.sha, limit=MAX_SEGMENT_BYTES), entry.sha) for entry in ws.repo.tree(commit, "seg/")):
        return commit
    raise SidecarError(
        "wrongKey",
        "Somebody who kept a key that was replaced wrote into this device's log on the remote.",
        detail=f"{ws.identity.branch} at {there[:12]}",
        remedy="Nothing of it was used. Run `opencode-sidecar link REMOTE --new-device`: what is here is kept, and goes out under a new name.",
    )
