"""The second stage: pygls, the registry, the loop, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pygls.server import JsonRPCServer

from sidecar.rpc.converter import make_converter
from sidecar.rpc.protocol import SidecarProtocol
from sidecar.rpc.registry import Registry
from sidecar.rpc.stdio import Writer

if TYPE_CHECKING:
    from sidecar.app import Sidecar

GRACE_SECONDS = 2.5


class SidecarServer(JsonRPCServer):
    """Serves messages that somebody else reads."""

    protocol: SidecarProtocol

    def __init__(self, sidecar: Callable[[], Sidecar], writer: Writer) -> None:
        super().__init__(SidecarProtocol, make_converter)
        self.protocol.out = writer
        self.protocol.on_exit = lambda: self.end(0 if self.protocol.state == "shutdown" else 1)
        self.registry = Registry(self.protocol, self.feature, sidecar)
        self.registry.register_all()
        self._ended: asyncio.Future[int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self, code: int) -> None:
        """Stop serving. From any thread."""
        if self._loop is None:
            os._exit(code)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._set_end, code)

    def _set_end(self, code: int) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(code)

    def deliver(self, message: Any) -> None:
        """From the reader thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.protocol.receive, message)

    def serve(self, backlog: Callable[[Callable[[Any], None]], None]) -> int:
        """Run until the end. `backlog(deliver)` hands over what arrived before, then delivers directly."""

        async def run() -> int:
            self._loop = asyncio.get_running_loop()
            self._ended = self._loop.create_future()
            gc.freeze()
            gc.enable()
            backlog(self.deliver)
            return await self._ended

        loop = asyncio.new_event_loop()
        code = loop.run_until_complete(run())
        self._unwind()
        return code

    def _unwind(self) -> None:
        """Cancel what runs and give it a moment: its git children end with it."""
        deadline = time.monotonic() + GRACE_SECONDS
        for task in list(self.protocol.tasks.values()):
            task.cancel()
        self.registry.stop(deadline)
        if self.protocol.out is not None:
            self.protocol.out.finish(max(0.2, min(1.0, deadline - time.monotonic())))
