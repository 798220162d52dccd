"""Sync beside the replaced tool's algorithm, on the same data in the same run."""

from __future__ import annotations

import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import data
from benchmarks.machine import Baseline, Server, git, packed_bytes
from benchmarks.table import Table, megabytes, milliseconds, seconds
from tests.support.machines import Machine, bare_remote

NOOPS, CHANGES = 15, 5


def run(root: Path, sessions: int, table: Table) -> None:
    """All cases at one size."""
    table.title(f"{sessions} sessions")
    projects = max(1, sessions // 40)
    a, b = Machine(root / "a"), Machine(root / "b")
    size = data.make(a.db, a.root / "home", sessions=sessions, projects=projects)
    data.make(b.db, b.root / "home", sessions=0, projects=projects)
    copies = {name: root / f"baseline-{name}.db" for name in "ab"}
    for name, machine in (("a", a), ("b", b)):
        shutil.copy(machine.db, copies[name])
    table.note(f"database {megabytes(size)}")
    remote, old_remote = bare_remote(root / "vault.git"), bare_remote(root / "old.git")
    old = Baseline(copies["a"], root / "old-a", old_remote)
    server = Server(a)
    key = server.call("sync/init", remote=str(remote))[0]["recoveryKey"]  # encrypted, as by default; the replaced tool encrypts nothing
    _first_publish(table, server, old, remote, old_remote)
    _limits(table, a.db, root)
    _noop(table, server, old)
    _change(table, server, old, a.db, copies["a"])
    server.close()
    _first_apply(table, b, remote, key, Baseline(copies["b"], root / "old-b", old_remote))


def _first_publish(table: Table, server: Server, old: Baseline, remote: Path, old_remote: Path) -> None:
    _, took = server.call("sync/run")
    peak = server.peak()
    _, cost = old.cycle()
    table.row("first publish", seconds(took), seconds(cost.seconds), cost.seconds / took, 5)
    table.row("  peak memory", megabytes(peak), megabytes(cost.peak), cost.peak / peak, None, bound=f"{'<' if peak < 200e6 else 'NOT <'} 200 MB")
    ours, theirs = packed_bytes(remote), packed_bytes(old_remote)
    table.row("  remote, packed", megabytes(ours), megabytes(theirs), theirs / ours, 1)


def _limits(table: Table, database: Path, root: Path) -> None:
    """What no program that sends these bytes can beat by much."""
    import zstandard

    began = time.perf_counter()
    source, target = sqlite3.connect(database), sqlite3.connect(root / "copy.db")
    source.backup(target)
    source.close()
    target.close()
    table.note(f"limit: SQLite backup of the file {seconds(time.perf_counter() - began)}")
    packed = root / "copy.zst"
    began = time.perf_counter()
    with (root / "copy.db").open("rb") as file, packed.open("wb") as out:
        zstandard.ZstdCompressor(level=3).copy_stream(file, out)
    table.note(f"limit: zstd of the file {seconds(time.perf_counter() - began)}, {megabytes(packed.stat().st_size)}")
    folder, remote = root / "limit", bare_remote(root / "limit.git")
    git("init", "-q", str(folder))
    packed.rename(folder / "copy.zst")
    began = time.perf_counter()
    git("-C", str(folder), "add", "-A")
    git("-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "-m", "x")
    git("-C", str(folder), "push", "-q", str(remote), "HEAD:main")
    table.note(f"limit: git add, commit, push of the compressed bytes {seconds(time.perf_counter() - began)}")


def _noop(table: Table, server: Server, old: Baseline) -> None:
    server.call("sync/run")
    times = [server.call("sync/run")[1] for _ in range(NOOPS)]
    _, cost = old.cycle()
    median = statistics.median(times)
    table.row("nothing to do", milliseconds(median), seconds(cost.seconds), cost.seconds / median, 100)


def _change(table: Table, server: Server, old: Baseline, database: Path, copy: Path) -> None:
    times = []
    for _ in range(CHANGES):
        data.add_turn(database)
        result, took = server.call("sync/run")
        if result["published"]["rows"] < 20:
            raise RuntimeError(f"the change was not published: {result}")
        times.append(took)
    data.add_turn(copy)
    _, cost = old.cycle()
    median = statistics.median(times)
    table.row("one turn of 20 rows", milliseconds(median), seconds(cost.seconds), cost.seconds / median, 50)


def _first_apply(table: Table, machine: Machine, remote: Path, key: str, old: Baseline) -> None:
    server = Server(machine)
    server.call("sync/link", remote=str(remote), key=key)
    with _competitor(machine.db) as waits:
        result, took = server.call("sync/run")
    peak = server.peak()
    server.close()
    with _competitor(old.database) as blocked:
        _, cost = old.cycle("--write-remote-only")
    table.row("first apply, host writing", seconds(took), seconds(cost.seconds), cost.seconds / took, 2)
    table.row("  peak memory", megabytes(peak), megabytes(cost.peak), cost.peak / peak, None, bound=f"{'<' if peak < 200e6 else 'NOT <'} 200 MB")
    applied = result["applied"]
    table.note(f"{applied['sessions']} sessions, {applied['inserted']} rows; the host's {waits['writes']} writes meanwhile: median {waits['median']} ms,")
    table.note(f"99.9th percentile {waits['p999']} ms (bound 25), longest {waits['max']} ms (bound 100)")
    table.note(f"the same host beside the baseline: 99.9th percentile {blocked['p999']} ms, longest {blocked['max']} ms")
    with _competitor(machine.db) as quiet:
        time.sleep(min(10.0, took))
    table.note(f"the same host alone: median {quiet['median']} ms, 99.9th percentile {quiet['p999']} ms, longest {quiet['max']} ms")


class _competitor:  # noqa: N801 - a context manager
    """A host that writes while the block runs; the dictionary is filled at its end."""

    def __init__(self, database: Path) -> None:
        self._found: dict[str, float] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.competitor", str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> dict[str, float]:
        time.sleep(0.5)
        return self._found

    def __exit__(self, *_: object) -> None:
        out, _err = self._process.communicate()
        self._found.update(json.loads(out))
