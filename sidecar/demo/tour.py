"""The demo: real checkouts, a stand-in for opencode that stays open, and a comparison of every column.

Uses the real command; needs git, no network. `opencode-sidecar demo`, or `python -m sidecar.demo [--keep]`.
"""

from __future__ import annotations

import signal
import sys
import threading

from sidecar.demo.story import tell


def run(*, keep: bool = False, cancelled: threading.Event | None = None) -> int:
    """Returns 0 when both databases end up equal, 1 when not, 130 when stopped. `keep` leaves the folder there."""
    return tell(keep=keep, cancelled=cancelled or threading.Event())


def main() -> int:
    """Run it from the command line of Python."""
    cancelled = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: cancelled.set())
    unknown = set(sys.argv[1:]) - {"--keep"}
    if unknown:
        sys.stderr.write(f"❌ unknown argument {unknown.pop()!r} → python -m sidecar.demo [--keep]\n")
        return 2
    return run(keep="--keep" in sys.argv[1:], cancelled=cancelled)
