"""All scenarios, and the state in which each begins."""

from __future__ import annotations

from pathlib import Path

from campaigns.faults import clock, disk, machine, network, remote
from campaigns.faults.scenario import Scenario
from campaigns.operations import OPERATIONS
from campaigns.world import Bench

SCENARIOS: list[Scenario] = [*disk.SCENARIOS, *network.SCENARIOS, *remote.SCENARIOS, *clock.SCENARIOS, *machine.SCENARIOS]


def bench_for(folder: Path, operation: str) -> Bench:
    if operation == "http":
        return network.HttpBench(folder)
    return Bench(folder, next(one for one in OPERATIONS if one.name == operation))
