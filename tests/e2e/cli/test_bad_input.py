"""Everything that can be wrong around us: one clear error, nothing changed, and the next cycle succeeds."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import edits
from tests.support.machines import Machine, bare_remote

Make = Callable[..., Machine]


@pytest.fixture
def a(machine: Make, remote: Path) -> Machine:
    made = machine("a", "ada-1.18.33")
    made.cli("init", str(remote), "--encryption", "none")
    return made


def fails(machine: Machine, kind: str, *arguments: str) -> dict[str, Any]:
    error: dict[str, Any] = machine.cli(*arguments, expect=(1,))["error"]
    assert error["kind"] == kind, error
    assert error["remedy"], "an error without a remedy leaves the user alone"
    return error


def edit_remote(remote: Path, branch: str, change: Callable[[Path], None]) -> None:
    """Rewrite a branch of the remote as an outsider with git could."""
    work = remote.parent / "outsider"
    env = {"PATH": os.environ["PATH"], "HOME": str(remote.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    run: Callable[..., Any] = lambda *args: subprocess.run(["git", "-c", "user.name=o", "-c", "user.email=o@o", *args], check=True, env=env, cwd=work)  # noqa: E731
    shutil.rmtree(work, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", "-b", branch, str(remote), str(work)], check=True, env=env)
    change(work)
    run("add", "-A")
    run("commit", "-q", "-m", "outsider")
    run("push", "-q", "origin", branch)


@pytest.mark.parametrize(
    "url", ["not a url", "-upload-pack=x", "ext::sh -c touch% /tmp/x", "ftp://h/x", "relative/path", "https://h/x?token=1", "http://example.invalid/x", ""]
)
def test_not_a_git_url(machine: Make, url: str) -> None:
    a = machine("a", "ada-1.18.33")
    arguments = ["--json", "init", "--", url]
    error = json.loads(a.run(*arguments).stdout)["error"]
    assert error["kind"] == "invalidRemote"
    assert not (a.own_state / "device.json").exists()


def test_T12_a_network_remote_needs_someone_to_say_that_it_is_private(machine: Make) -> None:  # noqa: N802
    error = fails(machine("a", "ada-1.18.33"), "remoteNotPrivate", "init", "https://user:hunter2@example.invalid/x.git", "--encryption", "none")
    assert "hunter2" not in json.dumps(error), "a password in an error"


def test_unreachable_remote(machine: Make, tmp_path: Path) -> None:
    a = machine("a", "ada-1.18.33")
    fails(a, "remoteUnreachable", "init", str(tmp_path / "nothing.git"))
    fails(a, "remoteUnreachable", "link", str(tmp_path / "nothing.git"))


def test_a_remote_that_goes_away_loses_nothing(a: Machine, remote: Path) -> None:
    shutil.move(remote, remote.with_name("away"))
    fails(a, "remoteUnreachable", "sync")
    assert a.cli("status")["lastError"]["kind"] == "remoteUnreachable"
    shutil.move(remote.with_name("away"), remote)
    assert not a.cli("sync")["upToDate"], "T2: what could not be pushed must be pushed by the next cycle"
    assert a.cli("status")["lastError"] is None


def test_no_permission_to_push(a: Machine, remote: Path) -> None:
    hook = remote / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    fails(a, "authFailed", "sync")
    assert a.cli("status")["devices"][0]["id"]
    hook.unlink()
    assert a.cli("sync")["upToDate"] is False, "T2: a push that failed must not count as done"


def test_a_remote_that_is_not_a_vault(machine: Make, remote: Path, tmp_path: Path) -> None:
    a = machine("a", "ada-1.18.33")
    fails(a, "remoteNotVault", "link", str(remote))
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", "-b", "main", str(other)], check=True)
    subprocess.run(["git", "-C", str(other), "-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run(["git", "-C", str(other), "push", "-q", str(remote), "main"], check=True)
    fails(a, "remoteNotVault", "link", str(remote))
    fails(a, "remoteNotEmpty", "init", str(remote))


def test_a_newer_vault(machine: Make, a: Machine, remote: Path) -> None:
    def newer(work: Path) -> None:
        path = work / ".opencode-sidecar/vault.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))

    edit_remote(remote, "main", newer)
    error = fails(machine("b", "bob-1.18.33"), "newerFormat", "link", str(remote))
    assert "99" in error["message"]


@pytest.mark.parametrize("damage", ["truncate", "flip", "garbage", "delete"])
def test_a_corrupt_segment_never_stops_the_others(machine: Make, a: Machine, remote: Path, damage: str) -> None:
    a.cli("sync")
    b, c = machine("b", "bob-1.18.33"), machine("c", "bob-1.18.33")
    b.cli("link", str(remote))
    b.cli("sync")
    device = a.cli("status")["deviceId"]
    original: dict[str, bytes] = {}

    def break_it(work: Path) -> None:
        for path in (work / "seg").rglob("0*-*"):
            data = original[path.name] = path.read_bytes()
            broken = {"truncate": data[: len(data) // 2], "flip": data[:200] + bytes([data[200] ^ 1]) + data[201:], "garbage": b"garbage"}
            path.unlink() if damage == "delete" else path.write_bytes(broken[damage])
        (work / "note").write_text("x")

    before = c.content()
    edit_remote(remote, f"sessions/{device}", break_it)
    c.cli("link", str(remote))
    result = c.cli("sync", expect=(0, 3))
    if damage != "delete":
        assert result["quarantined"] >= 1
        assert result["warnings"], "damage must be reported"
    assert c.content() == before, "half of a damaged segment was merged"
    connection = b.connect()
    edits.new_session(connection, "ses_new", 1_790_000_000_000)
    edits.add_turn(connection, "ses_new", "new", 1_790_000_000_000)
    connection.close()
    b.cli("sync")
    assert c.cli("sync", expect=(0, 3))["applied"]["sessions"] == 1, "one damaged log stops the others"
    c.check_integrity()

    def mend(work: Path) -> None:
        folder = work / "seg/0000000"
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in original.items():
            (folder / name).write_bytes(data)

    edit_remote(remote, f"sessions/{device}", mend)
    mended = c.cli("sync")
    assert mended["applied"]["sessions"] == 25, "a repaired segment is used at once"
    assert mended["quarantined"] == 0


def test_database_missing(a: Machine, remote: Path) -> None:
    for path in a.db.parent.glob("opencode.db*"):
        path.rename(path.with_name("away-" + path.name))
    fails(a, "databaseMissing", "sync")
    for path in list(a.db.parent.glob("away-*")):
        path.rename(path.with_name(path.name.removeprefix("away-")))
    assert a.cli("sync")["published"]["sessions"] == 25


def test_database_locked_for_a_moment_is_waited_for(machine: Make, a: Machine, remote: Path) -> None:
    a.cli("sync")
    b = machine("b", "bob-1.18.33")
    b.cli("link", str(remote))
    connection = b.connect()
    connection.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(2.0, lambda: None)
    process = subprocess.Popen([sys.executable, "-m", "sidecar", "--json", "sync"], env=b.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(2.0)
    connection.execute("ROLLBACK")
    connection.close()
    out, err = process.communicate(timeout=60)
    timer.cancel()
    assert process.returncode == 0, err
    assert json.loads(out)["applied"]["sessions"] == 25


@pytest.mark.slow
def test_database_locked_for_long(machine: Make, a: Machine, remote: Path) -> None:
    a.cli("sync")
    b = machine("b", "bob-1.18.33")
    b.cli("link", str(remote))
    connection = b.connect()
    connection.execute("BEGIN IMMEDIATE")
    try:
        assert fails(b, "databaseBusy", "sync")["retryable"] is True
    finally:
        connection.execute("ROLLBACK")
        connection.close()
    assert b.cli("sync")["applied"]["sessions"] == 25


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Permissions do not bind root: for root, a read-only mount over the folder."""
    if os.geteuid() != 0:
        files = [(path, path.stat().st_mode) for path in (*folder.iterdir(), folder)]
        for path, mode in files:
            path.chmod(mode & ~0o222)
        yield
        for path, mode in files:
            path.chmod(mode)
        return
    if subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="read-only mounts and permissions")
def test_database_read_only(machine: Make, a: Machine, remote: Path) -> None:
    a.cli("sync")
    b = machine("b", "bob-1.18.33")
    b.cli("link", str(remote))
    with read_only(b.db.parent):
        fails(b, "databaseReadOnly", "sync")
        assert b.cli("status")["lastError"]["kind"] == "databaseReadOnly"
    assert b.cli("sync")["applied"]["sessions"] == 25


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be one" * 100, b"SQLite format 3\0" + b"\xff" * 8000])
def test_database_corrupt(a: Machine, content: bytes) -> None:
    good = a.db.read_bytes()
    a.db.write_bytes(content)
    fails(a, "databaseCorrupt", "sync")
    assert a.db.read_bytes() == content, "a damaged database was touched"
    a.db.write_bytes(good)
    assert a.cli("sync")["published"]["sessions"] == 25


def test_database_of_another_program_or_an_unknown_schema(a: Machine, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE moz_places (id INTEGER)")
    connection.commit()
    connection.close()
    before = other.read_bytes()
    fails(a, "databaseUnsupported", "sync", "--db", str(other))
    assert other.read_bytes() == before
    connection = sqlite3.connect(other)
    for table in ("project", "session", "message", "part"):
        connection.execute(f"CREATE TABLE {table} (uuid TEXT)")
    connection.commit()
    connection.close()
    fails(a, "databaseUnsupported", "sync", "--db", str(other))
    assert a.cli("sync")["published"]["sessions"] == 25


def test_a_second_process_is_told_so(a: Machine, remote: Path) -> None:
    code = "import sys,time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print('held',flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(a.own_state / "sync.lock")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        assert fails(a, "locked", "sync")["retryable"] is True
        assert a.cli("status")["configured"], "status must not wait behind a cycle"
    finally:
        process.kill()
        process.communicate()
    assert a.cli("sync")["published"]["sessions"] == 25, "T24: the lock of a dead process stays"


def test_two_at_once_end_well(machine: Make, a: Machine, remote: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-m", "sidecar", "--json", "sync"], env=a.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)
    ]
    results = [process.communicate(timeout=60) for process in processes]
    assert all(json.loads(out).get("error", {}).get("kind", "locked") == "locked" for out, _ in results)
    a.cli("sync")
    b = machine("b", "bob-1.18.33")
    b.cli("link", str(remote))
    assert b.cli("sync")["applied"]["inserted"] == 335


def test_a_cloned_identity_is_noticed_and_can_be_mended(machine: Make, a: Machine, remote: Path, tmp_path: Path) -> None:
    a.cli("sync")
    clone = machine("clone", "ada-1.18.33")
    shutil.copytree(a.root / "state", clone.root / "state", dirs_exist_ok=True)
    for m, name in ((a, "ses_a"), (clone, "ses_clone")):
        connection = m.connect()
        edits.new_session(connection, name, 1_790_000_000_000)
        edits.add_turn(connection, name, name, 1_790_000_000_000)
        connection.close()
    a.cli("sync")
    fails(clone, "identityCloned", "sync")
    clone.cli("link", str(remote), "--new-device")
    clone.cli("sync")
    a.cli("sync")
    assert a.content() == clone.content(), "the clone's own work is lost"
    assert "ses_clone" in a.content()["session"]


def test_a_lost_branch_is_published_again(a: Machine, remote: Path) -> None:
    a.cli("sync")
    branch = "sessions/" + a.cli("status")["deviceId"]
    subprocess.run(["git", "-C", str(remote), "update-ref", "-d", f"refs/heads/{branch}"], check=True)
    assert not a.cli("sync")["upToDate"]
    heads = subprocess.run(["git", "-C", str(remote), "branch"], capture_output=True, text=True, check=True).stdout
    assert branch in heads


def test_the_deletion_guard_asks_first(machine: Make, a: Machine, remote: Path) -> None:
    a.cli("sync")
    b = machine("b", "bob-1.18.33")
    b.cli("link", str(remote))
    b.cli("sync")
    a.cli("sync")
    connection = a.connect()
    connection.execute("DELETE FROM session WHERE rowid % 2")
    connection.close()
    guarded = a.cli("sync", expect=(3,))
    assert guarded["guarded"] > 20
    assert guarded["published"]["tombstones"] == 0
    assert len(b.content()["session"]) == 47
    assert b.cli("sync")["applied"]["deleted"] == 0
    a.cli("sync", "--allow-deletions")
    b.cli("sync")
    assert a.content() == b.content()


def test_a_reset_database_deletes_nothing_elsewhere(machine: Make, a: Machine, remote: Path) -> None:
    a.cli("sync")
    b = machine("b", "bob-1.18.33")
    b.cli("link", str(remote))
    b.cli("sync")
    fresh = machine("fresh")
    for path in a.db.parent.glob("opencode.db*"):
        path.unlink()
    os.replace(fresh.db, a.db)
    assert a.cli("sync", expect=(3,))["guarded"] == 25
    b.cli("sync")
    assert len(b.content()["session"]) == 47, "a reset database on A emptied B"


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="needs to mount a small file system")
def test_disk_full(machine: Make, remote: Path, tmp_path: Path) -> None:
    a = machine("a", "ada-1.18.33")
    small = a.root / "state"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        a.cli("init", str(remote), "--encryption", "none")
        error = a.cli("sync", expect=(1,))["error"]
        assert error["kind"] == "diskFull", error
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        a.cli("sync")  # what had been recorded before the disk was full is published now, with the rest
        b = machine("b", "bob-1.18.33")
        b.cli("link", str(remote))
        assert b.cli("sync")["applied"]["sessions"] == 25, "what was recorded when the disk filled up is lost"
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
    bare_remote(tmp_path / "x.git")
