"""What comes from the remote. Sealed forms are sealed here: a malicious linked device has the key."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import zstandard

from sidecar.adapters.crypto import KeyRing, Sealer, VaultKey
from sidecar.adapters.crypto.keys import secret_of_passphrase
from sidecar.adapters.crypto.recovery import decode, encode
from sidecar.adapters.segments import BlobRef, SegmentReader
from sidecar.adapters.segments.bounded import decompress
from sidecar.adapters.segments.codec import HEAD, MAGIC
from sidecar.adapters.segments.values import pack, unpack
from sidecar.domain.errors import SidecarError
from sidecar.services import setup
from sidecar.services.config_remote import ConfigVault
from sidecar.services.heads import read_head
from sidecar.services.rows import load_value
from sidecar.services.workspace import Workspace
from tests.fuzz.feed import Feed

DEVICE, VAULT = "d" * 32, "v" * 32
KEY = VaultKey(bytes(range(32)))
SEALER = Sealer(KeyRing(KEY), VAULT)
LIMIT = 1 << 20


def compressed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_content_size=True).compress(data)


def segment(data: bytes) -> None:
    """As it is, with a right checksum, and built from pieces that only who has the key can make."""
    feed = Feed(data)
    kind, sealed = feed.int() % 4, feed.int() & 1
    sealer = SEALER if sealed else None
    with suppress(SidecarError):
        reader = SegmentReader(_segment(feed, kind, sealer), "seg/x", device=DEVICE, sequence=1, sealer=sealer)
        assert reader.previous is None or isinstance(reader.previous, str)
        names = {session for session, _ in reader.mentions()}
        for group in reader.groups(frozenset(names)):
            assert group.device == DEVICE
            assert group.session_id in names


def _segment(feed: Feed, kind: int, sealer: Sealer | None) -> bytes:
    if kind == 0:
        return feed.rest()
    if kind == 1:
        body = feed.rest()
        return body + hashlib.sha256(body).digest()
    thing = sealer.new("segment", DEVICE, 1) if sealer is not None else None
    raw = [feed.part() for _ in range(feed.int() % 3)]
    frames = [compressed(part) if kind == 2 else part for part in raw]
    stored = [frame if thing is None else thing.seal(number, frame) for number, frame in enumerate(frames, 1)]
    if feed.int() & 1:
        directory = feed.part()
    else:
        groups = [_unpacked(feed.part()) for _ in stored]
        listed = [[len(frame), len(part), group] for frame, part, group in zip(stored, raw, groups, strict=True)]
        directory = pack({"device": DEVICE, "sequence": 1, "previous": None, "frames": listed})
    directory = compressed(directory) if kind == 2 else directory
    directory = directory if thing is None else thing.seal(0, directory)
    body = HEAD.pack(MAGIC, 1, 1 if thing else 0, 0, len(directory)) + (thing.prefix if thing else b"") + directory + b"".join(stored)
    return body + hashlib.sha256(body).digest()


def _unpacked(data: bytes) -> Any:
    try:
        return unpack(data)
    except ValueError:
        return [["ses_1", True, None]]


def frame(data: bytes) -> None:
    for candidate in (data, compressed(data), compressed(data)[:-1] + data[:1]):
        with suppress(ValueError):
            assert len(decompress(candidate, LIMIT)) <= LIMIT


def _workspace(stored: dict[str, bytes], sealer: Sealer | None) -> Workspace:
    def read_file(_commit: str, path: str, *, limit: int) -> bytes | None:
        found = stored.get(path, stored.get("*"))
        return None if found is None else found[:limit]

    tools = SimpleNamespace(decompress=decompress, unpack=unpack, sha256=lambda data: hashlib.sha256(data).digest())
    shadow = SimpleNamespace(head_of=lambda _: ("c" * 40, 1))
    identity = SimpleNamespace(vault_id=VAULT, device_id="o" * 32, encryption="none" if sealer is None else "aes-256-gcm")
    return cast("Workspace", SimpleNamespace(sealer=sealer, repo=SimpleNamespace(read_file=read_file), tools=tools, shadow=shadow, identity=identity))


def head(data: bytes) -> None:
    feed = Feed(data)
    kind = feed.int() % 4
    if kind & 1:
        names = ["format", "vault", "device", "sequence", "segment", "path", "published", "id", "name", "platform", "opencode"]
        said: Any = {"format": 1, "vault": VAULT, "device": {"id": DEVICE, "name": feed.json()}, "sequence": feed.json(), "segment": {"path": "x" * 30}}
        content = json.dumps({**said, "published": feed.json(), **(extra if isinstance(extra := feed.json(names), dict) else {})}).encode()
    else:
        content = feed.rest()
    stored = {"head.json": content, "head": SEALER.seal_whole(content, "head", DEVICE)}
    with suppress(SidecarError):
        found = read_head(_workspace(stored, SEALER if kind & 2 else None), DEVICE, "c" * 40)
        assert 0 <= found["sequence"] < 1 << 31
        assert 0 <= found["published"] < 1 << 53
        json.dumps(found, ensure_ascii=False).encode()


def manifest(data: bytes) -> None:
    feed = Feed(data)
    if feed.int() & 1:
        said = KeyRing(KEY).manifest(VAULT, 1)
        for name in ("retired", "forgotten", "passphrase", "key", "format"):
            if feed.int() & 1:
                said[name] = feed.json(["id", "wrapped", "device", "commit", "kdf", "n", "r", "p", "salt", "check"])
        said["mac"] = KEY.mac(said)
        said.setdefault("format", 1)
        content = json.dumps(said).encode()
    else:
        content = feed.rest()
    with suppress(SidecarError):
        found = setup._check_manifest(content)
        with suppress(SidecarError):
            KeyRing.from_manifest(found, KEY.secret)
        entry = found.get("passphrase")
        if not isinstance(entry, dict) or not isinstance(entry.get("n"), int) or entry["n"] <= 1024:  # scrypt takes a second at its bounds
            secret_of_passphrase(found, "four words and a horse")


def large_value(data: bytes) -> None:
    feed = Feed(data)
    sealer = SEALER if feed.int() & 1 else None
    content = feed.part()
    size = len(content) if feed.int() & 1 else feed.int(8)
    reference = BlobRef(hashlib.sha256(content).digest(), size, bool(feed.int() & 1))
    stored = compressed(content) if feed.int() & 1 else feed.rest()
    name = sealer.names_of(reference.sha256)[0] if sealer is not None else reference.sha256.hex()
    if sealer is not None:
        stored = sealer.seal_whole(stored, "blob", DEVICE, name, 0)
    if reference.size > 1 << 30:
        stored = b""
    with suppress(SidecarError):
        value = load_value(_workspace({f"blob/{name}": stored}, sealer), reference, DEVICE)
        back = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        assert hashlib.sha256(back).digest() == reference.sha256, "another value than the one that was written"


def recovery_key(data: bytes) -> None:
    feed = Feed(data)
    text = encode(feed.bytes(32).ljust(32, b"\0"))
    at, letter = feed.int() % len(text), chr(feed.int(2))
    for candidate in (feed.text(), text[:at] + letter + text[at + 1 :]):
        with suppress(SidecarError):
            key = decode(candidate)
            assert decode(encode(key)) == key
            assert candidate.isascii() or encode(key) != text, "a letter that no key has was taken"


def config_index(data: bytes) -> None:
    feed = Feed(data)
    if feed.int() & 1:
        index = feed.rest()
    else:
        files: Any = {feed.text(): [feed.pick(["a" * 64, "b" * 64, "", 7]), feed.pick(["c" * 64, None, "../x"])] for _ in range(feed.int() % 4)}
        index = pack({"generation": feed.pick([1, -1, 1 << 63, 1e999, "1", None, [1]]), "files": files})
    sealed = SEALER.seal_whole(compressed(index) if feed.int() & 1 else index, "config-index")
    vault = ConfigVault(_workspace({"index": sealed}, SEALER), {"config": "c" * 40})
    with suppress(SidecarError):
        found = vault._sealed("c" * 40)
        for path in found.files:
            assert ".." not in path.split("/")
            assert not path.startswith("/")
