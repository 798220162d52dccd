"""Reading a segment: magic, version, flags, directory, then zstd frames of records.

A compacted segment stands in the place of all from `first` to its own sequence, and says of each group which one it was in.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sidecar.adapters.segments.bounded import decompress
from sidecar.adapters.segments.values import unpack
from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import key_problem
from sidecar.domain.records import MAX_VERSION, TABLES, Group, Mention, Mentions, Place, Record, Version

if TYPE_CHECKING:
    from sidecar.adapters.crypto.sealing import Sealed, Sealer

MAGIC = b"OCSG"
VERSION = 1
FLAG_ENCRYPTED, FLAG_COMPACTED = 1, 2
HEAD = struct.Struct(">4sBBHI")
"""magic, version, flags, reserved, length of the directory."""
MAX_FRAME_BYTES = 64 << 20
MAX_DIRECTORY_BYTES = 8 << 20
MAX_RAW_BYTES = 1 << 30
"""Of all frames together: a session's records may lie in every one of them."""
CHECKSUM_BYTES = 32
SEALED_PREFIX_BYTES, KEY_ID_BYTES = 24, 8
"""Key id and salt, behind the head of a sealed segment."""

_Frame = tuple[int, int, int, list[tuple[Place, Mention]]]
"""Offset, stored size, size, and what is in it."""


def corrupt(name: str, why: str) -> SidecarError:
    return SidecarError(
        "segmentCorrupt",
        f"A segment in the vault is damaged: {why}.",
        detail=name,
        remedy="Nothing of it was used. The device that wrote it can publish again; the other devices keep syncing.",
        retryable=False,
    )


class SegmentReader:
    """One segment, verified on opening. Frames are decoded when asked for.

    `sealer`: the vault is encrypted; what is not sealed with its keys, for this place, is refused. `previous`: see the writer.
    `first`: the first sequence it stands for; `skipped`: records of tables that this version does not know, as far as it was read.
    """

    def __init__(self, data: bytes, name: str, *, device: str, sequence: int, sealer: Sealer | None = None) -> None:
        self._data, self.name, self.device, self.sequence = data, name, device, sequence
        self.previous: str | None = None
        self.first, self.skipped = sequence, 0
        if len(data) < HEAD.size + CHECKSUM_BYTES:
            raise corrupt(name, "it is too short")
        magic, version, flags, _, length = HEAD.unpack_from(data)
        if magic != MAGIC:
            raise corrupt(name, "it does not begin with the segment mark")
        self.compacted = bool(flags & FLAG_COMPACTED)
        if version > VERSION or flags & ~(FLAG_ENCRYPTED | FLAG_COMPACTED):
            raise SidecarError(
                "newerFormat",
                f"A segment was written in format {version}, newer than the {VERSION} that this program reads.",
                detail=name,
                remedy="Update opencode-sidecar on this machine.",
            )
        if flags & FLAG_ENCRYPTED and sealer is None:
            raise SidecarError("wrongKey", "A segment is encrypted and this vault has no key here.", detail=name, remedy="Link again with the recovery key.")
        if sealer is not None and not flags & FLAG_ENCRYPTED:
            raise corrupt(name, "it is not encrypted although the vault is")
        body = memoryview(data)[:-CHECKSUM_BYTES]
        if hashlib.sha256(body).digest() != data[-CHECKSUM_BYTES:]:
            raise corrupt(name, "its checksum does not match")
        self._sealed: Sealed | None = None
        start = HEAD.size
        if sealer is not None:
            start += SEALED_PREFIX_BYTES
            self._sealed = sealer.known(data[HEAD.size : start], "segment", device, sequence)
        self._frames = self._directory(start, length)

    @property
    def key_id(self) -> bytes | None:
        """Of the key that it is sealed with."""
        return self._sealed.prefix[:KEY_ID_BYTES] if self._sealed is not None else None

    def _open(self, piece: int, start: int, end: int) -> bytes:
        data = self._data[start:end]
        return data if self._sealed is None else self._sealed.open(piece, data)

    def _directory(self, start: int, length: int) -> list[_Frame]:
        end = start + length
        if length > MAX_DIRECTORY_BYTES or end > len(self._data) - CHECKSUM_BYTES:
            raise corrupt(self.name, "its directory does not fit")
        try:
            directory = unpack(decompress(self._open(0, start, end), MAX_DIRECTORY_BYTES))
            if not isinstance(directory, dict):
                raise TypeError
            previous = directory.get("previous")
            self.previous = previous if isinstance(previous, str) else None
            if directory["device"] != self.device or directory["sequence"] != self.sequence:
                raise corrupt(self.name, "it belongs to another place in the log")
            if self.compacted:
                self.first = int(directory["first"])
                if not 0 < self.first <= self.sequence:
                    raise ValueError("no place")
            frames, raw = list[_Frame](), 0
            offset = end
            for size, raw_size, groups in directory["frames"]:
                if type(size) is not int or type(raw_size) is not int or min(size, raw_size) < 0:
                    raise TypeError
                frames.append((offset, size, raw_size, [self._mentioned(*group) for group in groups]))
                offset, raw = offset + size, raw + raw_size
            if raw > MAX_RAW_BYTES:
                raise ValueError("too much")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise corrupt(self.name, f"its directory is unreadable ({type(error).__name__})") from None
        if offset != len(self._data) - CHECKSUM_BYTES:
            raise corrupt(self.name, "its frames do not fill it")
        return frames

    def _mentioned(self, session_id: Any, puts: Any, context: Any, *place: Any) -> tuple[Place, Mention]:
        """Raises TypeError, ValueError."""
        if key_problem(session_id) is not None:
            raise ValueError("no session")
        if context is not None and not _is_vector(context):
            raise TypeError
        return (session_id, self._place(place)), Mention(bool(puts), context)

    def _place(self, place: tuple[Any, ...]) -> int:
        """The sequence of a group; only compacted segments say it."""
        if not self.compacted and not place:
            return self.sequence
        (sequence,) = place
        if not self.compacted or not isinstance(sequence, int) or not self.first <= sequence <= self.sequence:
            raise ValueError("no place")
        return sequence

    def mentions(self) -> Mentions:
        """What this segment says of which sessions, without decoding the records."""
        return joined(mention for *_, mentioned in self._frames for mention in mentioned)

    def groups(self, only: frozenset[str] | None = None, exactly: Container[Place] | None = None) -> Iterator[Group]:
        """One group per session and sequence, wherever in the segment its records lie; its records in log order."""
        last: Mapping[Place, int] = {
            place: index
            for index, (*_, mentioned) in enumerate(self._frames)
            for place, _ in mentioned
            if (only is None or place[0] in only) and (exactly is None or place in exactly)
        }
        open_groups: dict[Place, Group] = {}
        for index, (offset, size, raw_size, mentioned) in enumerate(self._frames):
            if not any(place in last for place, _ in mentioned):
                continue
            for place, records in self._records(index, offset, size, raw_size):
                if place in last:
                    open_groups.setdefault(place, Group(place[0], self.device, place[1])).records.extend(records)
            for place in [place for place in open_groups if last[place] == index]:
                yield open_groups.pop(place)

    def _records(self, index: int, offset: int, size: int, raw_size: int) -> Iterator[tuple[Place, list[Record]]]:
        if raw_size > MAX_FRAME_BYTES:
            raise corrupt(self.name, "a frame is too large")
        try:
            raw = decompress(self._open(index + 1, offset, offset + size), raw_size)
            for session_id, rows, *place in unpack(raw):
                records = []
                for table, key, time, counter, seen, columns in rows:
                    if table < 0 or not isinstance(session_id, str) or not isinstance(key, str):
                        raise ValueError
                    key.encode()
                    if not (type(time) is type(counter) is int and -MAX_VERSION <= time <= MAX_VERSION and 0 <= counter <= MAX_VERSION):
                        raise ValueError
                    if not (columns is None or type(columns) is dict) or not (seen is None or _is_vector(seen)):
                        raise TypeError
                    if table < len(TABLES):
                        records.append(Record(TABLES[table], key, session_id, Version(time, counter, self.device), columns, seen))
                self.skipped += len(rows) - len(records)  # of a table that a newer version shares: this one leaves them alone
                yield (session_id, self._place(tuple(place))), records
        except (ValueError, TypeError) as error:
            raise corrupt(self.name, f"a frame is unreadable ({type(error).__name__})") from None


def _is_vector(value: Any) -> bool:
    """Whether it is a version vector."""
    return type(value) is dict and all(isinstance(device, str) and type(sequence) is int for device, sequence in value.items())


def joined(mentioned: Iterable[tuple[Place, Mention]]) -> Mentions:
    """What several frames say of the same groups, put together."""
    found: Mentions = {}
    for place, (puts, context) in mentioned:
        before = found.get(place, Mention(False, None))
        found[place] = Mention(before.puts or puts, context if context is not None else before.context)
    return found
