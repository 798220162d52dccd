"""Whether the remote is still the vault that this device joined: looked at whenever its manifest moved, before anything is pushed."""

from __future__ import annotations

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.setup import read_vault
from sidecar.services.workspace import Workspace

_SEEN = "manifest"
LOST = (
    "The remote has lost the vault's description, or all of it; no machine can join until it is put back: "
    "run `opencode-sidecar init --move-to` with the same address on a machine that has the vault's present key."
)


def check_same_vault(ws: Workspace, task: Task, heads: dict[str, str]) -> list[str]:
    """Warnings. Raises remoteNotVault when another vault is in its place, and newerFormat."""
    seen = ws.shadow.get(_SEEN)
    if seen is not None and heads.get(seen[0]) == seen[1]:
        return []
    try:
        manifest = read_vault(ws.repo, task, heads)
    except SidecarError as error:
        if error.kind != "remoteNotVault":
            raise
        return [LOST]
    if manifest["vault"] != ws.identity.vault_id:
        raise SidecarError(
            "remoteNotVault",
            "Another vault is at the remote's address now.",
            detail=f"vault {str(manifest['vault'])[:8]}, where {ws.identity.vault_id[:8]} was",
            remedy="Nothing was pushed or taken over. Put the right repository back, or move this vault with `opencode-sidecar init --move-to URL`.",
        )
    with ws.shadow.writing():
        ws.shadow.put(_SEEN, [manifest["branch"], heads[manifest["branch"]]])
    return []
