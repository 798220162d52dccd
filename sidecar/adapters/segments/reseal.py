"""Sealing what was sealed already under the current key: nothing is decoded, so nothing of it can change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import zstandard

from sidecar.adapters.segments.bounded import decompress
from sidecar.adapters.segments.codec import CHECKSUM_BYTES, HEAD, MAGIC, MAX_DIRECTORY_BYTES, SEALED_PREFIX_BYTES, VERSION, corrupt
from sidecar.adapters.segments.values import CHUNK_BYTES, pack, unpack

if TYPE_CHECKING:
    from sidecar.adapters.crypto.sealing import Sealer

ID_BYTES = 8
COMPRESSION_LEVEL = 6


def key_of_segment(data: bytes) -> bytes:
    """The id of the key that a sealed segment was sealed with."""
    return data[HEAD.size : HEAD.size + ID_BYTES]


def reseal_segment(data: bytes, path: str, sealer: Sealer, device: str, sequence: int, previous: str | None) -> tuple[bytes, str, str]:
    """(bytes, path, SHA-256) of the same segment under the current key, behind another one. Raises segmentCorrupt, wrongKey."""
    _, _, flags, _, length = HEAD.unpack_from(data)
    start, end = HEAD.size + SEALED_PREFIX_BYTES, len(data) - CHECKSUM_BYTES
    old, new = sealer.known(data[HEAD.size : start], "segment", device, sequence), sealer.new("segment", device, sequence)
    try:
        directory = unpack(decompress(old.open(0, data[start : start + length]), MAX_DIRECTORY_BYTES))
        frames, offset = [], start + length
        for piece, (size, *_) in enumerate(directory["frames"], 1):
            frames.append(new.seal(piece, old.open(piece, data[offset : offset + size])))
            offset += size
        if offset != end:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise corrupt(path, "it cannot be sealed again") from None
    compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_content_size=True)
    sealed = new.seal(0, compressor.compress(pack(directory | {"previous": previous})))
    body = b"".join([HEAD.pack(MAGIC, VERSION, flags, 0, len(sealed)), new.prefix, sealed, *frames])
    made = body + hashlib.sha256(body).digest()
    digest = hashlib.sha256(made).hexdigest()
    return made, f"{path[:-16]}{digest[:16]}", digest


def reseal_value(chunks: Sequence[bytes], name: str, sealer: Sealer, device: str) -> dict[str, bytes]:
    """Path -> chunk of the same large value under the current key. `name`: what it is called now. Raises segmentCorrupt, wrongKey."""
    digest = hashlib.sha256()
    opened = []
    try:
        for index, chunk in enumerate(chunks):
            opened.append(sealer.open_whole(chunk, "blob", device, name, index))
            digest.update(decompress(opened[-1], CHUNK_BYTES))
    except ValueError:
        raise corrupt(f"blob/{name}", "it cannot be sealed again") from None
    new = sealer.names_of(digest.digest())[0]
    paths = [f"blob/{new}"] if len(chunks) == 1 else [f"blob/{new}.{index:04d}" for index in range(len(chunks))]
    return {path: sealer.seal_whole(data, "blob", device, new, index) for index, (path, data) in enumerate(zip(paths, opened, strict=True))}
