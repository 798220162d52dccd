"""Each thing that repair is for is mended by it, also after it was stopped on the way; a second run finds nothing to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, VerifyParams
from protocol.trust import DoctorParams, QuarantineParams, RepairParams
from sidecar.domain.task import Task
from sidecar.repair import free_name
from tests.support import edits, tamper
from tests.support.invariants import Crash, CrashingTask
from tests.support.machines import Machine

Make = Callable[..., Machine]


def at() -> int:
    return int(time.time() * 1000) - 60_000


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def repair(machine: Machine, task: Task | None = None) -> list[str]:
    return machine.sidecar.repair(RepairParams(), task or Task()).actions


def work(machine: Machine, tag: str) -> None:
    connection = machine.connect()
    edits.new_session(connection, f"ses_{tag}", at())
    edits.add_turn(connection, f"ses_{tag}", tag, at())
    connection.close()


@pytest.fixture
def pair(machine: Make, remote: Path) -> tuple[Machine, Machine]:
    a, b = machine("a"), machine("b")
    work(a, "a")
    key = a.sidecar.init(InitParams(str(remote)), Task()).recovery_key
    sync(a)
    b.sidecar.link(LinkParams(str(remote), key), Task())
    work(b, "b")
    sync(b)
    sync(a)
    assert a.content() == b.content()
    return a, b


def healthy(a: Machine, b: Machine, before: dict[str, object]) -> None:
    assert repair(a) == [], "the second repair had something to do"
    for one in (a, b, a):
        sync(one)
    assert a.content() == b.content() == before
    for one in (a, b):
        assert one.sidecar.verify(VerifyParams(), Task()).ok
    assert sync(a).up_to_date
    assert not [check for check in a.sidecar.doctor(DoctorParams(), Task()).checks if not check.ok]


def test_nothing_to_repair_changes_nothing(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = sorted(path.name for path in a.own_state.iterdir()), a.content()
    assert repair(a) == []
    assert (sorted(path.name for path in a.own_state.iterdir()), a.content()) == before
    healthy(a, b, before[1])


def segment_object(machine: Machine) -> Path:
    blob = str(sqlite3.connect(machine.own_state / "shadow.db").execute("SELECT blob FROM segment ORDER BY device<>? LIMIT 1", ("",)).fetchone()[0])
    return tamper.unpacked(machine.own_state / "vault.git") / blob[:2] / blob[2:]


def test_an_object_that_is_gone_or_damaged_is_fetched_again(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = a.content()
    for ruin in (Path.unlink, lambda path: (path.chmod(0o600), path.write_bytes(b"x"))):
        ruin(segment_object(a))
        assert any("fetched again" in action for action in repair(a))
        healthy(a, b, before)


def test_what_was_never_pushed_is_saved_from_a_damaged_copy(pair: tuple[Machine, Machine], remote: Path) -> None:
    """The other machine's objects are ruined, our own log is sound: its last segment, with a deletion, is nowhere else."""
    a, b = pair
    connection = a.connect()
    edits.delete_message(connection, "msg_ba")
    connection.close()
    a.sidecar.pull(CycleParams(), Task())
    before, mine = a.content(), a.cli("status")["deviceId"]
    objects = tamper.unpacked(a.own_state / "vault.git")
    blob = str(sqlite3.connect(a.own_state / "shadow.db").execute("SELECT blob FROM segment WHERE device<>?", (mine,)).fetchone()[0])
    (objects / blob[:2] / blob[2:]).unlink()
    assert any("fetched again" in action for action in repair(a))
    healthy(a, b, before)
    assert "msg_ba" not in b.content()["message"]


def test_a_copy_of_the_vault_that_is_gone_is_fetched_again(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = a.content()
    shutil.rmtree(a.own_state / "vault.git")
    assert any("this device's log" in action for action in repair(a))
    healthy(a, b, before)


def test_locks_and_leftovers_of_dead_processes_go(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before, state = a.content(), a.own_state
    left = (
        "vault.git/packed-refs.lock",
        "vault.git/refs/heads/sessions/x.lock",
        "vault.git/objects/pack/tmp_pack_1",
        "x.partial",
        "snapshots/y.partial",
        "z.tmp",
    )
    for name in left:
        (state / name).parent.mkdir(exist_ok=True)
        (state / name).write_text("")
    (state / "vault.git.partial/objects").mkdir(parents=True)
    (state / "broken-20200101-000000-shadow.db").write_text("")
    os.utime(state / "broken-20200101-000000-shadow.db", (1, 1))
    (state / "sync.lock").write_text("4711 of a process that died")
    (state / "replaced-20200101-000000-shadow.db").write_text("mine")
    actions = "\n".join(repair(a))
    for name in (*left, "vault.git.partial", "broken-20200101-000000-shadow.db"):
        assert Path(name).name in actions
        assert not (state / name).exists(), name
    assert (state / "replaced-20200101-000000-shadow.db").read_text() == "mine", "what an earlier identity had was deleted"
    (state / "replaced-20200101-000000-shadow.db").unlink()
    healthy(a, b, before)


def test_rows_that_are_gone_from_the_database_come_back(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = a.content()
    a.sql("DELETE FROM message WHERE id='msg_ba'")
    assert any("did not fit" in action for action in repair(a))
    healthy(a, b, before)


def test_edits_that_were_not_synced_are_no_reason_to_rebuild(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    connection = a.connect()
    edits.rename(connection, "ses_a", "newer")
    connection.close()
    assert repair(a) == []
    healthy(a, b, a.content())


def test_a_segment_in_quarantine_is_fetched_again(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    work(b, "more")
    sync(b)
    branch = f"sessions/{b.cli('status')['deviceId']}"
    tip = tamper.logs(remote)[branch]
    tamper.rewrite(remote, branch, lambda tree: tamper.segments(tree)[-1].write_bytes(b"nothing of the kind"))
    sync(a)
    assert a.sidecar.quarantine(QuarantineParams(), Task()).entries
    tamper.point(remote, branch, tip)
    assert any("quarantine" in action for action in repair(a))
    healthy(a, b, b.content())


def test_a_damaged_database_is_no_reason_to_fail(pair: tuple[Machine, Machine]) -> None:
    a, _ = pair
    for path in a.db.parent.glob("opencode.db-*"):
        path.unlink()
    a.db.write_bytes(b"this is a text" * 1000)
    (a.own_state / "vault.git/packed-refs.lock").write_text("")
    actions = repair(a)
    assert any("packed-refs.lock" in action for action in actions)
    assert any("cannot be read" in action for action in actions)
    assert (a.own_state / "shadow.db").exists()
    a.db.unlink()
    assert any("cannot be read" in action for action in repair(a))


def test_a_repair_that_is_stopped_anywhere_is_finished_by_the_next(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = a.content()
    kept = a.root / "kept"
    a.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    segment_object(a).unlink()
    (a.own_state / "shadow.db").write_bytes(b"no database" * 500)
    shutil.copytree(a.own_state, kept)
    rename = Path.rename
    for stop in ("check 3", "check 12", "rename 0", "rename 1", "rename 2"):
        shutil.rmtree(a.own_state)
        shutil.copytree(kept, a.own_state)
        kind, _, number = stop.partition(" ")
        left = [int(number)]

        def renamed(path: Path, target: Path, left: list[int] = left) -> Path:
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return rename(path, target)

        try:
            with patch.object(Path, "rename", renamed if kind == "rename" else rename):
                repair(a, CrashingTask(int(number)) if kind == "check" else Task())
        except Crash:
            pass
        repair(a)
        healthy(a, b, before)


def test_two_repairs_in_one_second_set_two_copies_aside(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        aside = free_name(tmp_path / "vault.git")
        aside.mkdir()
        names.add(aside.name)
    assert len(names) == 3, "the second repair stops in the middle"
