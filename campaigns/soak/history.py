"""One history: a fleet of devices, what happens to it, and the checks at its checkpoints."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from campaigns.soak import evidence
from campaigns.soak.deaths import death
from campaigns.soak.ledger import left_out, own_log
from campaigns.soak.oracle import Digest, Oracle
from campaigns.soak.people import Sitting
from protocol.compact import CompactParams
from protocol.keys import ForgetDeviceParams, RotateKeyParams, ShowKeyParams
from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams
from protocol.trust import HistoryParams, RestoreParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support.gitremote import git
from tests.support.invariants import Crash, CrashingTask, cycle, patiently, quiet, same_everywhere
from tests.support.machines import Machine, bare_remote, from_schema, open_project
from tests.support.upgrade import upgrade

START = 1_790_000_000_000
HOUR = 3_600_000
VERSIONS = ("1.2.4", "1.14.41", "1.15.4", "1.17.11", "1.18.33")
PROJECTS = ("p" * 40, "q" * 40, "r" * 40)
EVENTS = {
    "sync": 30, "crash": 3, "restore": 3, "lose_shadow": 1.2, "upgrade": 0.7, "come": 1, "copy": 0.4, "backup": 0.5, "turn_clock": 0.5, "open_project": 0.5,
    "compact": 5, "rotate_key": 0.8, "forget": 0.2,
}  # fmt: skip
ROUNDS = 10


@dataclass
class Device:
    """`reach`: how often it is online, 0 to 1."""

    index: int
    machine: Machine
    version: int
    skew: int
    reach: float
    backup: Path | None = None
    backup_version: int = 0


class History:
    """`operations`: how many to reach; `sitting`: how many of them are made in one go, on average. Everything follows from `seed`, but for what depends on how fast this machine is."""

    def __init__(self, root: Path, seed: int, devices: tuple[int, int], operations: int, sitting: int = 90) -> None:
        self.root, self.operations, self.sitting = root, operations, sitting
        self.chance = random.Random(f"soak {seed}")
        self.oracle = Oracle()
        self.done = self.step = 0
        self.now = START
        counts = list(range(devices[0], devices[1] + 1))
        self.planned = self.chance.choices(counts, weights=[1 / count for count in counts])[0]
        self.mixed, self.sealed = self.chance.random() < 0.7, self.chance.random() < 0.5
        self.most_skew = self.chance.choice([0, HOUR, HOUR, 72 * HOUR])
        self.devices: list[Device] = []
        self.gone: list[Device] = []
        """Those that were forgotten."""
        self.left_out: set[Digest] = set()
        """Versions that compactions left out of the logs, by right."""
        self.remote = bare_remote(root / "remote.git")
        git(self.remote, "config", "gc.autoDetach", "false")
        if self.chance.random() < 0.15:
            git(self.remote, "config", "receive.denyNonFastForwards", "true")
        self.key: str | None = None
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        for _ in range(max(2, self.planned * 2 // 3)):
            self._join()

    def run(self) -> None:
        """Raises AssertionError."""
        checkpoints = sorted(self.chance.randrange(self.operations) for _ in range(2))
        while self.done < self.operations:
            self.step += 1
            if checkpoints and self.done >= checkpoints[0]:
                checkpoints.pop(0)
                self.checkpoint()
            self._sitting()
            if self.chance.random() < 0.6:
                kind = self.chance.choices(list(EVENTS), weights=list(EVENTS.values()))[0]
                self._note(kind)
                self.counts[kind] += 1
                getattr(self, "_" + kind)()
        self.checkpoint()
        self._join()
        self.checkpoint()  # what is left of the logs is enough for somebody who has nothing
        evidence.check(self.oracle.recorded, self.left_out, [device.machine for device in self.devices], [device.machine for device in self.gone])

    def describe(self) -> str:
        versions = ",".join(VERSIONS[device.version] for device in self.devices)
        return (
            f"{len(self.devices)} devices ({versions}), {'encrypted' if self.sealed else 'plain'}, clocks ±{self.most_skew // HOUR} h, {self.done} operations"
        )

    def _note(self, what: str) -> None:
        self.trace = [*self.trace[-200:], f"{self.step} {what}"]

    # --- people ---------------------------------------------------------------------------------------------------
    def _sitting(self) -> None:
        device, count = self._pick(), 1 + int(self.chance.expovariate(1 / self.sitting))
        self._note(f"m{device.index}: {count} edits")
        with closing(device.machine.connect()) as db:
            Sitting(db, self.chance, self.oracle, device.index, device.machine.wall() - 4_000 - count, f"{device.index:x}z{self.step:05d}").work(count)
        self.done += count
        if self.chance.random() < device.reach * 0.8:
            self._cycle(device, self.chance.choice(["run", "run", "run", "pull", "push"]))

    def _pick(self, *, online: bool = False) -> Device:
        self.now += 7_000
        weights = [device.reach + 0.001 if online else 1 for device in self.devices]
        return self.chance.choices(self.devices, weights=weights)[0]

    # --- what happens to devices --------------------------------------------------------------------------------------
    def _sync(self) -> None:
        self._cycle(self._pick(online=True))

    def _crash(self) -> None:
        device = self._pick()
        self._dying(lambda task: device.machine.sidecar.run(CycleParams(), task), self.chance.randint(1, 120))

    def _restore(self) -> None:
        device = self._pick()
        cycles = [one for one in device.machine.sidecar.history(HistoryParams(20), Task()).cycles if one.restorable]
        if not cycles:
            return
        chosen = self.chance.choice(cycles[:4])
        self.oracle.restored(session.id for session in chosen.sessions)
        params = RestoreParams(chosen.cycle_id)
        if self.chance.random() < 0.3:
            self._dying(lambda task: device.machine.sidecar.restore(params, task), self.chance.randint(1, 12))
        else:
            device.machine.sidecar.restore(params, Task())
        for session in chosen.sessions:
            self.oracle.touched(device.index, session.id)
        self.done += 1

    def _lose_shadow(self, device: Device | None = None) -> None:
        device = device or self._pick()
        self.oracle.forgot(device.index)
        for path in device.machine.own_state.glob("shadow.db*"):
            path.unlink()
        self.done += 1

    def _upgrade(self) -> None:
        older = [device for device in self.devices if device.version < len(VERSIONS) - 1]
        if not older:
            return
        device = self.chance.choice(older)
        device.version = self.chance.randrange(device.version + 1, len(VERSIONS))
        with closing(device.machine.connect()) as db:
            upgrade(db, VERSIONS[device.version])
        self.done += 1

    def _turn_clock(self) -> None:
        self._pick().skew = self.chance.randint(-self.most_skew, self.most_skew)
        self.done += 1

    def _open_project(self, device: Device | None = None) -> None:
        device = device or self._pick()
        for project in PROJECTS:
            open_project(device.machine, project, device.machine.root / "home" / project[0])
        self.done += 1

    def _backup(self) -> None:
        """A copy of the whole database is kept, or comes back: then the shadow must be made anew (`repair`)."""
        device = self._pick(online=True)
        if device.backup is None:
            device.backup = device.machine.root / "backup.db"
            _copy(device.machine.db, device.backup)
            device.backup_version = device.version
        elif _whole(self._cycle(device)):  # what was not recorded is lost by the one who puts a backup back
            _replace(device.backup, device.machine.db)
            device.version, device.backup = device.backup_version, None
            self._lose_shadow(device)

    def _come(self) -> None:
        if len(self.devices) < self.planned:
            self._join()

    def _join(self, of: Device | None = None) -> None:
        """A new device, empty or (`of`) with a copy of another's database."""
        index, skew = len(self.devices) + len(self.gone), self.chance.randint(-self.most_skew, self.most_skew)
        version = of.version if of else self.chance.randrange(len(VERSIONS)) if self.mixed else len(VERSIONS) - 1
        reach = self.chance.choice([1.0, 1.0, 0.6, 0.3, 0.0])
        machine = from_schema(self.root / f"m{index}", VERSIONS[version], lambda: self.now + device.skew, PROJECTS[0])
        device = Device(index, machine, version, skew, reach)
        if of is not None:
            _replace(of.machine.db, device.machine.db)
            home, other = str(device.machine.root / "home"), str(of.machine.root / "home")
            for table, column in (("project", "worktree"), ("session", "directory")):
                device.machine.sql(f"UPDATE {table} SET {column}=replace({column}, ?, ?)", other, home)
        if self.chance.random() < 0.7:
            self._open_project(device)
        with patch("uuid.uuid4", lambda: UUID(int=index + 1)):  # ties are broken by the id: keep it the same in each run
            if self.key is None and index == 0:
                self.key = device.machine.sidecar.init(InitParams(str(self.remote), encryption=None if self.sealed else "none"), Task()).recovery_key
            else:
                device.machine.sidecar.link(LinkParams(str(self.remote), self.key), Task())
        self.oracle.forgot(index)
        self.devices.append(device)
        self.done += 1

    def _copy(self) -> None:
        source = self._pick(online=True)
        if len(self.devices) < self.planned and _whole(self._cycle(source)):
            self._join(source)

    def _compact(self) -> None:
        """A log again: asked for, or by itself; now and then that dies on the way, and the shadow is lost, or the key changed, before the next cycle."""
        device = self._pick(online=True)
        sidecar, old, before = device.machine.sidecar, own_log(device.machine), device.machine.content()
        by_itself, end = self.chance.random() < 0.3, self.chance.choice(("whole", "whole", "a check", "a step", "a step"))
        task = CrashingTask(int(self.chance.expovariate(1 / 300))) if end == "a check" else Task()
        self._finish(lambda: sidecar.upkeep(task) if by_itself else sidecar.compact(CompactParams(), task), dying=end == "a step")
        assert device.machine.content() == before, "a compaction changed the database"
        new = own_log(device.machine)
        self.left_out |= left_out(old, new)
        self.counts["compacted logs"] += new.generation > old.generation
        if end != "whole" and self.chance.random() < 0.4:
            self.chance.choice((lambda: self._lose_shadow(device), self._rotate_key))()

    def _rotate_key(self) -> None:
        if not self.sealed:
            return
        device = self._pick(online=True)
        dying = self.chance.random() < 0.25
        self._finish(lambda: device.machine.sidecar.rotate_key(RotateKeyParams(), CrashingTask(self.chance.randint(1, 40)) if dying else Task()))
        self._cycle(device)
        self.key = device.machine.sidecar.show_key(ShowKeyParams(confirm=True), Task()).recovery_key

    def _forget(self) -> None:
        """Somebody lost a device, of which everything is in the vault."""
        if not self.sealed or len(self.devices) < 3:
            return
        lost, other = self.chance.sample(self.devices, 2)
        if not _whole(self._cycle(lost)):
            return
        self._cycle(other)
        self.key = other.machine.sidecar.forget_device(ForgetDeviceParams(lost.machine.device_id), Task()).recovery_key
        self.devices.remove(lost)
        self.gone.append(lost)

    # --- the product --------------------------------------------------------------------------------------------------
    def _cycle(self, device: Device, kind: str = "run") -> CycleResult:
        """The deletion guard's question is answered: it was meant."""
        self.done += 1
        self.counts["cycles"] += 1
        result = self._with_key(device, lambda: cycle(device.machine, self.remote, kind))
        if result.guarded:
            result = cycle(device.machine, self.remote, kind, CycleParams(allow_deletions=True))
        self.oracle.remade(device.index)
        if _whole(result):
            self.oracle.scanned(device.index)
        return result

    def _with_key(self, device: Device, work: Callable[[], CycleResult]) -> CycleResult:
        """A device that had never shown itself when the key was changed gets the new one from a person."""
        try:
            return work()
        except SidecarError as error:
            if error.kind != "wrongKey":
                raise
        self.counts["keys given"] += 1
        device.machine.sidecar.link(LinkParams(str(self.remote), self.key), Task())
        return work()

    def _dying(self, work: Callable[[Task], object], after: int) -> None:
        self._finish(lambda: work(CrashingTask(after)))

    def _finish(self, work: Callable[[], object], *, dying: bool = False) -> None:
        """`dying`: at a step of it. A device that has not been given the new key yet does nothing but say so."""
        self.done += 1
        try:
            with death(self.chance) if dying else nullcontext() as step:
                if step is not None:
                    self._note(f"dies at {step}")
                patiently(self.remote, work)
        except Crash:
            self.counts["deaths"] += 1
        except SidecarError as error:
            if error.kind != "wrongKey":
                raise

    # --- checkpoints --------------------------------------------------------------------------------------------------
    def checkpoint(self) -> None:
        """Everyone meets everyone; then everything must hold."""
        self._note("checkpoint")
        for device in self.devices:
            self._open_project(device)
        for _ in range(ROUNDS):
            self.now += 2 * self.most_skew + 8_000_000
            done = [self._cycle(device).up_to_date for device in self.devices]
            if all(done):
                break
        else:
            raise AssertionError("I5: devices keep sending each other changes although nobody writes")
        contents = [evidence.shared_content(device.machine, self.oracle.strange) for device in self.devices]
        same_everywhere([device.machine.root.name for device in self.devices], contents)
        self.oracle.check(contents[0])
        for device in self.devices:
            device.machine.check_integrity()
            quiet(device.machine)


def _whole(result: CycleResult) -> bool:
    """Whether everything that the database held was recorded."""
    return not (result.guarded or result.pending)


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def _replace(source: Path, target: Path) -> None:
    """Another file in the place of a database that nobody has open."""
    fresh = target.with_name("fresh.db")
    _copy(source, fresh)
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    shutil.move(fresh, target)
