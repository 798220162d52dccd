"""Decompression with a limit that also holds against whoever wrote the data."""

from __future__ import annotations

import zstandard


def decompress(data: bytes | memoryview, limit: int) -> bytes:
    """One zstd frame of at most `limit` bytes. Raises ValueError.

    The library's own limit does not count for frames that say their size: six kilobytes would become gigabytes.
    """
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            raise ValueError("a frame does not say its size")
        if size > limit:
            raise ValueError(f"a frame says it has {size} bytes, more than {limit}")
        return zstandard.ZstdDecompressor().decompress(data)
    except (zstandard.ZstdError, MemoryError) as error:
        raise ValueError(str(error) or "out of memory") from None
