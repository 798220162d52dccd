"""Noticing that the host is gone although the pipe is still open. The platform differences of it live here."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

INTERVAL = 3.0


def is_alive(pid: int) -> bool:
    """Whether a process exists. One that we may not signal is alive."""
    if sys.platform == "win32":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
        if not handle:
            return bool(ctypes.windll.kernel32.GetLastError() == 5)  # access denied: it is there
        try:
            return bool(ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0x102)  # WAIT_TIMEOUT: still running
        finally:
            ctypes.windll.kernel32.CloseHandle(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def watch(pid: int, gone: Callable[[], None], interval: float = INTERVAL) -> threading.Thread:
    """Call `gone` once when the process has ended."""

    def run() -> None:
        while is_alive(pid):
            time.sleep(interval)
        gone()

    thread = threading.Thread(target=run, name="host-watch", daemon=True)
    thread.start()
    return thread
