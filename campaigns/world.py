"""What the campaigns share: two machines and their remote, what is done with them, and what must hold afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.sync import CycleParams, VerifyParams
from sidecar.domain.task import Task
from tests.support.machines import Machine


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
    check: Callable[[World], None] = lambda _: None
    """What else must hold when all is done. Raises Broken."""


class Bench:
    """One operation's state before, kept aside, and what it leads to when nothing goes wrong."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.operation, self.kept, self.world = operation, folder / f"{operation.name}-before", World(folder / operation.name)
        self.world.root.mkdir()
        operation.prepare(self.world)
        shutil.copytree(self.world.root, self.kept, symlinks=True)
        self.before = {name: self._ids(name) for name in ("a", "b")}
        self.undisturbed()
        self.finish() if operation.name not in ("restore", "config-restore") else self.world.settle()
        self.operation.check(self.world)
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
        self.operation.check(self.world)


def _same(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> bool:
    """But for times that depend on when something was done."""
    return {table: set(rows) for table, rows in one.items()} == {table: set(rows) for table, rows in other.items()}
