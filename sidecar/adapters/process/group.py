"""Process groups: a child ends together with what it started (git with its ssh, a command with its helpers)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

TERMINATE_SECONDS = 2.0


def new_group() -> dict[str, Any]:
    """Popen arguments for a child with a group of its own. On Windows GitPython makes one by itself."""
    return {} if sys.platform == "win32" else {"start_new_session": True}


def stop_group(process: subprocess.Popen[bytes], grace: float = TERMINATE_SECONDS) -> None:
    """End a child and all that it started: politely first, so that git removes its lock files."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        return
    _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and _alive(process):
        time.sleep(0.01)
    if _alive(process):
        _signal(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def _alive(process: subprocess.Popen[bytes]) -> bool:
    """Whether anybody of the group is left, the child itself or one that survived it."""
    ended = process.poll() is not None
    return _signal(process.pid, 0) if ended else True


def _signal(group: int, number: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
