"""Hybrid logical clock: wall time that never goes back on this device."""

from __future__ import annotations

import time
from collections.abc import Callable


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class HybridClock:
    """`last` is persisted by the caller between runs."""

    def __init__(self, last: int = 0, wall: Callable[[], int] = wall_clock_ms) -> None:
        self.last = last
        self.wall = wall

    def ahead_ms(self) -> int:
        """How far what was recorded runs ahead of the wall clock; 0 when it does not."""
        return max(0, self.last - self.wall())

    def now(self) -> int:
        """Unix milliseconds, never less than any earlier answer."""
        self.last = max(self.last, self.wall())
        return self.last
