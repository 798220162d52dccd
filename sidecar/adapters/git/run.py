"""One git process at a time: cancellable, in its own process group, its words turned into our errors."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar.adapters.git.env import hardened
from sidecar.adapters.git.errors import from_stderr
from sidecar.domain.errors import Cancelled, SidecarError
from sidecar.domain.task import Task

POLL_SECONDS = 0.05
TERMINATE_SECONDS = 2.0
_PROGRESS = re.compile(rb"(Receiving|Writing|Compressing|Counting|Resolving)[^:]*:\s+\d+% \((\d+)/(\d+)\)(?:, ([\d.]+) (bytes|KiB|MiB|GiB))?")
_UNITS = {b"bytes": 1, b"KiB": 1 << 10, b"MiB": 1 << 20, b"GiB": 1 << 30}


class Git:
    """Runs git in one repository. Not for two threads at once."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self.env = hardened(environ)

    def run(self, *arguments: str, task: Task | None = None, phase: str = "", feed: Iterable[bytes] | None = None, ok: Sequence[int] = (0,)) -> bytes:
        """Standard output of `git ARGUMENTS`. `feed` goes to its standard input. Raises SidecarError, or Cancelled through `task`."""
        process = self._start(arguments, feed is not None)
        stdout: list[bytes] = []
        stderr: list[bytes] = []
        threads = [
            threading.Thread(target=_drain, args=(process.proc.stdout, stdout, None, ""), daemon=True),
            threading.Thread(target=_drain, args=(process.proc.stderr, stderr, task if phase else None, phase), daemon=True),
        ]
        if feed is not None:
            threads.append(threading.Thread(target=_feed, args=(process.proc.stdin, feed), daemon=True))
        for thread in threads:
            thread.start()
        self._await(process.proc, task)
        for thread in threads:
            thread.join(TERMINATE_SECONDS)
        if process.proc.returncode not in ok:
            raise from_stderr(b"".join(stderr).decode("utf-8", "replace"), arguments[0])
        return b"".join(stdout)

    def _start(self, arguments: Sequence[str], feeds: bool) -> Any:
        from git import Git as GitPython  # heavy: only when git is really needed
        from git.exc import GitCommandNotFound

        kwargs: dict[str, Any] = {"istream": subprocess.PIPE} if feeds else {}
        try:
            return GitPython(str(self.directory)).execute(["git", *arguments], as_process=True, env=self.env, universal_newlines=False, **kwargs, **new_group())
        except GitCommandNotFound:
            raise SidecarError("gitMissing", "git is not installed, or not on the PATH.", remedy="Install git 2.30 or newer.") from None

    @staticmethod
    def _await(process: subprocess.Popen[bytes], task: Task | None) -> None:
        while True:
            try:
                process.wait(POLL_SECONDS if task is not None else None)
                return
            except subprocess.TimeoutExpired:
                if task is not None and task.cancelled.is_set():
                    stop_group(process)
                    raise Cancelled from None


def new_group() -> dict[str, Any]:
    """Popen arguments that put a child in a group of its own, so that its helpers (ssh, remote-https) end with it."""
    if os.name == "nt":
        return {"creationflags": 0x08000200}  # CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP
    return {"start_new_session": True}


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a process started with `new_group` and all its children: politely first, so that git removes its lock files."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TERMINATE_SECONDS)
            return


def _feed(stdin: Any, chunks: Iterable[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError, OSError), stdin:
        for chunk in chunks:
            stdin.write(chunk)


def _drain(stream: Any, into: list[bytes], task: Task | None, phase: str) -> None:
    while chunk := stream.read1(65536):
        into.append(chunk)
        if task is None:
            continue
        found = list(_PROGRESS.finditer(chunk))
        if found:
            _, done, total, size, unit = found[-1].groups()
            with contextlib.suppress(SidecarError):
                task.report(phase, int(done), int(total), bytes_done=int(float(size) * _UNITS[unit]) if size else 0)
