"""A machine that sleeps, kills, or has no memory or files left; and a database that another program keeps locked."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from campaigns.faults.network import HttpBench
from campaigns.faults.scenario import REFUSED, SPOKEN, Said, Scenario, drawn, is_published, read, run
from campaigns.faults.server import FETCH, HANG, PUSH, Break
from campaigns.world import Bench, require
from tests.support.gitremote import script

GIT_COMMANDS = ("fast-import", "ls-remote", "fetch", "push", "cat-file", "diff-tree", "ls-tree", "merge-base")
_UNWELL = REFUSED | SPOKEN | {"systemError", "gitMissing"}


def limited(kind: int) -> Callable[[Bench, int], Said]:
    """The command may have so much of it: open files, or bytes of memory."""

    def provoke(bench: Bench, most: int) -> Said:
        said = run(bench, preexec_fn=lambda: resource.setrlimit(kind, (most, most)))
        return replace(said, fair=most >= _ENOUGH_TO_START[kind])

    return provoke


_ENOUGH_TO_START = {resource.RLIMIT_NOFILE: 16, resource.RLIMIT_AS: 160 << 20}
"""With less, Python cannot load what we are made of, and says so itself; nothing may be lost all the same."""


def bad_git(bench: Bench, point: tuple[str, str]) -> Said:
    """A git of which one command is killed as it begins or a moment later, or has little memory."""
    command, how = point
    folder = bench.world.root / "bin"
    real = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    breaks = {"at once": "kill -9 $$", "soon": f'"{real}" "$@" & sleep 0.02; kill -9 $!; kill -9 $$', "no memory": f'ulimit -v 9000; exec "{real}" "$@"'}[how]
    script(folder / "git", f'for word in "$@"; do if [ "$word" = {command} ]; then echo hit >> "{folder}/hit"; {breaks}; fi; done\nexec "{real}" "$@"')
    said = run(bench, extra={"PATH": f"{folder}:{os.environ['PATH']}"})
    return replace(said, hit=(folder / "hit").exists())


def locked(seconds: float) -> Callable[[Bench, str], Said]:
    """Another program keeps the write lock. What is to be published does not wait for it."""

    def provoke(bench: Bench, how: str) -> Said:
        other = sqlite3.connect(bench.machine.db, isolation_level=None, check_same_thread=False)
        if how == "exclusive mode":
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE project SET time_updated=time_updated+1")
        timer = threading.Timer(seconds, lambda: other.execute("ROLLBACK"))
        timer.start()
        began = time.monotonic()
        try:
            said = run(bench)
            if how == "write lock":
                require(is_published(bench.machine), "what could be published was not")
            return replace(said, measured=time.monotonic() - began)
        finally:
            timer.join()
            other.close()

    return provoke


def asleep(bench: Bench, point: tuple[str, bool]) -> Said:
    """The lid is closed in the middle of a request: all our processes stand still, for 3 s, and the line may be gone when they wake."""
    phase, line_lost = point
    assert isinstance(bench, HttpBench)
    server = bench.server
    server.breaking(Break(phase, HANG))
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar", "--json", *bench.command], env=bench.machine.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        require(server.reached.wait(60), "the remote was never asked")
        family = [process.pid, *_descendants(process.pid)]
        _signal(family, signal.SIGSTOP)
        if line_lost:
            server.released.set()
        time.sleep(3)
        _signal(family, signal.SIGCONT)
        server.released.set()
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    return read(process.returncode, out, err)


def _signal(family: list[int], number: signal.Signals) -> None:
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _healed(bench: Bench) -> None:
    assert isinstance(bench, HttpBench)
    bench.server.breaking(None)


_GITS = [(command, how) for command in GIT_COMMANDS for how in ("at once", "soon", "no memory")]
_MB = 1 << 20
SCENARIOS = [
    Scenario("files", "few open files", drawn((6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40)), limited(resource.RLIMIT_NOFILE), _UNWELL),
    Scenario("memory", "little memory", drawn([n * _MB for n in (60, 90, 120, 140, 160, 180, 200, 220, 250, 300)]), limited(resource.RLIMIT_AS), _UNWELL),
    Scenario("git-killed", "one of the gits is killed, or has no memory", drawn(_GITS), bad_git, _UNWELL),
    Scenario("asleep", "the laptop sleeps in the middle of a request", drawn([(p, lost) for p in (FETCH, PUSH) for lost in (True, False)]), asleep, REFUSED | SPOKEN, "http", _healed, ("/usr/lib/git-core/git-http-backend",)),
    Scenario("locked-short", "the database is locked for 2 s", drawn(("write lock",)), locked(2), SPOKEN),
    Scenario("locked", "the database is locked for a minute", drawn(("write lock", "exclusive mode")), locked(60), frozenset({"databaseBusy"}), long=True),
]  # fmt: skip
