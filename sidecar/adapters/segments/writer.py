"""Writing segments: bounded in memory and in size. Frames are compressed in a thread of their own while the next one fills."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zstandard

from sidecar.adapters.segments.codec import FLAG_COMPACTED, FLAG_ENCRYPTED, HEAD, MAGIC, VERSION, joined
from sidecar.adapters.segments.values import CHUNK_BYTES, LARGE_VALUE_BYTES, BlobRef, pack
from sidecar.domain.records import STANDARD_COLUMNS, TABLES, TODO, Mention, Mentions, Place, Record, VersionVector

if TYPE_CHECKING:
    from sidecar.adapters.crypto.sealing import Sealed, Sealer

FRAME_BYTES = 4 << 20
"""Raw bytes after which a frame is closed: what a reader holds at once."""
SEGMENT_BYTES = 8 << 20
"""Compressed bytes after which a segment is full."""
RAW_BYTES = 256 << 20
"""Raw bytes after which it is, however well they are compressed: a reader takes four times as much."""
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
    mentions: Mentions
    blobs: dict[str, bytes] = field(default_factory=dict)


class SegmentWriter:
    """Collects records; `full` says when to finish. One instance per segment.

    `previous`: the mark of the segment before this one: a chain of which the head names the end. `first`: it is a compacted one,
    in the place of those from `first` on; each record then comes with the sequence it had.
    """

    def __init__(self, device: str, sequence: int, *, sealer: Sealer | None = None, previous: str | None = None, first: int | None = None) -> None:
        self.device, self.sequence, self._sealer, self._previous, self._first = device, sequence, sealer, previous, first
        self._sealed = sealer.new("segment", device, sequence) if sealer is not None else None
        self._closed = 0
        self.records = 0
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_content_size=True)
        self._frames: list[tuple[bytes, int, list[tuple[Place, Mention]]]] = []
        self._pending: tuple[Future[bytes], int, list[tuple[Place, Mention]]] | None = None
        self._groups: list[tuple[Place, list[bytes]]] = []
        self._puts: dict[Place, bool] = {}
        self._contexts: dict[Place, VersionVector] = {}
        self._raw = 0
        self._raw_closed = 0
        self._stored = 0
        self._blobs: dict[str, bytes] = {}

    @property
    def full(self) -> bool:
        return self._stored >= SEGMENT_BYTES or self._raw_closed >= RAW_BYTES

    def mention(self, place: Place, mention: Mention) -> None:
        """Say of a group what was said of it before, also when no record of it is left."""
        self._group(place)
        self._puts[place] = self._puts.get(place, False) or mention.puts
        if mention.context is not None:
            self._contexts[place] = mention.context

    def take_blobs(self) -> dict[str, bytes]:
        """The large values met so far; they are not kept here any longer."""
        taken, self._blobs = self._blobs, {}
        return taken

    def _group(self, place: Place) -> list[bytes]:
        if not self._groups or self._groups[-1][0] != place:
            self._groups.append((place, []))
        return self._groups[-1][1]

    def add(self, record: Record, sequence: int | None = None) -> None:
        """Append one record. Raises nothing that depends on its content."""
        columns, place = record.columns, (record.session_id, self.sequence if sequence is None else sequence)
        if columns is not None:
            if record.table not in _PLAIN or _may_be_large(columns.get("data")):
                columns = {name: self._externalise(value) if isinstance(value, (str, bytes)) else value for name, value in columns.items()}
            if record.seen is not None:
                self._contexts[place] = record.seen
        seen = record.seen if columns is None else None
        packed = pack([_TABLE_INDEX[record.table], record.key, record.version.time, record.version.counter, seen, columns])
        self._group(place).append(packed)
        self._puts[place] = self._puts.get(place, False) or columns is not None
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
        for place, rows in self._groups:
            raw += (b"\x92" if self._first is None else b"\x93") + pack(place[0]) + _array_head(len(rows))
            raw += b"".join(rows)
            raw += b"" if self._first is None else pack(place[1])
        mentions = [(place, Mention(puts, self._contexts.get(place))) for place, puts in self._puts.items()]
        self._collect()
        self._closed += 1
        self._raw_closed += len(raw)
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
        said: dict[str, Any] = {"device": self.device, "sequence": self.sequence, "previous": self._previous}
        if self._first is not None:
            said["first"] = self._first
        said["frames"] = [[len(frame), raw_size, [self._mentioned(*mention) for mention in mentions]] for frame, raw_size, mentions in self._frames]
        directory = self._compressor.compress(pack(said))
        flags, prefix = FLAG_COMPACTED if self._first is not None else 0, b""
        if self._sealed is not None:
            flags, prefix, directory = flags | FLAG_ENCRYPTED, self._sealed.prefix, self._sealed.seal(0, directory)
        body = b"".join([HEAD.pack(MAGIC, VERSION, flags, 0, len(directory)), prefix, directory, *(frame for frame, *_ in self._frames)])
        data = body + hashlib.sha256(body).digest()
        digest = hashlib.sha256(data).hexdigest()
        path = f"seg/{self.sequence // 100:07d}/{self.sequence:09d}-{digest[:16]}"
        return Segment(self.sequence, path, data, digest, joined(mention for *_, mentions in self._frames for mention in mentions), self._blobs)

    def _mentioned(self, place: Place, mention: Mention) -> list[Any]:
        return [place[0], mention.puts, mention.context, *([place[1]] if self._first is not None else ())]


def _compress(raw: bytearray, sealed: Sealed | None, piece: int) -> bytes:
    frame = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_content_size=True).compress(raw)
    return frame if sealed is None else sealed.seal(piece, frame)


def _array_head(length: int) -> bytes:
    """MessagePack array header, always in its 32-bit form."""
    return b"\xdd" + length.to_bytes(4, "big")


def _may_be_large(value: object) -> bool:
    """No text is longer than four bytes a character."""
    return isinstance(value, (str, bytes)) and len(value) * 4 > LARGE_VALUE_BYTES
