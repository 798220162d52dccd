"""One sync at a time per data directory, across processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sidecar.domain.errors import SidecarError
from sidecar.domain.system import refused
from sidecar.domain.task import Task


@contextmanager
def exclusive(path: Path, task: Task, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock. The operating system releases it when the process ends, however it ends.

    Nothing is written into the file, so there is nothing to be stale, half-written, or another host's.
    """
    lock = FileLock(path, mode=0o600, thread_local=False)
    remaining = wait_seconds
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
