"""Our copy of the vault is lost, and the remote has an older, cut or other log of this device: nothing is lost, no position is used twice."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.compact import CompactParams
from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, VerifyParams
from protocol.trust import RepairParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits, tamper
from tests.support.invariants import Crash
from tests.support.machines import Machine

Make = Callable[..., Machine]
LARGE = "x" * (3 << 19)


def at() -> int:
    return int(time.time() * 1000) - 60_000


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def work(machine: Machine, tag: str) -> None:
    """A session of its own, a turn in the first one, a title."""
    connection = machine.connect()
    edits.new_session(connection, f"ses_{tag}", at())
    edits.add_turn(connection, f"ses_{tag}", tag, at())
    edits.set_todos(connection, f"ses_{tag}", ["one", tag], at())
    if tag != "1":
        edits.add_turn(connection, "ses_1", f"more{tag}", at() + 10, LARGE if tag == "3" else "hello")
        edits.rename(connection, "ses_1", f"title {tag}")
    connection.close()


class World:
    """A published five times, the fourth with deletions; B has all of it."""

    def __init__(self, make: Make, remote: Path, encryption: str) -> None:
        self.make, self.remote = make, remote
        self.a, self.b = make("a"), make("b")
        work(self.a, "1")
        self.key = self.a.sidecar.init(InitParams(str(remote), encryption=encryption), Task()).recovery_key
        self.branch = f"sessions/{self.a.device_id}"
        self.tips = []
        self.published("1")
        self.b.sidecar.link(LinkParams(str(remote), self.key), Task())
        sync(self.b)
        for tag in ("2", "3"):
            work(self.a, tag)
            self.published(tag)
        connection = self.a.connect()
        edits.delete_message(connection, "msg_more2u")
        connection.execute("DELETE FROM session WHERE id='ses_2'")
        connection.close()
        self.published("4")
        sync(self.b)
        work(self.a, "5")
        self.published("5")

    def published(self, tag: str) -> None:
        sync(self.a)
        self.tips.append(tamper.logs(self.remote)[self.branch])

    def lose(self, *, shadow: bool = False) -> None:
        shutil.rmtree(self.a.own_state / "vault.git")
        if shadow:
            for path in self.a.own_state.glob("shadow.db*"):
                path.unlink()

    def repair(self) -> str:
        with pytest.raises(SidecarError) as caught:
            sync(self.a)
        assert "opencode-sidecar repair" in caught.value.remedy, "sync does not say what to do, or recorded something on top of nothing"
        actions = "\n".join(self.a.sidecar.repair(RepairParams(), Task()).actions)
        assert self.a.sidecar.repair(RepairParams(), Task()).actions == [], "the second repair had something to do"
        return actions

    def settled(self, *, verified: bool = True) -> dict[str, dict[str, object]]:
        """`verified`: else the other machine knows of things that are in no log any more; it names them, and its own repair lets go of them."""
        machines = (self.a, self.b)
        for one in machines * 3:
            sync(one)
        if not verified:
            assert self.b.sidecar.verify(VerifyParams(), Task()).differences, "what the others know and no log says is not named"
            self.b.sidecar.repair(RepairParams(), Task())
            sync(self.b)
        new = self.make("new")
        new.sidecar.link(LinkParams(str(self.remote), self.key), Task())
        assert not sync(new).warnings, "a machine that joins now does not take the log as it is"
        for one in (*machines, new):
            result = sync(one)
            assert not result.warnings
            assert result.up_to_date
            one.check_integrity()
            report = one.sidecar.verify(VerifyParams(), Task())
            assert report.ok, (one.root.name, report.differences)
            assert one.content() == self.a.content(), f"{one.root.name} has something else"
        return self.a.content()

    def sequences(self) -> list[int]:
        names = tamper.git(self.remote, "ls-tree", "-r", "--name-only", self.branch, "seg/").splitlines()
        return sorted(int(name[-26:-17]) for name in names)


@pytest.fixture
def encryption() -> str:
    return "aes-256-gcm"


@pytest.fixture
def world(machine: Make, remote: Path, encryption: str) -> World:
    return World(machine, remote, encryption)


both = pytest.mark.parametrize("encryption", ["aes-256-gcm", "none"])


def cut(tree: Path) -> None:
    tamper.segments(tree)[2].unlink()


@both
def test_a_log_that_went_back_is_brought_up_again(world: World) -> None:
    before, marks = world.a.content(), world.sequences()
    world.lose()
    tamper.point(world.remote, world.branch, world.tips[1])
    assert "rolled back or cut to segment 2 of 5" in world.repair()
    assert world.settled() == before, "something that was published is gone"
    assert world.sequences() == marks, "a segment has another place than it had"


def test_a_copy_of_the_vault_from_a_backup(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.a.own_state / "vault.git", tmp_path / "kept")
    work(world.a, "6")
    sync(world.a)
    before = world.a.content()
    for tip in (tamper.logs(world.remote)[world.branch], world.tips[1]):
        world.lose()
        shutil.copytree(tmp_path / "kept", world.a.own_state / "vault.git")
        tamper.point(world.remote, world.branch, tip)
        world.repair()
        sync(world.a)
    assert world.settled() == before


def test_what_the_remote_lost_of_a_segment_in_the_middle_is_made_again(world: World) -> None:
    before = world.a.content()
    world.lose()
    tamper.rewrite(world.remote, world.branch, cut)
    assert "rolled back or cut to segment 2 of 5" in world.repair()
    assert world.settled() == before


@both
def test_a_log_that_is_gone_is_made_again(world: World) -> None:
    before = world.a.content()
    world.lose()
    tamper.git(world.remote, "update-ref", "-d", f"refs/heads/{world.branch}")
    assert "lost this device's log" in world.repair()
    assert world.settled() == before


def test_what_was_changed_and_deleted_meanwhile_is_published(world: World) -> None:
    connection = world.a.connect()
    edits.rename(connection, "ses_5", "later")
    edits.delete_message(connection, "msg_5u")
    connection.execute('UPDATE part SET data=\'{"type":"text","text":"later"}\', time_updated=? WHERE id=\'prt_msg_more3u\'', (at() + 99,))
    edits.wrote(connection, "ses_1")
    connection.close()
    world.lose()
    tamper.point(world.remote, world.branch, world.tips[1])
    before = world.a.content()
    world.repair()
    assert world.settled() == before
    assert "msg_5u" not in world.b.content()["message"]


def test_a_deletion_elsewhere_stays_one(world: World) -> None:
    """The other machine had seen what is made again: it is no news that would bring the session back."""
    sync(world.b)
    connection = world.b.connect()
    connection.execute("DELETE FROM session WHERE id='ses_5'")
    connection.close()
    sync(world.b)
    world.lose()
    tamper.point(world.remote, world.branch, world.tips[1])
    world.repair()
    assert "ses_5" not in world.settled()["session"], "a session that was deleted came back"


def test_a_log_of_before_it_was_compacted(world: World) -> None:
    world.a.sidecar.compact(CompactParams(), Task())
    sync(world.b)
    work(world.a, "6")
    sync(world.a)
    before = world.a.content()
    for tip in (world.tips[4], world.tips[1]):
        world.lose()
        tamper.point(world.remote, world.branch, tip)
        world.repair()
        sync(world.a)
        assert world.a.content() == before
    assert world.settled() == before


def test_a_log_that_was_compacted_since(world: World, tmp_path: Path) -> None:
    """The state is of a backup from before."""
    state = tmp_path / "kept"
    shutil.copytree(world.a.own_state, state)
    world.a.sidecar.compact(CompactParams(), Task())
    work(world.a, "6")
    sync(world.a)
    before = world.a.content()
    shutil.rmtree(world.a.own_state)
    shutil.copytree(state, world.a.own_state)
    world.lose()
    assert "does not remember" in world.repair()
    assert world.settled() == before


def test_a_log_that_went_on_without_this_state_deletes_nothing(world: World, tmp_path: Path) -> None:
    """What the log has and this database has not was never deleted here."""
    state, database = tmp_path / "kept", tmp_path / "kept.db"
    world.a.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(world.a.own_state, state)
    shutil.copyfile(world.a.db, database)
    work(world.a, "6")
    sync(world.a)
    before = world.a.content()
    shutil.rmtree(world.a.own_state)
    shutil.copytree(state, world.a.own_state)
    for path in world.a.db.parent.glob("opencode.db*"):
        path.unlink()
    shutil.copyfile(database, world.a.db)
    world.lose()
    assert "does not remember" in world.repair()
    assert world.settled() == before, "what was published since the backup was deleted everywhere"


@both
def test_a_fork_under_our_name_is_taken_in_behind_what_was_there(world: World, tmp_path: Path) -> None:
    """A copy of the machine of before segment 3 published in its place, and the other machine had taken that for ours."""
    before = world.a.content()
    clone = world.make("clone")
    world.lose()
    tamper.point(world.remote, world.branch, world.tips[1])
    shutil.copytree(world.a.root / "state", clone.root / "state", dirs_exist_ok=True)
    for path in clone.own_state.glob("shadow.db*"):
        path.unlink()
    for path in clone.own_state.glob("journal.db*"):
        path.unlink()
    with pytest.raises(SidecarError):
        sync(clone)  # it has no log here
    clone.sidecar.link(LinkParams(str(world.remote), same_device=True), Task())
    sync(clone)
    for tag in ("f1", "f2", "f3", "f4"):
        work_in_fork(clone, tag)
        sync(clone)
    connection = clone.connect()
    connection.execute("DELETE FROM session WHERE id='ses_f2'")
    connection.close()
    sync(clone)
    sync(world.b)
    assert "another log under this device's name from segment 3 on" in world.repair()
    after = world.settled()
    for table in ("session", "message", "part", "todo"):
        assert after[table].keys() >= before[table].keys(), f"what this device had published in {table} is gone"
    assert {"ses_f1", "ses_f3", "ses_f4"} <= after["session"].keys(), "what was published under our name is gone"
    assert "ses_f2" not in after["session"], "a deletion in the fork was undone"


def work_in_fork(machine: Machine, tag: str) -> None:
    connection = machine.connect()
    edits.new_session(connection, f"ses_{tag}", at())
    edits.add_turn(connection, f"ses_{tag}", tag, at())
    connection.close()


def test_nonsense_in_the_place_of_the_log_is_replaced(world: World) -> None:
    before = world.a.content()
    world.lose()

    def spoil(tree: Path) -> None:
        tamper.segments(tree)[3].write_bytes(b"nonsense")
        for name in ("head", "head.json"):
            if (tree / name).exists():
                (tree / name).write_bytes(b"{}")

    tamper.rewrite(world.remote, world.branch, spoil)
    world.repair()
    assert world.settled() == before


@both
def test_without_the_shadow_no_position_is_used_twice(world: World) -> None:
    """The journal says how far the log went; what the database has is published again behind it."""
    sync(world.b)
    before = world.a.content()
    world.lose(shadow=True)
    tamper.point(world.remote, world.branch, world.tips[1])
    assert "segments 3 to 5 of this device's log are lost" in world.repair()
    after = world.settled(verified=False)
    for table in before:
        assert after[table].keys() >= before[table].keys()
    assert world.sequences()[:4] == [1, 2, 5, 6]


def test_without_shadow_and_journal_the_other_logs_say_how_far_it_went(world: World) -> None:
    sync(world.b)
    connection = world.b.connect()
    edits.add_turn(connection, "ses_5", "frombee", at() + 50)
    connection.close()
    sync(world.b)
    before = world.b.content()
    world.lose(shadow=True)
    for path in world.a.own_state.glob("journal.db*"):
        path.unlink()
    tamper.point(world.remote, world.branch, world.tips[1])
    actions = "\n".join(world.a.sidecar.repair(RepairParams(), Task()).actions)
    assert "segments 3 to 5 of this device's log are lost" in actions
    after = world.settled(verified=False)
    for table in before:
        assert after[table].keys() >= before[table].keys()
    assert world.sequences()[:4] == [1, 2, 5, 6]


@pytest.mark.parametrize("stop", ["after the log was made", "before the branch was set"])
def test_a_repair_that_is_stopped_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stop: str) -> None:
    from sidecar.adapters.git import VaultRepo
    from sidecar.adapters.sqlite.shadow import Shadow

    shutil.copytree(world.a.own_state / "vault.git", tmp_path / "kept")
    work(world.a, "6")
    sync(world.a)
    before = world.a.content()
    world.lose()
    if stop == "before the branch was set":  # there is one, which is old
        shutil.copytree(tmp_path / "kept", world.a.own_state / "vault.git")
    tamper.point(world.remote, world.branch, world.tips[1])
    adopt = VaultRepo.adopt_ref

    def dies(self: object, *arguments: object, **_: object) -> None:
        if stop == "after the log was made" or str(arguments[0]).startswith("refs/heads/sessions/"):
            raise Crash
        adopt(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(*((Shadow, "replace_log", dies) if stop == "after the log was made" else (VaultRepo, "adopt_ref", dies)))
        with pytest.raises(Crash):
            world.a.sidecar.repair(RepairParams(), Task())
    world.repair()
    assert world.settled() == before


def test_a_key_that_was_changed_before_the_mended_log_went_out(world: World) -> None:
    sync(world.b)
    before = world.a.content()
    world.lose()
    tamper.point(world.remote, world.branch, world.tips[1])
    world.repair()
    world.b.cli("rotate-key", expect=(0, 3))
    world.key = world.b.cli("show-key", "--yes")["recoveryKey"]
    assert world.settled() == before


def test_an_unreachable_remote_is_said_and_nothing_is_made_up(world: World) -> None:
    before = world.a.content()
    world.lose()
    hidden = world.remote.with_name("hidden.git")
    world.remote.rename(hidden)
    assert "could not be asked" in "\n".join(world.a.sidecar.repair(RepairParams(), Task()).actions)
    hidden.rename(world.remote)
    world.repair()
    assert world.settled() == before
    subprocess.run(["git", "fsck"], cwd=world.remote, check=True, capture_output=True)
