"""What must hold between machines, and the deaths that it must hold after."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from protocol.sync import CycleParams, CycleResult, VerifyParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Progress, Task
from tests.support.machines import Machine

Content = dict[str, dict[str, dict[str, object]]]
"""table -> key -> column -> value."""


class Crash(BaseException):
    """The process dies here: nothing catches it."""


class CrashingTask(Task):
    """Dies at the n-th point where the operation looks at its task."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def check(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self.left -= 1
        if self.left < 0:
            raise Crash


def patiently(remote: Path, work: Callable[[], Any]) -> Any:
    """A push that a crash took down may have left its lock in the remote, which counts as dead ten seconds later."""
    try:
        return work()
    except SidecarError as error:
        if error.kind != "remoteBusy":
            raise
        for lock in (remote / "refs").rglob("*.lock"):
            os.utime(lock, (0, 0))
        return work()


def cycle(machine: Machine, remote: Path, kind: str = "run", params: CycleParams | None = None) -> CycleResult:
    """One cycle, or half of one."""
    result: CycleResult = patiently(remote, lambda: getattr(machine.sidecar, kind)(params or CycleParams(), Task()))
    return result


def same_everywhere(names: Sequence[str], contents: Sequence[Content]) -> None:
    """I1. Versions of opencode differ in their columns: those that both sides have must be equal."""
    for name, content in zip(names[1:], contents[1:], strict=True):
        for table, rows in contents[0].items():
            other = content[table]
            assert rows.keys() == other.keys(), (
                f"I1: {table}: only on {names[0]}: {sorted(rows.keys() - other.keys())[:5]}, only on {name}: {sorted(other.keys() - rows.keys())[:5]}"
            )
            for key, row in rows.items():
                if row != other[key]:
                    differing = {n: (row[n], other[key][n]) for n in row.keys() & other[key].keys() if row[n] != other[key][n]}
                    assert not differing, f"I1: {table} {key} differs between {names[0]} and {name}: {str(differing)[:600]}"


def quiet(machine: Machine) -> None:
    """I5, and the shadow describes the database."""
    checked = machine.sidecar.verify(VerifyParams(), Task())
    assert checked.ok, f"{machine.root.name}: the shadow does not describe the database: {checked.differences[:5]}"
    before, phases = _stamps(machine), set[str]()

    def note(progress: Progress) -> None:
        phases.add(progress.phase)

    assert machine.sidecar.run(CycleParams(), Task(note)).up_to_date, f"I5: {machine.root.name}: a cycle with no change did something"
    assert _stamps(machine) == before, f"I5: {machine.root.name}: a cycle with no change wrote to the database, or committed"
    assert not phases & {"fetch", "push", "record", "apply"}, f"I5: {machine.root.name}: a cycle with no change went through {sorted(phases)}"


def _stamps(machine: Machine) -> list[object]:
    """Of the database, its WAL, and the refs of the local copy of the vault."""
    vault = machine.own_state / "vault.git"
    refs = sorted((str(path), path.read_bytes()) for path in [*vault.joinpath("refs").rglob("*"), vault / "packed-refs"] if path.is_file())
    files = [path for path in (machine.db, machine.db.with_name("opencode.db-wal")) if path.exists()]
    return [refs, *((path.stat().st_size, path.stat().st_mtime_ns) for path in files)]
