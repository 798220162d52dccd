"""The real server with a few methods more, for what no real method does: echo, sleep, raise, print, spawn, flood."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from attrs import Factory, frozen

from sidecar.domain.task import Task
from sidecar.rpc import serve, server


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
    """Sleeps in steps; on cancel takes 0.1 s to unwind and says so in a file named by `text`."""
    try:
        end = time.monotonic() + params.seconds
        while time.monotonic() < end:
            task.report("sleep", 1, 2)
            task.wait(0.02)
    finally:
        if params.text:
            time.sleep(0.1)
            with open(params.text, "w", encoding="utf-8") as file:
                file.write("unwound")
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


def flood(params: AnyParams, task: Task) -> Any:
    for index in range(params.count):
        task.report("flood", index, params.count)
    return {"done": params.count}


def main() -> int:
    original = server.SidecarServer

    class TestServer(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            for name, work in (("echo", echo), ("sleep", sleep), ("fail", fail), ("strange", strange), ("noise", noise), ("flood", flood)):
                self.protocol.params_types[f"test/{name}"] = AnyParams
                self.registry.register(f"test/{name}", work)

    server.SidecarServer = TestServer
    return serve.serve(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
