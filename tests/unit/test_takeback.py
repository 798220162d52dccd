"""Two machines under one identity: "it is a copy" and "it is the original, restored from a backup" both keep everything."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, StatusParams, VerifyParams
from protocol.trust import RepairParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.machines import Machine, bare_remote
from tests.support.tamper import logs

Make = Callable[..., Machine]


def at() -> int:
    return int(time.time() * 1000) - 60_000


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def work(machine: Machine, tag: str) -> None:
    """A new session, and a turn in the first one."""
    connection: sqlite3.Connection = machine.connect()
    edits.new_session(connection, f"ses_{tag}", at())
    edits.add_turn(connection, f"ses_{tag}", tag, at())
    if tag != "first":
        edits.add_turn(connection, "ses_first", f"more{tag}", at() + 10)
    connection.close()


class Backup:
    """Of a machine's state, and if wanted its database."""

    def __init__(self, machine: Machine, to: Path, *, database: bool) -> None:
        self.machine, self.to, self.database = machine, to, database
        machine.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copytree(machine.root / "state", to / "state")
        shutil.copyfile(machine.db, to / "opencode.db")

    def restore(self) -> None:
        shutil.rmtree(self.machine.root / "state")
        shutil.copytree(self.to / "state", self.machine.root / "state")
        if self.database:
            for path in self.machine.db.parent.glob("opencode.db*"):
                path.unlink()
            shutil.copyfile(self.to / "opencode.db", self.machine.db)


@pytest.fixture
def pair(machine: Make, remote: Path) -> tuple[Machine, Machine, str | None]:
    a, b = machine("a"), machine("b")
    work(a, "first")
    key = a.sidecar.init(InitParams(str(remote)), Task()).recovery_key
    sync(a)
    b.sidecar.link(LinkParams(str(remote), key), Task())
    sync(b)
    return a, b, key


def refused(machine: Machine) -> None:
    with pytest.raises(SidecarError) as caught:
        sync(machine)
    assert caught.value.kind == "identityCloned"
    assert "--new-device" in caught.value.remedy
    assert "--same-device" in caught.value.remedy
    asked = [entry for entry in machine.sidecar.status(StatusParams(), Task()).attention if entry.reason == "identity"]
    assert asked, "status does not show the question"
    assert "--same-device" in asked[0].detail


def settled(a: Machine, b: Machine) -> None:
    for one in (a, b, a, b):
        sync(one)
    assert a.content() == b.content()
    for one in (a, b):
        one.check_integrity()
        assert one.sidecar.verify(VerifyParams(), Task()).ok
        assert sync(one).up_to_date


@pytest.mark.parametrize("database", [True, False], ids=["with its database", "the state alone"])
def test_the_original_restored_from_a_backup_goes_on_with_its_log(
    pair: tuple[Machine, Machine, str | None], remote: Path, tmp_path: Path, *, database: bool
) -> None:
    a, b, _ = pair
    backup = Backup(a, tmp_path / "backup", database=database)
    work(a, "second")
    connection = a.connect()
    edits.delete_message(connection, "msg_firstu")
    connection.close()
    sync(a)
    work(a, "third")
    sync(a)
    sync(b)
    before, device, tips = b.content(), a.sidecar.status(StatusParams(), Task()).device_id, logs(remote)
    backup.restore()
    work(a, "since")  # what was written between the restore and the question
    refused(a)
    assert logs(remote) == tips
    result = a.sidecar.link(LinkParams(str(remote), same_device=True), Task())
    assert result.device_id == device
    assert result.preview.published.sessions == 2, "what is here only, and nothing else, would go out"
    settled(a, b)
    for table in ("session", "message", "part"):
        assert b.content()[table].keys() >= before[table].keys(), "what the original had published before is gone"
    assert {"ses_second", "ses_third", "ses_since"} <= a.content()["session"].keys()
    assert {"msg_moresinceu", "msg_moresecondu"} <= b.content()["message"].keys()
    assert "msg_firstu" not in b.content()["message"], "a deletion that had been published was undone"
    assert logs(remote).keys() == tips.keys(), "the original got another log"


def test_logs_that_went_apart_are_both_kept(pair: tuple[Machine, Machine, str | None], remote: Path, tmp_path: Path) -> None:
    a, b, _ = pair
    backup = Backup(a, tmp_path / "backup", database=True)
    work(a, "pushed")
    sync(a)
    backup.restore()
    work(a, "mine")
    a.sidecar.pull(CycleParams(), Task())  # recorded under the number of the segment that the remote has
    refused(a)
    a.sidecar.link(LinkParams(str(remote), same_device=True), Task())
    assert list((a.own_state / "vault.git/refs/kept").iterdir()), "a segment that was recorded here cannot be found any more"
    settled(a, b)
    assert {"ses_pushed", "ses_mine"} <= b.content()["session"].keys()


@pytest.mark.parametrize("shadow", ["with the shadow", "without the shadow"])
@pytest.mark.parametrize("answer", ["link --same-device", "repair"])
def test_a_lost_copy_of_the_vault_is_taken_back(pair: tuple[Machine, Machine, str | None], remote: Path, answer: str, shadow: str) -> None:
    """With what was done since, of which a deletion may be undone: nothing says any more that the row was here."""
    a, b, _ = pair
    work(a, "second")
    sync(a)
    shutil.rmtree(a.own_state / "vault.git")
    if shadow == "without the shadow":
        for path in a.own_state.glob("shadow.db*"):
            path.unlink()
    work(a, "since")
    connection = a.connect()
    edits.rename(connection, "ses_second", "renamed since")
    edits.edit_part(connection, "prt_msg_moreseconda", "edited since", at() + 20)
    edits.delete_message(connection, "msg_firstu")
    connection.execute("DELETE FROM session WHERE id='ses_since'")
    connection.close()
    work(a, "last")
    before = a.content()
    with pytest.raises(SidecarError) as caught:
        sync(a)
    assert "opencode-sidecar repair" in caught.value.remedy
    if answer == "repair":
        a.sidecar.repair(RepairParams(), Task())
    else:
        a.sidecar.link(LinkParams(str(remote), same_device=True), Task())
    settled(a, b)
    for table in ("session", "message", "part", "todo"):
        assert a.content()[table].keys() - {"msg_firstu", "prt_msg_firstu"} == before[table].keys(), f"what was written since the loss is gone in {table}"
    assert "edited since" in str(b.content()["part"]["prt_msg_moreseconda"]), "an edit that was made since the loss is gone"
    assert b.sql("SELECT title FROM session WHERE id='ses_second'") == [("renamed since",)]


def test_where_nothing_is_to_be_taken_back_nothing_changes(pair: tuple[Machine, Machine, str | None], remote: Path, tmp_path: Path) -> None:
    a, _, _ = pair
    stamp = (a.own_state / "shadow.db").stat().st_ino
    a.sidecar.link(LinkParams(str(remote), same_device=True), Task())
    assert (a.own_state / "shadow.db").stat().st_ino == stamp
    assert sync(a).up_to_date
    other = bare_remote(tmp_path / "other.git")
    for params in (LinkParams(str(other), same_device=True), LinkParams(str(remote), new_device=True, same_device=True)):
        with pytest.raises(SidecarError):
            a.sidecar.link(params, Task())
    assert sync(a).up_to_date, "a refused answer left something behind"


def test_a_copy_that_says_it_is_the_original_loses_nothing(pair: tuple[Machine, Machine, str | None], remote: Path, machine: Make) -> None:
    """The wrong answer, on both machines in turn."""
    a, b, _ = pair
    clone = machine("clone")
    a.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(a.root / "state", clone.root / "state", dirs_exist_ok=True)
    shutil.copyfile(a.db, clone.db)
    shutil.copytree(a.root / "home", clone.root / "home", dirs_exist_ok=True)
    for number in range(2):
        for one, name in ((a, f"a{number}"), (clone, f"clone{number}")):
            work(one, name)
            if (number, one) != (0, a):  # the first one has not been overtaken yet
                refused(one)
                one.sidecar.link(LinkParams(str(remote), same_device=True), Task())
            sync(one)
    sync(b)
    assert {"ses_a0", "ses_a1", "ses_clone0", "ses_clone1"} <= b.content()["session"].keys()
    assert {f"msg_more{who}{n}u" for who in ("a", "clone") for n in "01"} <= b.content()["message"].keys()


def test_a_copy_of_a_machine_with_an_encrypted_vault_needs_no_key_to_become_one_of_its_own(
    pair: tuple[Machine, Machine, str | None], remote: Path, machine: Make
) -> None:
    a, b, _ = pair
    clone = machine("clone")
    a.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(a.root / "state", clone.root / "state", dirs_exist_ok=True)
    shutil.copyfile(a.db, clone.db)
    for one, name in ((a, "mine"), (clone, "its")):
        work(one, name)
    sync(a)
    refused(clone)
    result = clone.sidecar.link(LinkParams(str(remote), new_device=True), Task())
    assert result.device_id != a.sidecar.status(StatusParams(), Task()).device_id
    settled(clone, a)
    sync(b)
    assert {"ses_mine", "ses_its"} <= b.content()["session"].keys()


@pytest.mark.parametrize("later", ["pull", "no network"])
def test_the_question_which_machine_this_is_stays_until_it_is_answered(
    pair: tuple[Machine, Machine, str | None], remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    a, b, _ = pair
    backup = Backup(a, tmp_path / "backup", database=True)
    work(a, "second")
    sync(a)
    backup.restore()
    refused(a)
    if later == "pull":
        a.sidecar.pull(CycleParams(), Task())
    else:
        with monkeypatch.context() as patch:
            patch.setattr("sidecar.adapters.git.VaultRepo.remote_heads", _unreachable)
            with pytest.raises(SidecarError):
                sync(a)
    assert _asks(a), "nothing has settled, and nobody is told any more why nothing goes out"
    a.sidecar.link(LinkParams(str(remote), same_device=True), Task())
    settled(a, b)
    assert not _asks(a)


def _unreachable(*_: object) -> None:
    raise SidecarError("remoteUnreachable", "There is no network.")


def _asks(machine: Machine) -> bool:
    return any(entry.reason == "identity" for entry in machine.sidecar.status(StatusParams(), Task()).attention)


def test_a_network_that_goes_while_the_new_identity_is_made_leaves_it_with_its_key(
    pair: tuple[Machine, Machine, str | None], remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, _ = pair
    before = a.sidecar.status(StatusParams(), Task()).device_id

    def cut(*_: object, **__: object) -> None:
        raise SidecarError("remoteUnreachable", "The network has gone.")

    with monkeypatch.context() as patch:
        patch.setattr("sidecar.services.report.preview", cut)
        with pytest.raises(SidecarError):
            a.sidecar.link(LinkParams(str(remote), new_device=True), Task())
    work(a, "since")
    settled(a, b)
    assert a.sidecar.status(StatusParams(), Task()).device_id != before
    assert "ses_since" in b.content()["session"]


def test_another_vault_is_not_opened_with_the_key_of_the_old_one(pair: tuple[Machine, Machine, str | None], machine: Make, tmp_path: Path) -> None:
    a, b, _ = pair
    other, plain, sealed = machine("other"), bare_remote(tmp_path / "plain.git"), bare_remote(tmp_path / "sealed.git")
    other.sidecar.init(InitParams(str(sealed)), Task())
    with pytest.raises(SidecarError) as caught:
        a.sidecar.link(LinkParams(str(sealed), new_device=True), Task())
    assert "its key is needed" in caught.value.message
    third = machine("third")
    third.sidecar.init(InitParams(str(plain), encryption="none"), Task())
    b.sidecar.link(LinkParams(str(plain), new_device=True), Task())
    assert sync(b).published.sessions == 1
