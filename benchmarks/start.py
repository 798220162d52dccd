"""Start-up: what a host waits for, beside what any Python program of this kind costs."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import python
from benchmarks.table import Table, milliseconds
from tests.support.machines import Machine
from tests.support.rawclient import RawClient

ROUNDS = 15


def run(root: Path, table: Table) -> None:
    """Interleaved rounds, medians."""
    table.title("start-up (the baseline is another program: the ratio is ours by theirs, smaller is better)")
    machine = Machine(root / "start")
    cases: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: _process(python("pass")),
        "import pygls": lambda: _process(python("import pygls.server")),
        "initialize answered": lambda: _answered(machine, status=False),
        "sync/status answered": lambda: _answered(machine, status=True),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, measure in cases.items():
            times[name].append(measure())
    median = {name: statistics.median(found) for name, found in times.items()}
    for name, baseline, limit in (("initialize answered", "python -c pass", 3.0), ("sync/status answered", "import pygls", 1.2)):
        ratio = median[name] / median[baseline]
        table.row(
            name, milliseconds(median[name]), milliseconds(median[baseline]), ratio, None, bound=f"{'<' if ratio < limit else 'NOT <'} {limit}x {baseline}"
        )


def _process(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _answered(machine: Machine, *, status: bool) -> float:
    began = time.perf_counter()
    client = RawClient(machine.environ)
    try:
        client.initialize()
        if status:
            client.call("sync/status", {})
        return time.perf_counter() - began
    finally:
        client.kill()
