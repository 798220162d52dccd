"""What a sync changed or deleted can be taken back, and the result wins everywhere."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, VerifyParams
from protocol.trust import HistoryCycle, HistoryParams, RestoreParams, RestoreResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.invariants import Crash, CrashingTask
from tests.support.machines import Machine, edit

Make = Callable[..., Machine]


def now() -> int:
    return int(time.time() * 1000) - 60_000


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def history(machine: Machine) -> list[HistoryCycle]:
    return machine.sidecar.history(HistoryParams(), Task()).cycles


def restore(machine: Machine, cycle: str, session: str | None = None) -> RestoreResult:
    return machine.sidecar.restore(RestoreParams(cycle, session), Task())


def two_sessions(db: sqlite3.Connection) -> None:
    for number in (1, 2):
        edits.new_session(db, f"ses_{number}", now())
        for turn in range(2):
            edits.add_turn(db, f"ses_{number}", f"{number}{turn}", now() + turn * 10)
        edits.set_todos(db, f"ses_{number}", ["a", "b"], now())


@pytest.fixture
def pair(machine: Make, remote: Path) -> tuple[Machine, Machine]:
    """Two machines that show the same two sessions."""
    a, b = machine("a"), machine("b")
    edit(a, two_sessions)
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    sync(a)
    b.sidecar.link(LinkParams(str(remote)), Task())
    sync(b)
    assert a.content() == b.content()
    return a, b


def settle(*machines: Machine) -> None:
    """The two agree, and the shadows describe the databases."""
    for _ in range(2):
        for one in machines:
            sync(one)
    first, *others = [one.content() for one in machines]
    assert all(content == first for content in others), "the machines do not agree after a restore"
    for one in machines:
        one.check_integrity()
        assert one.sidecar.verify(VerifyParams(), Task()).ok
        assert sync(one).up_to_date


def test_a_deleted_session_comes_back_whole_and_on_every_machine(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = a.content()
    edit(a, lambda db: edits.delete_session(db, "ses_1"))
    sync(a)
    cycle = sync(b)
    assert cycle.applied.deleted
    assert "ses_1" not in b.content()["session"]
    newest = history(b)[0]
    assert (newest.cycle_id, newest.sessions[0].title, newest.sessions[0].deleted) == (cycle.cycle_id, "ses_1", cycle.applied.deleted)

    result = restore(b, cycle.cycle_id)
    assert result.session_ids == ["ses_1"]
    assert not result.skipped
    settle(b, a)
    assert a.content() == before, "the restored session lacks something"


def test_a_replaced_text_and_title_come_back_and_win(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    before = b.content()
    edit(a, lambda db: (edits.edit_part(db, "prt_msg_10u", "spoilt", now() + 1000), edits.rename(db, "ses_1", "spoilt"), edits.rename(db, "ses_2", "wanted")))
    sync(a)
    cycle = sync(b)
    restore(b, cycle.cycle_id, "ses_1")
    settle(b, a)
    part, title = a.content()["part"]["prt_msg_10u"]["data"], a.content()["session"]["ses_1"]["title"]
    assert (part, title) == (before["part"]["prt_msg_10u"]["data"], before["session"]["ses_1"]["title"])
    assert a.content()["session"]["ses_2"]["title"] == "wanted", "another session than the chosen one was taken back"


def test_a_replaced_plan_comes_back(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: edits.set_todos(db, "ses_1", ["other"], now() + 1000))
    sync(a)
    restore(b, sync(b).cycle_id)
    settle(b, a)
    assert [row["content"] for row in a.content()["todo"].values() if row["session_id"] == "ses_1"] == ["a", "b"]


def test_what_was_written_since_stays(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: (edits.edit_part(db, "prt_msg_10u", "spoilt", now() + 1000), edits.archive(db, "ses_1", now())))
    sync(a)
    cycle = sync(b)
    edit(b, lambda db: (edits.rename(db, "ses_1", "renamed since"), edits.add_turn(db, "ses_1", "since", now() + 2000)))
    restore(b, cycle.cycle_id)
    settle(b, a)
    session = a.content()["session"]["ses_1"]
    assert session["title"] == "renamed since", "a restore threw away a later change of another column"
    assert session["time_archived"] is None
    assert "msg_sinceu" in a.content()["message"], "a restore threw away a later turn"


def test_what_a_cycle_brought_in_stays_and_that_is_said(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: edits.add_turn(db, "ses_1", "more", now() + 1000))
    sync(a)
    cycle = sync(b)
    result = restore(b, cycle.cycle_id)
    assert [entry.reason for entry in result.skipped] == ["kept"]
    settle(b, a)
    assert "msg_moreu" in b.content()["message"], "restoring deleted a turn on every machine"


def test_a_restore_can_be_taken_back(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: (edits.delete_session(db, "ses_1"), edits.edit_part(db, "prt_msg_20u", "newer", now() + 1000)))
    sync(a)
    after = a.content()
    cycle = sync(b)
    done = restore(b, cycle.cycle_id)
    assert b.content() != after
    restore(b, done.cycle_id)
    settle(b, a)
    for table in ("message", "part", "todo"):
        assert a.content()[table] == after[table]
    assert a.content()["session"].keys() == after["session"].keys()


def test_the_order_of_several_cycles_does_not_matter_for_what_is_gone(pair: tuple[Machine, Machine]) -> None:
    """First an edit, then a deletion: the text before the edit is two steps back."""
    a, b = pair
    original = a.content()["part"]["prt_msg_10u"]["data"]
    edit(a, lambda db: edits.edit_part(db, "prt_msg_10u", "second", now() + 1000))
    sync(a)
    first = sync(b).cycle_id
    edit(a, lambda db: edits.delete_message(db, "msg_10u"))
    sync(a)
    second = sync(b).cycle_id
    result = restore(b, first)
    assert [entry.reason for entry in result.skipped] == ["parentMissing"], "a part whose message is gone cannot come back alone"
    restore(b, second)
    assert "second" in b.content()["part"]["prt_msg_10u"]["data"]
    restore(b, first)
    settle(b, a)
    assert a.content()["part"]["prt_msg_10u"]["data"] == original


def test_a_restore_that_dies_leaves_nothing_half_known(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: edits.delete_session(db, "ses_1"))
    sync(a)
    cycle = sync(b).cycle_id

    for left in range(1, 8):
        with suppress(Crash):
            b.sidecar.restore(RestoreParams(cycle), CrashingTask(left))
        b.check_integrity()
    restore(b, cycle)
    settle(b, a)
    assert "ses_1" in a.content()["session"]


def test_nonsense_is_refused_with_the_way_out(pair: tuple[Machine, Machine]) -> None:
    _, b = pair
    for cycle, session in (("nope", None), (history(b)[0].cycle_id, "ses_none")):
        with pytest.raises(SidecarError) as caught:
            restore(b, cycle, session)
        assert caught.value.kind == "invalidParams"
        assert "history" in caught.value.remedy


def test_the_first_apply_keeps_a_copy_of_the_database_as_it_was(machine: Make, remote: Path) -> None:
    a, b = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33")
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    sync(a)
    before = b.content()
    b.sidecar.link(LinkParams(str(remote)), Task())
    sync(b)
    path = Path(b.sidecar.history(HistoryParams(), Task()).snapshot or "")
    assert path.stat().st_mode & 0o077 == 0, "other users of this machine can read the copy"
    copy = Machine(b.root / "copy")
    shutil.copyfile(path, copy.db)
    assert copy.content() == before, "the copy is not the database as it was"
    stamp = path.stat().st_mtime_ns
    edit(a, lambda db: edits.new_session(db, "ses_new", now()))
    sync(a)
    sync(b)
    assert path.stat().st_mtime_ns == stamp, "the copy of the untouched database was overwritten"


def test_without_room_for_a_copy_sync_goes_on_and_says_so(pair: tuple[Machine, Machine], machine: Make, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    c = machine("c")
    edit(c, lambda db: edits.new_session(db, "ses_c", now()))
    c.sidecar.link(LinkParams(str(remote)), Task())
    usage = shutil.disk_usage(c.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    result = sync(c)
    assert result.applied.sessions == 2
    assert any("copy" in warning for warning in result.warnings)
    assert not c.settings.snapshot.exists()


def test_a_clock_that_jumps_by_years_makes_the_journal_forget_nothing(tmp_path: Path) -> None:
    from sidecar.adapters.sqlite.journal import Journal

    year = 365 * edits.DAY
    real = now()
    journal = Journal(tmp_path / "journal.db")
    try:
        for number, at in enumerate((real, real + 1000, real + 10 * year, real + 10 * year + 1000, real + 2000, real - 10 * year, real + 3000)):
            journal.begin(str(number), at, "cycle")
            journal.done(journal.add(str(number), at, "s", "t", (0, 1, 0), b"before", b""))
            assert journal.prune(at) == 0, "what could be taken back yesterday is gone because the clock was wrong for a moment"
        assert len(journal.cycles(-1)) == 7
        for day in range(40):
            journal.begin(f"day{day}", real + day * edits.DAY, "cycle")
            journal.prune(real + day * edits.DAY)
        assert {cycle.id for cycle in journal.cycles(-1)}.isdisjoint("0123456"), "what is really old stays for ever"
    finally:
        journal.close()


def test_the_journal_forgets_what_is_old_or_too_much_but_never_the_last(pair: tuple[Machine, Machine]) -> None:
    from sidecar.adapters.sqlite.journal import Journal

    a, b = pair
    for number in range(4):
        edit(a, lambda db, number=number: edits.edit_part(db, "prt_msg_10u", f"text {number}", now() + 1000 + number))  # type: ignore[misc]
        sync(a)
        sync(b)
    journal = Journal(b.own_state / "journal.db")
    try:
        count = len(journal.cycles(-1))
        oldest, at = journal.cycles(-1)[-1].at, journal.cycles(-1)[1].at
        assert journal.prune(oldest + 1000, keep_ms=1000) == 0
        assert journal.prune(at + 1001, keep_ms=1000) == count - 1
        assert len(journal.cycles(-1)) == 1
        assert journal.prune(at, keep_bytes=0) == 0, "the newest cycle can always be taken back"
    finally:
        journal.close()


def test_a_cycle_that_only_publishes_takes_nobodys_way_back(tmp_path: Path) -> None:
    from sidecar.adapters.sqlite.journal import Journal

    journal = Journal(tmp_path / "journal.db")
    try:
        for name, size in (("small", 10), ("large", 1000)):
            journal.begin(name, 1, "cycle")
            journal.done(journal.add(name, 1, "s", "t", (0, 0, 1), b"x" * size, b""))
        for name in ("published", "published too"):
            journal.begin(name, 2, "cycle")
            journal.prune(2, keep_bytes=500)
        kept = [cycle.id for cycle in journal.cycles(-1) if cycle.sessions]
        assert kept == ["large"], "what a cycle of more than the limit deleted cannot be brought back as soon as something was published"
    finally:
        journal.close()


def test_the_journal_never_outgrows_its_limit_and_the_newest_cycle_can_always_be_taken_back(
    pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sidecar.adapters.sqlite import journal

    a, b = pair
    limit = 60_000
    monkeypatch.setattr(journal, "KEEP_BYTES", limit)
    for number in range(6):
        text = random.Random(number).randbytes(12_000).hex()  # does not compress to less than half
        edit(a, lambda db, number=number, text=text: edits.edit_part(db, "prt_msg_10u", text, now() + 1000 + number))  # type: ignore[misc]
        sync(a)
        sync(b)
    kept = [cycle for cycle in history(b) if cycle.restorable]
    assert 2 <= len(kept) <= 5, "nothing, or everything, is remembered"
    size = b.sidecar.history(HistoryParams(), Task()).journal_bytes
    monkeypatch.setattr(journal, "KEEP_BYTES", 1)
    before = b.content()["part"]["prt_msg_10u"]["data"]
    edit(a, lambda db: edits.edit_part(db, "prt_msg_10u", "the last", now() + 5000))
    sync(a)
    last = sync(b).cycle_id
    assert [cycle.cycle_id for cycle in history(b) if cycle.restorable] == [last]
    connection = sqlite3.connect(b.own_state / "journal.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert b.sidecar.history(HistoryParams(), Task()).journal_bytes < size, "what was forgotten still takes its room"
    restore(b, last)
    settle(b, a)
    assert a.content()["part"]["prt_msg_10u"]["data"] == before


def test_what_was_restored_wins_over_what_it_replaces_and_loses_to_what_is_newer(pair: tuple[Machine, Machine]) -> None:
    """Newer is also what the other machine wrote since, and had not synced when it was restored: whoever restored had not seen it."""
    a, b = pair
    original = b.content()["part"]["prt_msg_10u"]["data"]
    edit(a, lambda db: edits.edit_part(db, "prt_msg_10u", "spoilt", now() + 1000))
    sync(a)
    cycle = sync(b).cycle_id
    restore(b, cycle)
    settle(b, a)
    assert a.content()["part"]["prt_msg_10u"]["data"] == original, "what was brought back lost against what it was to replace"
    edit(a, lambda db: edits.edit_part(db, "prt_msg_10u", "written after it", now() + 2000))
    settle(a, b)
    assert "written after it" in b.content()["part"]["prt_msg_10u"]["data"]
