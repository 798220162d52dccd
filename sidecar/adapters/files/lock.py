"""One sync at a time per data directory, across processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sidecar.domain.errors import SidecarError
from sidecar.domain.system import refused
from sidecar.domain.task import Task

_LOOK_SECONDS = 0.1
"""How long a lock is tried that is to be had at once: `holder` has it for an instant, to look."""


@dataclass(frozen=True, slots=True)
class Holder:
    """`pid`: None where the system does not tell. `text`: for people."""

    pid: int | None
    text: str


def holder(path: Path) -> Holder | None:
    """Who holds the lock; None when it is free, or when this system has no way to look without taking it."""
    try:
        import fcntl

        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _named(os.fstat(file.fileno()))
    except (ImportError, FileNotFoundError):
        pass
    return None


def _named(stat: os.stat_result) -> Holder:
    place = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if place in fields and "->" not in fields:
                pid = int(fields[fields.index(place) - 1])
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                return Holder(pid, f"process {pid} ({command[:80]})")
    return Holder(None, "another process")


@contextmanager
def exclusive(path: Path, task: Task, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock. The operating system releases it when the process ends, however it ends.

    Nothing is written into the file, so there is nothing to be stale, half-written, or another host's.
    """
    lock = FileLock(path, mode=0o600, thread_local=False)
    remaining = max(wait_seconds, _LOOK_SECONDS)
    while True:
        task.check()
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if remaining <= 0:
                raise SidecarError(
                    "locked",
                    "Another opencode-sidecar is syncing this data directory.",
                    detail=str(path),
                    remedy="Wait for it to finish and try again; nothing was changed.",
                ) from None
            task.wait(0.05)
            remaining -= 0.05
        except OSError as error:
            raise refused(error, str(path)) from error
    try:
        yield
    finally:
        lock.release()
