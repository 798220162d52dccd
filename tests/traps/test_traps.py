"""One test for each defect that an earlier tool shipped, named after its number: it fails if we have the same one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, StatusParams, VerifyParams
from sidecar.adapters.segments import SegmentReader
from sidecar.adapters.segments.values import CHUNK_BYTES
from sidecar.adapters.sqlite.opencode_db import OpencodeDb
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.gitremote import git, read_only
from tests.support.machines import Machine, edit, from_schema

Make = Callable[..., Machine]
AGO_MS = 60_000
"""How long ago things happened: long enough to be finished, short enough to be the newest."""


def now() -> int:
    return int(time.time() * 1000) - AGO_MS


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def make_session(machine: Machine, session: str, turns: int = 1, at: int | None = None) -> None:
    when = at if at is not None else now()

    def change(db: sqlite3.Connection) -> None:
        edits.new_session(db, session, when)
        for turn in range(turns):
            edits.add_turn(db, session, f"{session}{turn}", when + turn * 10)

    edit(machine, change)


@pytest.fixture
def a(machine: Make, remote: Path) -> Machine:
    made = machine("a")
    made.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    return made


@pytest.fixture
def b(machine: Make, a: Machine, remote: Path) -> Machine:
    made = machine("b")
    made.sidecar.link(LinkParams(str(remote)), Task())
    return made


def sessions(machine: Machine) -> set[str]:
    return {row[0] for row in machine.sql("SELECT id FROM session")}


def equal(*machines: Machine) -> bool:
    contents = [machine.content() for machine in machines]
    return all(content == contents[0] for content in contents)


def everything_pushed(remote: Path) -> bytes:
    """Every byte of the remote as somebody who can read it sees it: files, names, messages, and the segments' content."""
    found = b""
    for branch in git(remote, "for-each-ref", "--format=%(refname)", "refs/heads").splitlines():
        found += git(remote, "log", "--format=%an %ae %cn %ce %B", branch).encode()
        for path in git(remote, "ls-tree", "-r", "--name-only", branch).splitlines():
            data = subprocess.run(["git", f"--git-dir={remote}", "show", f"{branch}:{path}"], capture_output=True, check=True).stdout
            found += path.encode() + data
            if path.startswith("seg/"):
                reader = SegmentReader(data, path, device=branch.rpartition("/")[2], sequence=int(path.rpartition("/")[2].partition("-")[0]))
                found += repr([group.records for group in reader.groups()]).encode()
    return found


# --- the system that ours replaces ------------------------------------------------------------------------------------
def test_T1_a_push_of_another_device_is_seen_although_nothing_changed_here(a: Machine, b: Machine) -> None:
    sync(a)
    sync(b)
    for number in range(3):
        make_session(b, f"ses_b{number}")
        sync(b)
        sync(a)
        assert f"ses_b{number}" in sessions(a), "a clean device must still look at the remote"


def test_T2_success_is_what_the_remote_confirmed(a: Machine, remote: Path) -> None:
    make_session(a, "ses_1")
    hook = read_only(remote) / "hooks/pre-receive"
    for _ in range(2):
        with pytest.raises(SidecarError):
            sync(a)
        assert a.sidecar.status(StatusParams(), Task()).last_sync is None, "a failed push looked like success"
        assert a.sidecar.status(StatusParams(), Task()).last_error is not None
    hook.unlink()
    assert not sync(a).up_to_date, "what could not be pushed must go out later"
    assert len(git(remote, "for-each-ref", "refs/heads/sessions").splitlines()) == 1


def test_T3_a_session_is_read_in_a_handful_of_queries(a: Machine) -> None:
    make_session(a, "ses_1", turns=50)
    db = OpencodeDb(a.db)
    statements: list[str] = []
    db.schema()
    db.connection.set_trace_callback(statements.append)
    rows = db.session("ses_1")
    db.close()
    assert rows is not None
    assert len(rows.messages) == 100
    assert len(statements) < 10, "one query per message: seconds for each cycle"


def test_T4_a_statement_is_compiled_once_and_not_for_each_row(a: Machine, b: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    make_session(a, "ses_1", turns=200)
    sync(a)
    compiled: list[str] = []
    real = sqlite3.connect

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = real(*args, **kwargs)

        def authorise(action: int, table: str | None, *_: Any) -> int:
            if action == sqlite3.SQLITE_INSERT and table == "part":
                compiled.append(table)
            return sqlite3.SQLITE_OK

        connection.set_authorizer(authorise)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    assert sync(b).applied.inserted > 800
    assert 0 < len(compiled) < 20


def test_T5_a_session_made_on_one_machine_only_arrives_on_the_other(a: Machine, b: Machine) -> None:
    make_session(a, "ses_a")
    make_session(b, "ses_b")
    for machine in (a, b, a):
        sync(machine)
    assert sessions(a) == sessions(b) == {"ses_a", "ses_b"}
    assert equal(a, b)


def test_T6_an_update_of_a_session_or_project_takes_no_history_along(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1", turns=3)
    edit(a, lambda db: edits.set_todos(db, "ses_1", ["x", "y"], now()))
    sync(a)
    sync(b)
    rows = {table: a.sql(f"SELECT rowid, * FROM {table}") for table in ("message", "part", "todo", "project")}
    edit(b, lambda db: edits.rename(db, "ses_1", "Renamed"))
    sync(b)
    sync(a)
    assert a.sql("SELECT title FROM session") == [("Renamed",)]
    assert {table: a.sql(f"SELECT rowid, * FROM {table}") for table in rows} == rows, "rows were deleted and written again, or cascaded away"


def test_T7_the_todo_list_of_a_session_is_one_value(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    edit(a, lambda db: edits.set_todos(db, "ses_1", ["one", "two"], now()))
    sync(a)
    sync(b)
    edit(a, lambda db: edits.set_todos(db, "ses_1", ["two", "one", "three"], now() + 10))
    edit(b, lambda db: edits.set_todos(db, "ses_1", ["one", "four"], now() + 20))
    for machine in (a, b, a):
        sync(machine)
    for machine in (a, b):
        assert machine.sql("SELECT position, content FROM todo ORDER BY position") == [(0, "one"), (1, "four")], "a mix of two lists is nobody's list"


def test_T7_a_list_that_was_emptied_can_be_filled_again(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    for step, items in enumerate((["one"], [], ["two"], [], ["three"])):
        edit(a, lambda db, step=step, items=items: edits.set_todos(db, "ses_1", items, now() + step))  # type: ignore[misc]
        for machine in (a, b, a):
            result = sync(machine)
            assert (result.held, result.pending) == (0, 0)
            assert machine.sidecar.verify(VerifyParams(), Task()).ok
        assert [row[0] for row in b.sql("SELECT content FROM todo")] == items


def test_T8_columns_of_newer_versions_survive_older_devices(a: Machine, b: Machine) -> None:
    edit(a, lambda db: db.execute("ALTER TABLE session ADD COLUMN mood TEXT"))
    edit(a, lambda db: db.execute("ALTER TABLE message ADD COLUMN weight INTEGER NOT NULL DEFAULT 7"))
    make_session(a, "ses_1")
    edit(a, lambda db: db.execute("UPDATE session SET mood='sunny'"))
    edit(a, lambda db: db.execute("UPDATE message SET weight=99"))
    sync(a)
    sync(b)
    assert "ses_1" in sessions(b), "an unknown column must not stop the session"
    edit(b, lambda db: edits.rename(db, "ses_1", "From b"))
    edit(b, lambda db: edits.add_turn(db, "ses_1", "b", now() + 500))
    sync(b)
    sync(a)
    assert a.sql("SELECT title, mood FROM session") == [("From b", "sunny")], "a column that b lacks was reset on a"
    assert {row[0] for row in a.sql("SELECT weight FROM message WHERE id LIKE 'msg_ses%'")} == {99}
    assert {row[0] for row in a.sql("SELECT weight FROM message WHERE id LIKE 'msg_b%'")} == {7}, "the column's own default"
    edit(b, lambda db: db.execute("ALTER TABLE session ADD COLUMN mood TEXT"))
    sync(b)
    assert b.sql("SELECT mood FROM session") == [("sunny",)], "after an upgrade the value is there"


def test_T9_a_session_of_an_unknown_project_waits_and_the_others_arrive(a: Machine, tmp_path: Path, remote: Path) -> None:
    folder = a.root / "home/other"
    folder.mkdir()
    query = "INSERT INTO project (id, worktree, time_created, time_updated, sandboxes) VALUES (?,?,1,1,'[]')"
    a.sql(query, "q" * 40, str(folder))
    edit(a, lambda db: edits.new_session(db, "ses_other", now(), project="q" * 40))
    edit(a, lambda db: edits.add_turn(db, "ses_other", "o", now()))
    make_session(a, "ses_known")
    sync(a)
    b = from_schema(tmp_path / "fresh")
    b.sidecar.link(LinkParams(str(remote)), Task())
    projects = b.sql("SELECT * FROM project")
    result = sync(b)
    assert (sessions(b), result.unplaced) == ({"ses_known"}, 1)
    assert b.sql("SELECT * FROM project") == projects, "a project row is never copied: it would demote the real checkout"
    (b.root / "home/elsewhere").mkdir()
    b.sql(query, "q" * 40, str(b.root / "home/elsewhere"))
    assert sync(b).unplaced == 0
    assert b.sql("SELECT directory FROM session WHERE id='ses_other'") == [(str(b.root / "home/elsewhere"),)]


def test_T10_a_deleted_session_stays_deleted(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1", turns=2)
    sync(a)
    sync(b)
    edit(a, lambda db: edits.delete_session(db, "ses_1"))
    for machine in (a, b, a, b, a):
        sync(machine)
    assert sessions(a) == sessions(b) == set()
    assert b.sql("SELECT count(*) FROM part") == [(0,)]


def test_T11_equal_times_with_different_content_end_equal(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    sync(a)
    sync(b)
    part = a.sql("SELECT id FROM part ORDER BY id LIMIT 1")[0][0]
    at = now() + 5
    edit(a, lambda db: edits.edit_part(db, part, "from a", at))
    edit(b, lambda db: edits.edit_part(db, part, "from b", at))
    for machine in (a, b, a, b):
        sync(machine)
    assert equal(a, b), "each device kept its own for ever"


def test_T12_T37_nothing_of_the_secret_tables_is_ever_pushed(a: Machine, b: Machine, remote: Path) -> None:
    canary = "CANARY-4f1c"
    make_session(a, "ses_1")
    tables = [row[0] for row in a.sql("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'")]
    secret = [t for t in tables if t not in ("session", "message", "part", "todo", "session_message", "project", "migration")]
    assert {"session_share", "account", "credential", "permission"} <= set(secret)
    planted = 0
    connection = a.connect()
    connection.execute("PRAGMA foreign_keys=OFF")
    for table in secret:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        row = {name: (canary if "int" not in kind.lower() else 1) for _, name, kind, *_ in columns}
        row |= {name: "ses_1" for name in row if name in ("session_id", "aggregate_id")}
        connection.execute(f"INSERT OR REPLACE INTO {table} ({','.join(row)}) VALUES ({','.join('?' * len(row))})", list(row.values()))
        planted += 1
    connection.execute("UPDATE session SET share_url=?", (canary,))
    connection.close()
    assert planted > 8
    sync(a)
    sync(b)
    assert b"ses_1" in everything_pushed(remote)
    assert canary.encode() not in everything_pushed(remote)
    assert canary not in json.dumps(b.content())


def test_T13_nothing_is_read_that_did_not_change(a: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        make_session(a, f"ses_{number:02d}")
    sync(a)
    sync(a)
    read: list[str] = []
    real = OpencodeDb.session
    monkeypatch.setattr(OpencodeDb, "session", lambda self, session: (read.append(session), real(self, session))[1])
    scanned: list[str] = []
    fingerprints = OpencodeDb.fingerprints
    monkeypatch.setattr(OpencodeDb, "fingerprints", lambda self: (scanned.append("x"), fingerprints(self))[1])
    assert sync(a).up_to_date
    assert (read, scanned) == ([], []), "a cycle with nothing to do must not look into the database"
    edit(a, lambda db: edits.add_turn(db, "ses_07", "new", now() + 1000))
    sync(a)
    assert set(read) == {"ses_07"}, "the cost must grow with the change, not with the database"


def test_T16_two_machines_that_push_at_once_need_nobodys_help(a: Machine, b: Machine) -> None:
    for number in range(3):
        make_session(a, f"ses_a{number}")
        make_session(b, f"ses_b{number}")
        a.sidecar.push(CycleParams(), Task())
        b.sidecar.push(CycleParams(), Task())
    sync(a)
    sync(b)
    assert sessions(a) == sessions(b)
    assert len(sessions(a)) == 6


def test_T17_another_systems_path_is_never_written(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    edit(a, lambda db: db.execute(r"UPDATE session SET directory='C:\Users\Ada\app'"))
    sync(a)
    sync(b)
    (directory,) = b.sql("SELECT directory FROM session WHERE id='ses_1'")[0]
    assert Path(directory).is_dir(), "a folder that is not here makes the whole session list fail"
    assert "\\" not in directory


def test_T18_what_lies_about_in_the_repository_is_not_published(a: Machine, remote: Path) -> None:
    vault = a.own_state / "vault.git"
    make_session(a, "ses_1")
    sync(a)
    (vault / "half-written.json").write_text("{")
    (vault / "seg").mkdir()
    (vault / "seg/x").write_text("junk")
    (vault / "index.lock").write_text("")
    make_session(a, "ses_2")
    sync(a)
    for branch in git(remote, "for-each-ref", "--format=%(refname)", "refs/heads/sessions").splitlines():
        paths = git(remote, "ls-tree", "-r", "--name-only", branch).splitlines()
        assert all(path == "head.json" or path.startswith("seg/0000000/00000000") for path in paths), paths


def test_T24_a_dead_lock_does_not_stop_and_a_live_one_does(a: Machine) -> None:
    lock = a.own_state / "sync.lock"
    lock.write_text("pid 1 of another machine")
    sync(a)
    code = "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        lock.write_text("")  # an emptied file is not a free lock
        with pytest.raises(SidecarError) as caught:
            sync(a)
        assert caught.value.kind == "locked"
    finally:
        holder.kill()
        holder.communicate()
    sync(a)


# --- other tools of the kind ------------------------------------------------------------------------------------------
def test_T24_a_push_that_died_in_the_remote_stops_nobody_for_long(a: Machine, remote: Path) -> None:
    make_session(a, "ses_1")
    sync(a)
    (branch,) = git(remote, "for-each-ref", "--format=%(refname)", "refs/heads/sessions").splitlines()
    lock = remote / f"{branch}.lock"
    lock.write_text("")
    make_session(a, "ses_2")
    with pytest.raises(SidecarError) as caught:
        sync(a)
    assert (caught.value.kind, lock.exists()) == ("remoteBusy", True), "a lock of this moment may belong to a push that lives"
    os.utime(lock, (time.time() - 60, time.time() - 60))
    sync(a)
    assert git(remote, "rev-parse", branch) == git(a.own_state / "vault.git", "rev-parse", branch)


def test_T26_a_cycle_without_changes_commits_nothing(a: Machine, b: Machine, remote: Path) -> None:
    make_session(a, "ses_1")
    for machine in (a, b, a, b):
        sync(machine)
    before, files = git(remote, "for-each-ref"), {m.root: m.db.read_bytes() for m in (a, b)}
    for machine in (a, b) * 3:
        assert sync(machine).up_to_date
    assert git(remote, "for-each-ref") == before
    assert {m.root: m.db.read_bytes() for m in (a, b)} == files


def test_T27_a_device_that_lacks_something_deletes_nobodys_copy(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    b.sql("DELETE FROM project")  # nothing can be placed on b
    for machine in (a, b, a, b, a):
        sync(machine)
    assert sessions(a) == {"ses_1"}
    assert sessions(b) == set()


def test_T28_no_conflict_copies(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    sync(a)
    sync(b)
    for number in range(3):
        edit(a, lambda db, n=number: edits.add_turn(db, "ses_1", f"a{n}", now() + 1000 * n))  # type: ignore[misc]
        edit(b, lambda db, n=number: edits.add_turn(db, "ses_1", f"b{n}", now() + 1000 * n + 500))  # type: ignore[misc]
        for machine in (a, b, a):
            sync(machine)
    assert sessions(a) == sessions(b) == {"ses_1"}
    assert equal(a, b)
    assert a.sql("SELECT count(*) FROM message") == [(14,)]
    assert a.sidecar.status(StatusParams(), Task()).diverged == b.sidecar.status(StatusParams(), Task()).diverged


def test_T28_the_same_history_on_both_beforehand_is_no_divergence(a: Machine, machine: Make, remote: Path) -> None:
    """Whoever copied the database by hand before has every session twice: it is one."""
    make_session(a, "ses_1", turns=3)
    b = machine("b")
    shutil.copy(a.db, b.db)
    b.sql("UPDATE project SET worktree=?", str(b.root / "home/app"))
    b.sql("UPDATE session SET directory=?", str(b.root / "home/app"))
    b.sidecar.link(LinkParams(str(remote)), Task())
    for one in (a, b, a, b):
        sync(one)
    assert equal(a, b)
    assert {m.sidecar.status(StatusParams(), Task()).diverged for m in (a, b)} == {0}


def test_T30_one_huge_message_is_stored_in_pieces_that_every_host_takes(a: Machine, b: Machine, remote: Path) -> None:
    make_session(a, "ses_1")
    text = json.dumps({"type": "text", "text": os.urandom(CHUNK_BYTES + 1_000_000).hex()})
    edit(a, lambda db: db.execute("UPDATE part SET data=? WHERE id=(SELECT min(id) FROM part)", (text,)))
    diffs = json.dumps([{"file": "x", "after": "y" * 1_500_000}])
    edit(a, lambda db: db.execute("UPDATE session SET summary_diffs=?", (diffs,)))
    sync(a)
    sync(b)
    assert b.sql("SELECT summary_diffs FROM session") == [(diffs,)]
    assert b.sql("SELECT data FROM part WHERE id=(SELECT min(id) FROM part)") == [(text,)], "the value did not survive the trip"
    sizes = [int(line.split()[0]) for line in git(remote, "cat-file", "--batch-all-objects", "--batch-check=%(objectsize)").splitlines()]
    assert max(sizes) <= CHUNK_BYTES + 1024
    before = len(sizes)
    edit(a, lambda db: edits.rename(db, "ses_1", "again"))
    sync(a)
    after = git(remote, "cat-file", "--batch-all-objects", "--batch-check=%(objectsize)").splitlines()
    assert sum(int(line) for line in after) - sum(sizes) < 100_000, "the value travelled twice"
    assert len(after) > before


# --- the platform -----------------------------------------------------------------------------------------------------
def test_T34_the_event_log_is_never_read(a: Machine, b: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    make_session(a, "ses_1")
    touched: set[tuple[str, str]] = set()
    real = sqlite3.connect

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = real(*args, **kwargs)

        def authorise(action: int, table: str | None, column: str | None, *_: Any) -> int:
            if action == sqlite3.SQLITE_READ and table is not None:
                touched.add((table, column or ""))
            return sqlite3.SQLITE_OK

        connection.set_authorizer(authorise)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    sync(a)
    sync(b)
    assert ("part", "data") in touched
    assert not [column for table, column in touched if table == "event"], "up to 90 % of the database"
    assert not [table for table, _ in touched if table in ("credential", "account", "account_state", "control_account", "permission", "session_share")]


def test_T35_the_sessions_time_is_no_watermark(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    sync(a)
    sync(b)
    old = a.sql("SELECT time_updated FROM session")[0][0]
    edit(a, lambda db: edits.add_turn(db, "ses_1", "later", now() + 5000))
    a.sql("UPDATE session SET time_updated=?", old - 1_000_000)
    sync(a)
    sync(b)
    assert b.sql("SELECT count(*) FROM message") == [(4,)]
    assert equal(a, b)


def test_T36_the_database_of_another_channel_is_found_when_it_is_the_only_one(a: Machine, b: Machine) -> None:
    make_session(a, "ses_1")
    a.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    other = a.db.rename(a.db.with_name("opencode-dev.db"))
    assert a.run("sync").returncode == 0
    sync(b)
    assert sessions(b) == {"ses_1"}
    shutil.copy(other, a.db.with_name("opencode-nightly.db"))
    missing = a.run("sync")
    assert missing.returncode == 1, "which of two it is, a person must say"
    assert "--db" in missing.stderr
    assert a.run("--db", str(other), "sync").returncode == 0


@pytest.mark.parametrize("schema", ["1.2.4", "1.14.41", "1.17.11"])
def test_T36_older_databases_take_part(a: Machine, tmp_path: Path, remote: Path, schema: str) -> None:
    old = from_schema(tmp_path / "old", schema)
    old.sidecar.link(LinkParams(str(remote)), Task())
    make_session(a, "ses_new", turns=2)
    make_session(old, "ses_old", turns=2)
    for machine in (a, old, a):
        sync(machine)
    assert sessions(a) == sessions(old) == {"ses_new", "ses_old"}
    edit(old, lambda db: edits.add_turn(db, "ses_new", "fromold", now() + 2000))
    sync(old)
    sync(a)
    assert a.sql("SELECT count(*) FROM message WHERE session_id='ses_new'") == [(6,)]
    assert a.sidecar.verify(VerifyParams(), Task()).ok


def test_T39_the_users_git_environment_has_no_say(a: Machine, tmp_path: Path, remote: Path) -> None:
    """Hooks, fsmonitor, rewritten addresses, prompts and GIT_* variables that point elsewhere."""
    alarm = tmp_path / "alarm"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction", "post-index-change", "prepare-commit-msg"):
        hook = hooks / name
        # Hooks that the user has for all repositories also run in one that is pushed to: that is the remote's business.
        hook.write_text(f"#!/bin/sh\ncase $PWD in {remote}) ;; *) touch '{alarm}' ;; esac\n")
        hook.chmod(0o755)
    config = a.root / "home/.gitconfig"
    config.write_text(f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = touch '{alarm}'\n[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = /nonexistent\n")
    make_session(a, "ses_1")
    other = tmp_path / "decoy.git"
    subprocess.run(["git", "init", "-q", "--bare", str(other)], check=True)
    decoys = {"GIT_DIR": str(other), "GIT_WORK_TREE": str(tmp_path), "GIT_INDEX_FILE": "/nonexistent", "GIT_EDITOR": f"touch '{alarm}'"}
    done = a.run("sync", **decoys, GIT_ASKPASS=f"touch '{alarm}'", GIT_OBJECT_DIRECTORY=str(other / "objects"))
    assert done.returncode == 0, done.stderr
    assert not alarm.exists(), "a program of the user's git configuration ran"
    assert "sessions/" in git(remote, "for-each-ref")
    assert git(other, "for-each-ref") == ""


def test_T41_paths_of_any_kind(tmp_path: Path) -> None:
    root = tmp_path / "sp ace 'q\" $(x) ☃ 🙂" / ("d" * 120) / ("e" * 120)
    remote = root / "re mote;.git"
    remote.parent.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    a, b = from_schema(root / "a"), from_schema(root / "b")
    make_session(a, "ses_1")
    assert a.run("init", str(remote), "--encryption", "none").returncode == 0
    assert a.run("sync").returncode == 0
    assert b.run("link", str(remote)).returncode == 0
    assert b.run("sync").returncode == 0
    assert sessions(b) == {"ses_1"}
    assert equal(a, b)


def test_T41_a_clock_that_jumps_back_a_year_loses_nothing(tmp_path: Path, remote: Path) -> None:
    clock = [int(time.time() * 1000)]
    a, b = from_schema(tmp_path / "a", wall=lambda: clock[0]), from_schema(tmp_path / "b")
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    b.sidecar.link(LinkParams(str(remote)), Task())
    make_session(a, "ses_1")
    sync(a)
    sync(b)
    clock[0] -= 365 * edits.DAY
    edit(a, lambda db: edits.rename(db, "ses_1", "Renamed last year"))
    edit(a, lambda db: edits.add_turn(db, "ses_1", "lastyear", clock[0] - 10_000))
    for machine in (a, b, a, b):
        sync(machine)
    for machine in (a, b):
        assert machine.sql("SELECT title FROM session") == [("Renamed last year",)], "the newest change lost against an older one"
        assert machine.sql("SELECT count(*) FROM message") == [(4,)]


def test_T41_a_turn_from_the_future_waits_for_its_time(tmp_path: Path, remote: Path) -> None:
    ahead = int(time.time() * 1000) + 3_600_000
    clock = [int(time.time() * 1000)]
    a, b = from_schema(tmp_path / "a", wall=lambda: ahead + 60_000), from_schema(tmp_path / "b", wall=lambda: clock[0])
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    b.sidecar.link(LinkParams(str(remote)), Task())
    make_session(a, "ses_1")
    edit(a, lambda db: edits.add_turn(db, "ses_1", "future", ahead))
    sync(a)
    assert sync(b).held == 1
    assert b.sql("SELECT count(*) FROM message") == [(2,)], "a turn dated after the clock leaves the next prompt unanswered"
    clock[0] = ahead + 10_000
    assert sync(b).held == 0
    assert b.sql("SELECT count(*) FROM message") == [(4,)]
