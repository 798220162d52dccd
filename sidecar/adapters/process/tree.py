"""Trees of processes: who belongs to one, however it left the group, and whether anybody of it is left.

Standard library only, and little of it: the guard (see guard.py) runs this file alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

Entry = tuple[int, int, bool, str]
"""(parent, group, whether it is dead, start): the start tells two processes with one id apart, where the system says it."""


def table() -> dict[int, Entry]:
    """All processes by id. POSIX only."""
    return _from_proc() if os.path.isdir("/proc/self") else _from_ps()


def _from_proc() -> dict[int, Entry]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (entry := look(int(name))) is not None:
            found[int(name)] = entry
    return found


def look(pid: int) -> Entry | None:
    """One row of the table, on Linux."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[1]), int(fields[2]), fields[0] in (b"Z", b"X"), fields[19].decode()
    except (OSError, IndexError):
        return None


def _from_ps() -> dict[int, Entry]:
    import subprocess

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        run = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], stdin=subprocess.DEVNULL, capture_output=True, timeout=2, check=False)
        rows = [line.split() for line in run.stdout.decode(errors="replace").splitlines()]
        return {int(row[0]): (int(row[1]), int(row[2]), row[3].startswith("Z"), "") for row in rows if len(row) == 4}
    return {}


def descendants(root: int, processes: dict[int, Entry]) -> list[int]:
    """Process ids below `root`, parents first."""
    below: dict[int, list[int]] = {}
    for pid, entry in processes.items():
        below.setdefault(entry[0], []).append(pid)
    found, waiting = [], [root]
    while waiting:
        children = below.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


class Tree:
    """A process that leads a group, the group, and those below it that left the group (`setsid`)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._strays: dict[int, str] = {}

    def signal(self, number: int, *, collected: bool) -> None:
        """`collected`: the leader has ended and was waited for, so that its id may belong to a stranger."""
        ours = not collected or not _exists(self.pid)  # while anybody is left in the group, no new process gets its id
        processes = table()
        if ours:
            members = [self.pid, *(pid for pid, entry in processes.items() if entry[1] == self.pid)]
            for member in members:
                for pid in descendants(member, processes):
                    if processes[pid][1] != self.pid:
                        self._strays[pid] = processes[pid][3]
        for pid, start in self._strays.items():
            if pid in processes and processes[pid][3] == start:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        if ours:
            _signal_group(self.pid, number)

    def runs(self, *, collected: bool) -> bool:
        """Whether anybody is left; those that only wait to be collected do not count."""
        if not collected:
            return True
        group = not _exists(self.pid) and _signal_group(self.pid, 0)
        if not group and not self._strays:
            return False
        processes = table()
        if group and any(entry[1] == self.pid and not entry[2] for entry in processes.values()):
            return True
        return any(pid in processes and processes[pid][3] == start and not processes[pid][2] for pid, start in self._strays.items())


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _signal_group(group: int, number: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def guard() -> None:
    """Read `+pid` and `-pid` lines; at the end of file, which is the end of whoever wrote them, kill what was not taken back."""
    watched: dict[int, str | None] = {}
    with open(0, "rb", closefd=False) as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                number = int(line)
                if number > 0:
                    entry = look(number)
                    watched[number] = entry[3] if entry is not None else None
                else:
                    watched.pop(-number, None)
    for pid, start in watched.items():
        entry = look(pid)
        stranger = entry is not None and start is not None and entry[3] != start
        if not stranger and sys.platform != "win32":
            Tree(pid).signal(signal.SIGKILL, collected=False)


if __name__ == "__main__":
    guard()
