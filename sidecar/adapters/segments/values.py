"""SQLite values as MessagePack, without loss: text that is not UTF-8, 64-bit integers, reals, blobs, and references."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

LARGE_VALUE_BYTES = 1 << 20
"""A text or blob longer than this is stored once, content-addressed, beside the records."""
CHUNK_BYTES = 32 << 20
"""No stored file is larger than this: git hosts refuse files of 100 MB."""

_MANY_BYTES, MAX_CONTAINERS = 8 << 20, 1 << 21
"""From how many bytes on lists and maps are counted: an empty one is one byte in a file, and seventy in memory."""

_REF = 1
_REF_HEAD = struct.Struct(">BQ")


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A large value's SHA-256 (32 bytes), length in bytes, and whether it is text."""

    sha256: bytes
    size: int
    is_text: bool

    def chunks(self, name: str | None = None) -> list[str]:
        """Paths below the branch's root, in order. `name`: what it is called in a sealed vault."""
        count = max(1, -(-self.size // CHUNK_BYTES))
        name = name or self.sha256.hex()
        return [f"blob/{name}"] if count == 1 else [f"blob/{name}.{index:04d}" for index in range(count)]


def _default(value: object) -> msgpack.ExtType:
    if isinstance(value, BlobRef):
        return msgpack.ExtType(_REF, _REF_HEAD.pack(value.is_text, value.size) + value.sha256)
    raise TypeError(f"no SQLite value: {type(value).__name__}")


def _ext_hook(code: int, data: bytes) -> BlobRef:
    if code != _REF or len(data) != _REF_HEAD.size + 32:
        raise ValueError("unknown extension type")
    is_text, size = _REF_HEAD.unpack_from(data)
    return BlobRef(data[_REF_HEAD.size :], size, bool(is_text))


class _Count:
    """Called for every list and map that is read."""

    def __init__(self) -> None:
        self._left = MAX_CONTAINERS

    def __call__(self, container: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError("more lists and maps than any file of ours has")
        return container


class _Packers(threading.local):
    """A packer per thread: making one costs more than packing a row."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(default=_default, unicode_errors="surrogateescape", use_bin_type=True)


_packers = _Packers()


def pack(value: Any) -> bytes:
    """Encode. Text may hold surrogate escapes for bytes that are not UTF-8."""
    return _packers.packer.pack(value)  # type: ignore[no-any-return]


def packed_in_pieces(columns: dict[str, Any]) -> Iterator[bytes]:
    """What `pack` makes of a row, without ever having all of a large text or blob twice."""
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(len(columns))
    yield packer.bytes()
    for name, value in columns.items():
        yield pack(name)
        if isinstance(value, str) and len(value) > LARGE_VALUE_BYTES:
            slices = range(0, len(value), LARGE_VALUE_BYTES)
            size = sum(len(_encoded(value, start)) for start in slices)
            yield b"\xdb" + size.to_bytes(4, "big")
            yield from (_encoded(value, start) for start in slices)
        elif isinstance(value, bytes) and len(value) > LARGE_VALUE_BYTES:
            yield b"\xc6" + len(value).to_bytes(4, "big")
            yield value
        else:
            yield pack(value)


def _encoded(text: str, start: int) -> bytes:
    return text[start : start + LARGE_VALUE_BYTES].encode("utf-8", "surrogateescape")


def unpack(data: bytes) -> Any:
    """Decode what `pack` made. Raises ValueError (or a subclass) on anything else."""
    counted = _Count() if len(data) > _MANY_BYTES else None
    try:
        return msgpack.unpackb(
            data, ext_hook=_ext_hook, list_hook=counted, object_hook=counted, unicode_errors="surrogateescape", strict_map_key=True, raw=False
        )
    except (msgpack.exceptions.UnpackException, RecursionError) as error:
        raise ValueError(f"not MessagePack: {error}") from None
