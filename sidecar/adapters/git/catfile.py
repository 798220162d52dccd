"""Reading objects through one `git cat-file --batch` that stays."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from typing import IO

from sidecar.adapters.git.errors import damaged, from_stderr, killed
from sidecar.adapters.git.run import Git
from sidecar.adapters.process.group import stop_group
from sidecar.domain.errors import SidecarError

_MAX_WORDS = 4096


class CatFile:
    """Started on the first read; ended by `close`. After anything unexpected it is ended, and the next read starts anew."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._process: subprocess.Popen[bytes] | None = None
        self._words: _Words | None = None

    def read(self, name: str, *, limit: int, kind: str = "blob") -> bytes | None:
        """An object by its name or `commit:path`; None when there is none. Raises segmentCorrupt for what is not of this kind or too big."""
        if "\n" in name:
            return None
        try:
            return self._read(name, limit, kind)
        except OSError:
            problem = self._ended(name)
            self.close()
            raise problem from None
        except BaseException:
            self.close()  # the stream may be in the middle of an object
            raise

    def _read(self, name: str, limit: int, wanted: str) -> bytes | None:
        stdin, stdout = self._pipes()
        stdin.write(name.encode("utf-8", "surrogateescape") + b"\n")
        stdin.flush()
        header = stdout.readline()
        if not header:
            raise self._ended(name)
        if header.endswith((b" missing\n", b" ambiguous\n")):
            return None
        fields = header.split()
        if len(fields) != 3 or not fields[2].isdigit():
            raise damaged(name, "git could not read it")
        kind, size = fields[1].decode(), int(fields[2])
        if kind != wanted or size > limit:
            raise damaged(name, f"a {kind} of {size} bytes where a {wanted} of at most {limit} was expected")
        data = stdout.read(size)
        if len(data) != size or stdout.read(1) != b"\n":
            raise self._ended(name)
        return data

    def _ended(self, name: str) -> SidecarError:
        """Why git gave up: what it read is damaged for good, or it was stopped and another one may read it."""
        assert self._process is not None
        assert self._words is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        self._words.join(0.5)
        if (self._process.returncode or 0) < 0:
            return killed("cat-file", -self._process.returncode)
        said = from_stderr(self._words.text, "cat-file", network=False)
        return said if said.kind in ("systemError", "diskFull") else damaged(name, "git stopped in the middle of it")

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._git.start(("cat-file", "--batch"), feeds=True)
            self._words = _Words(self._process.stderr)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            stop_group(process)


class _Words(threading.Thread):
    """Reads what git says, so that it never waits for that; the last of it is kept."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        assert stream is not None
        self._stream, self._last = stream, b""
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._stream:
            while chunk := self._stream.read1(1 << 12):  # type: ignore[attr-defined]
                self._last = (self._last + chunk)[-_MAX_WORDS:]

    @property
    def text(self) -> str:
        return self._last.decode("utf-8", "replace")
