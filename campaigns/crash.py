"""`python -m campaigns.crash [--points N] [--seed N] [--only NAME …]`: kill -9 at system calls that change something, one after the other.

strace (Linux) kills the command, or a git that it started, when it is about to make its Nth write, rename, fsync, …; then the command
runs again, all machines sync, and every invariant is checked: nothing lost, nothing damaged, machines equal.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.sync import CycleParams, VerifyParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.domain.turns import ABANDONED_MS
from tests.support import edits
from tests.support.machines import Machine, bare_remote, from_fixture

CALLS = {
    "write": "write,pwrite64,writev,pwritev",
    "rename": "rename,renameat,renameat2,link,linkat",
    "unlink": "unlink,unlinkat,rmdir",
    "make": "mkdir,mkdirat,openat",
    "sync": "fsync,fdatasync,ftruncate,fallocate",
    "start": "execve,vfork,fork,clone3",
    "talk": "connect,sendto,sendmsg",
}
LINE = re.compile(r"^(\d+) +([a-z0-9_]+)\((.*)")


class Broken(Exception):
    """An invariant does not hold."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


class World:
    """Two machines and their remote, below one folder whose name never changes, so that copies of it work in its place."""

    def __init__(self, root: Path) -> None:
        self.root, self.remote = root, root / "remote.git"

    @property
    def a(self) -> Machine:
        return Machine(self.root / "a")

    @property
    def b(self) -> Machine:
        return Machine(self.root / "b")

    def settle(self, rounds: int = 2) -> None:
        for _ in range(rounds):
            for one in (self.a, self.b):
                done = one.sidecar.run(CycleParams(allow_deletions=True), Task())
                require(done.pending == 0, f"{one.root.name}: something stays unpublished")


@dataclass(frozen=True)
class Operation:
    """`prepare` makes the state before; `command` is what gets killed; `again` finishes it, as a person would."""

    name: str
    prepare: Callable[[World], None]
    machine: str
    command: Callable[[World], list[str]]
    again: Callable[[World], None]
    check: Callable[[World], None] = lambda _: None
    """What else must hold when all is done. Raises Broken."""


def _bare(world: World) -> None:
    bare_remote(world.remote)
    from_fixture(world.root / "a", "ada-1.18.33")
    from_fixture(world.root / "b", "bob-1.18.33")


def _made(world: World) -> None:
    _bare(world)
    (world.root / "key").write_text(world.a.cli("init", str(world.remote))["recoveryKey"])


def _linked(world: World) -> None:
    _made(world)
    world.b.cli("link", str(world.remote), "--key-file", str(world.root / "key"))


def _published(world: World) -> None:
    _linked(world)
    world.a.cli("sync")


def _both_changed(world: World) -> None:
    _linked(world)
    world.settle()
    at = int(time.time() * 1000) - ABANDONED_MS - 60_000
    for one in (world.a, world.b):
        connection = one.connect()
        sessions = [row[0] for row in connection.execute("SELECT id FROM session ORDER BY id")]
        for number, session in enumerate(sessions[:6]):
            edits.add_turn(connection, session, f"{one.root.name}{number}", at + number, "x" * 50_000)
        edits.rename(connection, sessions[0], f"renamed on {one.root.name}")
        edits.delete_message(connection, connection.execute("SELECT id FROM message WHERE session_id=? ORDER BY id DESC", (sessions[7],)).fetchone()[0])
        edits.new_session(connection, f"ses_{one.root.name}", at, title="large")
        edits.add_turn(connection, f"ses_{one.root.name}", f"{one.root.name}L", at, "large " * 250_000)
        connection.close()
    world.b.cli("sync")


def _deleted(world: World) -> None:
    _linked(world)
    world.settle()
    connection = world.a.connect()
    (session,) = connection.execute("SELECT session_id FROM message GROUP BY session_id ORDER BY count(*) DESC, session_id LIMIT 1").fetchone()
    edits.delete_session(connection, session)
    connection.close()
    world.a.cli("sync", "--allow-deletions")
    (world.root / "cycle").write_text(world.b.cli("sync")["cycleId"])
    (world.root / "session").write_text(session)


def _init_again(world: World) -> None:
    done = world.a.cli("init", str(world.remote), expect=(0, 1))
    require(done.get("error", {}).get("kind") in (None, "alreadyConfigured"), f"init cannot be repeated: {done}")
    (world.root / "key").write_text(world.a.run("show-key", "--yes").stdout)
    _link_again(world)


def _link_again(world: World) -> None:
    done = world.b.cli("link", str(world.remote), "--key-file", str(world.root / "key"), expect=(0, 1))
    require(done.get("error", {}).get("kind") in (None, "alreadyConfigured"), f"link cannot be repeated: {done}")


def _restore_again(world: World) -> None:
    world.b.cli("restore", (world.root / "cycle").read_text())
    world.settle(1)
    session = (world.root / "session").read_text()
    require(world.b.sql("SELECT count(*) FROM session WHERE id=?", session) == [(1,)], "what was restored is gone")


def _rotate_again(world: World) -> None:
    (world.root / "key").write_text(world.a.cli("rotate-key")["recoveryKey"])
    world.b.cli("link", str(world.remote), "--key-file", str(world.root / "key"))


def _three(world: World) -> None:
    _published(world)
    c = from_fixture(world.root / "c", "cyd-1.18.34")
    c.cli("link", str(world.remote), "--key-file", str(world.root / "key"))
    c.cli("sync")
    (world.root / "lost").write_text(next(d["id"] for d in c.cli("status")["devices"] if d["thisDevice"]))
    for one in (world.a, world.b):
        one.cli("sync", expect=(0, 3))


def _forget_again(world: World) -> None:
    done = world.a.cli("forget-device", (world.root / "lost").read_text(), expect=(0, 1))
    require("forgotten before" in str(done) or "recoveryKey" in done, f"forgetting cannot be repeated: {done}")
    (world.root / "key").write_text(world.a.run("show-key", "--yes").stdout)
    world.b.cli("link", str(world.remote), "--key-file", str(world.root / "key"))


def _with_other(world: World) -> None:
    _published(world)
    world.b.cli("sync", expect=(0, 3))
    bare_remote(world.root / "other.git")


def _move_again(world: World) -> None:
    for one in (world.a, world.b):
        one.cli("init", "--move-to", str(world.root / "other.git"))


def _folder(machine: Machine) -> Path:
    folder = machine.root / "config/opencode"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _configured(world: World) -> None:
    """Settings of both have met once; since then each has changed, added and removed something."""
    _linked(world)
    for one in (world.a, world.b):
        (_folder(one) / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    (_folder(world.a) / "opencode.json").write_text('{\n  // why\n  "model": "x/one",\n  "theme": "dark"\n}\n')
    (_folder(world.a) / "agents").mkdir()
    for name in ("changed", "gone", "kept"):
        (_folder(world.a) / f"agents/{name}.md").write_text(f"{name}\n" * 9)
    world.settle()
    (_folder(world.a) / "opencode.json").write_text('{\n  // why\n  "model": "x/two",\n  "theme": "dark"\n}\n')
    (_folder(world.a) / "agents/changed.md").write_text("from a\n" + "changed\n" * 8)
    (_folder(world.a) / "agents/new-a.md").write_text("a\n")
    world.a.cli("sync")
    headers = {"m": {"headers": {"TOKEN": "stays-with-b"}}}
    text = (_folder(world.b) / "opencode.json").read_text()
    (_folder(world.b) / "opencode.json").write_text(text.replace('"theme"', f'"mcp": {json.dumps(headers)},\n  "theme"'))
    (_folder(world.b) / "agents/changed.md").write_text("changed\n" * 8 + "from b\n")
    (_folder(world.b) / "agents/gone.md").unlink()
    (_folder(world.b) / "agents/new-b.md").write_text("b\n")


def _config_met(world: World) -> None:
    """Everything that either did is on both, and nothing of it half."""
    for one in (world.a, world.b):
        folder = _folder(one)
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        wanted = {"opencode-sidecar.jsonc", "opencode.json", *(f"agents/{name}.md" for name in ("changed", "kept", "new-a", "new-b"))}
        require(names - {"opencode-sidecar.overrides.jsonc"} == wanted, f"{one.root.name} has {sorted(names)}")
        require((folder / "agents/changed.md").read_text() == "from a\n" + "changed\n" * 7 + "from b\n", f"{one.root.name}: an edit of a text is lost")
        text = (folder / "opencode.json").read_text()
        require(all(part in text for part in ("// why", '"x/two"', '"dark"', '"TOKEN"')), f"{one.root.name}: a setting is lost: {text}")
        require(("stays-with-b" in text) == (one.root.name == "b"), f"{one.root.name}: the secret is not where it belongs: {text}")
        require(not one.cli("resolve", expect=(0, 3))["conflicts"], f"{one.root.name}: a conflict that is none")


def _config_came(world: World) -> None:
    """A cycle that changed files here, to be taken back."""
    _configured(world)
    (world.root / "cycle").write_text(world.b.cli("sync")["cycleId"])


def _config_back(world: World) -> None:
    world.b.cli("restore", (world.root / "cycle").read_text())


def _config_was(world: World) -> None:
    """What the cycle had brought is gone again, on both; what was edited here before it is there."""
    for one in (world.a, world.b):
        folder = _folder(one)
        require(not (folder / "agents/new-a.md").exists(), f"{one.root.name}: what was taken back is there")
        require((folder / "agents/changed.md").read_text() == "changed\n" * 8 + "from b\n", f"{one.root.name}: a text is not as it was")
        require('"x/one"' in (folder / "opencode.json").read_text(), f"{one.root.name}: a setting is not as it was")
        require((folder / "agents/new-b.md").read_text() == "b\n", f"{one.root.name}: what was edited here is gone")
    require("stays-with-b" in (_folder(world.b) / "opencode.json").read_text(), "a secret is lost")


def _nothing(_world: World) -> None:
    pass


OPERATIONS = [
    Operation("init", _bare, "a", lambda w: ["init", str(w.remote)], _init_again),
    Operation("link", _made, "b", lambda w: ["link", str(w.remote), "--key-file", str(w.root / "key")], _link_again),
    Operation("publish", _linked, "a", lambda _: ["sync"], _nothing),
    Operation("apply", _published, "b", lambda _: ["sync"], _nothing),
    Operation("merge", _both_changed, "a", lambda _: ["sync"], _nothing),
    Operation("restore", _deleted, "b", lambda w: ["restore", (w.root / "cycle").read_text()], _restore_again),
    Operation("forget", _three, "a", lambda w: ["forget-device", (w.root / "lost").read_text()], _forget_again),
    Operation("move", _with_other, "a", lambda w: ["init", "--move-to", str(w.root / "other.git")], _move_again),
    Operation("config-sync", _configured, "b", lambda _: ["sync"], _nothing, _config_met),
    Operation("config-restore", _config_came, "b", lambda w: ["restore", (w.root / "cycle").read_text()], _config_back, _config_was),
    Operation("rotate", _published, "a", lambda _: ["rotate-key"], _rotate_again),
]


class Bench:
    """One operation's state before, kept aside, and what it leads to when nothing goes wrong."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.operation, self.kept, self.world = operation, folder / f"{operation.name}-before", World(folder / operation.name)
        self.world.root.mkdir()
        operation.prepare(self.world)
        shutil.copytree(self.world.root, self.kept, symlinks=True)
        self.before = {name: self._ids(name) for name in ("a", "b")}
        self.counts = self._count()
        self._finish()
        self.after = self.world.a.content()

    def _ids(self, name: str) -> dict[str, set[str]]:
        return {table: set(rows) for table, rows in Machine(self.world.root / name).content().items()}

    def reset(self) -> None:
        shutil.rmtree(self.world.root)
        shutil.copytree(self.kept, self.world.root, symlinks=True)

    def _strace(self, *options: str) -> subprocess.CompletedProcess[bytes]:
        one = Machine(self.world.root / self.operation.machine)
        command = ["strace", "-f", "-qq", *options, sys.executable, "-m", "sidecar", *self.operation.command(self.world)]
        return subprocess.run(command, env=one.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)

    def _count(self) -> dict[str, int]:
        """The most calls of each kind that one process makes: strace counts per process."""
        log = self.world.root / "calls"
        done = self._strace("-o", str(log), "-e", "trace=" + ",".join(CALLS.values()))
        require(done.returncode == 0, f"{self.operation.name} fails by itself: {done.stderr!r}")
        kinds = {call: kind for kind, calls in CALLS.items() for call in calls.split(",")}
        found: collections.Counter[tuple[str, str]] = collections.Counter()
        for line in log.read_text(errors="replace").splitlines():
            match = LINE.match(line)
            if match and match[2] in kinds and not (match[2] == "openat" and "O_CREAT" not in match[3]):
                found[match[1], match[2]] += 1
        most: dict[str, int] = {}
        for (_, call), count in found.items():
            most[call] = max(most.get(call, 0), count)
        return most

    def points(self) -> Iterator[tuple[str, int]]:
        for call, count in self.counts.items():
            if call != "openat":  # most of them read; its files are met by the writes to them
                yield from ((call, number) for number in range(1, count + 1))

    def _finish(self) -> None:
        self.operation.again(self.world) if self.operation.name not in ("restore", "config-restore") else None
        self.world.settle()
        self.operation.check(self.world)

    def kill(self, call: str, number: int) -> bool:
        """Whether the kill met anything. Raises Broken."""
        self.reset()
        log = self.world.root.parent / "killed"
        self._strace("-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
        hit = "killed by SIGKILL" in log.read_text(errors="replace")
        for one in (self.world.a, self.world.b):
            one.check_integrity()
            for table, ids in self._ids(one.root.name).items():
                gone = self.before[one.root.name][table] - ids
                require(not gone or self.operation.name in ("apply", "merge"), f"{one.root.name} lost {sorted(gone)[:3]} of {table}")
        time.sleep(0.05)  # a git that was left behind
        self.operation.again(self.world)
        self.world.settle()
        contents = [one.content() for one in (self.world.a, self.world.b)]
        require(contents[0] == contents[1], "the machines do not agree")
        require(self.operation.name == "restore" or _same(contents[0], self.after), "the result is not that of an undisturbed run")
        self.operation.check(self.world)
        for one in (self.world.a, self.world.b):
            one.check_integrity()
            require(one.sidecar.verify(VerifyParams(), Task()).ok, f"{one.root.name} does not verify")
        return hit


def _same(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> bool:
    """But for times that depend on when something was done."""
    return {table: set(rows) for table, rows in one.items()} == {table: set(rows) for table, rows in other.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.crash", description="Kill at every system call that changes something.")
    parser.add_argument("--points", type=int, default=0, metavar="N", help="how many, drawn evenly; 0: every one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help=f"of {', '.join(operation.name for operation in OPERATIONS)}")
    args = parser.parse_args()
    if shutil.which("strace") is None:
        raise SystemExit("strace is needed (Linux; package strace)")
    chance, folder = random.Random(args.seed), Path(tempfile.mkdtemp(prefix="opencode-sidecar-crash-"))
    chosen = [operation for operation in OPERATIONS if not args.only or operation.name in args.only]
    failures: list[str] = []
    total = hits = 0
    try:
        for operation in chosen:
            bench = Bench(folder, operation)
            points = list(bench.points())
            if args.points:
                points = sorted(chance.sample(points, min(len(points), args.points // len(chosen))))
            met = 0
            for call, number in points:
                try:
                    met += bench.kill(call, number)
                except (Broken, SidecarError, AssertionError, json.JSONDecodeError, subprocess.TimeoutExpired) as error:
                    failures.append(f"{operation.name} {call} {number}: {str(error)[:600]}")
                    print(f"BROKEN {failures[-1]}", flush=True)
            total, hits = total + len(points), hits + met
            print(f"{operation.name:<14} {len(points):>5} points, {met:>5} kills, of {sum(bench.counts.values())} calls", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{total} points, {hits} kills, {len(failures)} broken invariants")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
