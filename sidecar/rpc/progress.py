"""`$/progress` for a token that the client gave: begin, at most ten reports a second, the last one of a burst among them, end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sidecar.domain.task import Progress

INTERVAL = 0.1
_TITLES = {
    "scan": "Looking for changes",
    "secrets": "Looking for secrets",
    "settle": "Waiting for a session to go quiet",
    "record": "Recording changes",
    "connect": "Asking the remote",
    "push": "Publishing",
    "fetch": "Fetching",
    "index": "Reading what arrived",
    "apply": "Applying",
    "verify": "Comparing",
    "doctor": "Checking",
    "restore": "Putting back",
    "survey": "Looking what still matters",
    "compact": "Writing the log again",
    "tidy": "Clearing up",
}


class ProgressReporter:
    """Safe from any thread. `send(value)` delivers one WorkDoneProgress value; `wait()` may hold back a worker.

    `percentage` is that of the phase, and starts again with the next one.
    """

    def __init__(self, title: str, send: Callable[[dict[str, Any]], None], wait: Callable[[], object] = lambda: None) -> None:
        self._send, self._wait = send, wait
        self._lock = threading.Lock()
        self._last, self._ended = 0.0, False
        self._late: threading.Timer | None = None
        self._latest: Progress | None = None
        send({"kind": "begin", "title": title, "cancellable": True, "percentage": 0})

    def report(self, progress: Progress) -> None:
        with self._lock:
            if self._ended:
                return
            early = self._early()
            if early > 0:
                # Nothing may follow for a while, as when a remote does not answer: what is shown must be what goes on.
                self._latest = progress
                self._later(early)
                return
            self._say(progress)
        self._wait()

    def end(self, message: str) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                if self._late is not None:
                    self._late.cancel()
                self._send({"kind": "end", "message": message})

    def _early(self) -> float:
        return INTERVAL - (time.monotonic() - self._last)

    def _later(self, seconds: float) -> None:
        if self._late is None:
            self._late = threading.Timer(seconds, self._catch_up)
            self._late.daemon = True
            self._late.start()

    def _catch_up(self) -> None:
        with self._lock:
            self._late = None
            if self._latest is None or self._ended:
                return
            early = self._early()
            if early > 0:
                self._later(early)
            else:
                self._say(self._latest)

    def _say(self, progress: Progress) -> None:
        self._last, self._latest = time.monotonic(), None
        self._send(_value(progress))


def _value(progress: Progress) -> dict[str, Any]:
    value: dict[str, Any] = {
        "kind": "report",
        "message": progress.message or _TITLES.get(progress.phase, progress.phase),
        "phase": progress.phase,
        "done": progress.done,
        "total": progress.total,
        "bytes": progress.bytes_done,
    }
    if progress.total:
        value["percentage"] = max(0, min(100, progress.done * 100 // progress.total))
    return value
