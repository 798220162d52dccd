"""Reading objects through one `git cat-file --batch` that stays."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from typing import IO

from sidecar.adapters.git.errors import damaged
from sidecar.adapters.git.run import Git
from sidecar.adapters.process.group import stop_group


class CatFile:
    """Started on the first read; ended by `close`. After anything unexpected it is ended, and the next read starts anew."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, name: str, *, limit: int) -> bytes | None:
        """A blob by object name or `commit:path`; None when there is none. Raises segmentCorrupt for what is not a blob or too big."""
        if "\n" in name:
            return None
        try:
            return self._read(name, limit)
        except OSError as error:
            self.close()
            raise damaged(name, str(error)) from None
        except BaseException:
            self.close()  # the stream may be in the middle of an object
            raise

    def _read(self, name: str, limit: int) -> bytes | None:
        stdin, stdout = self._pipes()
        stdin.write(name.encode("utf-8", "surrogateescape") + b"\n")
        stdin.flush()
        header = stdout.readline()
        if header.endswith((b" missing\n", b" ambiguous\n")):
            return None
        fields = header.split()
        if len(fields) != 3 or not fields[2].isdigit():
            raise damaged(name, "git could not read it")
        kind, size = fields[1].decode(), int(fields[2])
        if kind != "blob" or size > limit:
            raise damaged(name, f"a {kind} of {size} bytes where a blob of at most {limit} was expected")
        data = stdout.read(size)
        if len(data) != size or stdout.read(1) != b"\n":
            raise damaged(name, "git stopped in the middle of it")
        return data

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._git.start(("cat-file", "--batch"), feeds=True)
            threading.Thread(target=_discard, args=(self._process.stderr,), daemon=True).start()
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


def _discard(stream: IO[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError), stream:
        while stream.read(1 << 12):
            pass
