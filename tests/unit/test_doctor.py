"""Every check fails for its own reason and names the way out; repair brings back what is ours without touching opencode's file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, VerifyParams
from protocol.trust import Check, DoctorParams, RepairParams
from sidecar.adapters.files.lock import exclusive
from sidecar.adapters.sqlite.shadow import Shadow
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support.machines import Machine

Make = Callable[..., Machine]


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def findings(machine: Machine, *, offline: bool = False) -> dict[str, Check]:
    result = machine.sidecar.doctor(DoctorParams(offline), Task())
    bad = {check.name: check for check in result.checks if not check.ok}
    assert result.ok == (not bad)
    assert all(check.remedy for check in bad.values()), f"a finding without a remedy: {bad}"
    return bad


@pytest.fixture
def one(machine: Make, remote: Path) -> Machine:
    found = machine("a", "ada-1.18.33")
    found.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    sync(found)
    return found


def damage(path: Path, start: float, length: int) -> None:
    """Overwrite a stretch of a file with noise."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * start))
        file.write(b"\xa5" * length)


def test_a_healthy_machine_has_no_findings(one: Machine) -> None:
    assert findings(one) == {}
    names = {check.name for check in one.sidecar.doctor(DoctorParams(), Task()).checks}
    assert {"git", "database", "integrity", "wal", "remote", "rights", "published", "clock", "quarantine", "leftovers", "private"} <= names


def test_before_anything_is_set_up_it_says_what_to_do(machine: Make) -> None:
    fresh = machine("fresh")
    assert findings(fresh).keys() == {"device"}
    fresh.db.unlink()
    assert "database" in findings(fresh), "no database, and nobody is told"


def test_what_is_wrong_with_the_database_is_named(one: Machine) -> None:
    one.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(one.db, 0.4, 30_000)
    bad = findings(one)
    assert "salvage" in bad["integrity"].remedy
    one.db.write_bytes(b"this is a text" * 1000)
    assert {"database", "integrity"} <= findings(one).keys()


def test_a_remote_that_is_gone_or_read_only_or_behind_is_named(one: Machine, remote: Path) -> None:
    behind = one.connect()
    behind.execute("UPDATE session SET title='moved' WHERE id=(SELECT id FROM session LIMIT 1)")
    behind.close()
    one.sidecar.pull(CycleParams(), Task())
    assert "published" in findings(one)
    aside = remote.with_name("aside.git")
    remote.rename(aside)
    assert "remote" in findings(one)
    assert findings(one, offline=True) == {}, "--offline talked to the remote"
    aside.rename(remote)


def test_damage_of_our_own_files_is_named(one: Machine) -> None:
    (one.own_state / "shadow.db").write_bytes(b"no database" * 500)
    bad = findings(one)
    assert "repair" in bad["shadow.db"].remedy


def test_clocks_that_are_wrong_are_named(one: Machine, machine: Make, remote: Path) -> None:
    shadow = Shadow(one.own_state / "shadow.db")
    with shadow.writing():
        shadow.put("clock", int(time.time() * 1000) + 3_600_000)
    shadow.close()
    assert "clock" in findings(one)


def test_folders_open_to_others_and_leftovers_are_named(one: Machine) -> None:
    if os.name == "posix":
        one.own_state.chmod(0o755)
    left = one.own_state / "vault.git" / "packed-refs.lock"
    left.write_text("")
    os.utime(left, (1, 1))
    assert findings(one).keys() == {"private", "leftovers"}


def test_it_works_beside_a_running_sync(one: Machine) -> None:
    with exclusive(one.own_state / "sync.lock", Task()):
        assert findings(one) == {}


def test_repair_rebuilds_a_damaged_shadow_and_nothing_is_published_again(one: Machine, machine: Make, remote: Path) -> None:
    b = machine("b", "bob-1.18.33")
    b.sidecar.link(LinkParams(str(remote)), Task())
    for each in (b, one, b):
        sync(each)
    before = one.content()
    (one.own_state / "shadow.db").write_bytes(b"no database" * 500)
    for suffix in ("-wal", "-shm"):
        (one.own_state / f"shadow.db{suffix}").unlink(missing_ok=True)
    with pytest.raises(SidecarError):
        sync(one)
    done = one.sidecar.repair(RepairParams(), Task())
    assert any("rebuilt" in action for action in done.actions)
    result = sync(one)
    assert result.published.rows == 0, "everything was published again"
    assert one.content() == before
    assert one.sidecar.verify(VerifyParams(), Task()).ok
    assert sync(b).applied.sessions == 0


def test_repair_fetches_a_damaged_copy_of_the_vault_again(one: Machine, machine: Make, remote: Path) -> None:
    b = machine("b", "bob-1.18.33")
    b.sidecar.link(LinkParams(str(remote)), Task())
    for each in (b, one, b):
        sync(each)
    packs = [path for path in (one.own_state / "vault.git/objects").rglob("*") if path.is_file() and path.stat().st_size > 2_000]
    for path in packs:
        path.chmod(0o600)
        damage(path, 0.5, 64)
    assert "vault copy" in findings(one)
    connection = one.connect()
    connection.execute("UPDATE session SET title='after the damage' WHERE id=(SELECT id FROM session ORDER BY id LIMIT 1)")
    connection.close()
    done = one.sidecar.repair(RepairParams(), Task())
    assert any("fetched again" in action for action in done.actions)
    for each in (one, b, one):
        sync(each)
    assert one.content() == b.content(), "the machines do not agree after the repair"
    assert findings(one) == {}


def test_what_can_be_read_of_a_damaged_database_is_salvaged_and_the_vault_has_the_rest(one: Machine, tmp_path: Path) -> None:
    before = one.content()
    one.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    one.sql("PRAGMA journal_mode=DELETE")
    whole = one.db.read_bytes()
    for start in (0.25, 0.5, 0.75):
        damage(one.db, start, 9_000)
    target = tmp_path / "salvaged.db"
    done = one.sidecar.repair(RepairParams(str(target)), Task())
    assert one.db.read_bytes() != whole
    assert sum((done.salvaged or {}).values()) > 100
    check = sqlite3.connect(target)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
    shutil.copyfile(target, one.db)
    one.sidecar.repair(RepairParams(), Task())
    sync(one)
    after = one.content()
    for table in ("session", "message", "part"):
        lost = before[table].keys() - after[table].keys()
        assert not lost, f"{len(lost)} rows of {table} were lost although the vault had them"


def test_repair_refuses_to_overwrite(one: Machine, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("mine")
    for target in (there, tmp_path / "no such folder/x.db"):
        with pytest.raises(SidecarError) as caught:
            one.sidecar.repair(RepairParams(str(target)), Task())
        assert caught.value.kind == "invalidParams"
    assert there.read_text() == "mine"
