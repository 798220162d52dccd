"""The use cases of `shell/*`: commands that the host asks for. They know nothing of vaults."""

from __future__ import annotations

import base64
import binascii
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from protocol import shell
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.adapters.process.stream import Streaming

Notify = Callable[[str, Any], None]
Output = Callable[[str, str, bytes], None]
"""(process id, stdout or stderr, bytes)."""
MAX_OUTPUT_BYTES = 1 << 30
MAX_WINDOW_BYTES = 64 << 20


class Shell:
    """One per server. `environ`: what a command gets when the host gives no environment. Safe from any thread."""

    def __init__(self, environ: Mapping[str, str], notify: Notify, output: Output) -> None:
        self._environ, self._notify, self._output = dict(environ), notify, output
        self._lock = threading.Lock()
        self._running: dict[str, Streaming] = {}

    def execute(self, params: shell.ExecParams, task: Task) -> shell.ExecResult:
        """Run a command to its end. Raises the kinds of `spawn`, and invalidParams."""
        from sidecar.adapters.process.run import run

        done = run(
            params.argv,
            params.cwd,
            self._env(params.env),
            task,
            stdin=None if params.stdin is None else _bytes(params.stdin, "stdin"),
            timeout=None if params.timeout_ms is None else params.timeout_ms / 1000,
            limit=max(0, min(params.max_output_bytes, MAX_OUTPUT_BYTES)),
        )
        out, err = (shell.Output(_text(captured.data), captured.cut) for captured in (done.stdout, done.stderr))
        return shell.ExecResult(done.exit_code, done.signal, out, err, done.timed_out, int(done.seconds * 1000))

    def start(self, params: shell.StartParams, _task: Task) -> shell.StartResult:
        """Start a command whose output comes as `shell/didOutput`."""
        from sidecar.adapters.process.stream import Streaming

        identity = params.process_id
        with self._lock:
            if identity in self._running:
                raise SidecarError("invalidParams", f"A process {identity[:40]!r} is running already.", remedy="Give each one an id of its own.")
            self._running[identity] = process = Streaming(
                params.argv,
                params.cwd,
                self._env(params.env),
                stdin=params.stdin,
                window=min(params.window_bytes, MAX_WINDOW_BYTES),
                on_output=lambda stream, data: self._output(identity, stream, data),
                on_exit=lambda code, signal: self._ended(identity, code, signal),
            )
        return shell.StartResult(process.pid)

    def write(self, params: shell.WriteParams, _task: Task) -> None:
        self._process(params.process_id).write(_bytes(params.data, "data"))

    def close_stdin(self, params: shell.ProcessParams, _task: Task) -> None:
        self._process(params.process_id).close_stdin()

    def kill(self, params: shell.KillParams, _task: Task) -> None:
        """Of a process that has ended meanwhile: nothing."""
        with self._lock:
            process = self._running.get(params.process_id)
        if process is not None:
            process.kill(params.signal, params.grace_ms / 1000)

    def acknowledge(self, params: shell.AckParams, _task: Task) -> None:
        with self._lock:
            process = self._running.get(params.process_id)
        if process is not None:
            process.acknowledge(params.bytes)

    def which(self, params: shell.WhichParams, _task: Task) -> shell.WhichResult:
        from sidecar.adapters.process.spawn import which

        return shell.WhichResult(which(params.name, params.cwd, self._env(params.env)))

    def env(self, _params: Any, _task: Task) -> shell.EnvResult:
        return shell.EnvResult(dict(self._environ))

    def close(self) -> None:
        """End every command."""
        with self._lock:
            running = list(self._running.values())
        for process in running:
            process.kill("SIGKILL" if os.name == "posix" else "SIGTERM", 0.0)

    def _process(self, identity: str) -> Streaming:
        with self._lock:
            process = self._running.get(identity)
        if process is None:
            raise SidecarError("processGone", f"There is no process {identity[:40]!r}.", remedy="It has ended, or was never started.", retryable=False)
        return process

    def _ended(self, identity: str, code: int | None, signal: str | None) -> None:
        with self._lock:
            self._running.pop(identity, None)
        self._notify("shell/didExit", shell.DidExit(identity, code, signal))

    def _env(self, given: dict[str, str] | None) -> dict[str, str]:
        return self._environ if given is None else given


def _bytes(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SidecarError("invalidParams", f"{name} is not base64.", remedy="Encode the bytes as base64.") from None


def _text(data: bytes | bytearray) -> str:
    return base64.b64encode(data).decode("ascii")
