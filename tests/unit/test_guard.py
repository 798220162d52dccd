"""What vanished in a suspicious way is asked about; "no" brings it back, and nothing is ever published as deleted."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, StatusParams, StatusResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.invariants import Crash, CrashingTask
from tests.support.machines import Machine, edit
from tests.support.tamper import logs

Make = Callable[..., Machine]
COUNT = 24
PUBLISH, RESTORE = CycleParams(deletions="publish"), CycleParams(deletions="restore")


def at() -> int:
    return int(time.time() * 1000) - 60_000


def sync(machine: Machine, params: CycleParams | None = None) -> CycleResult:
    return machine.sidecar.run(params or CycleParams(), Task())


def status(machine: Machine) -> StatusResult:
    return machine.sidecar.status(StatusParams(), Task())


def sessions(db: sqlite3.Connection) -> None:
    for number in range(COUNT):
        edits.new_session(db, f"ses_{number:02}", at(), title=f"talk {number}")
        edits.add_turn(db, f"ses_{number:02}", f"{number:02}", at())
    edits.set_todos(db, "ses_00", ["a", "b"], at())


@pytest.fixture
def pair(machine: Make, remote: Path) -> tuple[Machine, Machine]:
    """Two machines that show the same sessions, half of which the second has gone on with."""
    a, b = machine("a"), machine("b")
    edit(a, sessions)
    key = a.sidecar.init(InitParams(str(remote)), Task()).recovery_key
    sync(a)
    b.sidecar.link(LinkParams(str(remote), key), Task())
    sync(b)
    edit(b, lambda db: [edits.add_turn(db, f"ses_{number:02}", f"b{number:02}", at() + 1000) for number in range(0, COUNT, 2)])
    sync(b)
    sync(a)
    assert a.content() == b.content()
    return a, b


def replaced(machine: Machine, fresh: Machine) -> None:
    for path in machine.db.parent.glob("opencode.db*"):
        path.unlink()
    os.replace(fresh.db, machine.db)


def nothing_is_lost(a: Machine, b: Machine, before: dict[str, dict[str, Any]], tips: dict[str, str], remote: Path) -> None:
    assert a.content() == before, "what vanished did not come back as it was"
    a.check_integrity()
    assert logs(remote) == tips, "an answer that publishes nothing published something"
    assert sync(a).up_to_date
    assert sync(b).up_to_date
    assert b.content() == before
    assert status(a).guarded == 0
    assert status(a).guarded_sessions == []


def test_a_database_that_was_replaced_by_a_fresh_one_gets_everything_back(pair: tuple[Machine, Machine], machine: Make, remote: Path) -> None:
    a, b = pair
    before, tips = a.content(), logs(remote)
    replaced(a, machine("fresh"))
    assert sync(a).guarded == COUNT
    asked = status(a)
    assert {(g.title, g.whole) for g in asked.guarded_sessions} == {(f"talk {number}", True) for number in range(COUNT)}
    assert {g.rows for g in asked.guarded_sessions} == {5, 9, 10}
    assert any("--deletions restore" in entry.detail for entry in asked.attention), "nobody is told what to run"
    planned = a.sidecar.preview(RESTORE, Task())
    assert (planned.guarded, planned.applied.sessions, planned.guarded_sessions) == (0, COUNT, [])
    assert len(a.sidecar.preview(CycleParams(), Task()).guarded_sessions) == COUNT
    result = sync(a, RESTORE)
    assert (result.guarded, result.applied.sessions, result.published.tombstones) == (0, COUNT, 0)
    nothing_is_lost(a, b, before, tips, remote)


def test_where_a_project_is_missing_its_sessions_wait_for_it(pair: tuple[Machine, Machine], machine: Make, remote: Path) -> None:
    a, b = pair
    before, tips = a.content(), logs(remote)
    fresh = machine("fresh")
    project = a.sql("SELECT * FROM project")[0]
    fresh.sql("DELETE FROM project")
    replaced(a, fresh)
    sync(a)
    result = sync(a, RESTORE)
    assert (result.unplaced, result.guarded, result.published.tombstones) == (COUNT, 0, 0)
    assert sync(a).unplaced == COUNT
    sync(b)
    assert b.content() == before, "an unplaced session was deleted elsewhere"
    edit(a, lambda db: db.execute(f"INSERT INTO project VALUES ({','.join('?' * len(project))})", project))
    assert sync(a).applied.sessions == COUNT
    nothing_is_lost(a, b, before, tips, remote)


@pytest.fixture
def few(machine: Make, remote: Path) -> tuple[Machine, Machine]:
    """Two machines with so few sessions that their number alone is no reason to ask; the first has a backup of before the last one, in `backup.db`."""
    a, b = machine("a"), machine("b")
    edit(a, lambda db: [_talk(db, number) for number in range(3)])
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    sync(a)
    shutil.copyfile(a.db, a.root / "backup.db")
    edit(a, lambda db: [_talk(db, 3), edits.add_turn(db, "ses_00", "more", at())])
    sync(a)
    b.sidecar.link(LinkParams(str(remote)), Task())
    sync(b)
    return a, b


def _talk(db: sqlite3.Connection, number: int) -> None:
    edits.new_session(db, f"ses_{number:02}", at(), title=f"talk {number}")
    edits.add_turn(db, f"ses_{number:02}", f"{number:02}", at(), text="words " * 5_000)


def put_in_place(machine: Machine, source: Path) -> None:
    """The file keeps its number, as a new one gets that of the one deleted just before on ext4, and `cp` writes into the one that is there."""
    for path in machine.db.parent.glob("opencode.db-*"):
        path.unlink()
    shutil.copyfile(source, machine.db)


def test_a_database_made_anew_is_another_one_also_when_the_file_has_the_same_number(few: tuple[Machine, Machine], machine: Make, remote: Path) -> None:
    a, b = few
    before, tips, fresh = a.content(), logs(remote), machine("fresh")
    fresh.sql("UPDATE project SET time_created=?", at())
    fresh.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    put_in_place(a, fresh.db)
    assert (sync(a).guarded, sync(b).applied.deleted) == (4, 0), "opencode's database was deleted and made anew, and all conversations were deleted everywhere"
    edit(a, lambda db: [_talk(db, number) for number in range(10, 20)])
    assert sync(a).guarded == 4, "nobody answered, and what is written since was taken for a yes"
    edit(a, lambda db: [edits.delete_session(db, f"ses_{number}") for number in range(10, 20)])
    assert sync(a, PUBLISH).guarded == 10, "the answer was about four, and ten more went with them"
    assert sync(a, RESTORE).guarded == 0
    assert len(a.content()["session"]) == 10
    assert logs(remote) != tips
    assert before["session"].keys().isdisjoint(a.content()["session"])


def test_a_backup_that_was_put_back_deletes_nothing_elsewhere(few: tuple[Machine, Machine], remote: Path) -> None:
    a, b = few
    before = b.content()
    put_in_place(a, a.root / "backup.db")
    assert sync(a).guarded == 2
    sync(b)
    assert b.content()["message"] == before["message"], "what was said since the backup was made was deleted on the other machine"
    edit(a, lambda db: [_talk(db, number) for number in range(10, 20)])
    assert sync(a).guarded == 2, "the file has grown beyond what it was, and that was taken for a yes"
    sync(a, RESTORE)
    sync(b)
    assert b.content() == a.content()
    assert a.content()["message"].keys() >= before["message"].keys()


def test_a_backup_that_was_put_back_is_known_by_its_times_when_the_file_has_not_grown_since(machine: Make, remote: Path) -> None:
    a, b = machine("a"), machine("b")
    edit(a, sessions)
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    sync(a)
    shutil.copyfile(a.db, a.root / "backup.db")
    edit(a, lambda db: (edits.new_session(db, "ses_new", at()), edits.edit_part(db, "prt_msg_00u", "more", at() + 1000)))
    sync(a)
    b.sidecar.link(LinkParams(str(remote), None), Task())
    sync(b)
    put_in_place(a, a.root / "backup.db")
    assert sync(a).guarded == 1, "what is new since the backup was deleted on the other machine"
    assert a.run("repair").returncode == 0
    sync(a)
    sync(b)
    assert a.content() == b.content()
    assert "ses_new" in b.content()["session"]


def test_a_question_stays_when_more_sessions_come(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: [edits.delete_session(db, f"ses_{number:02}") for number in range(21)])
    assert sync(a).guarded == 21
    edit(b, lambda db: [edits.new_session(db, f"ses_b{number:03}", at()) for number in range(200)])
    sync(b)
    sync(a)
    assert (sync(a).guarded, sync(b).applied.deleted) == (21, 0), "21 of 224 are less than a tenth, and so they were deleted everywhere unasked"


def test_without_the_remote_it_comes_back_all_the_same(pair: tuple[Machine, Machine], machine: Make, remote: Path) -> None:
    a, b = pair
    before, tips = a.content(), logs(remote)
    replaced(a, machine("fresh"))
    aside = remote.with_name("aside.git")
    remote.rename(aside)
    with pytest.raises(SidecarError) as caught:
        sync(a, RESTORE)
    assert caught.value.kind == "remoteUnreachable"
    assert a.content() == before
    aside.rename(remote)
    nothing_is_lost(a, b, before, tips, remote)


def test_rows_deleted_inside_sessions_come_back_and_edits_stay(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    before = a.content()

    def change(db: sqlite3.Connection) -> None:
        for number in range(COUNT):
            edits.delete_message(db, f"msg_{number:02}a")
        edits.delete_session(db, "ses_03")
        edits.rename(db, "ses_04", "renamed")
        edits.edit_part(db, "prt_msg_04u", "newer", at() + 5000)
        edits.add_turn(db, "ses_05", "new", at() + 5000)

    edit(a, change)
    edited = a.content()
    result = sync(a)
    assert (result.guarded, result.published.tombstones) == (COUNT, 0)
    assert {(g.session_id, g.rows, g.whole) for g in status(a).guarded_sessions} >= {("ses_03", 5, True), ("ses_04", 2, False)}
    diverged = status(a).diverged
    result = sync(a, RESTORE)
    assert (result.guarded, result.published.tombstones, result.diverged) == (0, 0, diverged)
    for table in ("message", "part", "session"):
        expected = before[table] | edited[table]
        found = a.content()[table]
        assert found.keys() == expected.keys()
        for key, row in expected.items():
            assert {n: v for n, v in found[key].items() if not n.startswith(("cost", "tokens"))} == {
                n: v for n, v in row.items() if not n.startswith(("cost", "tokens"))
            }, f"{table} {key}"
    sync(b)
    sync(a)
    assert a.content() == b.content()
    assert sync(a).up_to_date


def test_yes_deletes_them_everywhere(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: [edits.delete_session(db, f"ses_{number:02}") for number in range(22)])
    assert sync(a).guarded == 22
    assert sync(a, PUBLISH).published.tombstones == 22
    sync(b)
    assert a.content() == b.content()
    assert len(b.content()["session"]) == COUNT - 22


def test_few_deletions_are_no_question_unless_the_answer_is_given_first(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    before, tips = a.content(), logs(remote)
    edit(a, lambda db: edits.delete_session(db, "ses_01"))
    assert sync(a, RESTORE).applied.sessions == 1
    nothing_is_lost(a, b, before, tips, remote)


def test_an_answer_that_dies_on_the_way_publishes_no_deletion(pair: tuple[Machine, Machine], machine: Make, remote: Path) -> None:
    a, b = pair
    before, tips = a.content(), logs(remote)
    replaced(a, machine("fresh"))
    fresh, state = a.db.with_name("kept.db"), a.own_state.with_name("kept")
    sync(a)
    shutil.copyfile(a.db, fresh)
    shutil.copytree(a.own_state, state)
    for left in (2, 8, 15, 34):
        for path in a.db.parent.glob("opencode.db*"):
            path.unlink()
        shutil.copyfile(fresh, a.db)
        shutil.rmtree(a.own_state)
        shutil.copytree(state, a.own_state)
        with pytest.raises(Crash):
            a.sidecar.run(RESTORE, CrashingTask(left))
        a.check_integrity()
        assert sync(a).published.tombstones == 0
        sync(a, RESTORE)
        assert a.content() == before, f"dead after {left} steps: something did not come back"
        assert logs(remote) == tips
    nothing_is_lost(a, b, before, tips, remote)


def test_an_answer_that_is_none_is_refused(pair: tuple[Machine, Machine]) -> None:
    a, _ = pair
    for call, params in ((a.sidecar.push, RESTORE), (a.sidecar.run, CycleParams(deletions="perhaps")), (a.sidecar.run, CycleParams(True, None, "restore"))):
        with pytest.raises(SidecarError) as caught:
            call(params, Task())
        assert caught.value.kind == "invalidParams"


def test_on_the_command_line(pair: tuple[Machine, Machine], machine: Make) -> None:
    a, _ = pair
    before = a.content()
    replaced(a, machine("fresh"))
    asked = a.run("sync")
    assert asked.returncode == 3
    assert "--deletions restore" in asked.stdout
    assert a.cli("status")["guardedSessions"][0]["title"].startswith("talk")
    assert a.cli("sync", "--deletions", "restore")["applied"]["sessions"] == COUNT
    assert a.content() == before
