"""`opencode-sidecar serve --stdio`: claim the pipes, answer `initialize`, then import the rest.

Four fifths of the start is the import of lsprotocol's types; the host has its answer before that.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections.abc import Callable

from sidecar.rpc import handshake, hostwatch
from sidecar.rpc.stdio import Reader, Writer, claim_stdio

USAGE = "usage: opencode-sidecar serve --stdio [--clientProcessId=N] [--log-file F] [--log-level L]"
EXIT_UNUSABLE = 78


def serve(argv: list[str]) -> int:
    """Returns only for usage errors; otherwise the process ends here."""
    options = _options(argv)
    if isinstance(options, str):
        sys.stderr.write(f"❌ {options}; {USAGE}\n")
        return 2
    gc.disable()  # until the imports are done: a sixth of their cost
    read, write = claim_stdio()
    os._exit(_Session(read, write, options).run())


def _options(argv: list[str]) -> dict[str, str] | str:
    found: dict[str, str] = {}
    rest = list(argv)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--stdio" and not equals:
            found["stdio"] = "1"
        elif name in ("--clientProcessId", "--log-file", "--log-level"):
            if not equals and not rest:
                return f"{name} needs a value"
            found[name.lstrip("-")] = value if equals else rest.pop(0)
        else:
            return f"unknown option {name}"
    if "stdio" not in found:
        return "--stdio is the only transport"
    if not found.get("clientProcessId", "0").isdigit():
        return "--clientProcessId must be a number"
    if found.get("log-level", "info").lower() not in ("debug", "info", "warning", "error"):
        return "--log-level must be debug, info, warning or error"
    return found


class _Session:
    """One connection: first stage with a queue, second stage with the server."""

    def __init__(self, read: int, write: int, options: dict[str, str]) -> None:
        self.options = options
        self.writer = Writer(write)
        self.reader = Reader(read, self._on_body, self._on_end)
        self.queue: list[object] = []
        self.arrived = threading.Condition()
        self.server: object = None
        self.note: Callable[[object], None] | None = None
        self.deliver: Callable[[object], None] | None = None
        self.ended: int | None = None
        self.overrides: dict[str, object] = {}

    # --- reader thread --------------------------------------------------------------------------------------------
    def _on_body(self, body: bytes) -> None:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            self._send_error(None, -32700, "this is not JSON in UTF-8")
            return
        with self.arrived:
            if self.note is not None:
                self.note(message)
            if self.deliver is not None:
                self.deliver(message)
            else:
                self.queue.append(message)
                self.arrived.notify()

    def _on_end(self, reason: str | None) -> None:
        if reason is not None:
            self._send_error(None, -32700, f"the stream is lost: {reason}")
        self._stop(1)

    def _stop(self, code: int) -> None:
        with self.arrived:
            self.ended = code
            self.arrived.notify()
            server = self.server
        if server is not None:
            server.end(0 if server.protocol.state == "shutdown" and code == 0 else code)  # type: ignore[attr-defined]

    # --- main thread ----------------------------------------------------------------------------------------------
    def run(self) -> int:
        self.writer.start()
        self.reader.start()
        if self.options.get("clientProcessId"):
            hostwatch.watch(int(self.options["clientProcessId"]), lambda: self._stop(1))
        if not self._first_stage():
            self.writer.finish(1.0)
            return self.ended if self.ended is not None else 1
        try:
            return self._second_stage()
        except ImportError as error:
            sys.stderr.write(f"❌ opencode-sidecar is not completely installed: {error}\n")
            return EXIT_UNUSABLE
        except Exception as error:  # noqa: BLE001 - no traceback reaches a user
            sys.stderr.write(f"❌ opencode-sidecar ended unexpectedly: {type(error).__name__}\n")
            return 1

    def _next(self) -> object:
        with self.arrived:
            self.arrived.wait_for(lambda: self.queue or self.ended is not None)
            return self.queue.pop(0) if self.queue else None

    def _first_stage(self) -> bool:
        """Until `initialize` has been answered. False when the host went away before."""
        while True:
            message = self._next()
            if message is None and self.ended is not None:
                return False
            if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
                self._send_error(message.get("id") if isinstance(message, dict) else None, -32600, "not a JSON-RPC 2.0 message; batches are not part of LSP")
            elif message.get("method") == "exit" and "id" not in message:
                self.ended = 1
                return False
            elif message.get("method") == "initialize" and isinstance(message.get("id"), (int, str)):
                if self._initialize(message["id"], message.get("params")):
                    return True
            elif "id" in message and "method" in message:
                self._send_error(message["id"], -32002, "initialize comes first")

    def _initialize(self, identity: object, params: object) -> bool:
        issues = handshake.problem_with(params)
        if issues:
            self._send_error(identity, -32602, "Invalid params: " + "; ".join(issues), kind="invalidParams", issues=issues)
            return False
        wanted = handshake.wrong_version(params)
        if wanted is not None:
            text = f"The host speaks protocol {wanted}, this server {handshake.PROTOCOL_VERSION}."
            self._send_error(identity, -31024, text, kind="unsupported", remedy="Update the older of the two.")
            return False
        given = params if isinstance(params, dict) else {}
        self.overrides = {name: value for name, value in (given.get("initializationOptions") or {}).items() if value}
        self._send({"jsonrpc": "2.0", "id": identity, "result": handshake.result(self._state_root())})
        host = given.get("processId")
        if host:
            hostwatch.watch(host, lambda: self._stop(1))
        return True

    def _state_root(self) -> str:
        if self.overrides.get("stateRoot"):
            return str(self.overrides["stateRoot"])
        xdg = os.environ.get("XDG_STATE_HOME", "")
        return os.path.join(xdg if os.path.isabs(xdg) else os.path.join(os.path.expanduser("~"), ".local", "state"), "opencode")

    def _second_stage(self) -> int:
        from sidecar import logs
        from sidecar.app import Sidecar
        from sidecar.rpc.server import SidecarServer
        from sidecar.settings import Settings

        roots = {"data_root": "dataRoot", "config_root": "configRoot", "state_root": "stateRoot", "db": "db"}
        settings = Settings.from_environ(**{ours: self.overrides.get(wire) for ours, wire in roots.items()})  # type: ignore[arg-type]
        log_file = self.options.get("log-file") or str(settings.own_state / "logs" / "sidecar.log")
        try:
            logs.configure(settings.own_state.__class__(log_file), self.options.get("log-level", "info"))
        except OSError as error:
            sys.stderr.write(f"opencode-sidecar: no log file: {error}\n")
        sidecar = Sidecar(settings)
        server = SidecarServer(lambda: sidecar, self.writer)

        def backlog(deliver: Callable[[object], None]) -> None:
            with self.arrived:
                for message in self.queue:
                    server.protocol.note_arrival(message)
                    server.deliver(message)
                self.queue.clear()
                self.note = server.protocol.note_arrival
                self.deliver = deliver
                self.server = server
                if self.ended is not None:
                    server.end(self.ended)

        return server.serve(backlog)

    # --- out ------------------------------------------------------------------------------------------------------
    def _send(self, message: dict[str, object]) -> None:
        self.writer.put(json.dumps(message).encode())

    def _send_error(self, identity: object, code: int, message: str, *, kind: str = "invalidRequest", remedy: str = "", issues: object = None) -> None:
        data: dict[str, object] = {"kind": kind, "detail": "", "remedy": remedy or "See docs/protocol.md.", "retryable": False}
        if issues:
            data["issues"] = issues
        known = identity if isinstance(identity, (int, str)) and not isinstance(identity, bool) else None
        self._send({"jsonrpc": "2.0", "id": known, "error": {"code": code, "message": message, "data": data}})
