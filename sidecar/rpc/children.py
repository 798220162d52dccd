"""No child stays behind: what is left of our process tree when the grace is over is killed. Platform differences live here."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys


def kill_descendants() -> None:
    """Kill every process below this one. The last thing that a process does; never raises."""
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        if sys.platform == "win32":
            _kill_windows()
            return
        import signal

        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def descendants(root: int) -> list[int]:
    """Process ids below `root`, parents first."""
    parents = _parents_from_proc() if os.path.isdir("/proc/self") else _parents_from_ps()
    found, waiting = [], [root]
    while waiting:
        parent = waiting.pop()
        below = [pid for pid, its_parent in parents.items() if its_parent == parent]
        found += below
        waiting += below
    return found


def _parents_from_proc() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return parents


def _parents_from_ps() -> dict[int, int]:
    run = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], stdin=subprocess.DEVNULL, capture_output=True, timeout=2, check=False)
    rows = [line.split() for line in run.stdout.decode(errors="replace").splitlines()]
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 2}


def _kill_windows() -> None:
    """`taskkill /T` would take ourselves along, so each direct child is killed as a tree."""
    query = f"Get-CimInstance Win32_Process -Filter 'ParentProcessId={os.getpid()}' | ForEach-Object ProcessId"
    run = subprocess.run(["powershell", "-NoProfile", "-Command", query], stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)
    for pid in run.stdout.split():
        if pid.isdigit():
            subprocess.run(["taskkill", "/T", "/F", "/PID", pid.decode()], stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)
