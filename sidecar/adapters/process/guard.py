"""Commands end also when we are killed and can do nothing: a small process waits for our end and then kills what we ran.

It sees our end as that of the pipe from us, which the system closes however we end. POSIX only: Windows has job objects for this, not used yet.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

from sidecar.adapters.process import tree

COMMAND = "guard"
"""What the program's `main` knows it by, where there is no interpreter to run a file (the bundle)."""

_lock = threading.Lock()
_process: subprocess.Popen[bytes] | None = None


def watch(pid: int) -> None:
    """From now on the tree of `pid` ends with us. Starts the guard with the first. Never raises."""
    _tell(pid)


def forget(pid: int) -> None:
    """It has ended."""
    if _process is not None:
        _tell(-pid)


def _tell(number: int) -> None:
    global _process
    if os.name != "posix":
        return
    with _lock, contextlib.suppress(OSError):
        if _process is None or _process.poll() is not None:
            _process = _start()
        if _process.stdin is not None:
            _process.stdin.write(b"%+d\n" % number)


def _start() -> subprocess.Popen[bytes]:
    frozen = getattr(sys, "frozen", False)
    command = [sys.executable, COMMAND] if frozen else [sys.executable, "-I", "-S", tree.__file__]
    null = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null, bufsize=0, cwd="/", start_new_session=True)
