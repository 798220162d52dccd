"""pygls' dispatch behind our own edge. The only module that touches what pygls keeps private."""

from __future__ import annotations

import contextvars
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from pygls.exceptions import JsonRpcException
from pygls.protocol.json_rpc import JsonRPCNotification, JsonRPCProtocol, JsonRPCRequestMessage

from protocol import errors as codes
from protocol.methods import BY_NAME
from protocol.naming import to_wire
from sidecar.domain.task import Task
from sidecar.rpc.converter import make_converter, structure
from sidecar.rpc.errors import to_response_error
from sidecar.rpc.stdio import Writer

log = logging.getLogger(__name__)
PRIVATE_NAMES = ("_send_data", "_send_response", "_request_futures", "_handle_request", "_handle_notification")
"""What we override or use of pygls without its promise; a contract test watches them."""

current_task: contextvars.ContextVar[Task | None] = contextvars.ContextVar("current_task", default=None)


class SidecarProtocol(JsonRPCProtocol):
    """Strict on input, and every request gets exactly one answer."""

    def __init__(self, server: Any, converter: Any) -> None:
        super().__init__(server, converter)
        self.out: Writer | None = None
        self.params_types: dict[str, type] = {method.name: method.params for method in BY_NAME.values() if method.direction == "toServer"}
        self.tasks: dict[Any, Task] = {}
        self._lock = threading.Lock()
        self._strict = make_converter()
        self.state = "running"
        self.on_exit: Callable[[], None] = lambda: None

    # --- reader thread --------------------------------------------------------------------------------------------
    def note_arrival(self, message: Any) -> None:
        """Called as soon as a message is parsed: a request gets its cancellation token before anything is dispatched."""
        if not isinstance(message, dict):
            return
        identity = message.get("id")
        if message.get("method") == "$/cancelRequest":
            params = message.get("params")
            target = params.get("id") if isinstance(params, dict) else None
            with self._lock:
                task = self.tasks.get(target) if isinstance(target, (str, int)) else None
            if task is not None:
                task.cancel()
        elif "method" in message and isinstance(identity, (str, int)) and not isinstance(identity, bool):
            with self._lock:
                self.tasks.setdefault(identity, Task())

    # --- loop -----------------------------------------------------------------------------------------------------
    def receive(self, message: Any) -> None:
        """Dispatch one parsed message."""
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            identity = message.get("id") if isinstance(message, dict) else None
            self.refuse(identity if isinstance(identity, (str, int)) else None, codes.INVALID_REQUEST, "not a JSON-RPC 2.0 message (LSP has no batches)")
            return
        method, identity = message.get("method"), message.get("id")
        if not isinstance(method, str):
            if "result" not in message and "error" not in message:
                self.refuse(identity if isinstance(identity, (str, int)) else None, codes.INVALID_REQUEST, "method is missing")
            return  # answers to requests of ours: there are none in this version
        if "id" not in message:
            self._notification(method, message.get("params"))
        elif not isinstance(identity, (str, int)) or isinstance(identity, bool):
            self.refuse(None, codes.INVALID_REQUEST, "id must be a string or an integer")
        else:
            self._request(identity, method, message.get("params"))

    def _request(self, identity: str | int, method: str, params: Any) -> None:
        if self.state == "shutdown":
            self.refuse(identity, codes.INVALID_REQUEST, "the server has been shut down; only exit is accepted")
        elif method == "initialize":
            self.refuse(identity, codes.INVALID_REQUEST, "initialize may be sent once")
        elif method not in self.fm.features:
            self.refuse(identity, codes.METHOD_NOT_FOUND, f"no such method: {method[:100]}")
        else:
            try:
                typed = structure(self._strict, params, self.params_types[method])
            except Exception as error:  # noqa: BLE001
                self._send_response(identity, error=to_response_error(error))
                return
            token = self.tasks.setdefault(identity, Task())
            current_task.set(token)
            self.handle_message(JsonRPCRequestMessage(id=identity, method=method, params=typed, jsonrpc="2.0"))

    def _notification(self, method: str, params: Any) -> None:
        if method == "exit":
            self.on_exit()
        elif method in ("$/cancelRequest", "initialized") or method.startswith("$/") or self.state == "shutdown":
            return  # cancellation was seen by the reader already
        elif method in self.fm.features:
            self.handle_message(JsonRPCNotification(method=method, params=params, jsonrpc="2.0"))
        else:
            log.warning("ignored notification %s", method[:100])

    # --- out ------------------------------------------------------------------------------------------------------
    def refuse(self, identity: str | int | None, code: int, message: str) -> None:
        kind = "invalidParams" if code == codes.INVALID_PARAMS else "internal" if code == codes.INTERNAL_ERROR else "invalidRequest"
        error = {"code": code, "message": message, "data": {"kind": kind, "detail": "", "remedy": "See docs/protocol.md.", "retryable": False}}
        self._finish(identity, {"error": error})

    def _send_response(self, msg_id: Any, result: Any | None = None, error: Any | None = None) -> None:
        if error is not None:
            body = error if isinstance(error, dict) else {"code": error.code, "message": error.message, "data": error.data}
            self._finish(msg_id, {"error": body})
            return
        try:
            self._finish(msg_id, {"result": to_wire(result)})
        except (TypeError, ValueError) as problem:
            self._finish(msg_id, {"error": to_response_error(problem)})

    def _finish(self, identity: Any, outcome: dict[str, Any]) -> None:
        self._send_data({"jsonrpc": "2.0", "id": identity, **outcome})
        with self._lock:
            self.tasks.pop(identity, None)

    def _send_data(self, data: Any) -> None:
        """From any thread. Raises TypeError or ValueError for what is not JSON (NaN too)."""
        body = json.dumps(data, allow_nan=False, separators=(",", ":")).encode()
        report_of = None
        if data.get("method") == "$/progress":
            value, token = data["params"]["value"], repr(data["params"]["token"])
            if value["kind"] == "report":
                report_of = token
            elif self.out is not None:
                self.out.settle(token)
        if self.out is not None:
            self.out.put(body, report_of=report_of)

    def notify(self, method: str, params: Any | None = None) -> None:
        self._send_data({"jsonrpc": "2.0", "method": method, "params": to_wire(params)})


__all__ = ["PRIVATE_NAMES", "JsonRpcException", "SidecarProtocol", "current_task"]
