"""`python -m campaigns.faults [--only NAME …] [--points N] [--seed N]`: every fault, one after the other (Linux).

After each point the fault is taken away, the command runs again, both machines sync, and it is checked that nothing is gone, that no
database is damaged, that the machines are equal, that the result is that of an undisturbed run, and that `verify` finds nothing.
"""

from __future__ import annotations

import argparse
import collections
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from campaigns.faults.scenario import Said, Scenario, attempt
from campaigns.faults.table import SCENARIOS, bench_for
from campaigns.world import Bench, Broken
from sidecar.domain.errors import SidecarError

FAILURES = (Broken, SidecarError, AssertionError, OSError, sqlite3.Error, ValueError, LookupError, subprocess.SubprocessError)


def main() -> int:
    args = _arguments()
    chosen = [one for one in SCENARIOS if one.name in args.only or (not args.only and (args.long or not one.long))]
    folder, benches = Path(tempfile.mkdtemp(prefix="opencode-sidecar-faults-")), dict[str, Bench]()
    failures = total = 0
    print(f"{'scenario':<20} {'points':>6} {'met':>5} {'broken':>6}  what was said", flush=True)
    try:
        for scenario in chosen:
            if scenario.lacks:
                print(f"{scenario.name:<20} NOT RUN: {scenario.lacks} is needed", flush=True)
                continue
            if scenario.operation not in benches:
                benches[scenario.operation] = bench_for(folder, scenario.operation)
            points, broken = _run(benches[scenario.operation], scenario, random.Random(args.seed), args.points)
            failures, total = failures + broken, total + points
    finally:
        for bench in benches.values():
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{total} points, {failures} broken")
    return 1 if failures or not total else 0


def _run(bench: Bench, scenario: Scenario, chance: random.Random, count: int) -> tuple[int, int]:
    """(points, broken); prints the scenario's row."""
    points = scenario.points(bench, chance, count)
    kinds, met, worst, broken = collections.Counter[str](), 0, 0.0, 0
    began = time.monotonic()
    for point in points:
        try:
            said: Said = attempt(bench, scenario, point)
        except FAILURES as error:
            broken += 1
            print(f"BROKEN {scenario.name} {_shown(point)}: {type(error).__name__} {str(error)[:900]}", flush=True)
            continue
        met += said.hit
        kinds[said.kind] += 1
        worst = max(worst, said.measured or 0.0)
    figures = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common())
    measured = f"; longest wait {worst * 1000:.0f} ms" if worst else ""
    print(f"{scenario.name:<20} {len(points):>6} {met:>5} {broken:>6}  {figures}{measured}; {time.monotonic() - began:.0f} s", flush=True)
    return len(points), broken


def _shown(point: Any) -> str:
    return " ".join(map(str, point)) if isinstance(point, tuple) else str(point)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m campaigns.faults", description="Break disk, network, remote, clock and machine.")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help=f"of {', '.join(one.name for one in SCENARIOS)}")
    parser.add_argument("--points", type=int, default=12, metavar="N", help="how many of each, drawn; 0: every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long", action="store_true", help="also those of which a point takes a minute and more")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
