"""What the campaigns share: two machines and their remote, what is done with them, and what must hold afterwards."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.sync import CycleParams, VerifyParams
from sidecar.domain.task import Task
from sidecar.domain.turns import ABANDONED_MS
from tests.support import edits
from tests.support.machines import Machine, bare_remote, from_fixture


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
    def url(self) -> str:
        """The remote's address as the machines know it: the folder, unless a file says otherwise."""
        said = self.root / "url"
        return said.read_text() if said.exists() else str(self.remote)

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
    """`prepare` makes the state before; `command` is what gets disturbed; `again` finishes it, as a person would."""

    name: str
    prepare: Callable[[World], None]
    machine: str
    command: Callable[[World], list[str]]
    again: Callable[[World], None]
    loses: bool = False
    """Whether it takes over deletions."""


def _bare(world: World) -> None:
    bare_remote(world.remote)
    from_fixture(world.root / "a", "ada-1.18.33")
    from_fixture(world.root / "b", "bob-1.18.33")


def _made(world: World) -> None:
    _bare(world)
    (world.root / "key").write_text(world.a.cli("init", world.url)["recoveryKey"])


def _linked(world: World) -> None:
    _made(world)
    world.b.cli("link", world.url, "--key-file", str(world.root / "key"))


def _published(world: World) -> None:
    _linked(world)
    world.a.cli("sync")


def merge_state(world: World) -> None:
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
    done = world.a.cli("init", world.url, expect=(0, 1))
    require(done.get("error", {}).get("kind") in (None, "alreadyConfigured"), f"init cannot be repeated: {done}")
    (world.root / "key").write_text(world.a.run("show-key", "--yes").stdout)
    _link_again(world)


def _link_again(world: World) -> None:
    done = world.b.cli("link", world.url, "--key-file", str(world.root / "key"), expect=(0, 1))
    require(done.get("error", {}).get("kind") in (None, "alreadyConfigured"), f"link cannot be repeated: {done}")


def _restore_again(world: World) -> None:
    world.b.cli("restore", (world.root / "cycle").read_text())
    world.settle(1)
    session = (world.root / "session").read_text()
    require(world.b.sql("SELECT count(*) FROM session WHERE id=?", session) == [(1,)], "what was restored is gone")


def _known(world: World) -> None:
    _published(world)
    world.b.cli("sync", expect=(0, 3))
    world.a.cli("sync", expect=(0, 3))


def _rotate_again(world: World) -> None:
    world.a.cli("rotate-key")


def _handed(world: World) -> None:
    """The key was changed, while the other machine had recorded something under the old one: turns, and a large value."""
    _known(world)
    at = int(time.time() * 1000) - ABANDONED_MS - 60_000
    connection = world.b.connect()
    edits.new_session(connection, "ses_new", at, title="recorded under the old key")
    edits.add_turn(connection, "ses_new", "new", at, "large " * 250_000)
    connection.close()
    world.b.cli("pull", expect=(0, 3))
    world.a.cli("rotate-key")
    world.a.cli("sync", expect=(0, 3))


def _one_key(world: World) -> None:
    world.settle()
    keys = {one.run("show-key", "--yes").stdout for one in (world.a, world.b)}
    require(len(keys) == 1, "the machines have different keys")


def _three(world: World) -> None:
    _known(world)
    c = from_fixture(world.root / "c", "cyd-1.18.34")
    c.cli("link", world.url, "--key-file", str(world.root / "key"))
    c.cli("sync")
    (world.root / "lost").write_text(next(d["id"] for d in c.cli("status")["devices"] if d["thisDevice"]))
    for one in (world.a, world.b):
        one.cli("sync", expect=(0, 3))


def _forget_again(world: World) -> None:
    done = world.a.cli("forget-device", (world.root / "lost").read_text(), expect=(0, 1))
    require("forgotten before" in str(done) or "recoveryKey" in done, f"forgetting cannot be repeated: {done}")


def _with_other(world: World) -> None:
    _known(world)
    bare_remote(world.root / "other.git")


def _move_again(world: World) -> None:
    for one in (world.a, world.b):
        one.cli("init", "--move-to", str(world.root / "other.git"))


def _damaged(world: World) -> None:
    """Our copy of the vault and the shadow, as a failing disk leaves them."""
    _published(world)
    for one in (world.b, world.a):
        one.cli("sync", expect=(0, 3))
    state = world.a.own_state
    for pack in (state / "vault.git/objects/pack").glob("*.pack"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 255
        pack.chmod(0o600)
        pack.write_bytes(data)
    for left in state.glob("shadow.db-*"):
        left.unlink()
    (state / "shadow.db").write_bytes(b"no database" * 500)
    (state / "vault.git/packed-refs.lock").write_text("")


def _repair_again(world: World) -> None:
    world.a.cli("repair")
    require(world.a.cli("repair")["actions"] == [], "a second repair has something to do")


def _vanished(world: World) -> None:
    """opencode's database was reset; what is asked about is to come back."""
    _published(world)
    world.b.cli("sync", expect=(0, 3))
    world.a.cli("sync")
    connection = world.a.connect()
    connection.execute("DELETE FROM session")
    connection.execute("DELETE FROM event_sequence")
    connection.close()


def _back_again(world: World) -> None:
    world.a.cli("sync", "--deletions", "restore")


def _worn(world: World) -> None:
    """A log of which much is superseded, a part of it large, and a device that has the first half of it."""
    _known(world)
    connection = world.a.connect()
    at = int(time.time() * 1000) - ABANDONED_MS - 60_000
    parts = [row[0] for row in connection.execute("SELECT id FROM part ORDER BY id LIMIT 3")]
    (session,) = connection.execute("SELECT id FROM session ORDER BY id LIMIT 1").fetchone()
    for number in range(4):
        for part in parts:
            edits.edit_part(connection, part, f"edit {number} " * 150_000, at + number)
        edits.rename(connection, session, f"title {number}")
        world.a.cli("sync", expect=(0, 3))
    connection.close()
    world.a.cli("rotate-key")


def _compact_again(world: World) -> None:
    world.a.cli("compact")
    require(world.a.cli("compact")["done"] is False, "a compacted log is compacted again and again")


def _nothing(_world: World) -> None:
    pass


OPERATIONS = [
    Operation("init", _bare, "a", lambda w: ["init", w.url], _init_again),
    Operation("link", _made, "b", lambda w: ["link", w.url, "--key-file", str(w.root / "key")], _link_again),
    Operation("publish", _linked, "a", lambda _: ["sync"], _nothing),
    Operation("apply", _published, "b", lambda _: ["sync"], _nothing, loses=True),
    Operation("merge", merge_state, "a", lambda _: ["sync"], _nothing, loses=True),
    Operation("restore", _deleted, "b", lambda w: ["restore", (w.root / "cycle").read_text()], _restore_again),
    Operation("forget", _three, "a", lambda w: ["forget-device", (w.root / "lost").read_text()], _forget_again),
    Operation("move", _with_other, "a", lambda w: ["init", "--move-to", str(w.root / "other.git")], _move_again),
    Operation("rotate", _known, "a", lambda _: ["rotate-key"], _rotate_again),
    Operation("adopt", _handed, "b", lambda _: ["sync"], _one_key),
    Operation("compact", _worn, "a", lambda _: ["compact"], _compact_again),
    Operation("repair", _damaged, "a", lambda _: ["repair"], _repair_again),
    Operation("back", _vanished, "a", lambda _: ["sync", "--deletions", "restore"], _back_again),
]


class Bench:
    """One operation's state before, kept aside, and what it leads to when nothing goes wrong."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.operation, self.kept, self.world = operation, folder / f"{operation.name}-before", World(folder / operation.name)
        self.world.root.mkdir()
        operation.prepare(self.world)
        shutil.copytree(self.world.root, self.kept, symlinks=True)
        self.before = {name: self._ids(name) for name in ("a", "b")}
        self.undisturbed()
        self.finish() if operation.name != "restore" else self.world.settle()
        self.after = self.world.a.content()

    @property
    def machine(self) -> Machine:
        """The one whose command gets disturbed."""
        return Machine(self.world.root / self.operation.machine)

    @property
    def command(self) -> list[str]:
        return self.operation.command(self.world)

    def close(self) -> None:
        """Stop what runs beside it."""

    def undisturbed(self) -> None:
        self.machine.cli(*self.command, expect=(0, 3))

    def _ids(self, name: str) -> dict[str, set[str]]:
        return {table: set(rows) for table, rows in Machine(self.world.root / name).content().items()}

    def reset(self) -> None:
        shutil.rmtree(self.world.root)
        shutil.copytree(self.kept, self.world.root, symlinks=True)

    def finish(self) -> None:
        """Whatever became of it: do it again, as a person would, and let the machines sync."""
        self.operation.again(self.world)
        self.world.settle()

    def check_whole(self) -> None:
        """Right after the disturbance: no database is damaged, and nothing is gone that the operation does not take away."""
        for one in (self.world.a, self.world.b):
            one.check_integrity()
            for table, ids in self._ids(one.root.name).items():
                gone = self.before[one.root.name][table] - ids
                require(not gone or self.operation.loses, f"{one.root.name} lost {sorted(gone)[:3]} of {table}")

    def check_result(self) -> None:
        """In the end: both machines have what an undisturbed run leads to, and `verify` finds nothing."""
        contents = [one.content() for one in (self.world.a, self.world.b)]
        require(contents[0] == contents[1], "the machines do not agree")
        require(self.operation.name == "restore" or _same(contents[0], self.after), "the result is not that of an undisturbed run")
        for one in (self.world.a, self.world.b):
            one.check_integrity()
            require(one.sidecar.verify(VerifyParams(), Task()).ok, f"{one.root.name} does not verify")


def _same(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> bool:
    """But for times that depend on when something was done."""
    return {table: set(rows) for table, rows in one.items()} == {table: set(rows) for table, rows in other.items()}
