"""Offloaded work is answered for only after it has unwound."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from sidecar.domain.errors import Cancelled
from sidecar.domain.task import Task
from sidecar.rpc.cancel import Workers

VALUE: contextvars.ContextVar[int] = contextvars.ContextVar("value", default=0)


def test_the_result_and_the_callers_context() -> None:
    async def run() -> int:
        VALUE.set(7)
        result: int = await Workers(1, "w").offload(VALUE.get, Task())
        return result

    assert asyncio.run(run()) == 7


@pytest.mark.parametrize("error", [ValueError, StopIteration, SystemExit, KeyboardInterrupt])
def test_whatever_is_raised_arrives_as_itself(error: type[BaseException]) -> None:
    def work() -> None:
        raise error

    async def run() -> str:
        try:
            await Workers(1, "w").offload(work, Task())
        except BaseException as caught:  # noqa: BLE001
            return type(caught).__name__
        return "nothing"

    expected = "RuntimeError" if error is StopIteration else error.__name__  # a coroutine cannot raise StopIteration
    assert asyncio.run(run()) in (expected, error.__name__)


def test_cancel_waits_for_the_worker() -> None:
    unwound = threading.Event()

    def work(task: Task) -> None:
        try:
            task.wait(30)
        finally:
            time.sleep(0.1)
            unwound.set()

    async def run() -> bool:
        task = Task()
        call = asyncio.ensure_future(Workers(1, "w").offload(lambda: work(task), task))
        await asyncio.sleep(0.05)
        call.cancel()
        call.cancel()
        with pytest.raises(Cancelled):
            await call
        return unwound.is_set()

    assert asyncio.run(run())


def test_work_that_had_not_begun_is_cancelled_at_once() -> None:
    async def run() -> None:
        workers, busy, ran = Workers(1, "w"), threading.Event(), []
        first = asyncio.ensure_future(workers.offload(lambda: busy.wait(60), Task()))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(workers.offload(lambda: ran.append(1), Task()))
        await asyncio.sleep(0.05)
        second.cancel()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(second, 30)
        busy.set()
        await first
        assert workers.wait_idle(30)
        assert ran == []

    asyncio.run(run())


def test_waiting_for_idle_ends() -> None:
    async def run() -> None:
        workers, busy = Workers(1, "w"), threading.Event()
        call = asyncio.ensure_future(workers.offload(lambda: busy.wait(60), Task()))
        await asyncio.sleep(0.05)
        assert not workers.wait_idle(0.05)
        busy.set()
        assert workers.wait_idle(30)
        await call

    asyncio.run(run())
