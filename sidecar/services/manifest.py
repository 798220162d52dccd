"""The vault's manifest, looked at whenever it moved, before a cycle publishes or reads anything: is it still this vault, and has it another key?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.setup import read_vault
from sidecar.services.workspace import MANIFEST, VAULT_FILE, Workspace

if TYPE_CHECKING:
    from sidecar.adapters.crypto import KeyRing

LOST = (
    "The remote has lost the vault's description, or all of it; no machine can join until it is put back: "
    "run `opencode-sidecar init --move-to` with the same address on a machine that has the vault's present key."
)
_REFUSED = ("remoteNotVault", "unsupported")


def follow_manifest(ws: Workspace, task: Task, heads: dict[str, str]) -> list[str]:
    """Warnings. Looks at the manifest when its branch has moved, and never else. A key that another device made is taken over.

    Raises remoteNotVault when another vault is at the remote's address; newerFormat; wrongKey when the key was changed and this device
    was not given the new one: what it would publish, nobody would read.
    """
    known: dict[str, Any] = ws.shadow.get(MANIFEST) or {}
    if known and heads.get(known["branch"]) == known["commit"] and known["key"] == ws.key_id:
        return [known["problem"]] if known["problem"] else []
    try:
        manifest = read_vault(ws.repo, task, heads)
    except SidecarError as error:
        if error.kind not in _REFUSED:
            raise
        return [LOST if error.detail != VAULT_FILE else f"{error.message} {error.remedy}"]
    branch = str(manifest.pop("branch"))
    if manifest["vault"] != ws.identity.vault_id:
        raise _other_vault(ws, str(manifest["vault"]))
    ring, problem = ws.ring, ""
    found = ring
    if ring is not None:
        try:
            found = ws.keys.settle(ring, manifest)
        except SidecarError as error:
            if error.kind not in _REFUSED:
                raise
            problem = f"{error.message} {error.remedy}"
    if found is not None and found != ring:
        ws.use_keys(found)
    with ws.shadow.writing():
        if found is not None and ring is not None and found.current != ring.current and manifest.get("by") != ws.identity.device_id:
            _note(ws, found, str(manifest.get("by")), {device for device, _ in found.forgotten} - {device for device, _ in ring.forgotten})
        key = found.current.id.hex() if found is not None else None
        ws.shadow.put(MANIFEST, {"branch": branch, "commit": heads[branch], "key": key, "problem": problem})
    return [problem] if problem else []


def _other_vault(ws: Workspace, found: str) -> SidecarError:
    return SidecarError(
        "remoteNotVault",
        "Another vault is at the remote's address now.",
        detail=f"vault {found[:8]}, where {ws.identity.vault_id[:8]} was",
        remedy="Nothing was pushed or taken over. Put the right repository back, or move this vault with `opencode-sidecar init --move-to URL`.",
    )


def _note(ws: Workspace, ring: KeyRing, by: str, forgotten: set[str]) -> None:
    """Tell that the key was changed, and by whom: a person who knows nothing of it should."""
    names = {device: str(info.get("name") or device) for device, info, _, _ in ws.shadow.devices()}
    ws.shadow.put("key_changed", {"at": ws.clock.wall(), "by": names.get(by, by), "id": ring.current.id.hex()})
    gone = f" and forgot {', '.join(sorted(names.get(device, device) for device in forgotten))}" if forgotten else ""
    ws.notices.append(f"{names.get(by, by)} gave the vault a new key{gone}; this device took it over. `opencode-sidecar show-key` prints the new recovery key.")
