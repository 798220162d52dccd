"""pygls' dispatch behind our own edge. The only module that touches what pygls keeps private."""

from __future__ import annotations

import contextvars
import itertools
import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from pygls.protocol.json_rpc import JsonRPCNotification, JsonRPCProtocol, JsonRPCRequestMessage

from protocol import errors as codes
from protocol.common import CancelParams, QuestionParams
from protocol.methods import BY_NAME
from protocol.naming import to_wire
from sidecar.domain.errors import Cancelled
from sidecar.domain.task import Task
from sidecar.rpc.converter import make_converter, structure
from sidecar.rpc.errors import to_response_error
from sidecar.rpc.stdio import Writer

log = logging.getLogger(__name__)
PRIVATE_NAMES = ("_send_data", "_send_response", "_request_futures")
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
        self._begun: set[str | int] = set()
        self._tokens: dict[str | int, str | int] = {}
        self._asked: dict[str, Callable[[Any], None]] = {}
        self._strict = make_converter()
        self._numbers = itertools.count(1)
        self.state = "running"
        self.on_exit: Callable[[], None] = lambda: None

    # --- reader thread --------------------------------------------------------------------------------------------
    def note_arrival(self, message: Any) -> None:
        """Called as soon as a message is parsed: cancellation overtakes what is queued, however busy the loop is."""
        if not isinstance(message, dict):
            return
        if message.get("method") == "$/cancelRequest":
            params = message.get("params")
            task = self._task_of(params.get("id") if isinstance(params, dict) else None)
            if task is not None:
                task.cancel()
        elif "method" in message and is_id(message.get("id")):
            with self._lock:
                self.tasks.setdefault(message["id"], Task())

    def _task_of(self, identity: Any) -> Task | None:
        with self._lock:
            return self.tasks.get(identity) if is_id(identity) else None

    # --- loop -----------------------------------------------------------------------------------------------------
    def receive(self, message: Any) -> None:
        """Dispatch one parsed message. Whatever is in it, the loop goes on and a request is answered."""
        try:
            self._receive(message)
        except Exception as error:  # noqa: BLE001
            identity = message.get("id") if isinstance(message, dict) else None
            self._finish(identity if is_id(identity) else None, {"error": to_response_error(error)})

    def _receive(self, message: Any) -> None:
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._refuse_malformed(message, "not a JSON-RPC 2.0 message (LSP has no batches)")
            return
        method, identity = message.get("method"), message.get("id")
        if not isinstance(method, str):
            if "result" not in message and "error" not in message:
                self._refuse_malformed(message, "method is missing")
            elif isinstance(identity, str):  # as all ids of ours are
                self._asked.pop(identity, lambda _: None)(message.get("result"))
            return
        if "id" not in message:
            self._notification(method, message.get("params"))
        elif identity is None or not is_id(identity):
            self.refuse(None, codes.INVALID_REQUEST, "id must be a string or an integer")
        elif identity in self._begun:  # two answers with one id would be mixed up
            self.refuse(None, codes.INVALID_REQUEST, f"a request with id {identity!r:.100} is still running")
        else:
            self._request(identity, method, message.get("params"))

    def _refuse_malformed(self, message: Any, reason: str) -> None:
        """JSON-RPC wants id null here, since the id may be as wrong as the rest."""
        identity = message.get("id") if isinstance(message, dict) else None
        if is_id(identity) and identity not in self._begun:
            with self._lock:
                self.tasks.pop(identity, None)
        self.refuse(None, codes.INVALID_REQUEST, reason)

    def _request(self, identity: str | int, method: str, params: Any) -> None:
        if self.state == "shutdown":
            self.refuse(identity, codes.INVALID_REQUEST, "the server has been shut down; only exit is accepted")
        elif method == "initialize":
            self.refuse(identity, codes.INVALID_REQUEST, "initialize may be sent once")
        elif method not in self.fm.features:
            self.refuse(identity, codes.METHOD_NOT_FOUND, f"no such method: {method[:100]}")
        else:
            typed = structure(self._strict, params, self.params_types[method])
            with self._lock:
                task = self.tasks.setdefault(identity, Task())
                self._begun.add(identity)
            token = getattr(typed, "work_done_token", None)
            if token is not None:
                self._tokens[token] = identity
            current_task.set(task)
            self.handle_message(JsonRPCRequestMessage(id=identity, method=method, params=typed, jsonrpc="2.0"))

    def _notification(self, method: str, params: Any) -> None:
        if method == "exit":
            self.on_exit()
        elif method == "$/cancelRequest":
            if isinstance(params, dict) and is_id(params.get("id")):
                self.cancel(params["id"])
        elif method == "window/workDoneProgress/cancel":
            token = params.get("token") if isinstance(params, dict) else None
            if is_id(token) and token in self._tokens:
                self.cancel(self._tokens[token])
        elif method != "initialized" and not method.startswith("$/"):
            log.warning("ignored notification %s", method[:100])

    def cancel(self, identity: str | int) -> None:
        """Ask a request to stop: its worker by its token, its coroutine (it may wait for its turn) through pygls."""
        task = self._task_of(identity)
        if task is not None:
            task.cancel()
        if identity in self._request_futures:
            self.handle_message(JsonRPCNotification(method="$/cancelRequest", params=CancelParams(identity), jsonrpc="2.0"))

    def cancel_all(self, but: Task | None = None) -> None:
        """Ask everything to stop."""
        with self._lock:
            running = [identity for identity, task in self.tasks.items() if task is not but]
        for identity in running:
            self.cancel(identity)

    # --- out ------------------------------------------------------------------------------------------------------
    def refuse(self, identity: str | int | None, code: int, message: str) -> None:
        """Answer with an error of the protocol itself."""
        self._finish(identity, {"error": {"code": code, "message": message, "data": codes.protocol_error_data(code)}})

    def _send_response(self, msg_id: Any, result: Any | None = None, error: Any | None = None) -> None:
        if error is not None:
            if error.code == codes.REQUEST_CANCELLED and error.data is None:  # cancelled before its first step
                self._finish(msg_id, {"error": to_response_error(Cancelled())})
                return
            self._finish(msg_id, {"error": {"code": error.code, "message": error.message, "data": error.data}})
            return
        try:
            self._finish(msg_id, {"result": to_wire(result)})
        except (TypeError, ValueError, RecursionError) as problem:
            self._finish(msg_id, {"error": to_response_error(problem)})

    def _finish(self, identity: Any, outcome: dict[str, Any]) -> None:
        self._send_data({"jsonrpc": "2.0", "id": identity, **outcome})
        if identity is None:
            return
        with self._lock:
            self.tasks.pop(identity, None)
            self._begun.discard(identity)
        for token in [token for token, owner in self._tokens.items() if owner == identity]:
            del self._tokens[token]

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

    def ask(self, params: QuestionParams, answered: Callable[[Any], None]) -> str:
        """Send a request of ours; `answered` gets the host's result (None for an error) in the loop. Returns its id. From any thread."""
        identity = f"ask-{next(self._numbers)}"
        self._asked[identity] = answered
        self._send_data({"jsonrpc": "2.0", "id": identity, "method": "window/showMessageRequest", "params": to_wire(params)})
        return identity

    def withdraw(self, identity: str) -> None:
        """Take a request of ours back, if it was not answered; what is still said of it is ignored. From any thread."""
        if self._asked.pop(identity, None) is not None:
            self.notify("$/cancelRequest", CancelParams(identity))

    def notify(self, method: str, params: Any | None = None) -> None:
        self._send_data({"jsonrpc": "2.0", "method": method, "params": to_wire(params)})


def is_id(value: Any) -> bool:
    """Whether this may be the id of a request, or a progress token. A bool is an int in Python only."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)
