"""LSP base protocol framing: `Content-Length` headers, bounded, forgiving about case and line ends. Pure."""

from __future__ import annotations

import re

MAX_HEADER_BYTES = 8 << 10
MAX_BODY_BYTES = 64 << 20
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


class FramingError(Exception):
    """The stream cannot be understood any more."""


class Decoder:
    """Bytes in, message bodies out."""

    def __init__(self, max_body: int = MAX_BODY_BYTES) -> None:
        self._buffer = bytearray()
        self._length: int | None = None
        self._max_body = max_body

    def feed(self, data: bytes) -> list[bytes]:
        """Bodies completed by `data`. Raises FramingError when the stream is lost."""
        self._buffer += data
        bodies: list[bytes] = []
        while True:
            if self._length is None and not self._read_header():
                return bodies
            if self._length is None or len(self._buffer) < self._length:
                return bodies
            bodies.append(bytes(self._buffer[: self._length]))
            del self._buffer[: self._length]
            self._length = None

    def _read_header(self) -> bool:
        while self._buffer.startswith((b"\r", b"\n")):  # some clients end a body with a line feed
            del self._buffer[:1]
        end = _BLANK_LINE.search(self._buffer, 0, MAX_HEADER_BYTES + 4)
        if end is None:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise FramingError("a header is longer than 8 KiB")
            return False
        header = bytes(self._buffer[: end.start()])
        del self._buffer[: end.end()]
        self._length = _content_length(header)
        if self._length > self._max_body:
            raise FramingError(f"a message of {self._length} bytes is over the limit of {self._max_body}")
        return True


def _content_length(header: bytes) -> int:
    for line in header.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            text = value.strip()
            if not text.isdigit() or len(text) > 15:
                raise FramingError("Content-Length is no number")
            return int(text)
    raise FramingError("a header without Content-Length")


def encode(body: bytes) -> bytes:
    """One frame."""
    return head(body) + body


def head(body: bytes) -> bytes:
    """What comes before a JSON body."""
    return b"Content-Length: %d\r\n\r\n" % len(body)


def binary_head(size: int, meaning: bytes) -> bytes:
    """What comes before bytes as they are, for hosts that asked for it. `meaning`: JSON in ASCII, on one line."""
    return b"Content-Length: %d\r\nContent-Type: application/octet-stream\r\nContent-Meaning: %b\r\n\r\n" % (size, meaning)
