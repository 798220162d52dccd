"""Binds the method table to the use cases."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protocol.shell import DidOutput
from sidecar.domain.errors import Cancelled
from sidecar.domain.task import Task
from sidecar.rpc.cancel import Workers
from sidecar.rpc.errors import as_exception
from sidecar.rpc.framing import binary_head
from sidecar.rpc.notify import Operation
from sidecar.rpc.protocol import SidecarProtocol, current_task
from sidecar.rpc.questions import Answer, Call, Questions

if TYPE_CHECKING:
    from sidecar.app import Sidecar
    from sidecar.app_shell import Shell

_ANNOUNCED = {
    "sync/init": "init",
    "sync/link": "link",
    "sync/run": "run",
    "sync/pull": "pull",
    "sync/push": "push",
    "sync/restore": "restore",
    "sync/rotateKey": "rotate_key",
    "sync/forgetDevice": "forget_device",
}
_SETTINGS = {"sync/resolve": "resolve", "config/get": "config_get", "config/set": "config_set"}
_LOOKS = {
    "sync/preview": "preview",
    "sync/verify": "verify",
    "sync/doctor": "doctor",
    "sync/repair": "repair",
    "sync/quarantine": "quarantine",
    "sync/compact": "compact",
    "sync/allowSecret": "allow_secret",
    "sync/setSecretPolicy": "set_secret_policy",
}
_JOINS = "sync/run"
_SHELL = {"shell/exec": "execute", "shell/start": "start", "shell/write": "write"}
"""Methods of commands that may take as long as the command does."""
_SHELL_QUICK = {"shell/closeStdin": "close_stdin", "shell/kill": "kill", "shell/ack": "acknowledge", "shell/which": "which", "shell/env": "env"}
SHELL_THREADS = 64
SHUTDOWN_SECONDS = 2.0
MAX_MEANING_BYTES = 4096

Work = Callable[[Any, Task], Any]


class Registry:
    """Registers every method that this server has; nothing is served that is not in the table."""

    def __init__(self, protocol: SidecarProtocol, feature: Callable[[str], Callable[[Any], Any]], sidecar: Callable[[], Sidecar]) -> None:
        self.protocol, self._feature, self._sidecar = protocol, feature, sidecar
        self._work, self._quick, self._commands = Workers(8, "work"), Workers(4, "quick"), Workers(SHELL_THREADS, "shell")
        self._shell: Shell | None = None
        self.binary_output = False
        self._making = threading.Lock()
        self._gate = asyncio.Lock()
        self.questions = Questions(protocol.ask, protocol.withdraw, self._carry_out, sidecar)
        self._answering = set[asyncio.Future[None]]()
        self._joinable = 0
        self._upkeep: tuple[asyncio.Task[None], Task] | None = None

    def register_all(self) -> None:
        for name, use_case in _ANNOUNCED.items():
            self.register(name, self._use_case(use_case), announce=True, exclusive=True)
        for name, use_case in _LOOKS.items():
            self.register(name, self._use_case(use_case), exclusive=True)
        self.register("sync/status", self._use_case("status"), quick=True)
        self.register("sync/secrets", self._use_case("secrets"))
        self.register("sync/findVaults", self._use_case("find_vaults"))
        self.register("sync/enableSecrets", self._use_case("enable_secrets"))
        self.register("sync/showKey", self._use_case("show_key"), quick=True)
        self.register("sync/history", self._use_case("history"), quick=True)
        for name, use_case in _SETTINGS.items():
            self.register(name, self._use_case(use_case), quick=True)

        for name, use_case in _SHELL.items():
            self.register(name, self._command(use_case), workers=self._commands)
        for name, use_case in _SHELL_QUICK.items():
            self.register(name, self._command(use_case), quick=True)

        async def shutdown(_params: Any) -> None:
            await self._stop_everything()

        self._feature("shutdown")(shutdown)

    def _use_case(self, name: str) -> Work:
        return lambda params, task: getattr(self._sidecar(), name)(params, task)

    def _command(self, name: str) -> Work:
        def work(params: Any, task: Task) -> Any:
            with self._making:
                if self._shell is None:
                    self._shell = self._sidecar().shell(self._tell, self._output)
            return getattr(self._shell, name)(params, task)

        return work

    def _tell(self, method: str, params: Any) -> None:
        """A notification that waits for room: output of a command must not pile up when the host does not read."""
        self.protocol.notify(method, params)
        self._wait_for_host()

    def _output(self, identity: str, stream: str, data: bytes) -> None:
        """Output of a command: as it is where the host takes it so, else as base64 in JSON at a fifth of the speed."""
        meaning = json.dumps({"processId": identity, "stream": stream}, separators=(",", ":")).encode() if self.binary_output else b""
        if self.protocol.out is None or not 0 < len(meaning) <= MAX_MEANING_BYTES:
            self._tell("shell/didOutput", DidOutput(identity, stream, base64.b64encode(data).decode("ascii")))
            return
        self.protocol.out.put_frame((binary_head(len(data), meaning), data))
        self._wait_for_host()

    def _wait_for_host(self) -> None:
        while self.protocol.out is not None and self.protocol.state != "shutdown" and not self.protocol.out.wait_for_room(0.1):
            pass

    def register(self, name: str, work: Work, *, quick: bool = False, announce: bool = False, exclusive: bool = False, workers: Workers | None = None) -> None:
        """Serve `name` by `work(params, task)` in a worker thread.

        quick: never queues behind long work. announce: toasts and status. exclusive: one such at a time; the others wait their turn.
        """
        pool = workers or (self._quick if quick else self._work)

        async def handler(params: Any) -> Any:
            task = current_task.get() or Task()
            try:
                if not exclusive:
                    return await pool.offload(lambda: self._perform(name, work, params, task, announce=announce), task)
                return await self._in_turn(name, work, params, task, announce=announce)
            except asyncio.CancelledError:  # while it waited for its turn
                raise as_exception(Cancelled()) from None
            except BaseException as error:  # noqa: BLE001 - whatever a handler raises, the request is answered
                raise as_exception(error) from None

        self._feature(name)(handler)

    async def _in_turn(self, name: str, work: Work, params: Any, task: Task, *, announce: bool) -> Any:
        if name == _JOINS and self._joinable and not (params.deletions or params.allow_deletions):  # it joins the running one, which says all there is to say
            return await self._work.offload(lambda: self._perform(name, work, params, task, announce=False), task)
        self._stop_upkeep()
        async with self._gate:
            self._joinable += name == _JOINS
            try:
                return await self._work.offload(lambda: self._perform(name, work, params, task, announce=announce), task)
            finally:
                self._joinable -= name == _JOINS
                if name == _JOINS and self._sidecar().upkeep_due and self._upkeep is None and self.protocol.state != "shutdown":
                    task = Task()
                    self._upkeep = (asyncio.get_running_loop().create_task(self._keep_up(task)), task)

    async def _keep_up(self, task: Task) -> None:
        """What is due, while nobody asks for anything: the next request that wants the data folder stops it."""
        try:
            async with self._gate:
                await self._work.offload(lambda: None if task.cancelled.is_set() else self._sidecar().upkeep(task), task)
        finally:
            self._upkeep = None

    def _stop_upkeep(self) -> None:
        if self._upkeep is not None:
            self._upkeep[1].cancel()

    def _perform(self, name: str, work: Work, params: Any, task: Task, *, announce: bool) -> Any:
        task.check()
        token = getattr(params, "work_done_token", None)
        operation = Operation(name, self.protocol.notify, token=token, announce=announce, wait=lambda: self._room(task))
        try:
            result = work(params, Task(operation.report, task.cancelled))
        except BaseException as error:
            operation.failed(error)
            self.questions.about_error(error)
            raise
        operation.done(result)
        self.questions.about(name, result)
        return result

    def _carry_out(self, answer: Answer) -> None:
        """Work that no request asked for; what comes of it is told as of any. In the loop."""
        if self.protocol.state == "shutdown":
            return
        task, identity = Task(), f"answer-{id(answer)}"
        self.protocol.tasks[identity] = task  # the end of the connection stops it, and waits for it

        async def run() -> None:
            try:
                self._stop_upkeep()
                for name, params in await self._work.offload(lambda: self._follow_up(answer, task), task):
                    await self._in_turn(name, self._use_case(_ANNOUNCED[name]), params, task, announce=True)
            except Exception:  # noqa: BLE001 - it was told
                self.questions.reopen(answer.kind)
            finally:
                self.protocol.tasks.pop(identity, None)
                self._answering.discard(running)

        running = asyncio.ensure_future(run())
        self._answering.add(running)

    def _follow_up(self, answer: Answer, task: Task) -> list[Call]:
        try:
            return answer.calls(task)
        except BaseException as error:
            Operation("sync/run", self.protocol.notify, token=None, announce=True, wait=lambda: None).failed(error)
            raise

    def _room(self, task: Task) -> None:
        """Hold a worker back while the host does not read."""
        while self.protocol.out is not None and not self.protocol.out.wait_for_room(0.1):
            task.check()

    async def _stop_everything(self) -> None:
        self.protocol.state = "shutdown"
        self._stop_upkeep()
        mine = current_task.get()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        self.protocol.cancel_all(but=mine)
        while time.monotonic() < deadline and any(task is not mine for task in list(self.protocol.tasks.values())):
            await asyncio.sleep(0.01)

    def stop(self, deadline: float) -> None:
        """Wait for the workers to unwind, until `deadline` (monotonic seconds) at most."""
        self._stop_upkeep()
        if self._shell is not None:
            self._shell.close()
        for workers in (self._work, self._quick, self._commands):
            workers.wait_idle(max(0.0, deadline - time.monotonic()))
