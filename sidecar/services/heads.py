"""The head of a device's log: who it is, how far the log goes, and the mark of its last segment."""

from __future__ import annotations

import json
from typing import Any

from sidecar.domain.errors import SidecarError
from sidecar.services.workspace import FORMAT, Workspace

HEAD_FILE, SEALED_HEAD_FILE = "head.json", "head"
MAX_HEAD_BYTES = 1 << 20


def own_head(ws: Workspace, sequence: int, path: str, sha256: str, previous: str | None, generation: int) -> dict[str, Any]:
    """What this device's head says of its log. `generation`: grows with each compaction, 0 before the first."""
    identity = ws.identity
    return {
        "format": FORMAT,
        "vault": identity.vault_id,
        "device": {
            "id": identity.device_id,
            "name": identity.device_name,
            "platform": identity.platform,
            "opencode": ws.shadow.get("opencode", [None])[0],
        },
        "sequence": sequence,
        "generation": generation,
        "segment": {"path": path, "sha256": sha256},
        "previous": previous,
        "published": ws.clock.wall(),
    }


def mark_of(path: str) -> str:
    """The part of a segment's path that follows from its content."""
    return path[-16:]


def written_head(ws: Workspace, head: dict[str, Any]) -> dict[str, bytes]:
    """The file that says it, by name."""
    data = json.dumps(head, indent=1).encode()
    if ws.sealer is None:
        return {HEAD_FILE: data}
    return {SEALED_HEAD_FILE: ws.sealer.seal_whole(data, "head", ws.identity.device_id)}


def read_head(ws: Workspace, device: str, commit: str) -> dict[str, Any]:
    """What a log's head says. Raises segmentCorrupt, newerFormat, wrongKey."""
    try:
        head = json.loads(_read(ws, device, commit))
        version = head["format"]
        if not isinstance(version, int) or not isinstance(head["sequence"], int):
            raise TypeError
        if version > FORMAT:
            raise SidecarError(
                "newerFormat", f"Device {device} writes format {version}; this program reads {FORMAT}.", remedy="Update opencode-sidecar on this machine."
            )
        if head["vault"] != ws.identity.vault_id or head["device"]["id"] != device:
            raise SidecarError("segmentCorrupt", f"The log of device {device} belongs to another vault or device.", remedy="It was ignored.")
        known = head["device"]
        return {
            "name": str(known.get("name") or device)[:80],
            "platform": str(known.get("platform") or "")[:40],
            "opencode": str(known.get("opencode") or "")[:40],
            "published": int(head.get("published") or 0),
            "sequence": head["sequence"],
            "segment": mark_of(str(head["segment"]["path"])),
            "generation": int(head.get("generation") or 0),
        }
    except (ValueError, KeyError, TypeError):
        raise SidecarError(
            "segmentCorrupt", f"The head of device {device} is unreadable.", remedy="Nothing of it was used; the other devices keep syncing."
        ) from None


def _read(ws: Workspace, device: str, commit: str) -> bytes:
    if ws.sealer is None:
        return ws.repo.read_file(commit, HEAD_FILE, limit=MAX_HEAD_BYTES) or b""
    sealed = ws.repo.read_file(commit, SEALED_HEAD_FILE, limit=MAX_HEAD_BYTES)
    if sealed is None:
        raise SidecarError("segmentCorrupt", f"The log of device {device} is not encrypted although the vault is.", remedy="It was ignored.")
    return ws.sealer.open_whole(sealed, "head", device)
