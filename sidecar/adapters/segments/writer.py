"""Writing segments: bounded in memory and in size. Frames are compressed in a thread of their own while the next one fills."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zstandard

from sidecar.adapters.segments.codec import FLAG_ENCRYPTED, HEAD, MAGIC, VERSION
from sidecar.adapters.segments.values import CHUNK_BYTES, LARGE_VALUE_BYTES, BlobRef, pack
from sidecar.domain.records import STANDARD_COLUMNS, TABLES, TODO, Mention, Record, VersionVector

if TYPE_CHECKING:
    from sidecar.adapters.crypto.sealing import Sealed, Sealer

FRAME_BYTES = 4 << 20
"""Raw bytes after which a frame is closed: what a reader holds at once."""
SEGMENT_BYTES = 8 << 20
"""Compressed bytes after which a segment is full."""
COMPRESSION_LEVEL = 6
_PLAIN = STANDARD_COLUMNS.keys() - {TODO}
"""Tables whose only value of any size is `data`."""
_compressing = ThreadPoolExecutor(1, thread_name_prefix="compress")
_TABLE_INDEX = {table: index for index, table in enumerate(TABLES)}


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished segment: its path below the branch's root, bytes, SHA-256, what it says of which sessions, large values."""

    sequence: int
    path: str
    data: bytes
    sha256: str
    sessions: dict[str, Mention]
    blobs: dict[str, bytes] = field(default_factory=dict)


class SegmentWriter:
    """Collects records; `full` says when to finish. One instance per segment.

    `previous`: the mark of the segment before this one: a chain of which the head names the end.
    """

    def __init__(self, device: str, sequence: int, *, sealer: Sealer | None = None, previous: str | None = None) -> None:
        self.device, self.sequence, self._sealer, self._previous = device, sequence, sealer, previous
        self._sealed = sealer.new("segment", device, sequence) if sealer is not None else None
        self._closed = 0
        self.records = 0
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_content_size=True)
        self._frames: list[tuple[bytes, int, list[list[Any]]]] = []
        self._pending: tuple[Future[bytes], int, list[list[Any]]] | None = None
        self._groups: list[tuple[str, list[bytes]]] = []
        self._puts: dict[str, bool] = {}
        self._contexts: dict[str, VersionVector] = {}
        self._raw = 0
        self._stored = 0
        self._blobs: dict[str, bytes] = {}

    @property
    def full(self) -> bool:
        return self._stored >= SEGMENT_BYTES

    def add(self, record: Record) -> None:
        """Append one record. Raises nothing that depends on its content."""
        columns = record.columns
        if columns is not None:
            if record.table not in _PLAIN or _may_be_large(columns.get("data")):
                columns = {name: self._externalise(value) if isinstance(value, (str, bytes)) else value for name, value in columns.items()}
            if record.seen is not None:
                self._contexts[record.session_id] = record.seen
        seen = record.seen if columns is None else None
        packed = pack([_TABLE_INDEX[record.table], record.key, record.version.time, record.version.counter, seen, columns])
        if not self._groups or self._groups[-1][0] != record.session_id:
            self._groups.append((record.session_id, []))
        self._groups[-1][1].append(packed)
        self._puts[record.session_id] = self._puts.get(record.session_id, False) or columns is not None
        self._raw += len(packed)
        self.records += 1
        if self._raw >= FRAME_BYTES:
            self._close_frame()

    def _externalise(self, value: str | bytes) -> str | bytes | BlobRef:
        if not _may_be_large(value):
            return value
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        if len(data) <= LARGE_VALUE_BYTES:
            return value
        reference = BlobRef(hashlib.sha256(data).digest(), len(data), isinstance(value, str))
        name = self._sealer.names_of(reference.sha256)[0] if self._sealer is not None else None
        for index, path in enumerate(reference.chunks(name)):
            if path not in self._blobs:
                chunk = self._compressor.compress(data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])
                if self._sealer is not None:
                    chunk = self._sealer.seal_whole(chunk, "blob", self.device, name, index)
                self._blobs[path] = chunk
                self._stored += len(chunk)
        return reference

    def _close_frame(self) -> None:
        if not self._groups:
            return
        raw = bytearray(_array_head(len(self._groups)))
        for session_id, rows in self._groups:
            raw += b"\x92" + pack(session_id) + _array_head(len(rows))
            raw += b"".join(rows)
        mentions = [[session_id, puts, self._contexts.get(session_id)] for session_id, puts in self._puts.items()]
        self._collect()
        self._closed += 1
        self._pending = (_compressing.submit(_compress, raw, self._sealed, self._closed), len(raw), mentions)
        self._groups, self._puts, self._contexts, self._raw = [], {}, {}, 0

    def _collect(self) -> None:
        """Wait for the frame that is being compressed: never more than one is, so that memory stays bounded."""
        if self._pending is not None:
            frame = self._pending[0].result()
            self._frames.append((frame, *self._pending[1:]))
            self._stored += len(frame)
            self._pending = None

    def finish(self) -> Segment:
        self._close_frame()
        self._collect()
        directory = self._compressor.compress(
            pack(
                {
                    "device": self.device,
                    "sequence": self.sequence,
                    "previous": self._previous,
                    "frames": [[len(frame), raw_size, groups] for frame, raw_size, groups in self._frames],
                }
            )
        )
        flags, prefix = 0, b""
        if self._sealed is not None:
            flags, prefix, directory = FLAG_ENCRYPTED, self._sealed.prefix, self._sealed.seal(0, directory)
        body = b"".join([HEAD.pack(MAGIC, VERSION, flags, 0, len(directory)), prefix, directory, *(frame for frame, *_ in self._frames)])
        data = body + hashlib.sha256(body).digest()
        digest = hashlib.sha256(data).hexdigest()
        sessions: dict[str, Mention] = {}
        for *_, groups in self._frames:
            for session_id, puts, context in groups:
                before = sessions.get(session_id, Mention(False, None))
                sessions[session_id] = Mention(before.puts or puts, context if context is not None else before.context)
        path = f"seg/{self.sequence // 100:07d}/{self.sequence:09d}-{digest[:16]}"
        return Segment(self.sequence, path, data, digest, sessions, self._blobs)


def _compress(raw: bytearray, sealed: Sealed | None, piece: int) -> bytes:
    frame = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_content_size=True).compress(raw)
    return frame if sealed is None else sealed.seal(piece, frame)


def _array_head(length: int) -> bytes:
    """MessagePack array header, always in its 32-bit form."""
    return b"\xdd" + length.to_bytes(4, "big")


def _may_be_large(value: object) -> bool:
    """No text is longer than four bytes a character."""
    return isinstance(value, (str, bytes)) and len(value) * 4 > LARGE_VALUE_BYTES
