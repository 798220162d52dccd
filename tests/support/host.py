"""The example host, with the package as it is packed and installed, on a made-up machine with a recorded database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.support.npm import SHIM, install_packed


class Machine(Protocol):
    """Whatever has an environment of its own."""

    @property
    def environ(self) -> dict[str, str]: ...


ROOT = Path(__file__).parents[2]


def install_host(folder: Path) -> Path:
    install_packed(folder)
    shutil.copy(SHIM / "examples/host/main.mjs", folder)
    return folder


class Host:
    """The app's main process, and the sidecar below it."""

    def __init__(self, folder: Path, machine: Machine, command: Sequence[str] = (sys.executable, "-m", "sidecar")) -> None:
        extra = {"OPENCODE_SIDECAR_COMMAND": json.dumps(command), "PYTHONPATH": str(ROOT), "HOST_SYNC_SECONDS": "0"}
        self._process = subprocess.Popen(
            ["node", "main.mjs"], cwd=folder, env={**machine.environ, **extra}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().removeprefix("Open ").strip()
        self.pid = self._process.pid

    def sidecars(self) -> list[int]:
        """Its child processes (Linux)."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split() if b"sidecar" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.terminate()
        status = self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
