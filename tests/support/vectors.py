"""Makes files of `tests/fixtures/vectors`: `python -m tests.support.vectors vault rotation`. Only needed when the format changes, which makes a
new format: what is there was written by version 1, and must stay readable as it is.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from sidecar.adapters.crypto import DeviceKey, KeyRing, Sealer, VaultKey, recovery
from sidecar.adapters.segments import SegmentWriter
from sidecar.domain.records import MESSAGE, PART, SESSION, TODO, Mention, Record, Version

FOLDER = Path(__file__).parent.parent / "fixtures/vectors"
DEVICE, VAULT, PASSPHRASE = "d" * 32, "f" * 32, "correct horse battery staple"
LARGE = "a large value " * 80_000


def vault() -> dict[str, Any]:
    """A vault in pieces, with its key."""
    ring = KeyRing(VaultKey(bytes(range(32))), (VaultKey(bytes(reversed(range(32)))),), (("e" * 32, "1" * 40),))
    sealer = Sealer(ring, VAULT)
    return {
        "vault": VAULT,
        "device": DEVICE,
        "key": ring.current.secret.hex(),
        "recoveryKey": recovery.encode(ring.current.secret),
        "retiredKey": ring.retired[0].secret.hex(),
        "passphrase": PASSPHRASE,
        "manifest": ring.manifest(VAULT, 1_700_000_000_000, PASSPHRASE, kept={"format": 1}),
        "head": {"text": '{"format": 1}', "sealed": _base64(sealer.seal_whole(b'{"format": 1}', "head", DEVICE))},
        "segments": {"plain": _segment(None), "sealed": _segment(sealer)},
        "compacted": {"plain": _compacted(None), "sealed": _compacted(sealer)},
        "largeValue": {"repeated": "a large value ", "times": 80_000},
    }


def rotation() -> dict[str, Any]:
    """A key that was changed: what the manifest says to a device that stays, and how that one's head looks afterwards."""
    mine, by, gone, silent = "a" * 32, "b" * 32, "c" * 32, "d" * 32
    sender, recipient = DeviceKey(bytes(range(32, 64))), DeviceKey(bytes(range(64, 96)))
    before = KeyRing(VaultKey(bytes(range(32))), private=sender, pins=((mine, recipient.public), (gone, "0" * 64)))
    ring = before.rotated([(mine, "1" * 40), (by, "2" * 40), (silent, "3" * 40)], ((gone, "4" * 40),), "5" * 40)
    head = json.dumps({"format": 1, "device": {"id": mine, "publicKey": recipient.public}, "sequence": 0, "segment": None, "previous": "1" * 40})
    return {
        "vault": VAULT,
        "device": mine,
        "privateKey": recipient.secret.hex(),
        "publicKey": recipient.public,
        "formerKey": before.current.secret.hex(),
        "key": ring.current.secret.hex(),
        "manifest": ring.manifest(VAULT, 1_700_000_000_000, kept={"format": 1}, by=by),
        "head": {"text": head, "sealed": _base64(Sealer(ring, VAULT).seal_whole(head.encode(), "head", mine))},
    }


def _segment(sealer: Sealer | None) -> dict[str, Any]:
    writer = SegmentWriter(DEVICE, 7, sealer=sealer, previous="0123456789abcdef")
    at = Version(1_700_000_000_000, 2, DEVICE)
    writer.add(Record(SESSION, "ses_1", "ses_1", at, {"title": "Zwölf \udcff", "cost": 0.25, "time_archived": None, "time_created": 2**53}))
    writer.add(Record(MESSAGE, "msg_1", "ses_1", at, {"data": LARGE}, {DEVICE: 6}))
    writer.add(Record(TODO, "ses_2", "ses_2", at, None, {DEVICE: 3, "e" * 32: 1}))
    return _told(writer)


def _compacted(sealer: Sealer | None) -> dict[str, Any]:
    """In the place of 3 to 7: of 3 a put is left, of 5 that there was one, of 7 a deletion."""
    writer = SegmentWriter(DEVICE, 7, sealer=sealer, previous="0123456789abcdef", first=3)
    writer.mention(("ses_1", 3), Mention(True, {DEVICE: 2, "e" * 32: 4}))
    writer.add(Record(PART, "prt_1", "ses_1", Version(1_700_000_000_000, 0, DEVICE), {"data": "x"}), 3)
    writer.mention(("ses_1", 5), Mention(True, None))
    writer.mention(("ses_1", 7), Mention(False, None))
    writer.add(Record(MESSAGE, "msg_2", "ses_1", Version(1_700_000_000_500, 1, DEVICE), None, {DEVICE: 6}), 7)
    return _told(writer)


def _told(writer: SegmentWriter) -> dict[str, Any]:
    segment = writer.finish()
    return {"path": segment.path, "data": _base64(segment.data), "blobs": {path: _base64(data) for path, data in segment.blobs.items()}}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        (FOLDER / f"{name}.json").write_text(json.dumps({"vault": vault, "rotation": rotation}[name](), indent=1) + "\n")
