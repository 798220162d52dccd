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
from typing import TYPE_CHECKING

from sidecar.rpc import handshake, hostwatch
from sidecar.rpc.stdio import Reader, Writer, claim_stdio

if TYPE_CHECKING:
    from sidecar.app import Sidecar
    from sidecar.rpc.server import SidecarServer

USAGE = "usage: opencode-sidecar serve --stdio [--clientProcessId=N] [--log-file F] [--log-level L]"
EXIT_UNUSABLE = 78
GRACE_SECONDS = 2.0
FLUSH_SECONDS = 0.5
MAX_WAITING = 10_000
"""Messages that may wait for the loop before the reader stops reading."""


def serve(argv: list[str]) -> int:
    """Returns for usage only; otherwise the process ends here."""
    if argv[:1] == ["--help"]:
        sys.stdout.write(USAGE + "\n")
        return 0
    options = parse_options(argv)
    if isinstance(options, str):
        sys.stderr.write(f"❌ {options}; {USAGE}\n")
        return 2
    gc.disable()  # until the imports are done: a sixth of their cost
    try:
        read, write = claim_stdio()
    except OSError as error:
        sys.stderr.write(f"❌ standard input and output must be open: {error.strerror}\n")
        return 2
    Connection(read, write, options).run()
    return 1


def parse_options(argv: list[str]) -> dict[str, str] | str:
    """Options by name, or what is wrong with them."""
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


class Connection:
    """One host: the first stage answers `initialize`, the second serves the rest."""

    def __init__(self, read: int, write: int, options: dict[str, str]) -> None:
        self.options = options
        self.writer = Writer(write, lambda: self.stop(1))
        self.reader = Reader(read, self._on_body, self._on_end)
        self.queue: list[object] = []
        self.arrived = threading.Condition()
        self.server: SidecarServer | None = None
        self.ending = False
        self.overrides: dict[str, object] = {}
        self.binary_output = self.can_ask = False

    # --- reader thread --------------------------------------------------------------------------------------------
    def _on_body(self, body: bytes) -> None:
        while not self.writer.wait_for_room(1.0):  # a host that reads no answers gets to send no requests
            pass
        try:
            message = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            self._send_error(None, -32700, "parseError", "this is not JSON in UTF-8")
            return
        with self.arrived:
            if self.server is not None:
                self._deliver(self.server, message)
            else:
                self.arrived.wait_for(lambda: len(self.queue) < MAX_WAITING or self.server is not None or self.ending)
                self.queue.append(message)
                self.arrived.notify_all()

    @staticmethod
    def _deliver(server: SidecarServer, message: object) -> None:
        server.protocol.note_arrival(message)
        server.deliver(message)

    def _on_end(self, reason: str | None) -> None:
        if reason is not None:
            self._send_error(None, -32700, "parseError", f"the stream is lost: {reason}")
        self.stop(1)

    # --- any thread -----------------------------------------------------------------------------------------------
    def stop(self, code: int) -> None:
        """End the process: cancel what runs, wait for it to unwind, kill what is left of its children, flush, exit."""
        with self.arrived:
            if self.ending:
                return
            self.ending = True
            self.arrived.notify_all()
        threading.Thread(target=self._end, args=(code,), name="end", daemon=True).start()

    def _end(self, code: int) -> None:
        try:
            if self.server is not None:
                self.server.unwind(GRACE_SECONDS)
                from sidecar.rpc.children import kill_descendants

                kill_descendants()
            self.writer.finish(FLUSH_SECONDS)
        finally:
            os._exit(code)

    # --- main thread ----------------------------------------------------------------------------------------------
    def run(self) -> None:
        """Serve until the process ends."""
        self.writer.start()
        self.reader.start()
        if self.options.get("clientProcessId", "0") != "0":
            hostwatch.watch(int(self.options["clientProcessId"]), lambda: self.stop(1))
        self._first_stage()
        try:
            self._second_stage()
        except ImportError as error:
            sys.stderr.write(f"❌ opencode-sidecar is not completely installed: {error}\n")
            self.stop(EXIT_UNUSABLE)
        except Exception as error:  # noqa: BLE001 - no traceback reaches a user
            sys.stderr.write(f"❌ opencode-sidecar ended unexpectedly: {type(error).__name__}: {error}\n")
            self.stop(1)
        self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        while True:
            threading.Event().wait()

    def _next(self) -> object:
        with self.arrived:
            self.arrived.wait_for(lambda: bool(self.queue))
            self.arrived.notify_all()
            return self.queue.pop(0)

    def _first_stage(self) -> None:
        """Until `initialize` has been answered."""
        while True:
            message = self._next()
            if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
                self._send_error(None, -32600, "invalidRequest", "not a JSON-RPC 2.0 message (LSP has no batches)")
            elif "id" not in message:
                if message.get("method") == "exit":
                    self.stop(1)
                    self._wait_for_the_end()
            elif not isinstance(message["id"], (int, str)) or isinstance(message["id"], bool) or not isinstance(message.get("method"), str):
                self._send_error(None, -32600, "invalidRequest", "a request needs an id (string or integer) and a method")
            elif message["method"] != "initialize":
                self._send_error(message["id"], -32002, "notInitialized", "initialize comes first")
            elif self._initialize(message["id"], message.get("params")):
                return

    def _initialize(self, identity: object, params: object) -> bool:
        issues = handshake.problem_with(params)
        if issues:
            self._send_error(identity, -32602, "invalidParams", "Invalid params: " + "; ".join(issues), issues=issues)
            return False
        wanted = handshake.wrong_version(params)
        if wanted is not None:
            text = f"The host speaks protocol {wanted}, this server {handshake.PROTOCOL_VERSION}."
            self._send_error(identity, -31024, "unsupported", text, remedy="Update the older of the two.")
            return False
        given = params if isinstance(params, dict) else {}
        self.overrides = {name: value for name, value in (given.get("initializationOptions") or {}).items() if value}
        self.binary_output, self.can_ask = handshake.wants_binary_output(params), handshake.can_ask(params)
        self._send({"jsonrpc": "2.0", "id": identity, "result": handshake.result(handshake.state_root(self.overrides.get("stateRoot")))})
        if given.get("processId"):
            hostwatch.watch(given["processId"], lambda: self.stop(1))
        return True

    def _second_stage(self) -> None:
        import signal
        from pathlib import Path

        from sidecar import logs
        from sidecar.app import Sidecar
        from sidecar.settings import Settings

        roots = {"data_root": "dataRoot", "config_root": "configRoot", "state_root": "stateRoot", "db": "db"}
        settings = Settings.from_environ(**{ours: self.overrides.get(wire) for ours, wire in roots.items()})  # type: ignore[arg-type]
        log_file = Path(self.options["log-file"]) if "log-file" in self.options else settings.own_state / "logs" / "sidecar.log"
        try:
            logs.configure(log_file, self.options.get("log-level", "info"))
        except OSError as error:
            sys.stderr.write(f"opencode-sidecar: no log file: {error}\n")
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C goes to the whole terminal; the host decides what it means
        signal.signal(signal.SIGTERM, lambda *_: self.stop(1))
        sidecar = Sidecar(settings)
        server = self.build(lambda: sidecar)
        server.registry.binary_output, server.registry.questions.possible = self.binary_output, self.can_ask
        with self.arrived:
            for message in self.queue:
                self._deliver(server, message)
            self.queue.clear()
            self.server = server
            self.arrived.notify_all()
        server.serve()

    def build(self, sidecar: Callable[[], Sidecar]) -> SidecarServer:
        """The server of the second stage."""
        from sidecar.rpc.server import SidecarServer

        return SidecarServer(sidecar, self.writer, self.stop)

    # --- out ------------------------------------------------------------------------------------------------------
    def _send(self, message: dict[str, object]) -> None:
        self.writer.put(json.dumps(message, separators=(",", ":")).encode())

    def _send_error(self, identity: object, code: int, kind: str, message: str, *, remedy: str = "See docs/protocol.md.", issues: object = None) -> None:
        data: dict[str, object] = {"kind": kind, "detail": "", "remedy": remedy, "retryable": False}
        if issues:
            data["issues"] = issues
        self._send({"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message, "data": data}})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
