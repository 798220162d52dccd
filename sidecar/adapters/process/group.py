"""Process groups: a child ends together with what it started (git with its ssh, a command with its helpers)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

from sidecar.adapters.process.tree import Tree

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
    tree = Tree(process.pid)
    tree.signal(signal.SIGTERM, collected=_collected(process))
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and tree.runs(collected=_collected(process)):
        time.sleep(0.01)
    if tree.runs(collected=_collected(process)):
        tree.signal(signal.SIGKILL, collected=_collected(process))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a child and all that it started."""
    if os.name == "posix":
        Tree(process.pid).signal(number, collected=_collected(process))


def _collected(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None
