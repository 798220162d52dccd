"""Makes `tests/fixtures/vectors/vault.json`: `python -m tests.support.vectors`. Only needed when the format changes, which makes a new format."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from sidecar.adapters.crypto import KeyRing, Sealer, VaultKey, recovery
from sidecar.adapters.segments import SegmentWriter
from sidecar.domain.records import MESSAGE, PART, SESSION, TODO, Mention, Record, Version

PATH = Path(__file__).parent.parent / "fixtures/vectors/vault.json"
DEVICE, VAULT, PASSPHRASE = "d" * 32, "f" * 32, "correct horse battery staple"
LARGE = "a large value " * 80_000


def main() -> None:
    ring = KeyRing(VaultKey(bytes(range(32))), (VaultKey(bytes(reversed(range(32)))),), (("e" * 32, "1" * 40),))
    sealer = Sealer(ring, VAULT)
    said: dict[str, Any] = {
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
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(said, indent=1) + "\n")


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
    main()
