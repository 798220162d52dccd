"""The stdio edge: private descriptors, a reader thread, a writer thread.

The loop never blocks on a pipe, and nothing else in the process can write into the protocol or read from it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable

from sidecar.rpc.framing import Decoder, FramingError, head

MAX_QUEUED_BYTES = 32 << 20
READ_BYTES = 1 << 16
JOIN_BYTES = 1 << 16
"""Below this, one copy is cheaper than a list for the system."""

Frame = tuple[bytes, bytes]
"""(head, body): large bodies are never copied."""


def claim_stdio() -> tuple[int, int]:
    """(descriptor to read, descriptor to write): private copies. Afterwards 0 is the null device and 1 is stderr."""
    read, write = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # stderr is closed: a stray print goes nowhere, never into the protocol
        os.dup2(null, 1)
    os.close(null)
    for descriptor in (read, write):
        os.set_inheritable(descriptor, False)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (read, write):
            msvcrt.setmode(descriptor, os.O_BINARY)
    return read, write


class Reader(threading.Thread):
    """Reads frames and hands their bodies over. `on_end(None)` at end of file, `on_end(reason)` when the stream is lost."""

    def __init__(self, descriptor: int, on_body: Callable[[bytes], None], on_end: Callable[[str | None], None], decoder: Decoder | None = None) -> None:
        super().__init__(name="rpc-reader", daemon=True)
        self._descriptor, self._on_body, self._on_end = descriptor, on_body, on_end
        self._decoder = decoder or Decoder()

    def run(self) -> None:
        reason: str | None = None
        try:
            while data := os.read(self._descriptor, READ_BYTES):
                for body in self._decoder.feed(data):
                    self._on_body(body)
        except FramingError as error:
            reason = str(error)
        except OSError:
            reason = None
        self._on_end(reason)


class Writer(threading.Thread):
    """Writes frames in order. A newer progress report replaces a queued one of the same token; nothing else is dropped."""

    def __init__(self, descriptor: int, on_broken: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="rpc-writer", daemon=True)
        self._descriptor, self._on_broken = descriptor, on_broken
        self._queue: deque[list[Frame | None]] = deque()
        self._reports: dict[str, list[Frame | None]] = {}
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = self._writing = False
        self.broken = False

    def put(self, body: bytes, *, report_of: str | None = None) -> None:
        """Queue a message. `report_of`: it is a progress report that may be replaced by the next one of this token."""
        with self._changed:
            if self.broken:
                return
            waiting = self._reports.get(report_of) if report_of is not None else None
            if waiting is not None and waiting[0] is not None:
                self._bytes += len(body) - len(waiting[0][1])
                waiting[0] = head(body), body
                return
            entry = self._append((head(body), body))
            if report_of is not None:
                self._reports[report_of] = entry

    def put_frame(self, frame: Frame) -> None:
        """Write a frame whose head is another than that of JSON, in its turn. For threads that may wait for the host.

        When nothing else waits it goes out from here: handing it to the other thread would cost a third of the speed.
        """
        with self._changed:
            if self.broken:
                return
            if self._queue or self._writing:
                self._append(frame)
                return
            self._writing = True
        self._write([frame])

    def _append(self, frame: Frame) -> list[Frame | None]:
        entry: list[Frame | None] = [frame]
        self._queue.append(entry)
        self._bytes += len(frame[1])
        self._changed.notify_all()
        return entry

    def settle(self, token: str) -> None:
        """The token's queued report keeps its place from now on (an end follows)."""
        with self._changed:
            self._reports.pop(token, None)

    def wait_for_room(self, seconds: float) -> bool:
        """For worker and reader threads only: a host that does not read slows its producer instead of growing our memory."""
        with self._changed:
            return self._changed.wait_for(lambda: self.broken or self._bytes < MAX_QUEUED_BYTES, seconds)

    def finish(self, seconds: float) -> None:
        """Write what is queued, for at most this long."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.join(seconds)

    def run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: (self._queue or self._closing) and not self._writing)
                if not self._queue or self.broken:
                    return
                batch = [entry[0] for entry in self._queue if entry[0] is not None]
                for entry in self._queue:
                    entry[0] = None
                self._queue.clear()
                self._reports.clear()
                self._writing = True
            self._write(batch)
            with self._changed:
                self._bytes -= sum(len(body) for _, body in batch)
                self._changed.notify_all()

    def _write(self, frames: list[Frame]) -> None:
        """By whoever set `_writing`."""
        try:
            _write_frames(self._descriptor, frames)
        except OSError:
            self.broken = True
        with self._changed:
            self._writing = False
            self._changed.notify_all()
        if self.broken:
            self._on_broken()


def _write_frames(descriptor: int, frames: list[Frame]) -> None:
    small: list[bytes] = []
    for front, body in frames:
        small.append(front)
        if len(body) < JOIN_BYTES:
            small.append(body)
            continue
        _write_all(descriptor, b"".join(small))
        _write_all(descriptor, body)
        small = []
    _write_all(descriptor, b"".join(small))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
