"""A command from its start to its end, with bounded output."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from sidecar.adapters.process import guard
from sidecar.adapters.process.group import stop_group
from sidecar.adapters.process.spawn import spawn
from sidecar.domain.task import Task

CHUNK = 1 << 16
LINGER_SECONDS = 1.0
"""How long to wait for a pipe that outlives the command: something it left in the background may hold it open for ever."""
KILL_GRACE_SECONDS = 0.1


@dataclass
class Captured:
    """`cut`: bytes that were dropped after `data`."""

    limit: int
    data: bytearray = field(default_factory=bytearray)
    cut: int = 0

    def add(self, chunk: bytes) -> None:
        room = self.limit - len(self.data)
        self.data += chunk[:room]
        self.cut += max(0, len(chunk) - room)


@dataclass(frozen=True, slots=True)
class Finished:
    exit_code: int | None
    signal: str | None
    stdout: Captured
    stderr: Captured
    timed_out: bool
    seconds: float


def run(
    argv: Sequence[str], cwd: str | None, env: Mapping[str, str], task: Task, *, stdin: bytes | None = None, timeout: float | None = None, limit: int
) -> Finished:
    """Raises what `spawn` raises, and Cancelled once the command and what it started are gone."""
    began = time.monotonic()
    process = spawn(argv, cwd, env, stdin=stdin is not None)
    out, err = Captured(limit), Captured(limit)
    ended = threading.Event()
    threads = [_thread(_read, process.stdout, out), _thread(_read, process.stderr, err), _thread(_reap, process, ended)]
    if stdin is not None:
        threads.append(_thread(_feed, process.stdin, stdin))
    timed_out = False
    try:
        while not ended.wait(0.05):
            task.check()
            if timeout is not None and time.monotonic() - began > timeout:
                timed_out = True
                break
    finally:
        if not ended.is_set():
            stop_group(process, KILL_GRACE_SECONDS)
    deadline = time.monotonic() + LINGER_SECONDS
    for thread in threads[:2]:
        thread.join(max(0.0, deadline - time.monotonic()))
    return Finished(*outcome(process), out, err, timed_out, time.monotonic() - began)


def outcome(process: subprocess.Popen[bytes]) -> tuple[int | None, str | None]:
    """(exit code, None) or (None, name of the signal)."""
    code = process.wait()
    guard.forget(process.pid)
    if code >= 0:
        return code, None
    try:
        return None, signal.Signals(-code).name
    except ValueError:
        return None, f"SIG{-code}"


def _thread(work: object, *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def _read(pipe: IO[bytes], into: Captured) -> None:
    with contextlib.suppress(OSError, ValueError), pipe:
        while chunk := pipe.read(CHUNK):
            into.add(chunk)


def _feed(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError, ValueError), pipe:  # a command that does not read it all is no error
        view = memoryview(data)
        while view:
            view = view[pipe.write(view[:CHUNK]) :]


def _reap(process: subprocess.Popen[bytes], ended: threading.Event) -> None:
    process.wait()
    ended.set()
