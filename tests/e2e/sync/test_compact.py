"""Compaction, end to end: the log shrinks, nobody sees a difference, and what is false is still noticed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.compact import CompactParams, CompactResult
from protocol.keys import ForgetDeviceParams, RotateKeyParams
from protocol.sync import CycleParams, InitParams, LinkParams, PreviewResult, StatusParams, VerifyParams
from protocol.trust import RepairParams
from sidecar.adapters.git import VaultRepo
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits, tamper
from tests.support.machines import Machine, bare_remote, from_schema
from tests.support.rawclient import RawClient

Make = Callable[..., Machine]
LARGE = "a large value " * 120_000
START = int(time.time() * 1000) - 2 * edits.DAY


def run(machine: Machine) -> list[str]:
    return machine.sidecar.run(CycleParams(allow_deletions=True), Task()).warnings


def compact(machine: Machine) -> CompactResult:
    return machine.sidecar.compact(CompactParams(), Task())


def edit(machine: Machine, change: Callable[..., object], *arguments: object) -> None:
    connection = machine.connect()
    change(connection, *arguments)
    connection.close()
    run(machine)


def turn(machine: Machine, tag: str, text: str = "hello", session: str | None = None) -> None:
    connection = machine.connect()
    at = START + int(tag) * 60_000
    if session is None:
        edits.new_session(connection, f"ses_{tag}", at)
    edits.add_turn(connection, session or f"ses_{tag}", tag, at, text)
    connection.close()
    run(machine)


def part_of(machine: Machine, session: str) -> str:
    return str(machine.sql("SELECT id FROM part WHERE session_id=? ORDER BY id", session)[0][0])


def tree_bytes(remote: Path, branch: str) -> int:
    return sum(int(line.split()[3]) for line in tamper.git(remote, "ls-tree", "-r", "-l", branch).splitlines())


def same(*machines: Machine) -> None:
    contents = [machine.content() for machine in machines]
    for one, content in zip(machines, contents, strict=True):
        assert content == contents[0], f"{one.root.name} shows something else than {machines[0].root.name}"
        one.check_integrity()
        assert one.sidecar.verify(VerifyParams(), Task()).ok


class Vault:
    """`a` has written much that is superseded; `b` has the beginning of it."""

    def __init__(self, root: Path, encryption: str) -> None:
        self.root, self.remote = root, bare_remote(root / "remote.git")
        self.a, self.b = self.machine("a"), self.machine("b")
        self.key = self.a.sidecar.init(InitParams(str(self.remote), encryption=encryption), Task()).recovery_key
        self.b.sidecar.link(LinkParams(str(self.remote), key=self.key), Task())
        turn(self.a, "1", LARGE)
        turn(self.a, "2")
        run(self.b)
        ((self.branch, _),) = tamper.logs(self.remote).items()
        for number in range(3):
            connection = self.a.connect()
            edits.rename(connection, "ses_1", f"title {number}")
            edits.edit_part(connection, part_of(self.a, "ses_2"), f"{number} " + LARGE, START + 10**6 + number)
            connection.close()
            run(self.a)
        turn(self.a, "3", session="ses_1")
        edit(self.a, edits.delete_message, str(self.a.sql("SELECT id FROM message WHERE session_id='ses_1' ORDER BY id DESC")[0][0]))
        self.old = self.at()

    def at(self) -> str:
        return tamper.logs(self.remote)[self.branch]

    def machine(self, name: str) -> Machine:
        return from_schema(self.root / name)

    def linked(self, name: str) -> Machine:
        one = self.machine(name)
        one.sidecar.link(LinkParams(str(self.remote), key=self.key), Task())
        return one


class Vaults:
    """Each is made once, below a folder whose name stays, so that copies of it work in its place."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, dict[str, Vault]()

    def fresh(self, encryption: str) -> Vault:
        here, kept = self._folder / "vault", self._folder / encryption
        shutil.rmtree(here, ignore_errors=True)
        if encryption not in self._made:
            here.mkdir()
            self._made[encryption] = Vault(here, encryption)
            shutil.copytree(here, kept, symlinks=True)
        else:
            shutil.copytree(kept, here, symlinks=True)
        return self._made[encryption]


@pytest.fixture(scope="module")
def vaults(tmp_path_factory: pytest.TempPathFactory) -> Vaults:
    return Vaults(tmp_path_factory.mktemp("vaults"))


@pytest.fixture(params=["none", "aes-256-gcm"])
def either(vaults: Vaults, request: pytest.FixtureRequest) -> Vault:
    return vaults.fresh(request.param)


@pytest.fixture
def vault(vaults: Vaults) -> Vault:
    return vaults.fresh("aes-256-gcm")


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
    turn(vault.b, "5", "after it was forgotten")
    compact(vault.b)
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


# --- a remote that lies, refuses, or forgets --------------------------------------------------------------------------
def test_the_log_as_it_was_before_is_refused_and_said(vault: Vault) -> None:
    compact(vault.a)
    run(vault.b)
    new = vault.at()
    tamper.point(vault.remote, vault.branch, vault.old)
    assert any("went back" in text for text in run(vault.b)), "a remote showed an older state, and nobody was told"
    assert not run(vault.b), "said once is enough"
    compact(vault.b)
    tamper.point(vault.remote, vault.branch, new)
    assert not run(vault.b)
    same(vault.a, vault.b)


def test_the_writing_device_mends_a_remote_that_was_put_back(vault: Vault) -> None:
    compact(vault.a)
    run(vault.b)
    tamper.point(vault.remote, vault.branch, vault.old)
    turn(vault.a, "4")
    assert tamper.git(vault.remote, "rev-list", "--count", vault.branch) == "2", "the device took its own older log for a stranger's"
    run(vault.b)
    same(vault.a, vault.b)


@pytest.mark.parametrize("case", ["an old segment in its place", "an old segment beside it", "a segment left out", "an old head", "a large value left out"])
def test_a_compacted_log_that_was_changed_is_not_used(vault: Vault, case: str) -> None:
    compact(vault.a)
    turn(vault.a, "4", LARGE + "4")
    new, truth = vault.at(), vault.a.content()

    def change(tree: Path) -> None:
        packed, _ = tamper.segments(tree)
        if case == "a segment left out":
            packed.unlink()
        elif case == "an old head":
            (tree / "head").write_bytes(tamper.blob(vault.remote, tamper.git(vault.remote, "rev-parse", f"{vault.old}:head")))
        elif case == "a large value left out":
            for path in (tree / "blob").iterdir():
                path.unlink()
        else:
            path = tamper.git(vault.remote, "ls-tree", "-r", "--name-only", vault.old, "seg/").splitlines()[1]
            (tree / path).write_bytes(tamper.blob(vault.remote, tamper.git(vault.remote, "rev-parse", f"{vault.old}:{path}")))
            if case == "an old segment in its place":
                packed.unlink()

    tamper.rewrite(vault.remote, vault.branch, change)
    before = vault.b.content()
    assert run(vault.b), f"{case}, and nobody was told"
    if case != "a large value left out":
        assert vault.b.content() == before, f"{case}: a part of it was used"
    tamper.point(vault.remote, vault.branch, new)
    run(vault.b)
    run(vault.b)
    assert vault.b.content() == truth


def test_a_remote_that_lets_no_branch_be_replaced_gets_it_on_top(vault: Vault) -> None:
    tamper.git(vault.remote, "config", "receive.denyNonFastForwards", "true")
    done = compact(vault.a)
    assert done.done
    assert done.warnings
    assert tamper.git(vault.remote, "rev-parse", f"{vault.branch}^") == vault.old
    turn(vault.a, "4")
    run(vault.b)
    same(vault.a, vault.b)


def test_a_vault_that_moved_with_an_older_state_of_a_log_gets_the_compacted_one(vault: Vault) -> None:
    other = bare_remote(vault.root / "other.git")
    compact(vault.a)
    vault.b.sidecar.init(InitParams(move_to=str(other)), Task())
    assert tamper.git(other, "rev-list", "--count", vault.branch) != "1", "it was to have the log as it was before"
    vault.a.sidecar.init(InitParams(move_to=str(other)), Task())
    turn(vault.a, "4")
    run(vault.b)
    same(vault.a, vault.b)
    assert tamper.git(other, "rev-list", "--count", vault.branch) == "2"


def test_a_copied_identity_is_still_noticed(vault: Vault) -> None:
    compact(vault.a)
    stranger = tamper.git(vault.remote, "commit-tree", "-m", "x", f"{vault.old}^{{tree}}")
    tamper.point(vault.remote, vault.branch, stranger)
    with pytest.raises(SidecarError) as caught:
        turn(vault.a, "4")
    assert caught.value.kind == "identityCloned"


@pytest.mark.parametrize("step", ["replace", "push", "forget_ref", "commit"])
def test_what_stops_in_the_middle_is_finished_by_the_next_cycle(vault: Vault, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one of the calls that change something, before and after it took effect."""
    real = getattr(VaultRepo, step)
    for number in range(1, 4):
        for after in (False, True):
            calls = 0

            def dies(self: VaultRepo, *arguments: object, n: int = number, late: bool = after, **options: object) -> object:
                nonlocal calls
                calls += 1
                if calls != n:
                    return real(self, *arguments, **options)
                if late:
                    real(self, *arguments, **options)
                raise KeyboardInterrupt

            edit(vault.a, edits.rename, "ses_1", f"{step} {number} {after}")
            monkeypatch.setattr(VaultRepo, step, dies)
            try:
                compact(vault.a)
            except KeyboardInterrupt:
                pass
            monkeypatch.setattr(VaultRepo, step, real)
            edit(vault.a, edits.rename, "ses_1", f"{step} {number} {after} and on")
            assert not run(vault.b)
            assert vault.b.content() == vault.a.content()
            assert not (vault.a.own_state / "vault.git/spool").exists()
    compact(vault.a)
    run(vault.b)
    same(vault.a, vault.b)


# --- faces ------------------------------------------------------------------------------------------------------------
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
