"""Disks that are full, fail, refuse or are slow."""

from __future__ import annotations

import re
import sqlite3
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from campaigns.faults.scenario import ATTENTION, DONE, SPOKEN, Said, Scenario, drawn, read, run
from campaigns.world import Bench, require

Point = tuple[str, str]
"""(system call, which of them: `7` the seventh, `7+` it and all that follow)."""
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "link", "unlink", "mkdir", "ftruncate", "openat")
_CALL = re.compile(r"^(\d+) +([a-z0-9_]+)\((.*)$")
OURS = frozenset({"systemError"})


def _traced(bench: Bench, *options: str) -> tuple[Said, str]:
    log = bench.world.root.parent / "calls"
    said = run(bench, "strace", "-f", "-y", "-qq", "-s", "256", "-o", str(log), *options)
    return said, log.read_text(errors="replace")


def _inside(line: str, bench: Bench) -> bool:
    """Whether a traced call is about a file of the two machines, not of Python or git, or a pipe."""
    return f"{bench.world.root}/" in line


def calls(persistent: bool = False, only: Sequence[str] = CALLS) -> Callable[[Bench, Random, int], Sequence[Point]]:
    """Calls about files of the machines, of a run in which nothing goes wrong."""

    def points(bench: Bench, chance: Random, count: int) -> Sequence[Point]:
        bench.reset()
        _, log = _traced(bench, "-e", "trace=" + ",".join(only))
        numbers: defaultdict[tuple[str, str], int] = defaultdict(int)
        found: set[Point] = set()
        for line in log.splitlines():
            match = _CALL.match(line)
            if match and match[2] in only:
                numbers[match[1], match[2]] += 1
                if _inside(match[3], bench):
                    found.add((match[2], f"{numbers[match[1], match[2]]}{'+' if persistent else ''}"))
        every: list[Point] = sorted(found, key=lambda point: (point[0], int(point[1].rstrip("+"))))
        if not count or len(every) <= count:
            return every
        kinds = sorted({call for call, _ in every})  # each kind of call gets its share: one kind makes most of them
        return [chance.choice([point for point in every if point[0] == kinds[number % len(kinds)]]) for number in range(count)]

    return points


def refusing(error: str) -> Callable[[Bench, Point], Said]:
    """The call fails with this errno."""

    def provoke(bench: Bench, point: Point) -> Said:
        call, when = point
        return _injected(bench, call, f"error={error}:when={when}")

    return provoke


def _injected(bench: Bench, call: str, how: str) -> Said:
    said, log = _traced(bench, "-e", f"trace={call}", "-e", f"inject={call}:{how}")
    hits = [line for line in log.splitlines() if "(INJECTED)" in line]
    remote = any(f"{bench.world.remote}/" in line for line in hits)
    return replace(said, hit=bool(hits), fair=all(_inside(line, bench) for line in hits), remote=remote)


def interrupted(bench: Bench, point: Point) -> Said:
    """The call is interrupted by a signal that means nothing."""
    call, when = point
    return _injected(bench, call, f"error=EINTR:signal=SIGWINCH:when={when}")


def full(folder: str) -> Callable[[Bench, int], Said]:
    """A real small disk in place of a machine's folder, with so many KiB free; then space is made and the same runs again."""

    def provoke(bench: Bench, free: int) -> Said:
        at = bench.world.root / folder.format(machine=bench.operation.machine)
        out = bench.world.root.parent / "said"
        helper = [sys.executable, str(Path(__file__).with_name("smalldisk.py")), str(at), str(free), str(out)]
        again = run(bench, "unshare", "--mount", *helper)
        require(again.kind in SPOKEN, f"after space was made: {again.kind}, {again.text}")
        status, _, rest = out.read_text(errors="replace").partition("\n")
        stdout, _, stderr = rest.partition("\0")
        return read(int(status), stdout, stderr)

    return provoke


def slow(bench: Bench, delay: str) -> Said:
    """Every write and sync of ours takes longer; opencode goes on writing meanwhile: how long did it have to wait at most?"""
    ended, waits = threading.Event(), [0.0]

    def host() -> None:
        connection = sqlite3.connect(bench.machine.db, timeout=30, isolation_level=None)
        began = time.perf_counter()
        try:
            while not ended.wait(0.01):
                began = time.perf_counter()
                connection.execute("UPDATE project SET time_updated=time_updated+1")
                waits.append(time.perf_counter() - began)
        except sqlite3.OperationalError:
            waits.append(time.perf_counter() - began)
        finally:
            connection.close()

    thread = threading.Thread(target=host)
    thread.start()
    try:
        said, _ = _traced(bench, "-e", "trace=pwrite64,fdatasync,fsync,write", "-e", f"inject=pwrite64,fdatasync,fsync:delay_enter={delay}")
    finally:
        ended.set()
        thread.join(60)
    require(len(waits) > 20, f"opencode wrote {len(waits)} times only: it was starved")
    require(max(waits) < MAX_WAIT_SECONDS, f"opencode had to wait {max(waits):.1f} s for the database")
    return replace(said, measured=max(waits))


MAX_WAIT_SECONDS = 4.0
"""At 5 s opencode's own write fails. The largest row here, 1.5 MB in one transaction, is some 750 writes."""
_FILES = ("write", "pwrite64", "fsync", "fdatasync", "rename", "link", "unlink", "mkdir", "ftruncate")
_DISK_FULL = frozenset({"diskFull"}) | SPOKEN
_SAID = OURS | SPOKEN | {"databaseReadOnly", "gitMissing"}
_SIZES = (0, 4, 16, 40, 64, 100, 160, 250, 400, 600, 900, 1400, 2000, 3000, 4500, 7000)

SCENARIOS = [
    Scenario("disk-full-state", "a real small disk for our state", drawn(_SIZES), full("{machine}/state"), _DISK_FULL, needs=("unshare", "root")),
    Scenario("disk-full-data", "a real small disk for opencode's database", drawn(_SIZES[:12]), full("{machine}/data"), _DISK_FULL, needs=("unshare", "root")),
    Scenario("disk-full-remote", "a real small disk below the remote", drawn(_SIZES), full("remote.git"), _DISK_FULL | {"authFailed"}, needs=("unshare", "root")),
    Scenario("disk-readonly", "our state on a disk that became read-only", drawn((-1,)), full("{machine}/state"), _SAID, needs=("unshare", "root")),
    Scenario("data-readonly", "opencode's database on a disk that became read-only", drawn((-1,)), full("{machine}/data"), _SAID, needs=("unshare", "root")),
    Scenario("enospc", "ENOSPC at one call", calls(only=_FILES), refusing("ENOSPC"), _DISK_FULL | OURS, needs=("strace",)),
    Scenario("enospc-on", "ENOSPC from one call on", calls(True, ("pwrite64", "fsync", "rename", "mkdir", "ftruncate")), refusing("ENOSPC"), _DISK_FULL | OURS, needs=("strace",)),
    Scenario("eio", "EIO at one call", calls(), refusing("EIO"), _SAID, needs=("strace",)),
    Scenario("eio-on", "EIO from one call on", calls(True, ("pwrite64", "fsync", "fdatasync", "rename", "unlink")), refusing("EIO"), _SAID, needs=("strace",)),
    Scenario("eacces", "EACCES at one call", calls(only=("openat", "rename", "unlink", "mkdir", "link")), refusing("EACCES"), _SAID, needs=("strace",)),
    Scenario("erofs", "EROFS at one call", calls(only=("openat", "rename", "unlink", "mkdir", "link")), refusing("EROFS"), _SAID, needs=("strace",)),
    Scenario("eintr", "EINTR at one call", calls(only=("write", "pwrite64", "openat", "fsync")), interrupted, _SAID, needs=("strace",)),
    Scenario("disk-slow", "every write and sync takes longer", drawn(("100us", "500us", "1ms", "2ms")), slow, frozenset({DONE, ATTENTION}), needs=("strace",)),
]  # fmt: skip
