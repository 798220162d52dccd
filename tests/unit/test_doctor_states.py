"""Each state that doctor looks for is produced, found, and gone after its remedy; and no state of the database makes doctor itself fail."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocol.keys import RotateKeyParams
from protocol.secrets import SecretPolicyParams
from protocol.sync import CycleParams, InitParams, LinkParams
from protocol.trust import Check, DoctorParams, RepairParams
from sidecar import doctor_machine, doctor_vault
from sidecar.adapters.sqlite import connect
from sidecar.app import Sidecar
from sidecar.domain.errors import Cancelled
from sidecar.domain.task import Task
from sidecar.settings import Settings
from tests.support import edits
from tests.support.gitremote import script
from tests.support.machines import Machine

Make = Callable[..., Machine]
posix = pytest.mark.skipif(os.name != "posix", reason="modes and mounts")


def checks(machine: Machine, *, offline: bool = True, **environ: str) -> dict[str, Check]:
    sidecar = Sidecar(Settings.from_environ(machine.environ | environ), machine.wall) if environ else machine.sidecar
    found = {check.name: check for check in sidecar.doctor(DoctorParams(offline), Task()).checks}
    assert all(check.remedy for check in found.values() if not check.ok), "a finding without a remedy"
    return found


def bad(machine: Machine, *, offline: bool = True, **environ: str) -> set[str]:
    return {name for name, check in checks(machine, offline=offline, **environ).items() if not check.ok}


@pytest.fixture
def one(machine: Make, remote: Path) -> Machine:
    found = machine("a")
    connection = found.connect()
    edits.new_session(connection, "ses_1", int(time.time() * 1000) - 60_000)
    connection.close()
    found.sidecar.init(InitParams(str(remote)), Task())
    found.sidecar.run(CycleParams(), Task())
    return found


def test_what_it_looks_at(one: Machine) -> None:
    found = checks(one, offline=False)
    assert not [check for check in found.values() if not check.ok]
    assert found.keys() >= {"git", "opencode", "database", "schema", "integrity", "wal", "channels", "desktop", "disk (data)", "disk (state)", "folder", "private",
                            "leftovers", "replaced", "lock", "shadow.db", "journal.db", "settings", "device", "key", "key file", "vault copy", "log size", "clock",
                            "clock of the disk", "clocks elsewhere", "quarantine", "guard", "last cycle", "secrets", "credentials", "remote", "key of the vault",
                            "branches", "rights", "published"} - {"journal.db"}  # fmt: skip


def test_git(one: Machine) -> None:
    folder = one.root / "bin"
    script(folder / "git", "echo git version 2.10.0")
    assert "git" in bad(one, PATH=f"{folder}:{os.environ['PATH']}")
    (folder / "git").unlink()
    assert "git" not in bad(one, PATH=f"{folder}:{os.environ['PATH']}")
    assert "git" in bad(one, PATH=str(folder)), "no git at all"


def test_opencode(one: Machine) -> None:
    binary = script(one.root / "home/.opencode/bin/opencode", "exit 1")
    assert "opencode" in bad(one)
    script(binary, 'touch "$XDG_DATA_HOME/mine"; echo 1.18.33')
    before = sorted(one.root.rglob("*"))
    found = checks(one)["opencode"]
    assert (found.ok, "1.18.33" in found.detail, str(binary) in found.detail) == (True, True, True)
    assert sorted(one.root.rglob("*")) == before, "asking opencode for its version left something in the user's folders"
    script(binary, "sleep 60")
    began, task = time.monotonic(), Task()
    task.cancel()
    with pytest.raises(Cancelled):
        one.sidecar.doctor(DoctorParams(True), task)
    assert time.monotonic() - began < 30, "it waited for a program that hangs"


def test_a_schema_that_is_newer_than_known_is_said(one: Machine) -> None:
    one.sql("INSERT INTO migration VALUES (?, 1)", doctor_machine.NEWEST_LEVEL)
    assert checks(one)["schema"].detail.endswith("is known")
    one.sql("INSERT INTO migration VALUES ('99990101000000_new', 1)")
    assert "newer" in checks(one)["schema"].detail


def test_a_log_that_nothing_checkpoints(one: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "MAX_WAL_BYTES", 200_000)
    reader, writer = one.connect(), one.connect()
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM session").fetchone()
    for number in range(100):
        edits.new_session(writer, f"ses_w{number}", 1, title="x" * 2000)
    writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
    found = checks(one)["wal"]
    assert not found.ok
    reader.close()
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert checks(one)["wal"].ok
    writer.close()


def test_desktop_is_seen(one: Machine) -> None:
    file = one.root / "config/ai.opencode.desktop/opencode.global.dat"
    file.parent.mkdir()
    file.write_text("{}")
    assert "does not run" in checks(one)["desktop"].detail
    (file.parent / "lockfile").write_text("")
    assert "runs" in checks(one)["desktop"].detail


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs to mount a small file system")
def test_disks_that_are_full_of_files_or_read_only(one: Machine) -> None:
    assert "disk (config)" not in bad(one)
    folder = one.root / "config/opencode"
    folder.mkdir()
    with mounted(folder, "size=600m,nr_inodes=100"):
        assert "more files" in checks(one)["disk (config)"].detail
    with mounted(folder, "size=600m,ro"):
        assert "read-only" in checks(one)["disk (config)"].detail
    assert "disk (config)" not in bad(one)


def test_a_disk_without_room(one: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_machine, "SPARE_BYTES", 1 << 60)
    assert {"disk (data)", "disk (state)"} <= bad(one)


def aged(path: Path, content: str = "") -> Path:
    path.write_text(content)
    os.utime(path, (1, 1))
    return path


def test_leftovers_and_what_was_set_aside(one: Machine) -> None:
    left = [aged(one.own_state / name) for name in ("x.partial", "vault.git/HEAD.lock", "vault.git/objects/pack/tmp_pack_x", "broken-1-shadow.db")]
    kept = aged(one.own_state / "replaced-1-shadow.db")
    assert bad(one) == {"leftovers", "replaced"}
    one.sidecar.repair(RepairParams(), Task())
    assert not [path for path in left if path.exists()]
    assert bad(one) == {"replaced"}
    kept.unlink()
    assert bad(one) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc names the process")
def test_the_lock_and_who_holds_it(one: Machine) -> None:
    code = "import sys,time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print('held',flush=True); time.sleep(60)"
    path = one.own_state / "sync.lock"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        found = checks(one)["lock"]
        assert (found.ok, f"process {process.pid}" in found.detail) == (True, True)
        os.utime(path, (1, 1))
        found = checks(one)["lock"]
        assert (found.ok, str(process.pid) in found.remedy) == (False, True)
    finally:
        process.kill()
        process.wait()
    assert "free" in checks(one)["lock"].detail, "T24: the lock of a dead process counts"


def test_settings_that_cannot_be_read(one: Machine) -> None:
    file = one.root / "config/opencode/opencode-sidecar.jsonc"
    file.parent.mkdir(parents=True)
    for text in ("{", '{"includeConfig": 7}'):
        file.write_text(text)
        assert "settings" in {name.replace("config", "settings") for name in bad(one)}
    file.write_text("{}")
    assert bad(one) == set()


@posix
def test_the_key(one: Machine, machine: Make, remote: Path) -> None:
    file = one.own_state / "keys.json"
    file.chmod(0o644)
    assert bad(one) == {"key file"}
    file.chmod(0o600)
    data = file.read_bytes()
    file.unlink()
    assert "key" in bad(one)
    file.write_bytes(data)
    file.chmod(0o600)
    b = machine("b")
    key = one.cli("show-key", "--yes")["recoveryKey"]
    b.sidecar.link(LinkParams(str(remote), key), Task())
    b.sidecar.run(CycleParams(), Task())
    new = one.sidecar.rotate_key(RotateKeyParams(None), Task()).recovery_key
    assert "key of the vault" in bad(b, offline=False), "the vault's key was changed, and doctor calls the old one good"
    b.sidecar.link(LinkParams(str(remote), new), Task())
    assert "key of the vault" not in bad(b, offline=False)


def test_a_keyring_that_does_not_answer(one: Machine) -> None:
    path = one.own_state / "device.json"
    text = path.read_text()
    path.write_text(text.replace('"keyStore": "file"', '"keyStore": "keyring"'))
    assert "key" in bad(one)
    path.write_text(text)
    assert bad(one) == set()


def test_credentials(one: Machine, remote: Path) -> None:
    path = one.own_state / "device.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"remote": "ssh://git@example.org/x.git"}))
    ssh = script(one.root / "bin/ssh", "echo 'git@example.org: Permission denied (publickey).' >&2; exit 255")
    with one.sidecar._workspace():  # takes over the address
        pass
    assert "credentials" in bad(one, offline=False, GIT_SSH_COMMAND=str(ssh))
    path.write_text(json.dumps(value))
    with one.sidecar._workspace():
        pass
    assert bad(one, offline=False) == set()


def test_limits_of_hosts(one: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit, check in (("MAX_FILE_BYTES", 10, "log size"), ("MAX_LOG_BYTES", 10, "log size"), ("MAX_BRANCHES", 1, "branches")):
        with monkeypatch.context() as patch:
            patch.setattr(doctor_vault, name, limit)
            assert bad(one, offline=False) == {check}
    assert bad(one, offline=False) == set()


def test_clocks(one: Machine) -> None:
    wrong = Machine(one.root, lambda: int(time.time() * 1000) + 3_600_000)
    assert "clock of the disk" in bad(wrong)
    assert bad(one) == set()


def test_a_policy_that_publishes_secrets_in_the_clear(machine: Make, tmp_path: Path, remote: Path) -> None:
    plain = machine("plain")
    plain.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    plain.sidecar.run(CycleParams(), Task())
    plain.sidecar.set_secret_policy(SecretPolicyParams("warn"), Task())
    assert bad(plain) == {"secrets"}
    plain.sidecar.set_secret_policy(SecretPolicyParams("hold"), Task())
    assert bad(plain) == set()
    (plain.own_state / "secrets.json").write_text("{")
    assert "secrets" in bad(plain)


def noise(machine: Machine) -> None:
    for path in machine.db.parent.glob("opencode.db-*"):
        path.unlink()
    machine.db.write_bytes(b"\xa5" * 50_000)


def half(machine: Machine) -> None:
    machine.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    with machine.db.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 20_000)


def foreign(machine: Machine) -> None:
    machine.sql("DROP TABLE part")


def folder(machine: Machine) -> None:
    for path in machine.db.parent.glob("opencode.db*"):
        path.unlink()
    machine.db.mkdir()


def empty(machine: Machine) -> None:
    for path in machine.db.parent.glob("opencode.db*"):
        path.unlink()
    machine.db.write_bytes(b"")


STATES: dict[str, Callable[[Machine], Any]] = {"noise": noise, "half": half, "foreign": foreign, "a folder": folder, "empty": empty,
                                                "missing": lambda machine: [path.unlink() for path in machine.db.parent.glob("opencode.db*")]}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_no_state_of_the_database_makes_it_fail(one: Machine, state: str) -> None:
    STATES[state](one)
    found = checks(one, offline=False)
    assert not (found["database"].ok and found["integrity"].ok)
    assert found["vault copy"].ok, "the checks that do not need the database were not made"
    assert found["remote"].ok


def test_a_locked_database_does_not_make_it_fail(one: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "BUSY_MS", 100)
    holder = sqlite3.connect(one.db, isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("UPDATE session SET title='x'")
    holder.execute("COMMIT")
    try:
        assert "database" in bad(one)
    finally:
        holder.close()
    assert "database" not in bad(one)


def test_a_damaged_shadow_does_not_make_it_fail(one: Machine) -> None:
    with (one.own_state / "shadow.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 30_000)
    for left in one.own_state.glob("shadow.db-*"):
        left.unlink()
    assert "shadow.db" in bad(one)
    one.sidecar.repair(RepairParams(), Task())
    assert bad(one) == set()
