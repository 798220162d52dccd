"""One git process at a time: cancellable, in its own process group, its words turned into our errors."""

from __future__ import annotations

import contextlib
import errno
import io
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sidecar.adapters.git.env import foreign_hidden, hardened
from sidecar.adapters.git.errors import damaged, from_stderr, git_missing, killed, timed_out
from sidecar.adapters.git.progress import last_step
from sidecar.adapters.process.group import new_group, stop_group
from sidecar.domain.errors import SidecarError
from sidecar.domain.system import refused
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from git.cmd import Git as GitPython

POLL_SECONDS = 0.05
MAX_OUTPUT = 64 << 20
"""Of a list: a dozen trees that name each other sixteen times make more paths than any memory holds."""
MAX_WORDS = 4 << 20
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
LINGER_SECONDS = 0.5
"""How long to wait for a pipe that outlives git: an ssh master or a credential daemon may hold it open for minutes."""


class Git:
    """Runs git in one directory. Not for two threads at once. `bare`: the directory is the repository itself."""

    def __init__(self, directory: Path, environ: Mapping[str, str], *, bare: bool = False) -> None:
        self.directory = directory
        self.env = hardened(environ)
        self._options = (f"--git-dir={directory}", "--literal-pathspecs") if bare else ()
        self._git: GitPython | None = None

    def run(
        self,
        *arguments: str,
        task: Task | None = None,
        phase: str = "",
        feed: Iterable[bytes] | None = None,
        ok: Sequence[int] = (0,),
        network: bool = False,
        quiet_seconds: float | None = None,
        limit: int = MAX_OUTPUT,
    ) -> bytes:
        """Standard output of `git ARGUMENTS`; `feed` goes to its standard input.

        Raises SidecarError, or Cancelled through `task`; segmentCorrupt for more than `limit` bytes. `quiet_seconds`: give up when git says
        nothing for so long.
        """
        process = self.start(arguments, feeds=feed is not None)
        talk = _Talk(process, feed, limit)
        try:
            talk.wait(task, phase, quiet_seconds)
        except BaseException:
            stop_group(process)
            raise
        finally:
            talk.close()
        if talk.feed_error is not None:
            raise talk.feed_error
        if process.returncode not in ok:
            command = next((a for a in arguments if not a.startswith("-")), "git")
            words = talk.stderr.text()
            raise killed(command, -process.returncode) if process.returncode < 0 and not words.strip() else from_stderr(words, command, network=network)
        return talk.stdout.data()

    def start(self, arguments: Sequence[str], *, feeds: bool) -> subprocess.Popen[bytes]:
        """A running git. Whoever starts it ends it, with `stop_group` or by closing its standard input."""
        try:
            if self._git is None:
                from git.cmd import Git as GitPython  # heavy: only when git is really needed

                self._git = GitPython(str(self.directory))
            kwargs: dict[str, Any] = {"istream": subprocess.PIPE} if feeds else {}
            with foreign_hidden(self.env):
                handle: Any = self._git.execute(["git", *self._options, *arguments], as_process=True, env=self.env, **kwargs, **new_group())
        except (ImportError, OSError) as error:  # GitPython's import looks for git, too
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise refused(error, "git") from None
            raise git_missing(str(error)) from None
        except Exception as error:
            if type(error).__name__ == "GitCommandNotFound":
                raise git_missing("") from None
            raise
        process: subprocess.Popen[bytes] = handle.proc
        handle.proc = None  # or the handle would terminate git as soon as nobody refers to it
        return process


class _Pipe(threading.Thread):
    """Reads one pipe to its end, and keeps `limit` bytes of it; `over` when there was more."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        super().__init__(daemon=True)
        self._stream, self._limit = stream, limit
        self._into = io.BytesIO()
        self.heard = time.monotonic()
        self.latest = b""
        self.over = False
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
                self.over |= self._into.tell() + len(chunk) > self._limit
                if not self.over:
                    self._into.write(chunk)
                self.heard, self.latest = time.monotonic(), chunk

    def close(self) -> None:
        if not self.is_alive():
            self._stream.close()

    def data(self) -> bytes:
        return self._into.getvalue()

    def text(self) -> str:
        return self.data().decode("utf-8", "replace")


class _Feeder(threading.Thread):
    """Writes a child's standard input, so that a child which stops reading cannot hold us."""

    def __init__(self, stream: IO[bytes], chunks: Iterable[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._chunks = chunks
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            for chunk in self._chunks:
                try:
                    self._stream.write(chunk)
                except (OSError, ValueError):
                    break  # git went away; its exit code and words say why
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self.error = error
        with contextlib.suppress(OSError, ValueError):
            self._stream.close()


class _Talk:
    """The three pipes of one running git."""

    def __init__(self, process: subprocess.Popen[bytes], feed: Iterable[bytes] | None, limit: int) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._limit = process, limit
        self.stdout = _Pipe(process.stdout, limit)
        self.stderr = _Pipe(process.stderr, MAX_WORDS)
        self._feeder = _Feeder(process.stdin, feed) if feed is not None and process.stdin is not None else None

    def wait(self, task: Task | None, phase: str, quiet_seconds: float | None) -> None:
        """Until git has ended. Waiting for the end of its output, not for the process, notices the end at once."""
        seen = b""
        while True:
            self.stdout.join(POLL_SECONDS)
            if self.stdout.over:
                raise damaged("a list", f"it is longer than {self._limit >> 20} MB")
            ended = self._process.poll() is not None
            if not ended and not self.stdout.is_alive():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(POLL_SECONDS)
                    ended = True
            if ended:
                break
            if task is not None:
                task.check()
                if phase and self.stderr.latest is not seen:
                    seen = self.stderr.latest
                    _report(task, phase, seen)
            quiet = time.monotonic() - max(self.stderr.heard, self.stdout.heard)
            if quiet_seconds is not None and quiet > quiet_seconds:
                raise timed_out(quiet_seconds)
        for thread in (self.stdout, self.stderr, self._feeder):
            if thread is not None:
                thread.join(LINGER_SECONDS)
        if self.stdout.over:
            raise damaged("a list", f"it is longer than {self._limit >> 20} MB")
        if task is not None and phase:
            _report(task, phase, self.stderr.data()[-4096:])

    @property
    def feed_error(self) -> Exception | None:
        return self._feeder.error if self._feeder is not None else None

    def close(self) -> None:
        self.stdout.close()
        self.stderr.close()


def _report(task: Task, phase: str, chunk: bytes) -> None:
    step = last_step(chunk.decode("utf-8", "replace"))
    if step is not None:
        with contextlib.suppress(SidecarError):  # cancelled: noticed at the next poll, never between git's end and its result
            task.report(phase, step.done, step.total, bytes_done=step.bytes_done, message=step.stage)
