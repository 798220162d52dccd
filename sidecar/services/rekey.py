"""The vault's key was changed elsewhere: take the new one over, or say why not. Before a cycle publishes or reads anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.setup import read_vault
from sidecar.services.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from sidecar.adapters.crypto import KeyRing

_REFUSED = ("remoteNotVault", "unsupported", "newerFormat")


def follow_key(ws: Workspace, task: Task, heads: dict[str, str]) -> list[str]:
    """Warnings. Looks at the manifest when its branch has moved, and never else.

    Raises wrongKey when the key was changed and this device was not given the new one: what it would publish, nobody would read.
    """
    known: dict[str, Any] = ws.shadow.get(MANIFEST) or {}
    if known and heads.get(known["branch"]) == known["commit"] and known["key"] == ws.key_id:
        return [known["problem"]] if known["problem"] else []
    ring = ws.ring
    if ring is None:
        return []
    problem, branch = "", None
    try:
        manifest = read_vault(ws.repo, task, heads)
        branch = str(manifest.pop("branch"))
        if manifest["vault"] != ws.identity.vault_id:
            raise SidecarError("remoteNotVault", "The remote holds another vault now.", remedy="Check its address, and who can write to it.")
        found = ws.keys.settle(ring, manifest)
    except SidecarError as error:
        if error.kind not in _REFUSED:
            raise
        problem = f"{error.message} {error.remedy}"
        found = ring
    if found != ring:
        ws.use_keys(found)
    with ws.shadow.writing():
        if found.current != ring.current and manifest.get("by") != ws.identity.device_id:
            _note(ws, found, str(manifest.get("by")), {device for device, _ in found.forgotten} - {device for device, _ in ring.forgotten})
        if branch is not None:
            ws.shadow.put(MANIFEST, {"branch": branch, "commit": heads.get(branch), "key": found.current.id.hex(), "problem": problem})
    return [problem] if problem else []


def _note(ws: Workspace, ring: KeyRing, by: str, forgotten: set[str]) -> None:
    """Tell that the key was changed, and by whom: a person who knows nothing of it should."""
    names = {device: str(info.get("name") or device) for device, info, _, _ in ws.shadow.devices()}
    ws.shadow.put("key_changed", {"at": ws.clock.wall(), "by": names.get(by, by), "id": ring.current.id.hex()})
    gone = f" and forgot {', '.join(sorted(names.get(device, device) for device in forgotten))}" if forgotten else ""
    ws.notices.append(f"{names.get(by, by)} gave the vault a new key{gone}; this device took it over. `opencode-sidecar show-key` prints the new recovery key.")
