"""docs/format.md, followed to the letter by a second reader that shares no code with the product.

A vault written by any version 1 must stay readable: these bytes never change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sidecar.adapters.crypto import DeviceKey, KeyRing, Sealer, VaultKey, recovery
from sidecar.adapters.crypto.keys import secret_of_passphrase
from sidecar.adapters.crypto.succession import settle
from sidecar.adapters.segments import SegmentReader

FOLDER = Path(__file__).parent.parent / "fixtures/vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "vault.json").read_text())
ROTATION: dict[str, Any] = json.loads((FOLDER / "rotation.json").read_text())
KEY = bytes.fromhex(VECTORS["key"])
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def hkdf(secret: bytes, purpose: str, salt: bytes = b"") -> bytes:
    return HKDF(SHA256(), 32, salt, b"opencode-sidecar " + purpose.encode()).derive(secret)


def unwrap(under: bytes, wrapped: str) -> bytes:
    data = base64.b64decode(wrapped)
    return AESGCM(hkdf(under, "wrap", data[:16])).decrypt(bytes(12), data[16:], VECTORS["vault"].encode())


def place(*parts: Any) -> bytes:
    return b"ocs1" + msgpack.packb([VECTORS["vault"], *parts])


def opened(prefix: bytes, piece: int, data: bytes, *parts: Any) -> bytes:
    assert prefix[:8] == hkdf(KEY, "key id")[:8]
    return AESGCM(hkdf(KEY, "object", prefix[8:24])).decrypt(piece.to_bytes(12, "big"), data, place(*parts))


def unpack(data: bytes) -> Any:
    return msgpack.unpackb(zstandard.ZstdDecompressor().decompress(data), unicode_errors="surrogateescape", ext_hook=lambda code, data: (code, data))


def test_the_recovery_key_by_the_book() -> None:
    number = 0
    for place_, group in enumerate(VECTORS["recoveryKey"].split("-")):
        value = 0
        for digit in group[:4]:
            number = number << 5 | DIGITS.index(digit)
            value = (value ^ DIGITS.index(digit)) << 1
            value ^= 0b100101 if value & 32 else 0
        assert DIGITS[value ^ place_] == group[4]
    assert (number >> 4).to_bytes(32, "big") == KEY


def test_the_manifest_by_the_book() -> None:
    manifest = VECTORS["manifest"]
    said = {name: value for name, value in manifest.items() if name != "mac"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    assert manifest["mac"] == hmac.new(hkdf(KEY, "manifest"), text, hashlib.sha256).hexdigest()
    assert manifest["key"] == {
        "id": hkdf(KEY, "key id")[:8].hex(),
        "check": hmac.new(hkdf(KEY, "check"), VECTORS["vault"].encode(), hashlib.sha256).hexdigest()[:32],
    }
    assert unwrap(KEY, manifest["retired"][0]["wrapped"]).hex() == VECTORS["retiredKey"]
    phrase = manifest["passphrase"]
    stretched = Scrypt(base64.b64decode(phrase["salt"]), 32, phrase["n"], phrase["r"], phrase["p"]).derive(VECTORS["passphrase"].encode())
    assert unwrap(stretched, phrase["wrapped"]) == KEY


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def test_a_new_key_by_the_book() -> None:
    """By a device that has the former key and its own private key: it makes sure that the manifest follows, then opens its box."""
    manifest, former = ROTATION["manifest"], bytes.fromhex(ROTATION["formerKey"])
    (entry,) = manifest["retired"]
    assert entry["id"] == hkdf(former, "key id")[:8].hex()
    core = {name: value for name, value in manifest.items() if name != "mac"} | {"retired": [{"id": entry["id"], "wrapped": entry["wrapped"]}]}
    assert entry["proof"] == hmac.new(hkdf(former, "successor"), canonical(core), hashlib.sha256).hexdigest()
    members = {member["device"]: member for member in manifest["members"]}
    mine, by = members[ROTATION["device"]], members[manifest["by"]]
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(ROTATION["privateKey"]))
    public = private.public_key().public_bytes_raw()
    assert mine["publicKey"] == ROTATION["publicKey"] == public.hex()
    box, sender = base64.b64decode(mine["box"]), bytes.fromhex(by["publicKey"])
    shared = b"".join(private.exchange(X25519PublicKey.from_public_bytes(other)) for other in (box[:32], sender))
    context = b"ocs1" + msgpack.packb([ROTATION["vault"], "key", ROTATION["device"], manifest["by"], manifest["key"]["id"]])
    key = AESGCM(hkdf(shared, "box", box[:32] + sender + public)).decrypt(bytes(12), box[32:], context)
    assert key.hex() == ROTATION["key"]
    assert manifest["key"]["id"] == hkdf(key, "key id")[:8].hex()
    assert manifest["mac"] == hmac.new(hkdf(key, "manifest"), canonical({n: v for n, v in manifest.items() if n != "mac"}), hashlib.sha256).hexdigest()
    wrapped = base64.b64decode(entry["wrapped"])
    assert AESGCM(hkdf(key, "wrap", wrapped[:16])).decrypt(bytes(12), wrapped[16:], ROTATION["vault"].encode()) == former
    assert [(m["device"][0], m["commit"][0], m["box"] is None, m["publicKey"] is None) for m in manifest["members"]] == [
        ("a", "1", False, False),
        ("b", "2", True, False),
        ("d", "3", True, True),
    ]
    assert (manifest["forgotten"], manifest["config"]) == ([{"device": "c" * 32, "commit": "4" * 40}], "5" * 40)
    sealed = base64.b64decode(ROTATION["head"]["sealed"])
    place_ = b"ocs1" + msgpack.packb([ROTATION["vault"], "head", ROTATION["device"]])
    assert AESGCM(hkdf(key, "object", sealed[8:24])).decrypt(bytes(12), sealed[24:], place_).decode() == ROTATION["head"]["text"]


def test_the_product_takes_the_same_key_over() -> None:
    ring = KeyRing(VaultKey(bytes.fromhex(ROTATION["formerKey"])), private=DeviceKey(bytes.fromhex(ROTATION["privateKey"])))
    assert settle(ring, ROTATION["manifest"], ROTATION["device"]).current.secret.hex() == ROTATION["key"]


def test_the_head_by_the_book() -> None:
    sealed = base64.b64decode(VECTORS["head"]["sealed"])
    assert opened(sealed[:24], 0, sealed[24:], "head", VECTORS["device"]).decode() == VECTORS["head"]["text"]
    with pytest.raises(InvalidTag):
        opened(sealed[:24], 0, sealed[24:], "head", "e" * 32)


def parts(segment: dict[str, Any], flags: int) -> tuple[bytes, dict[str, Any], list[Any]]:
    """Prefix, directory and content of the frames of a segment that has these flags."""
    data = base64.b64decode(segment["data"])
    digest = hashlib.sha256(data).hexdigest()
    assert segment["path"] == f"seg/0000000/000000007-{digest[:16]}"
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    magic, version, its_flags, reserved, length = struct.unpack_from(">4sBBHI", data)
    assert (magic, version, its_flags, reserved) == (b"OCSG", 1, flags, 0)
    start, prefix = 12, b""
    if flags & 1:
        prefix, start = data[12:36], 36
    at = ("segment", VECTORS["device"], 7)
    pieces = [data[start : start + length]]
    start += length
    directory = unpack(opened(prefix, 0, pieces[0], *at) if prefix else pieces[0])
    assert (directory["device"], directory["sequence"], directory["previous"]) == (VECTORS["device"], 7, "0123456789abcdef")
    found: list[Any] = []
    for number, (size, raw_size, _) in enumerate(directory["frames"], 1):
        frame = data[start : start + size]
        start += size
        raw = zstandard.ZstdDecompressor().decompress(opened(prefix, number, frame, *at) if prefix else frame)
        assert len(raw) == raw_size
        found += msgpack.unpackb(raw, unicode_errors="surrogateescape", ext_hook=lambda code, data: (code, data))
    assert start == len(data) - 32
    return prefix, directory, found


@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_a_segment_by_the_book(kind: str) -> None:
    segment = VECTORS["segments"][kind]
    prefix, directory, found = parts(segment, int(kind == "sealed"))
    assert [group[0] for *_, groups in directory["frames"] for group in groups] == [session for session, _ in found]
    records = [[session, *record] for session, rows in found for record in rows]
    (_, large) = records[1][6]["data"]
    assert records == [
        ["ses_1", 0, "ses_1", 1_700_000_000_000, 2, None, {"title": "Zwölf \udcff", "cost": 0.25, "time_archived": None, "time_created": 2**53}],
        ["ses_1", 1, "msg_1", 1_700_000_000_000, 2, None, {"data": (1, large)}],
        ["ses_2", 3, "ses_2", 1_700_000_000_000, 2, {VECTORS["device"]: 3, "e" * 32: 1}, None],
    ]
    is_text, size = struct.unpack_from(">BQ", large)
    value = (VECTORS["largeValue"]["repeated"] * VECTORS["largeValue"]["times"]).encode()
    assert (is_text, size, large[9:]) == (1, len(value), hashlib.sha256(value).digest())
    name = hmac.new(hkdf(KEY, "names"), large[9:], hashlib.sha256).hexdigest() if prefix else large[9:].hex()
    blob = base64.b64decode(segment["blobs"][f"blob/{name}"])
    if prefix:
        blob = opened(blob[:24], 0, blob[24:], "blob", VECTORS["device"], name, 0)
    assert zstandard.ZstdDecompressor().decompress(blob) == value


@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_a_compacted_segment_by_the_book(kind: str) -> None:
    _, directory, found = parts(VECTORS["compacted"][kind], 2 + int(kind == "sealed"))
    assert directory["first"] == 3
    assert [group for *_, groups in directory["frames"] for group in groups] == [
        ["ses_1", True, {VECTORS["device"]: 2, "e" * 32: 4}, 3],
        ["ses_1", True, None, 5],
        ["ses_1", False, None, 7],
    ]
    assert found == [
        ["ses_1", [[2, "prt_1", 1_700_000_000_000, 0, None, {"data": "x"}]], 3],
        ["ses_1", [], 5],
        ["ses_1", [[1, "msg_2", 1_700_000_000_500, 1, {VECTORS["device"]: 6}, None]], 7],
    ]


def test_the_product_reads_the_same() -> None:
    ring = KeyRing.from_manifest(VECTORS["manifest"], recovery.decode(VECTORS["recoveryKey"]))
    assert secret_of_passphrase(VECTORS["manifest"], VECTORS["passphrase"]) == KEY
    assert [key.secret.hex() for key in ring.retired] == [VECTORS["retiredKey"]]
    both = []
    for kind, sealer in (("plain", None), ("sealed", Sealer(ring, VECTORS["vault"]))):
        segment = VECTORS["segments"][kind]
        reader = SegmentReader(base64.b64decode(segment["data"]), segment["path"], device=VECTORS["device"], sequence=7, sealer=sealer)
        both.append([group.records for group in reader.groups()])
    assert both[0] == both[1]
    assert sum(map(len, both[0])) == 3
    both = []
    for kind, sealer in (("plain", None), ("sealed", Sealer(ring, VECTORS["vault"]))):
        segment = VECTORS["compacted"][kind]
        reader = SegmentReader(base64.b64decode(segment["data"]), segment["path"], device=VECTORS["device"], sequence=7, sealer=sealer)
        both.append([(group.session_id, group.sequence, len(group.records)) for group in reader.groups()])
        assert reader.first == 3
    assert both[0] == both[1] == [("ses_1", 3, 1), ("ses_1", 5, 0), ("ses_1", 7, 1)]
