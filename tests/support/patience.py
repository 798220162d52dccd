"""What "at once" means on a machine that does other things as well: load delays some attempts, a product that is too slow delays all."""

from __future__ import annotations

import time
from collections.abc import Callable

ATTEMPTS = 5


def soonest(attempt: Callable[[], float], limit: float) -> float:
    """The shortest of some attempts, in seconds; no attempt follows one below the limit. `attempt` returns what it measured."""
    best = attempt()
    for _ in range(ATTEMPTS - 1):
        if best < limit:
            break
        best = min(best, attempt())
    return best


def seconds(act: Callable[[], object]) -> float:
    """How long it took."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def until(condition: Callable[[], object], timeout: float = 60.0) -> bool:
    """Whether it came true. Only what never does waits for the whole time, so that is long."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
