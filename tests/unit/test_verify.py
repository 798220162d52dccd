"""Whatever is planted, `verify` names it, says what it means and what helps; a healthy fleet shows nothing, and nothing is changed."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, Difference, InitParams, LinkParams, VerifyParams, VerifyResult
from protocol.trust import RepairParams
from sidecar.domain.errors import Cancelled
from sidecar.domain.state import APPLIED
from sidecar.domain.task import Task
from sidecar.services.receive import index_log
from tests.support import edits, tamper
from tests.support.machines import Machine, edit

Make = Callable[..., Machine]
LARGE = "a large value " * 120_000
EDITS = {"missing", "extra", "changed"}


def at() -> int:
    return int(time.time() * 1000) - 60_000


def sync(machine: Machine) -> None:
    machine.sidecar.run(CycleParams(), Task())


def verify(machine: Machine, *, offline: bool = False) -> VerifyResult:
    result = machine.sidecar.verify(VerifyParams(offline=offline), Task())
    assert result.ok == (not result.differences)
    for difference in result.differences:
        assert difference.meaning, difference
        assert difference.remedy, difference
    return result


def found(machine: Machine, *, offline: bool = True) -> set[tuple[str, str]]:
    return {(d.kind, d.key or d.session_id) for d in verify(machine, offline=offline).differences}


def shadow(machine: Machine, query: str, *parameters: object) -> None:
    db = sqlite3.connect(machine.own_state / "shadow.db", isolation_level=None)
    assert db.execute(query, parameters).rowcount != 0, "nothing was planted"
    db.close()


def history(db: sqlite3.Connection) -> None:
    for number in range(3):
        edits.new_session(db, f"ses_{number}", at())
        edits.add_turn(db, f"ses_{number}", f"{number}", at(), LARGE if number == 2 else "hello")
    edits.set_todos(db, "ses_0", ["a", "b"], at())
    edits.add_turn(db, "ses_0", "old", at() + 10)


@pytest.fixture
def pair(machine: Make, remote: Path) -> tuple[Machine, Machine]:
    """Two machines; the first wrote two segments and deleted a message and a session in a third, the second one."""
    a, b = machine("a"), machine("b")
    edit(a, history)
    key = a.sidecar.init(InitParams(str(remote)), Task()).recovery_key
    sync(a)
    b.sidecar.link(LinkParams(str(remote), key), Task())
    sync(b)
    edit(a, lambda db: (edits.add_turn(db, "ses_0", "new", at() + 100), edits.rename(db, "ses_1", "renamed"), edits.new_session(db, "ses_x", at())))
    sync(a)
    edit(a, lambda db: (edits.delete_message(db, "msg_olda"), edits.delete_session(db, "ses_x")))
    sync(a)
    edit(b, lambda db: edits.add_turn(db, "ses_1", "b", at() + 200))
    sync(b)
    sync(a)
    return a, b


def test_a_healthy_fleet_shows_nothing_and_its_logs_have_one_digest(pair: tuple[Machine, Machine]) -> None:
    results = [verify(one) for one in pair]
    assert all(result.ok and not result.notes and not result.waiting for result in results)
    assert {result.segments_checked for result in results} == {4}
    assert len({result.digests["logs"] for result in results}) == 1, "two machines with the same logs fold them differently"
    for result in results:
        assert result.digests["database"] == result.digests["shadow"]
        assert result.rows_compared == len(pair[0].sql("SELECT id FROM message")) * 2 + 3 + 1
        assert result.records_checked > result.rows_compared


def test_nothing_is_changed_by_looking(pair: tuple[Machine, Machine]) -> None:
    a, _ = pair
    edit(a, lambda db: edits.rename(db, "ses_0", "by hand"))
    state = [sorted((path, path.read_bytes()) for path in (a.own_state / "vault.git").rglob("*") if path.is_file()), a.content()]
    dump = "\n".join(sqlite3.connect(a.own_state / "shadow.db").iterdump())
    assert not verify(a).ok
    assert [sorted((path, path.read_bytes()) for path in (a.own_state / "vault.git").rglob("*") if path.is_file()), a.content()] == state
    assert "\n".join(sqlite3.connect(a.own_state / "shadow.db").iterdump()) == dump


def test_edits_that_were_not_synced_are_told_apart(pair: tuple[Machine, Machine]) -> None:
    a, b = pair

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE part SET data=replace(data, 'hello', 'HELLO') WHERE id='prt_msg_0u'")  # behind opencode's back
        db.execute("DELETE FROM part WHERE id='prt_msg_1u'")
        edits.rename(db, "ses_1", "by hand")
        edits.new_session(db, "ses_9", at())

    edit(a, change)
    assert found(a) == {("changed", "prt_msg_0u"), ("missing", "prt_msg_1u"), ("changed", "ses_1"), ("extra", "ses_9")}
    result = verify(a)
    assert result.unsynced == 4
    assert [d.columns for d in result.differences if d.key == "ses_1"] == [["title"]]
    assert result.digests["database"] != result.digests["shadow"]
    assert "❌" not in a.run("verify").stdout, "a person's own edits are shown as damage"
    a.sql("UPDATE part SET time_updated=time_updated+1 WHERE id='prt_msg_0u'")
    a.sql("UPDATE event_sequence SET seq=seq+1")
    sync(a)
    assert verify(a).ok
    assert verify(b).notes, "another machine has published, and verify does not say so"
    assert verify(b).ok


def test_what_waits_for_a_known_reason_is_no_difference(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(a, lambda db: edits.insert(db, "message", {"id": "msg_9", "session_id": "ses_0", "time_created": at() + 59_000, "time_updated": at() + 59_000,
                                                     "data": '{"role":"user","time":{"created":1}}'}))  # fmt: skip
    a.sql("UPDATE event_sequence SET seq=seq+1")
    sync(a)
    result = verify(a)
    assert result.ok, "a turn that is being written counts as damage"
    assert result.waiting
    edit(a, lambda db: (db.execute("DELETE FROM message WHERE id='msg_9'"), edits.new_session(db, "ses_f", at() + 3_600_000)))
    a.sql("UPDATE event_sequence SET seq=seq+1")
    sync(a)
    sync(b)
    assert b.sql("SELECT 1 FROM session WHERE id='ses_f'") == []
    assert verify(b).ok, "a session that is held counts as damage"
    assert verify(b).waiting


SHADOW = {
    "a hash": ("UPDATE row SET hash=x'00' WHERE key='msg_0u'", {("shadowWrong", "msg_0u")}),
    "a row that came from another machine lost": ("DELETE FROM row WHERE key='msg_bu'", {("shadowLost", "msg_bu")}),
    "a session's row lost": ("DELETE FROM row WHERE key='ses_2' AND tbl='session'", {("shadowLost", "ses_2")}),
    "a version that nobody wrote": ("UPDATE row SET time=time+1000000 WHERE key='msg_newu'", {("shadowWrong", "msg_newu")}),
    "a deletion that nobody made": (
        "INSERT INTO tombstone SELECT 'ses_0', 'message', 'msg_0u', json_group_object(id, 99) FROM device",
        {("shadowWrong", "msg_0u")},
    ),
    "a session's deletion that nobody made": (
        "INSERT INTO tombstone SELECT 'ses_0', 'session', 'ses_0', json_group_object(id, 99) FROM device",
        {("shadowWrong", "ses_0")},
    ),
    "a deletion forgotten": ("DELETE FROM tombstone", {("shadowWrong", "msg_olda")}),
    "puts forgotten": ("UPDATE session_segment SET puts=0 WHERE session='ses_1'", {("shadowWrong", "ses_1")}),
    "another end of a log": ("UPDATE device SET sequence=sequence+5", {("shadowWrong", "")}),
    "a segment forgotten": ("DELETE FROM segment WHERE sequence=2", {("segmentUnknown", "")}),
    "a mention forgotten": ("DELETE FROM session_segment WHERE session='ses_1' AND sequence=2", {("segmentUnknown", "ses_1")}),
}


@pytest.mark.parametrize("planted", SHADOW)
def test_damage_of_the_shadow_is_named_and_repair_mends_it(pair: tuple[Machine, Machine], planted: str) -> None:
    a, b = pair
    before, (query, expected) = a.content(), SHADOW[planted]
    shadow(a, query)
    assert found(a) >= expected
    assert not any(kind in EDITS for kind, _ in found(a)), "damage is taken for somebody's edit"
    a.sidecar.repair(RepairParams(), Task())
    sync(a)
    assert found(a) == set()
    sync(b)
    assert a.content() == b.content() == before


def test_a_newer_version_that_counts_as_applied_and_is_not_here_is_named(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    edit(
        b, lambda db: (edits.edit_part(db, "prt_msg_0u", "newer", at() + 900), edits.rename(db, "ses_2", "newer"), edits.add_turn(db, "ses_2", "n", at() + 900))
    )
    sync(b)
    with a.sidecar._workspace() as ws, ws.shadow.writing():  # as if a cycle had noted what it never wrote
        device = next(device for device, *_ in ws.shadow.devices() if device != ws.identity.device_id)
        ws.repo.fetch(Task(), [f"sessions/{device}"])
        index_log(ws, Task(), device, ws.repo.local_ref(f"refs/remotes/origin/sessions/{device}") or "", state=APPLIED)
    assert found(a) >= {("notApplied", "prt_msg_0u"), ("notApplied", "ses_2"), ("unaccounted", "msg_nu"), ("unaccounted", "msg_na")}


def test_a_row_that_the_logs_say_was_deleted_is_named(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    row = b.sql("SELECT * FROM message WHERE id='msg_1a'")[0]
    saved = sqlite3.connect(b.own_state / "shadow.db").execute("SELECT * FROM row WHERE key='msg_1a'").fetchone()
    edit(a, lambda db: edits.delete_message(db, "msg_1a"))
    sync(a)
    sync(b)
    assert found(b) == set()
    edit(b, lambda db: db.execute(f"INSERT INTO message VALUES ({','.join('?' * len(row))})", row))
    assert found(b) == {("extra", "msg_1a")}
    shadow(b, f"INSERT INTO row VALUES ({','.join('?' * len(saved))})", *saved)
    assert found(b) == {("deleted", "msg_1a")}


def blob_of(machine: Machine, sequence: int) -> str:
    """Of the other machine's log."""
    mine = machine.cli("status")["deviceId"]
    db = sqlite3.connect(machine.own_state / "shadow.db")
    return str(db.execute("SELECT blob FROM segment WHERE sequence=? AND device<>?", (sequence, mine)).fetchone()[0])


def test_a_segment_or_large_value_that_is_gone_or_damaged_here_is_named(pair: tuple[Machine, Machine]) -> None:
    _, b = pair
    objects = tamper.unpacked(b.own_state / "vault.git")
    assert found(b) == set()
    blob = blob_of(b, 1)
    path = objects / blob[:2] / blob[2:]
    kept = path.read_bytes()
    path.unlink()
    assert {kind for kind, _ in found(b)} == {"segmentMissing"}
    other = blob_of(b, 2)
    path.write_bytes((objects / other[:2] / other[2:]).read_bytes())
    assert {kind for kind, _ in found(b)} == {"segmentDamaged"}
    path.write_bytes(kept)
    assert found(b) == set()
    large = tamper.git(b.own_state / "vault.git", "for-each-ref", "--format=%(objectname)", "refs/remotes/origin/sessions").splitlines()
    value = next(line.split()[2] for commit in large for line in tamper.git(b.own_state / "vault.git", "ls-tree", "-r", commit).splitlines() if "blob/" in line)
    (objects / value[:2] / value[2:]).unlink()
    assert {kind for kind, _ in found(b)} == {"valueDamaged"}


def names(machine: Machine, remote: Path) -> tuple[str, str]:
    mine = f"sessions/{machine.cli('status')['deviceId']}"
    return mine, next(branch for branch in tamper.logs(remote) if branch != mine)


def test_what_became_of_the_logs_on_the_remote_is_named(pair: tuple[Machine, Machine], remote: Path) -> None:
    _, b = pair
    mine, other = names(b, remote)
    tips = tamper.logs(remote)

    def kinds() -> list[Difference]:
        return verify(b).differences

    tamper.rewrite(remote, other, lambda tree: tamper.segments(tree)[-1].unlink())
    assert [(d.kind, d.device) for d in kinds()] == [("remoteBehind", other.split("/")[1])], "a log was cut, and nobody is told"
    tamper.point(remote, other, tamper.git(remote, "rev-parse", f"{tips[other]}~1"))
    assert [d.kind for d in kinds()] == ["remoteBehind"]
    tamper.git(remote, "update-ref", "-d", f"refs/heads/{other}")
    assert [d.kind for d in kinds()] == ["remoteMissing"]
    tamper.point(remote, other, tips[other])
    assert kinds() == []
    tamper.git(remote, "update-ref", "-d", f"refs/heads/{mine}")
    assert [(d.kind, d.device) for d in kinds()] == [("remoteMissing", mine.split("/")[1])]
    tamper.point(remote, mine, tips[mine])
    tamper.rewrite(remote, mine, lambda tree: (tree / "x").write_text("x"))
    assert [d.kind for d in kinds()] == ["remoteOther"]
    assert verify(b, offline=True).ok, "--offline talked to the remote"
    tamper.point(remote, mine, tips[mine])
    shutil.move(remote, remote.with_name("gone.git"))
    result = verify(b)
    assert result.ok
    assert any("not compared" in note for note in result.notes)


def test_what_was_recorded_and_not_pushed_is_a_note(pair: tuple[Machine, Machine]) -> None:
    a, _ = pair
    edit(a, lambda db: edits.rename(db, "ses_0", "recorded"))
    a.sidecar.pull(CycleParams(), Task())
    result = verify(a)
    assert result.ok
    assert any("not been pushed" in note for note in result.notes)


def test_it_stops_when_asked(pair: tuple[Machine, Machine]) -> None:
    a, _ = pair
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        a.sidecar.verify(VerifyParams(), task)
