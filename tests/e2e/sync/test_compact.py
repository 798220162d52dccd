"""Compaction, end to end: the log shrinks, and nobody sees a difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.compact import CompactParams, CompactResult
from protocol.keys import ForgetDeviceParams, RotateKeyParams
from protocol.sync import CycleParams, InitParams, LinkParams, PreviewResult, StatusParams
from protocol.trust import RepairParams
from sidecar.adapters.git import VaultRepo
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services import cycle
from tests.support import edits, tamper
from tests.support.machines import Machine, from_schema
from tests.support.rawclient import RawClient
from tests.support.worn import LARGE, START, Vault, compact, edit, part_of, run, same, tree_bytes, turn

Make = Callable[..., Machine]


def test_of_fifty_edits_of_one_message_the_remote_keeps_one(machine: Make, remote: Path) -> None:
    a = machine("a")
    a.sidecar.init(InitParams(str(remote)), Task())
    turn(a, "1")
    connection, part = a.connect(), part_of(a, "ses_1")
    for number in range(50):
        edits.edit_part(connection, part, f"edit {number}", START + 10**6 + number)
        a.sidecar.push(CycleParams(), Task())
    connection.close()
    ((branch, _),) = tamper.logs(remote).items()
    before, promised = tree_bytes(remote, branch), a.sidecar.compact(CompactParams(dry_run=True), Task())
    assert (promised.done, tree_bytes(remote, branch)) == (False, before), "a dry run changed the remote"
    done = compact(a)
    assert done.done
    assert (done.before.segments, done.before.commits, done.after.segments) == (51, 51, 1)
    assert (done.after, done.dropped, done.kept) == (promised.after, promised.dropped, promised.kept)
    assert tree_bytes(remote, branch) < before / 10, "the branch still carries what nobody needs"
    assert tamper.git(remote, "rev-list", "--count", branch) == "1"
    assert not compact(a).done, "compacting again found something to do"
    b = machine("b")
    b.sidecar.link(LinkParams(str(remote), key=a.run("show-key", "--yes").stdout.strip()), Task())
    run(b)
    same(a, b)


def test_everybody_ends_with_the_same_whenever_they_come(either: Vault) -> None:
    """One that was away during two compactions, one that joins after them, one that lost its shadow; and all of them go on."""
    away = either.linked("away")
    assert compact(either.a).done
    turn(either.a, "4", LARGE + "4")
    edit(either.a, edits.delete_session, "ses_2")
    turn(either.b, "5", session="ses_1")
    for _ in range(2):
        run(either.a)
        run(either.b)
    assert compact(either.a).done
    compact(either.b)
    (either.b.own_state / "shadow.db").unlink()
    either.b.sidecar.repair(RepairParams(), Task())
    late = either.linked("late")
    everybody = (either.a, either.b, away, late)
    for _ in range(2):
        for one in everybody:
            assert not run(one)
    same(*everybody)
    assert "ses_2" not in {row[0] for row in away.sql("SELECT id FROM session")}, "a deleted session came back"
    turn(away, "6", session="ses_1")
    for one in everybody:
        run(one)
        run(one)
    same(*everybody)


def test_a_new_device_with_an_old_copy_of_the_database_takes_nothing_back(vault: Vault) -> None:
    """What it has is in no log any more: it must not pass for news."""
    c = vault.machine("c")
    turn(vault.a, "4", session="ses_1")
    backup = vault.a.connect()
    copy = c.connect()
    backup.backup(copy)
    at = START + 10**8
    edits.rename(backup, "ses_1", "the newest title")
    edits.edit_part(backup, part_of(vault.a, "ses_2"), "the newest text", at)
    edits.edit_part(backup, part_of(vault.a, "ses_1"), "this, too", at)
    edits.set_todos(backup, "ses_1", ["newest"], at)
    edits.delete_message(backup, str(vault.a.sql("SELECT id FROM message WHERE session_id='ses_1' ORDER BY id DESC")[0][0]))
    edits.add_turn(copy, "ses_1", "9", at + 10**6, "written on the copy")
    backup.close()
    copy.close()
    run(vault.a)
    truth = vault.a.content()
    assert compact(vault.a).done
    c.sidecar.link(LinkParams(str(vault.remote), key=vault.key), Task())
    for _ in range(2):
        for one in (c, vault.a, vault.b):
            run(one)
    same(vault.a, vault.b, c)
    for table in ("message", "part", "todo"):
        found = c.content()[table]
        new = {key for key in found if "9" in key}
        assert {key: row for key, row in found.items() if key not in new} == truth[table], f"{table}: an old copy was taken for the newest"
        assert new or table == "todo", "what was written on the copy is gone"
    assert c.content()["session"]["ses_1"]["title"] == "the newest title"


def test_the_local_copy_gets_smaller_and_what_waits_stays_readable(either: Vault) -> None:
    """A session whose project is not here waits in the log, a large value of it beside; both devices compact meanwhile."""
    before = either.a.sidecar.status(StatusParams(), Task()).vault_bytes
    elsewhere = from_schema(either.root / "elsewhere", project="q" * 40)
    elsewhere.sidecar.link(LinkParams(str(either.remote), key=either.key), Task())
    run(elsewhere)
    turn(elsewhere, "7", "mine")
    assert elsewhere.sidecar.status(StatusParams(), Task()).unplaced == 2
    done = compact(either.a)
    assert done.freed_here > 0
    assert either.a.sidecar.status(StatusParams(), Task()).vault_bytes < before
    elsewhere.sidecar.preview(CycleParams(), Task())  # fetches the compacted log, and forgets that it did
    turn(elsewhere, "8", "mine", session="ses_7")
    assert compact(elsewhere).done
    run(elsewhere)
    assert compact(elsewhere).done is False
    folder = elsewhere.root / "home/other"
    folder.mkdir()
    connection = elsewhere.connect()
    connection.execute("INSERT INTO project (id, worktree, time_created, time_updated, sandboxes) VALUES (?,?,1,1,'[]')", ("p" * 40, str(folder)))
    connection.close()
    assert not run(elsewhere)
    texts = "".join(str(row[0]) for row in elsewhere.sql("SELECT data FROM part"))
    assert LARGE in texts
    assert "2 " + LARGE in texts, "what waited for its project is lost"


def test_after_a_rotation_nothing_of_the_log_is_under_the_old_key(vault: Vault) -> None:
    key = vault.a.sidecar.rotate_key(RotateKeyParams(None), Task())
    turn(vault.a, "4", "under the new key")
    done = compact(vault.a)
    assert (done.done, done.resealed) == (True, True)
    for path in tamper.git(vault.remote, "ls-tree", "-r", "--name-only", vault.branch).splitlines():
        name = tamper.git(vault.remote, "rev-parse", f"{vault.branch}:{path}")
        data = tamper.blob(vault.remote, name)
        prefix = data[12:20] if path.startswith("seg/") else data[:8]
        assert prefix.hex() == key.key_id, f"{path} can be read with the key that was replaced"
    vault.b.sidecar.link(LinkParams(str(vault.remote), key=key.recovery_key), Task())
    run(vault.b)
    same(vault.a, vault.b)
    assert not compact(vault.a).done


def test_the_log_of_a_forgotten_device_counts_as_far_as_it_was_compacted(vault: Vault) -> None:
    turn(vault.b, "4", LARGE + "4")
    edit(vault.b, edits.edit_part, part_of(vault.b, "ses_4"), "edited", START + 10**7)
    assert compact(vault.b).done
    device = next(d.id for d in vault.b.sidecar.status(StatusParams(), Task()).devices if d.this_device)
    key = vault.a.sidecar.forget_device(ForgetDeviceParams(device), Task()).recovery_key
    connection = vault.b.connect()
    edits.new_session(connection, "ses_5", START + 2 * 10**7)
    connection.close()
    for work in (run, compact):
        with pytest.raises(SidecarError, match="forgotten"):
            work(vault.b)
    late = vault.machine("late")
    late.sidecar.link(LinkParams(str(vault.remote), key=key), Task())
    for _ in range(2):
        for one in (vault.a, late):
            assert not run(one)
    compact(vault.a)
    run(late)
    same(vault.a, late)
    titles = {row[0] for row in late.sql("SELECT id FROM session")}
    assert "ses_4" in titles
    assert "ses_5" not in titles


def test_the_command_and_the_method_say_what_they_did(vault: Vault) -> None:
    told = vault.a.run("compact", "--dry-run")
    assert told.returncode == 0
    assert told.stdout.startswith("It would be")
    client = RawClient(vault.a.environ)
    try:
        client.initialize()
        planned = client.call("sync/compact", {"dryRun": True})["result"]
        assert (planned["done"], planned["dropped"] > 0) == (False, True)
        done = client.call("sync/compact", {})["result"]
        assert (done["done"], done["after"]) == (True, planned["after"])
    finally:
        client.kill()
    assert "Nothing to gain" in vault.a.run("compact").stdout
    assert vault.a.cli("compact")["done"] is False


def test_a_device_without_a_log_has_nothing_to_compact(vault: Vault) -> None:
    assert compact(vault.b) == CompactResult(done=False, before=compact(vault.b).before, after=compact(vault.b).after)
    assert isinstance(vault.b.sidecar.preview(CycleParams(), Task()), PreviewResult)


def test_a_cycle_that_pushes_twice_after_a_compaction_whose_push_failed_is_nobody_elses(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second push met what the remote had had before the first one, and took it for another machine's: publishing stopped until a person answered."""
    a, b = vault.a, vault.b
    with monkeypatch.context() as cut:

        def fails(*_: object, **__: object) -> str:
            raise SidecarError("remoteUnreachable", "The line was cut.")

        cut.setattr(VaultRepo, "push", fails)
        with pytest.raises(SidecarError):
            compact(a)
    edit(b, edits.edit_part, part_of(b, "ses_1"), "edited there", START + 10**8)
    real, fetched = cycle.fetch_others, False

    def fetch(*arguments: Any) -> list[str]:
        nonlocal fetched
        if not fetched:
            fetched = True
            connection = a.connect()
            edits.edit_part(connection, part_of(a, "ses_1"), "edited here meanwhile", START + 10**8 + 1)
            connection.close()
        return real(*arguments)

    monkeypatch.setattr(cycle, "fetch_others", fetch)
    pushes: list[object] = []
    push = VaultRepo.push
    monkeypatch.setattr(VaultRepo, "push", lambda *arguments, **how: (pushes.append(arguments), push(*arguments, **how))[1])
    run(a)
    assert len(pushes) == 2, "this cycle pushes once: it tests nothing any more"
    run(b)
    run(a)
    same(a, b)
