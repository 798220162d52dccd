"""The head of a device's log: who it is, how far the log goes, and the mark of its last segment."""

from __future__ import annotations

import json
from typing import Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import readable
from sidecar.services.standing import SEALED_HEAD_FILE
from sidecar.services.workspace import FORMAT, Workspace

HEAD_FILE = "head.json"
MAX_HEAD_BYTES = 1 << 20
MAX_FORMAT, MAX_SEQUENCE, MAX_TIME = 10**6, 10**9 - 1, 1 << 53
"""A segment's name has nine digits; times are milliseconds."""


def mark_of(path: str) -> str:
    """The part of a segment's path that follows from its content."""
    return path[-16:]


def own_generation(ws: Workspace) -> int:
    """How far the compactions of this device's log have come; 0 before the first. It only grows."""
    return int(ws.shadow.info_of(ws.identity.device_id).get("generation", 0))


def new_head(ws: Workspace, sequence: int, segment: dict[str, str] | None, parent: str | None, generation: int | None = None) -> dict[str, Any]:
    """What the head of our own log says. `segment`: its last one, path and SHA-256; None while there is none. `parent`: the commit before.

    `generation`: of a log that was compacted just now; else it stays.
    """
    identity = ws.identity
    device = {"id": identity.device_id, "name": identity.device_name, "platform": identity.platform, "opencode": ws.shadow.get("opencode", [None])[0]}
    if ws.sealer is not None and ws.sealer.ring.private is not None:
        device["publicKey"] = ws.sealer.ring.private.public
    return {
        "format": FORMAT,
        "vault": identity.vault_id,
        "device": device,
        "sequence": sequence,
        "generation": own_generation(ws) if generation is None else generation,
        "segment": segment,
        "previous": parent,
        "published": ws.clock.wall(),
    }


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
        published = head.get("published") or 0
        generation = head.get("generation") or 0
        for number, limit in ((version, MAX_FORMAT), (head["sequence"], MAX_SEQUENCE), (published, MAX_TIME), (generation, MAX_TIME)):
            if type(number) is not int or not 0 <= number <= limit:
                raise TypeError
        if version > FORMAT:
            raise SidecarError(
                "newerFormat", f"Device {device} writes format {version}; this program reads {FORMAT}.", remedy="Update opencode-sidecar on this machine."
            )
        if head["vault"] != ws.identity.vault_id or head["device"]["id"] != device:
            raise SidecarError("segmentCorrupt", f"The log of device {device} belongs to another vault or device.", remedy="It was ignored.")
        known = head["device"]
        return {
            "name": readable(known.get("name") or device)[:80],
            "platform": readable(known.get("platform") or "")[:40],
            "opencode": readable(known.get("opencode") or "")[:40],
            "published": published,
            "sequence": head["sequence"],
            "segment": mark_of(str(head["segment"]["path"])) if head["sequence"] else None,
            "previous": str(head["previous"]) if head.get("previous") else None,
            "publicKey": str(known["publicKey"])[:64] if known.get("publicKey") else None,
            "generation": generation,
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
