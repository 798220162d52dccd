"""The invariants of the sync model on the real adapters: real SQLite files, real git, several devices, random scripts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.compact import CompactParams
from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams
from protocol.trust import HistoryParams, RestoreParams
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.invariants import Crash, CrashingTask, cycle, patiently, quiet, same_everywhere
from tests.support.machines import Machine, bare_remote, from_schema

EXAMPLES = int(os.environ.get("SIDECAR_EXAMPLES", "12"))
STEPS = int(os.environ.get("SIDECAR_STEPS", "30"))
START = 1_790_000_000_000
VERSIONS = ("1.18.33", "1.18.33", "1.17.11", "1.2.4", "1.14.41")


class Devices(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="devices-"))
        self.now = START
        self.machines: list[Machine] = []
        self.counter = 0
        self.created: dict[str, str] = {}
        """message id -> session; every one must survive unless somebody deleted it or its session."""
        self.deleted_messages: set[str] = set()
        self.deleted_sessions: set[str] = set()

    def teardown(self) -> None:
        try:
            if self.machines:
                self.converge()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    # --- set-up ---------------------------------------------------------------------------------------------------
    @initialize(count=st.integers(2, 5), skews=st.lists(st.integers(-3_600_000, 3_600_000), min_size=5, max_size=5), mixed=st.booleans(), sealed=st.booleans())
    def make(self, count: int, skews: list[int], mixed: bool, sealed: bool) -> None:
        remote = bare_remote(self.root / "remote.git")
        for index in range(count):
            version = VERSIONS[index] if mixed else VERSIONS[0]
            machine = from_schema(self.root / f"m{index}", version, (lambda skew: lambda: self.now + skew)(skews[index]))
            self.machines.append(machine)
            with patch("uuid.uuid4", lambda number=index: UUID(int=number + 1)):  # ties are broken by the id: keep it the same in each run
                if index == 0:
                    key = machine.sidecar.init(InitParams(str(remote), encryption=None if sealed else "none"), Task()).recovery_key
                else:
                    machine.sidecar.link(LinkParams(str(remote), key), Task())

    def pick(self, index: int) -> Machine:
        self.now += 7_000
        return self.machines[index % len(self.machines)]

    def row(self, machine: Machine, table: str, number: int) -> Any:
        ids = [row[0] for row in machine.sql(f"SELECT id FROM {table} ORDER BY id")]
        return ids[number % len(ids)] if ids else None

    def edit(self, machine: Machine, change: Any) -> None:
        connection = machine.connect()
        try:
            change(connection, machine.wall() - 4_000)
        finally:
            connection.close()

    # --- what people do -------------------------------------------------------------------------------------------
    @rule(index=st.integers(0, 4))
    def create(self, index: int) -> None:
        machine = self.pick(index)
        self.counter += 1
        session = f"ses_{self.counter:04d}"

        def change(db: Any, now: int) -> None:
            edits.new_session(db, session, now)
            self.created.update((message, session) for message in edits.add_turn(db, session, f"{self.counter:04d}", now))

        self.edit(machine, change)

    @rule(index=st.integers(0, 4), number=st.integers(0, 50))
    def append(self, index: int, number: int) -> None:
        machine = self.pick(index)
        session = self.row(machine, "session", number)
        if session is None:
            return
        self.counter += 1
        self.edit(
            machine,
            lambda db, now: self.created.update((m, session) for m in edits.add_turn(db, session, f"{self.counter:04d}", now)),
        )

    @rule(index=st.integers(0, 4), number=st.integers(0, 50), text=st.text(max_size=8), bump=st.booleans())
    def edit_text(self, index: int, number: int, text: str, bump: bool) -> None:
        machine = self.pick(index)
        part = self.row(machine, "part", number)
        if part is None:
            return
        old = machine.sql("SELECT time_updated FROM part WHERE id=?", part)[0][0]
        counted = bool(machine.sql("SELECT 1 FROM sqlite_master WHERE name='migration'"))  # older versions show a write by its time alone
        self.edit(machine, lambda db, now: edits.edit_part(db, part, text, now if bump or not counted else old))

    @rule(index=st.integers(0, 4), number=st.integers(0, 50), title=st.text(max_size=6))
    def rename(self, index: int, number: int, title: str) -> None:
        machine = self.pick(index)
        session = self.row(machine, "session", number)
        if session is not None:
            self.edit(machine, lambda db, _: edits.rename(db, session, title))

    @rule(index=st.integers(0, 4), number=st.integers(0, 50))
    def archive(self, index: int, number: int) -> None:
        machine = self.pick(index)
        session = self.row(machine, "session", number)
        if session is not None:
            self.edit(machine, lambda db, now: edits.archive(db, session, now))

    @rule(index=st.integers(0, 4), number=st.integers(0, 50), items=st.lists(st.sampled_from("abc"), max_size=3))
    def plan(self, index: int, number: int, items: list[str]) -> None:
        machine = self.pick(index)
        session = self.row(machine, "session", number)
        if session is not None:
            self.edit(machine, lambda db, now: edits.set_todos(db, session, items, now))

    @rule(index=st.integers(0, 4), number=st.integers(0, 50))
    def remove_message(self, index: int, number: int) -> None:
        machine = self.pick(index)
        message = self.row(machine, "message", number)
        if message is not None:
            self.deleted_messages.add(message)
            self.edit(machine, lambda db, _: edits.delete_message(db, message))

    @rule(index=st.integers(0, 4), number=st.integers(0, 50))
    def remove_session(self, index: int, number: int) -> None:
        machine = self.pick(index)
        session = self.row(machine, "session", number)
        if session is not None:
            self.deleted_sessions.add(session)
            self.edit(machine, lambda db, _: edits.delete_session(db, session))

    # --- what the tool does ---------------------------------------------------------------------------------------
    @rule(index=st.integers(0, 4), kind=st.sampled_from(["run", "run", "pull", "push"]))
    def sync(self, index: int, kind: str) -> None:
        self.cycle(self.pick(index), kind)

    @rule(index=st.integers(0, 4), number=st.integers(0, 3), after=st.one_of(st.none(), st.integers(1, 8)))
    def restore(self, index: int, number: int, after: int | None) -> None:
        """Taking back a cycle, or a restore, also one that dies on the way."""
        machine = self.pick(index)
        cycles = [cycle for cycle in machine.sidecar.history(HistoryParams(20), Task()).cycles if cycle.restorable]
        if not cycles:
            return
        try:
            machine.sidecar.restore(RestoreParams(cycles[number % len(cycles)].cycle_id), Task() if after is None else CrashingTask(after))
        except Crash:
            pass

    @rule(index=st.integers(0, 4), after=st.integers(1, 60))
    def crash(self, index: int, after: int) -> None:
        try:
            self.pick(index).sidecar.run(CycleParams(), CrashingTask(after))
        except Crash:
            pass

    @rule(index=st.integers(0, 4), after=st.one_of(st.none(), st.integers(1, 30)))
    def compact(self, index: int, after: int | None) -> None:
        """Rewriting a log changes nothing that anybody sees, also when it dies on the way."""
        machine = self.pick(index)
        try:
            patiently(self.root / "remote.git", lambda: machine.sidecar.compact(CompactParams(), Task() if after is None else CrashingTask(after)))
        except Crash:
            pass

    @precondition(lambda self: bool(self.machines))
    @rule(index=st.integers(0, 4))
    def lose_shadow(self, index: int) -> None:
        """The shadow can be rebuilt from the database and the logs."""
        machine = self.pick(index)
        if self.counter % 5 == 0:
            self.cycle(machine)
            for path in machine.own_state.glob("shadow.db*"):
                path.unlink()

    @invariant()
    def databases_are_sound(self) -> None:
        for machine in self.machines:
            machine.check_integrity()

    # --- what must hold at the end --------------------------------------------------------------------------------
    def run_all(self) -> list[CycleResult]:
        self.now += 8_000_000
        return [self.cycle(machine) for machine in self.machines]

    def cycle(self, machine: Machine, kind: str = "run") -> CycleResult:
        return cycle(machine, self.root / "remote.git", kind)

    def converge(self) -> None:
        for _ in range(8):
            if all(result.up_to_date for result in self.run_all()):
                break
        else:
            raise AssertionError("I5: devices keep sending each other changes although nobody writes")
        contents = [machine.content() for machine in self.machines]
        same_everywhere([machine.root.name for machine in self.machines], contents)
        present = contents[0]["message"].keys()
        for message, session in self.created.items():
            if message not in self.deleted_messages and session not in self.deleted_sessions:
                assert message in present, f"I2: nobody deleted {message}, and it is gone"
        for machine in self.machines:
            quiet(machine)


Devices.TestCase.settings = settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestDevices = Devices.TestCase
