"""`python -m benchmarks.verify [--sessions N ...]`: what comparing everything costs: database, shadow, all logs, remote."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks import data
from benchmarks.machine import Server
from benchmarks.table import megabytes, seconds
from tests.support.machines import Machine, bare_remote

CHANGES = 20


def run(root: Path, sessions: int) -> str:
    """One machine that published everything at once and then some turns, encrypted; verify in a server of its own."""
    machine = Machine(root / "a")
    size = data.make(machine.db, machine.root / "home", sessions=sessions, projects=max(1, sessions // 40))
    server = Server(machine)
    server.call("sync/init", remote=str(bare_remote(root / "vault.git")))
    server.call("sync/run")
    for _ in range(CHANGES):
        data.add_turn(machine.db)
        server.call("sync/run")
    server.close()
    server = Server(machine)
    server.call("sync/status")
    before = server.peak()
    result, took = server.call("sync/verify")
    peak = server.peak()
    server.close()
    if not result["ok"]:
        raise RuntimeError(f"a healthy machine has differences: {result['differences'][:3]}")
    counts = f"{result['rowsCompared']} rows, {result['recordsChecked']} records, {result['segmentsChecked']} segments"
    return f"{megabytes(size)}: {counts}: {seconds(took)}, peak memory {megabytes(peak)} ({megabytes(before)} before)"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify")
    parser.add_argument("--sessions", type=int, nargs="*", default=[200, 2000], metavar="N")
    for sessions in parser.parse_args().sessions:
        root = Path(tempfile.mkdtemp(prefix="opencode-sidecar-bench-"))
        try:
            print(run(root, sessions), flush=True)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
