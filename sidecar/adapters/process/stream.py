"""A command whose output is handed on while it runs, never faster than its receiver takes it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from sidecar.adapters.process.group import signal_group, stop_group
from sidecar.adapters.process.run import CHUNK, LINGER_SECONDS, outcome
from sidecar.adapters.process.spawn import spawn
from sidecar.domain.errors import SidecarError

READ_BYTES = 256 << 10
"""As large as a pipe can be made without privileges: fewer and larger messages."""

OnOutput = Callable[[str, bytes], None]
OnExit = Callable[[int | None, str | None], None]


class Streaming:
    """One running command. `on_output` and `on_exit` are called from threads; `on_exit` once, after the last output."""

    def __init__(self, argv: Sequence[str], cwd: str | None, env: Mapping[str, str], *, stdin: bool, window: int, on_output: OnOutput, on_exit: OnExit) -> None:
        self._process = spawn(argv, cwd, env, stdin=stdin)
        self._window, self._unacknowledged = max(window, READ_BYTES), 0
        self._room = threading.Condition()
        self._closed = False
        self._writing = threading.Lock()
        self._on_output, self._on_exit = on_output, on_exit
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True) for pair in (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()
        threading.Thread(target=self._finish, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def acknowledge(self, count: int) -> None:
        with self._room:
            self._unacknowledged = max(0, self._unacknowledged - count)
            self._room.notify_all()

    def write(self, data: bytes) -> None:
        """Blocks until the command took it. Raises processGone when it reads no more."""
        pipe = self._process.stdin
        with self._writing:
            try:
                if pipe is None:
                    raise ValueError
                view = memoryview(data)
                while view:
                    view = view[pipe.write(view[:CHUNK]) :]
            except (OSError, ValueError):
                raise SidecarError("processGone", "The command does not read its input any more.", remedy="Stop writing to it.", retryable=False) from None

    def close_stdin(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def kill(self, name: str, grace: float) -> None:
        """Signal the command and what it started; kill what is left after `grace` seconds. Returns at once."""
        number = getattr(signal, name, None)
        if not isinstance(number, signal.Signals):
            raise SidecarError("invalidParams", f"There is no signal {name[:20]!r}.", remedy="Give a name such as SIGTERM.")
        self.drop_output()
        if os.name == "posix" and number not in (signal.SIGTERM, signal.SIGKILL):
            signal_group(self._process, number)
            return
        threading.Thread(target=stop_group, args=(self._process, 0.0 if name == "SIGKILL" else grace), daemon=True).start()

    def drop_output(self) -> None:
        """Nobody will acknowledge any more: the rest is read and handed on without waiting, so that the command can end."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), pipe:
            widen(pipe)
            while True:
                with self._room:
                    self._room.wait_for(lambda: self._closed or self._unacknowledged + READ_BYTES <= self._window)
                chunk = os.read(pipe.fileno(), READ_BYTES)
                if not chunk:
                    return
                with self._room:
                    self._unacknowledged += len(chunk)
                self._on_output(name, chunk)

    def _finish(self) -> None:
        found = outcome(self._process)
        deadline: float | None = None
        while any(reader.is_alive() for reader in self._readers):
            with self._room:
                waiting = not self._closed and self._unacknowledged + READ_BYTES > self._window
            if waiting:  # for the receiver, not for the pipe
                deadline = None
            else:
                deadline = deadline or time.monotonic() + LINGER_SECONDS
                if time.monotonic() > deadline:
                    break
            for reader in self._readers:
                reader.join(0.02)
        self.close_stdin()
        self._on_exit(*found)


def widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold more, where the system can (Linux)."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, READ_BYTES)
