"""A running operation as its code sees it: where to say how far it is, and whether to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.domain.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is. `total` is None while unknown; `bytes_done` counts bytes moved in this phase."""

    phase: str
    done: int = 0
    total: int | None = None
    bytes_done: int = 0
    message: str = ""


class Task:
    """Cancellation token and progress sink of one operation. Safe to use from any thread."""

    def __init__(self, on_progress: Callable[[Progress], None] | None = None, cancelled: threading.Event | None = None) -> None:
        self.cancelled = cancelled or threading.Event()
        self._on_progress = on_progress

    def cancel(self) -> None:
        self.cancelled.set()

    def check(self) -> None:
        """Raise Cancelled if someone asked to stop. Call it at safe points, at least every 100 ms."""
        if self.cancelled.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleep, but wake and raise Cancelled at once when asked to stop."""
        if self.cancelled.wait(seconds):
            raise Cancelled

    def report(self, phase: str, done: int = 0, total: int | None = None, *, bytes_done: int = 0, message: str = "") -> None:
        self.check()
        if self._on_progress is not None:
            self._on_progress(Progress(phase, done, total, bytes_done, message))
