"""A git remote over HTTP on loopback: git's own backend behind a small server, which can be told to break a conversation."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

LIST, FETCH, LIST_PUSH, PUSH = "list", "fetch", "list-push", "push"
"""What a request is for. In git's second protocol the list of branches is asked for with `fetch`, too."""
UP, DOWN, HANG, DRIP, GARBAGE, REFUSE = "up", "down", "hang", "drip", "garbage", "refuse"


@dataclass(frozen=True, slots=True)
class Break:
    """Break the requests of `phase` numbered `first` and later (from 1), at most `times` of them.

    `how`: UP: after so many bytes of what git sends; DOWN: after so many of the answer, when the backend has done its work; HANG: never
    answer; DRIP: a byte each tenth of a second after so many; GARBAGE: other bytes after so many; REFUSE: status 503. `then_dead`: everything is refused from then on.
    """

    phase: str
    how: str
    after: int = 0
    first: int = 1
    times: int = 1
    then_dead: bool = False


@dataclass
class Exchange:
    phase: str
    up: int
    down: int = 0


@dataclass
class GitServer:
    """Serves the bare repositories below `root`. `seen`: requests since `breaking` was called last."""

    root: Path
    seen: list[Exchange] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    plan: Break | None = None

    def __post_init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/remote.git"

    def breaking(self, plan: Break | None) -> None:
        self.released.set()
        self.released, self.reached = threading.Event(), threading.Event()
        self.plan = plan
        self.seen.clear()

    def break_for(self, exchange: Exchange) -> Break | None:
        self.seen.append(exchange)
        plan = self.plan
        if plan is not None and plan.then_dead and self.reached.is_set():
            return Break(exchange.phase, REFUSE)
        if plan is None or plan.phase != exchange.phase:
            return None
        number = sum(one.phase == exchange.phase for one in self.seen)
        if not plan.first <= number < plan.first + plan.times:
            return None
        self.reached.set()
        return plan

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._serve(LIST_PUSH if "git-receive-pack" in self.path else LIST)

        def do_POST(self) -> None:
            self._serve(PUSH if self.path.endswith("git-receive-pack") else FETCH)

        def _serve(self, phase: str) -> None:
            exchange = Exchange(phase, 0)
            plan = server.break_for(exchange)
            body = self._body(plan.after if plan is not None and plan.how == UP else None)
            exchange.up = len(body)
            if plan is not None and plan.how == UP:
                self._cut()
            elif plan is not None and plan.how == HANG:
                server.released.wait(300)
                self._cut()
            elif plan is not None and plan.how == REFUSE:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._answer(_backend(server.root, self, body), plan, exchange)

        def _body(self, limit: int | None) -> bytes:
            data = b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                while limit is None or len(data) < limit:
                    size = int(self.rfile.readline(), 16)
                    data += self.rfile.read(size)
                    self.rfile.readline()
                    if size == 0:
                        break
                return data
            length = int(self.headers.get("Content-Length") or 0)
            return self.rfile.read(length if limit is None else min(limit, length))

        def _answer(self, output: bytes, plan: Break | None, exchange: Exchange) -> None:
            head, _, body = output.partition(b"\r\n\r\n")
            exchange.down = len(body)
            lines = [line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line]
            headers = {name.decode(): value.decode() for name, value in lines}
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            if plan is not None and plan.how == DOWN and plan.after == 0:
                self._cut()
                return
            self.end_headers()
            if plan is None:
                self.wfile.write(body)
                return
            self.wfile.write(body[: plan.after])
            self.wfile.flush()
            if plan.how == GARBAGE:
                self.wfile.write(os.urandom(len(body[plan.after :])))
            elif plan.how == DRIP:
                for at in range(plan.after, len(body)):
                    self.wfile.write(body[at : at + 1])
                    self.wfile.flush()
                    if server.released.wait(0.1):
                        break
            else:
                self._cut()

        def _cut(self) -> None:
            """As a network does: no goodbye."""
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                pass  # cut

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ValueError):
                pass  # git went away, or was cut off

    return Handler


def _backend(root: Path, request: BaseHTTPRequestHandler, body: bytes) -> bytes:
    parts = urlsplit(request.path)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.receivepack",
        "GIT_CONFIG_VALUE_0": "true",
        "REQUEST_METHOD": request.command,
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
    return subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=False).stdout
