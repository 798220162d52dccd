"""Which part of another device's log counts after the key was changed.

Whoever had the old key can still seal with it, under any name. So a log whose head is sealed with a key that was replaced counts up to
where it stood at the change, which the manifest says, and no further. A head under the current key vouches for all that was in the log
when it was written: it names the commit before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sidecar.domain.errors import SidecarError
from sidecar.services.workspace import Workspace

SEALED_HEAD_FILE = "head"
REMOTE_REFS, KEPT_REFS = "refs/remotes/origin/sessions/", "refs/kept/"
UNUSABLE = ("segmentCorrupt", "newerFormat", "wrongKey")
"""Errors that are about one log, or a part of it: the others go on."""
_ID_BYTES = 8
_SEGMENT_PREFIX = 12
"""What stands before the key's id in a segment."""


def key_of_head(ws: Workspace, commit: str) -> bytes:
    """The id of the key that a log's head was sealed with; empty when there is none."""
    return (ws.repo.read_file(commit, SEALED_HEAD_FILE, limit=1 << 20) or b"")[:_ID_BYTES]


def counted(ws: Workspace, device: str, head: str, *, fetched: bool = False) -> str:
    """The commit up to which the log of a device counts, `head` or one before it. Raises wrongKey, segmentCorrupt.

    `fetched`: our own log counts no further than another one would: it comes from the remote, where others may have written it.
    """
    ring = ws.ring
    if ring is None or (device == ws.identity.device_id and not fetched):
        return head
    forgotten = dict(ring.forgotten).get(device)
    if forgotten is not None:
        if not ws.repo.has(forgotten):
            raise SidecarError("segmentCorrupt", f"Device {device} was forgotten, and what it had written before is not here.", remedy="It was ignored.")
        return forgotten
    sealed_with = key_of_head(ws, head)
    if ring.bounds is None or sealed_with not in {key.id for key in ring.retired}:
        return head
    bound = dict(ring.bounds).get(device)
    if bound is not None and ws.repo.is_ancestor(bound, head):
        return bound
    raise SidecarError(
        "wrongKey",
        f"Device {device} writes with a key that was replaced, and its log does not follow what was known of it then.",
        remedy="It was ignored. If it is yours, run `opencode-sidecar link REMOTE --key-file FILE` on it, else find out who can write to the repository.",
    )


def vouched(ws: Workspace, device: str, commit: str, previous: str | None, *, fetched: bool = False) -> Callable[[bytes, str], bool]:
    """Whether a segment of the log at `commit` counts, by its first bytes and git's name for it. `previous`: as its head says."""
    ring = ws.ring
    old, bases, known = set[bytes](), list[str | None](), set[str]()
    if ring is not None and ring.bounds is not None and (fetched or device != ws.identity.device_id):
        bound = dict(ring.bounds).get(device)
        if commit not in (bound, dict(ring.forgotten).get(device)):  # else all of it counts
            old, bases = {key.id for key in ring.retired}, [bound, previous]

    def counts(data: bytes, sha: str) -> bool:
        if data[_SEGMENT_PREFIX : _SEGMENT_PREFIX + _ID_BYTES] not in old:
            return True
        while bases and sha not in known:
            base = bases.pop(0)
            if base is not None and ws.repo.has(base):
                known.update(entry.sha for entry in ws.repo.tree(base, "seg/"))
        return sha in known

    return counts


def extents(ws: Workspace, heads: dict[str, str], without: set[str]) -> list[tuple[str, str]]:
    """(device, commit) of every log that counts, our own included, and how far: what a change of the key writes down."""
    identity = ws.identity
    found = [(identity.device_id, heads[identity.branch])] if identity.branch in heads else []
    for device, info, seen, _ in ws.shadow.devices():
        head = ws.repo.local_ref(f"{KEPT_REFS}{device}") if seen == info.get("refused") else seen
        if device != identity.device_id and device not in without and head is not None:
            found.append((device, head))
    return found


def pin(ws: Workspace, device: str, info: dict[str, Any]) -> list[str]:
    """Remember the public key of a device that is seen for the first time. A warning when it has another one than then."""
    said, ring = info["publicKey"], ws.ring
    if ring is None or device == ws.identity.device_id or said is None or device in dict(ring.forgotten):
        return []
    known = dict(ring.pins).get(device)
    if known is None:
        ws.use_keys(ring.pinned(device, said))
    if known in (None, said):
        return []
    remedy = "if it lost its keys, run `opencode-sidecar link REMOTE --new-device --key-file FILE` on it, else somebody pretends to be that device"
    return [f"{info['name']}: it shows another public key than before. The first one counts: {remedy}."]


def held_back(ws: Workspace, device: str, head: str) -> bool:
    """Whether this head was looked at before, with the same keys, and counts no further than what is here."""
    return bool(ws.shadow.get(f"waits:{device}") == [head, ws.key_id])


def hold_back(ws: Workspace, device: str, head: str) -> None:
    """Look at it again only when it moves, or the keys do."""
    ws.shadow.put(f"waits:{device}", [head, ws.key_id])
