"""The real server with a few methods more, for what no real method does: echo, sleep, raise, print, spawn, flood."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, frozen

from sidecar.domain.task import Task
from sidecar.rpc import serve

if TYPE_CHECKING:
    from sidecar.app import Sidecar
    from sidecar.rpc.server import SidecarServer


@frozen
class AnyParams:
    value: Any = None
    seconds: float = 0.0
    count: int = 0
    text: str = ""
    numbers: list[int] = Factory(list)
    flag: bool = False
    work_done_token: str | int | None = None


def echo(params: AnyParams, _task: Task) -> Any:
    return {"value": params.value}


def sleep(params: AnyParams, task: Task) -> Any:
    """Sleeps in steps; on cancel takes 0.1 s to unwind; says so, and that it began, in a file named by `text`."""
    if params.text:
        Path(params.text).write_text("began", encoding="utf-8")
    try:
        end = time.monotonic() + params.seconds
        while time.monotonic() < end:
            task.report("sleep", 1, 2)
            task.wait(0.02)
    finally:
        if params.text:
            time.sleep(0.1)
            Path(params.text).write_text("unwound", encoding="utf-8")
    return {"slept": True}


def fail(params: AnyParams, _task: Task) -> Any:
    raise {"value": ValueError, "exit": SystemExit, "interrupt": KeyboardInterrupt}[params.text]("secret /home/ada")


def strange(params: AnyParams, _task: Task) -> Any:
    return {"object": object(), "set": {1, 2}, "nan": float("nan")}[params.text]


def noise(_params: AnyParams, _task: Task) -> Any:
    """A stray print, and a child that inherits every descriptor it can."""
    print("a stray print")
    sys.stdout.flush()
    child = subprocess.run([sys.executable, "-c", "import sys; print('from a child'); print(repr(sys.stdin.read()))"], check=False)
    os.write(1, b"raw bytes on descriptor 1\n")
    return {"status": child.returncode}


def child(params: AnyParams, task: Task) -> Any:
    """A child in a session of its own that ignores SIGTERM, and a worker that does not unwind; its pid goes into the file `text`."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdin=subprocess.DEVNULL)
    with open(params.text, "w", encoding="utf-8") as file:
        file.write(str(process.pid))
    process.wait()
    return {}


def flood(params: AnyParams, task: Task) -> Any:
    for index in range(params.count):
        task.report("flood", index, params.count)
    return {"done": params.count}


class TestConnection(serve.Connection):
    """The real connection, whose server has more methods."""

    __test__ = False

    def build(self, sidecar: Callable[[], Sidecar]) -> SidecarServer:
        server = super().build(sidecar)
        for name, work in (("echo", echo), ("sleep", sleep), ("fail", fail), ("strange", strange), ("noise", noise), ("flood", flood), ("child", child)):
            server.protocol.params_types[f"test/{name}"] = AnyParams
            server.registry.register(f"test/{name}", work)
        server.protocol.params_types["test/turn"] = AnyParams
        server.registry.register("test/turn", sleep, exclusive=True)
        return server


def main() -> int:
    serve.Connection = TestConnection  # type: ignore[misc]
    return serve.serve([argument for argument in sys.argv[1:] if argument != "serve"])


if __name__ == "__main__":
    sys.exit(main())
