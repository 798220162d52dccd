"""Noticing that the host is gone although the pipe is still open. The platform differences of it live here."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

INTERVAL = 3.0


def is_alive(pid: int, started: str | None = None) -> bool:
    """Whether a process exists and runs. One that we may not signal is alive.

    `started`: what `start_time` said of it earlier, so that a reused pid is not taken for the host.
    """
    if sys.platform == "win32":
        return _is_alive_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    state, start = _stat(pid)
    return state not in ("Z", "X") and (started is None or start is None or start == started)


def start_time(pid: int) -> str | None:
    """Something that tells two processes with one pid apart; None where the system does not say."""
    return _stat(pid)[1]


def _stat(pid: int) -> tuple[str | None, str | None]:
    """(state, start time) on Linux: a killed host that nobody waited for still has its pid."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0].decode(), fields[19].decode()
    except (OSError, IndexError):
        return None, None


def _is_alive_windows(pid: int) -> bool:
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
    handle = kernel.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
    if not handle:
        return bool(kernel.GetLastError() == 5)  # access denied: it is there
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT: still running
    finally:
        kernel.CloseHandle(handle)


def watch(pid: int, gone: Callable[[], None], interval: float = INTERVAL) -> threading.Thread:
    """Call `gone` once when the process has ended."""
    started = start_time(pid)

    def run() -> None:
        while is_alive(pid, started):
            time.sleep(interval)
        gone()

    thread = threading.Thread(target=run, name="host-watch", daemon=True)
    thread.start()
    return thread
