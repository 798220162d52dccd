"""The second stage: pygls, the registry, the loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
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


class SidecarServer(JsonRPCServer):
    """Serves messages that somebody else reads."""

    protocol: SidecarProtocol

    def __init__(self, sidecar: Callable[[], Sidecar], writer: Writer, on_exit: Callable[[int], None] = lambda _: None) -> None:
        super().__init__(SidecarProtocol, make_converter)
        self.protocol.out = writer
        self.protocol.on_exit = lambda: on_exit(0 if self.protocol.state == "shutdown" else 1)
        self.registry = Registry(self.protocol, self.feature, sidecar)
        self.registry.register_all()
        self._loop = asyncio.new_event_loop()

    def deliver(self, message: Any) -> None:
        """From the reader thread, or before `serve`."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.protocol.receive, message)

    def serve(self) -> None:
        """Run the loop for ever; the process ends by its connection."""
        gc.freeze()
        gc.enable()
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def unwind(self, seconds: float) -> None:
        """Cancel what runs and give it a moment; its git children end with it. From any thread but the loop's."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.protocol.cancel_all)
        for task in list(self.protocol.tasks.values()):
            task.cancel()  # at once, should the loop be busy
        self.registry.stop(deadline)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """pygls would log it once more, with what it says."""
