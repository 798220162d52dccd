"""A client without manners: sends any bytes, reads frames, knows nothing of our own code."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from tests.support.command import SIDECAR


class RawClient:
    """The real server as a subprocess. `notifications` keeps what came without an id."""

    def __init__(self, environ: Mapping[str, str], *arguments: str, command: list[str] | None = None, drain_stderr: bool = True) -> None:
        argv = command or [*SIDECAR, "serve", "--stdio"]
        self.process = subprocess.Popen([*argv, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environ))
        self.notifications: list[dict[str, Any]] = []
        self.answers: dict[Any, dict[str, Any]] = {}
        self._inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._next = 0
        self.stderr = b""
        self._paused = threading.Event()
        self._paused.set()
        threading.Thread(target=self._read, daemon=True).start()
        if drain_stderr:
            threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line

    def _read(self) -> None:
        out = self.process.stdout
        assert out is not None
        while True:
            self._paused.wait()
            length = None
            while line := out.readline():
                if line == b"\r\n":
                    break
                name, _, value = line.partition(b":")
                assert name.lower() == b"content-length", f"not a protocol header on stdout: {line!r}"
                length = int(value)
            if length is None:
                self._inbox.put(None)
                return
            self._inbox.put(json.loads(out.read(length), parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name))))

    def pause_reading(self) -> None:
        self._paused.clear()

    def resume_reading(self) -> None:
        self._paused.set()

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message: Any) -> None:
        body = json.dumps(message).encode()
        self.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def start(self, method: str, params: Any = None, **extra: Any) -> int:
        self._next += 1
        self.send({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params, **extra})
        return self._next

    def wait_for(self, identity: Any, timeout: float = 60.0) -> dict[str, Any]:
        """The answer to a request; notifications are kept on the way."""
        while identity not in self.answers:
            message = self._inbox.get(timeout=timeout)
            assert message is not None, f"the server ended without answering: {self.stderr.decode(errors='replace')[-2000:]}"
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.notifications.append(message)
        return self.answers.pop(identity)

    def call(self, method: str, params: Any = None, timeout: float = 60.0) -> dict[str, Any]:
        return self.wait_for(self.start(method, params), timeout)

    def initialize(self, **params: Any) -> dict[str, Any]:
        answer = self.call("initialize", {"processId": os.getpid(), "capabilities": {}, **params})
        self.notify("initialized", {})
        return answer

    def end(self, timeout: float = 30.0) -> int:
        """Shutdown and exit as LSP says; returns the exit status."""
        self.call("shutdown")
        self.notify("exit")
        return self.process.wait(timeout)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
