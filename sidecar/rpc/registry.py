"""Binds the method table to the use cases."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from protocol.sync import CycleResult, DidApply, StatusChanged
from sidecar.domain.errors import Cancelled, SidecarError
from sidecar.domain.task import Task
from sidecar.rpc.errors import as_exception
from sidecar.rpc.progress import ProgressReporter
from sidecar.rpc.protocol import SidecarProtocol, current_task

if TYPE_CHECKING:
    from sidecar.app import Sidecar

TOAST_AFTER = 0.5
_TITLES = {
    "sync/init": "🚀 Making the vault",
    "sync/link": "🔗 Joining the vault",
    "sync/run": "🔄 Syncing sessions",
    "sync/pull": "📥 Pulling sessions",
    "sync/push": "📤 Pushing sessions",
    "sync/preview": "Planning",
    "sync/verify": "Verifying",
    "sync/status": "Status",
}
_USE_CASES = {"sync/init": "init", "sync/link": "link", "sync/run": "run", "sync/pull": "pull", "sync/push": "push"}
_LOOKS = {"sync/preview": "preview", "sync/verify": "verify"}
INFO, WARNING, ERROR = 3, 2, 1


class Registry:
    """Registers every method that this server has; nothing is served that is not in the table."""

    def __init__(self, protocol: SidecarProtocol, feature: Callable[[str], Callable[[Any], Any]], sidecar: Callable[[], Sidecar]) -> None:
        self.protocol, self._feature, self._sidecar = protocol, feature, sidecar
        self._work = ThreadPoolExecutor(max_workers=4, thread_name_prefix="work")
        self._quick = ThreadPoolExecutor(max_workers=2, thread_name_prefix="quick")
        self._active: set[int] = set()

    def register_all(self) -> None:
        for name, use_case in _USE_CASES.items():
            self.register(name, self._use_case(use_case), announce=True)
        for name, use_case in _LOOKS.items():
            self.register(name, self._use_case(use_case))
        self.register("sync/status", self._use_case("status"), pool=self._quick)

        async def shutdown(_params: Any) -> None:
            for task in list(self.protocol.tasks.values()):
                if task is not current_task.get():
                    task.cancel()
            self.protocol.state = "shutdown"

        self._feature("shutdown")(shutdown)

    def _use_case(self, name: str) -> Callable[[Any, Task], Any]:
        return lambda params, task: getattr(self._sidecar(), name)(params, task)

    def register(self, name: str, work: Callable[[Any, Task], Any], *, pool: Executor | None = None, announce: bool = False) -> None:
        """Serve `name` by `work(params, task)` in a worker thread."""

        async def handler(params: Any) -> Any:
            task = current_task.get() or Task()
            try:
                return await offload(pool or self._work, lambda: self._run(name, work, params, task, announce=announce), task)
            except BaseException as error:  # noqa: BLE001 - whatever a handler raises, the request is answered
                raise as_exception(error) from None

        self._feature(name)(handler)

    def stop(self, deadline: float) -> None:
        """Wait for the workers to unwind, until `deadline` (monotonic seconds) at most."""
        for pool in (self._work, self._quick):
            pool.shutdown(wait=False, cancel_futures=True)
        while time.monotonic() < deadline and self._active:
            time.sleep(0.02)

    def _run(self, name: str, work: Callable[[Any, Task], Any], params: Any, task: Task, *, announce: bool) -> Any:
        self._active.add(id(task))
        try:
            return self._reported(name, work, params, task, announce=announce)
        finally:
            self._active.discard(id(task))

    def _reported(self, name: str, work: Callable[[Any, Task], Any], params: Any, task: Task, *, announce: bool) -> Any:
        token = getattr(params, "work_done_token", None)
        reporter: ProgressReporter | None = None
        if token is not None:
            reporter = ProgressReporter(_TITLES.get(name, name), lambda value: self.protocol.notify("$/progress", {"token": token, "value": value}), self._room)
        running = Task(reporter.report if reporter else None, task.cancelled)
        story = _Story(self.protocol, _TITLES[name]) if announce else None
        message = "failed"
        try:
            running.check()
            result = work(params, running)
            message = "done"
            if story is not None:
                message = story.done(result)
            return result
        except Cancelled:
            message = "cancelled"
            if story is not None:
                story.cancelled()
            raise
        except SidecarError as error:
            message = error.message
            if story is not None:
                story.failed(error)
            raise
        finally:
            if reporter is not None:
                reporter.end(message)

    def _room(self) -> None:
        if self.protocol.out is not None:
            self.protocol.out.wait_for_room(30.0)


async def offload(pool: Executor, work: Callable[[], Any], task: Task) -> Any:
    """Run blocking work with the current context; the answer comes only after it has unwound, also when it is cancelled."""
    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([future])
        raise Cancelled from None


class _Story:
    """What the user is told of one operation: toast, log and status in one place, so that they never disagree."""

    def __init__(self, protocol: SidecarProtocol, title: str) -> None:
        self._protocol, self._title, self._shown = protocol, title, False
        self._status("running", title)
        self._timer = threading.Timer(TOAST_AFTER, self._slow)
        self._timer.daemon = True
        self._timer.start()

    def _slow(self) -> None:
        self._shown = True
        self._say(INFO, f"{self._title}…")

    def done(self, result: Any) -> str:
        self._timer.cancel()
        text, news = "✅ Ready", not isinstance(result, CycleResult)
        if isinstance(result, CycleResult):
            news = not result.up_to_date
            text = f"✅ {result.applied.sessions} sessions in, {result.published.sessions} out" if news else "✅ Up to date"
            if result.session_ids:
                self._protocol.notify("sync/didApply", DidApply(result.session_ids))
            if result.guarded:
                self._say(WARNING, f"⚠️ {result.guarded} sessions lost rows here; nothing was deleted elsewhere until you allow it")
            for warning in result.warnings:
                self._say(WARNING, f"⚠️ {warning}")
        if news or self._shown:
            self._say(INFO, text)
        self._status("idle", text)
        return text

    def cancelled(self) -> None:
        self._timer.cancel()
        self._status("idle", "cancelled")

    def failed(self, error: SidecarError) -> None:
        self._timer.cancel()
        self._say(ERROR, f"❌ {error.message} {error.remedy}")
        self._status("failed", error.message)

    def _say(self, kind: int, message: str) -> None:
        self._protocol.notify("window/showMessage", {"type": kind, "message": message})
        self._protocol.notify("window/logMessage", {"type": kind, "message": message})

    def _status(self, state: str, message: str) -> None:
        self._protocol.notify("sync/didChangeStatus", StatusChanged(state, message))
