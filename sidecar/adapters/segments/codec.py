"""Reading a segment: magic, version, flags, directory, then zstd frames of records."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sidecar.adapters.segments.bounded import decompress
from sidecar.adapters.segments.values import unpack
from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import key_problem
from sidecar.domain.records import TABLES, Group, Mention, Record, Version

if TYPE_CHECKING:
    from sidecar.adapters.crypto.sealing import Sealed, Sealer

MAGIC = b"OCSG"
VERSION = 1
FLAG_ENCRYPTED = 1
HEAD = struct.Struct(">4sBBHI")
"""magic, version, flags, reserved, length of the directory."""
MAX_SEGMENT_BYTES = 64 << 20
MAX_FRAME_BYTES = 64 << 20
MAX_DIRECTORY_BYTES = 8 << 20
CHECKSUM_BYTES = 32
SEALED_PREFIX_BYTES = 24
"""Key id and salt, behind the head of a sealed segment."""


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
    """

    def __init__(self, data: bytes, name: str, *, device: str, sequence: int, sealer: Sealer | None = None) -> None:
        self._data, self.name, self.device, self.sequence = data, name, device, sequence
        self.previous: str | None = None
        if len(data) < HEAD.size + CHECKSUM_BYTES:
            raise corrupt(name, "it is too short")
        magic, version, flags, _, length = HEAD.unpack_from(data)
        if magic != MAGIC:
            raise corrupt(name, "it does not begin with the segment mark")
        if version > VERSION or flags & ~FLAG_ENCRYPTED:
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

    def _open(self, piece: int, start: int, end: int) -> bytes:
        data = self._data[start:end]
        return data if self._sealed is None else self._sealed.open(piece, data)

    def _directory(self, start: int, length: int) -> list[tuple[int, int, int, list[list[Any]]]]:
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
            frames = []
            offset = end
            for size, raw_size, groups in directory["frames"]:
                if type(size) is not int or type(raw_size) is not int or min(size, raw_size) < 0:
                    raise TypeError
                _check_groups(groups)
                frames.append((offset, size, raw_size, groups))
                offset += size
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise corrupt(self.name, f"its directory is unreadable ({type(error).__name__})") from None
        if offset != len(self._data) - CHECKSUM_BYTES:
            raise corrupt(self.name, "its frames do not fill it")
        return frames

    def sessions(self) -> dict[str, Mention]:
        """What this segment says of which sessions, without decoding the records."""
        found: dict[str, Mention] = {}
        for *_, groups in self._frames:
            for session_id, puts, context in groups:
                before = found.get(session_id, Mention(False, None))
                found[session_id] = Mention(before.puts or bool(puts), context if context is not None else before.context)
        return found

    def groups(self, only: frozenset[str] | None = None) -> Iterator[Group]:
        """One group per session, wherever in the segment its records lie; its records in log order."""
        last: dict[str, int] = {}
        for index, (*_, groups) in enumerate(self._frames):
            last.update((session_id, index) for session_id, *_ in groups if only is None or session_id in only)
        wanted: dict[int, set[str]] = {}
        for session_id, index in last.items():
            wanted.setdefault(index, set()).add(session_id)
        open_groups: dict[str, Group] = {}
        for index, (offset, size, raw_size, groups) in enumerate(self._frames):
            if not any(session_id in last for session_id, *_ in groups):
                continue
            for record in self._records(index, offset, size, raw_size):
                if record.session_id not in last:
                    continue
                group = open_groups.get(record.session_id)
                if group is None:
                    group = open_groups[record.session_id] = Group(record.session_id, self.device, self.sequence)
                group.records.append(record)
            for session_id in [session_id for session_id in open_groups if session_id in wanted.get(index, ())]:
                yield open_groups.pop(session_id)

    def _records(self, index: int, offset: int, size: int, raw_size: int) -> Iterator[Record]:
        if raw_size > MAX_FRAME_BYTES:
            raise corrupt(self.name, "a frame is too large")
        try:
            raw = decompress(self._open(index + 1, offset, offset + size), raw_size)
            for session_id, rows in unpack(raw):
                for table, key, time, counter, seen, columns in rows:
                    if table < 0 or not isinstance(session_id, str) or not isinstance(key, str):
                        raise ValueError
                    if table >= len(TABLES):
                        continue  # a table that a newer version shares: this one leaves it alone
                    yield Record(TABLES[table], key, session_id, Version(time, counter, self.device), columns, seen)
        except (ValueError, TypeError) as error:
            raise corrupt(self.name, f"a frame is unreadable ({type(error).__name__})") from None


def _check_groups(groups: Any) -> None:
    """Raises TypeError, ValueError."""
    for session_id, _, context in groups:
        if key_problem(session_id) is not None:
            raise ValueError
        if context is not None and not all(isinstance(device, str) and type(sequence) is int for device, sequence in context.items()):
            raise TypeError
