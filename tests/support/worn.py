"""Vaults whose log has much that is superseded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from protocol.compact import CompactParams, CompactResult
from protocol.sync import CycleParams, InitParams, LinkParams, VerifyParams
from sidecar.domain.task import Task
from tests.support import edits, tamper
from tests.support.machines import Machine, bare_remote, from_schema

LARGE = "a large value " * 120_000
START = int(time.time() * 1000) - 2 * edits.DAY


def run(machine: Machine) -> list[str]:
    return machine.sidecar.run(CycleParams(allow_deletions=True), Task()).warnings


def compact(machine: Machine) -> CompactResult:
    return machine.sidecar.compact(CompactParams(), Task())


def edit(machine: Machine, change: Callable[..., object], *arguments: object) -> None:
    connection = machine.connect()
    change(connection, *arguments)
    connection.close()
    run(machine)


def turn(machine: Machine, tag: str, text: str = "hello", session: str | None = None) -> None:
    connection = machine.connect()
    at = START + int(tag) * 60_000
    if session is None:
        edits.new_session(connection, f"ses_{tag}", at)
    edits.add_turn(connection, session or f"ses_{tag}", tag, at, text)
    connection.close()
    run(machine)


def part_of(machine: Machine, session: str) -> str:
    return str(machine.sql("SELECT id FROM part WHERE session_id=? ORDER BY id", session)[0][0])


def tree_bytes(remote: Path, branch: str) -> int:
    return sum(int(line.split()[3]) for line in tamper.git(remote, "ls-tree", "-r", "-l", branch).splitlines())


def same(*machines: Machine) -> None:
    contents = [machine.content() for machine in machines]
    for one, content in zip(machines, contents, strict=True):
        assert content == contents[0], f"{one.root.name} shows something else than {machines[0].root.name}"
        one.check_integrity()
        assert one.sidecar.verify(VerifyParams(), Task()).ok


class Vault:
    """`a` has written much that is superseded; `b` has the beginning of it."""

    def __init__(self, root: Path, encryption: str) -> None:
        self.root, self.remote = root, bare_remote(root / "remote.git")
        self.a, self.b = self.machine("a"), self.machine("b")
        self.key = self.a.sidecar.init(InitParams(str(self.remote), encryption=encryption), Task()).recovery_key
        self.b.sidecar.link(LinkParams(str(self.remote), key=self.key), Task())
        turn(self.a, "1", LARGE)
        turn(self.a, "2")
        run(self.b)
        self.branch = f"sessions/{self.a.device_id}"
        for number in range(3):
            connection = self.a.connect()
            edits.rename(connection, "ses_1", f"title {number}")
            edits.edit_part(connection, part_of(self.a, "ses_2"), f"{number} " + LARGE, START + 10**6 + number)
            connection.close()
            run(self.a)
        turn(self.a, "3", session="ses_1")
        edit(self.a, edits.delete_message, str(self.a.sql("SELECT id FROM message WHERE session_id='ses_1' ORDER BY id DESC")[0][0]))
        self.old = self.at()

    def at(self) -> str:
        return tamper.logs(self.remote)[self.branch]

    def machine(self, name: str) -> Machine:
        return from_schema(self.root / name)

    def linked(self, name: str) -> Machine:
        one = self.machine(name)
        one.sidecar.link(LinkParams(str(self.remote), key=self.key), Task())
        return one
