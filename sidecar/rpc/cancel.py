"""Blocking work off the loop, stopped cooperatively: the answer comes only after the work has unwound."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sidecar.domain.errors import Cancelled
from sidecar.domain.task import Task


class Workers:
    """A pool that knows whether it is idle."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._changed = threading.Condition()
        self._active = 0

    async def offload(self, work: Callable[[], Any], task: Task) -> Any:
        """Run `work` in a thread with the caller's context. On cancel: set the token, wait for it, tell how it ended."""
        context = contextvars.copy_context()
        running = self._pool.submit(self._guarded, context, work)
        waiter = asyncio.wrap_future(running)
        while not waiter.done():
            try:
                await asyncio.shield(waiter)
            except asyncio.CancelledError:
                task.cancel()
                if running.cancel():  # it had not begun
                    raise Cancelled from None
        value, error = waiter.result()
        if error is not None:
            raise error
        return value

    def _guarded(self, context: contextvars.Context, work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """Exceptions travel as values: futures treat SystemExit and StopIteration in their own ways."""
        with self._changed:
            self._active += 1
        try:
            return context.run(work), None
        except BaseException as error:  # noqa: BLE001 - whatever it was, the request is answered
            return None, error
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Start nothing more and wait for what runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            return self._changed.wait_for(lambda: self._active == 0, seconds)
