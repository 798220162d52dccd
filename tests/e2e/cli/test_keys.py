"""Keys as people meet them: shown once, asked for, checked first, changed, taken away."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import edits, tamper
from tests.support.machines import Machine

Make = Callable[..., Machine]
CANARY = "canary7Q9x"
PHRASE = "four words and a horse"


def turn(machine: Machine, tag: str, text: str = "hello") -> str:
    at = int(time.time() * 1000) - 60_000 + int(tag)
    connection = machine.connect()
    edits.new_session(connection, f"ses_{tag}", at, title=f"title {text}")
    edits.add_turn(connection, f"ses_{tag}", tag, at, text)
    connection.close()
    return f"ses_{tag}"


def sessions(machine: Machine) -> set[str]:
    return {row[0] for row in machine.sql("SELECT id FROM session")}


def secret_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / f"secret-{abs(hash(text))}"
    path.write_text(text + "\n")
    return str(path)


@pytest.fixture
def pair(machine: Make, remote: Path, tmp_path: Path) -> tuple[Machine, Machine, str]:
    """Two linked machines and the recovery key."""
    a, b = machine("a"), machine("b")
    key = a.cli("init", str(remote), "--device-name", f"{CANARY}-laptop")["recoveryKey"]
    b.cli("link", str(remote), "--key-file", secret_file(tmp_path, key))
    return a, b, key


def test_the_key_is_asked_for_before_anything_else_and_a_wrong_one_leaves_nothing(machine: Make, remote: Path, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    text = a.run("init", str(remote)).stdout
    (key,) = re.findall(r"(?:[0-9A-Z]{5}-){12}[0-9A-Z]{5}", text)
    other = machine("other").cli("init")["recoveryKey"]
    mistyped = key[:-1] + ("0" if key[-1] != "0" else "1")
    for arguments, said in (
        ((), "encrypted"),
        (("--key-file", secret_file(tmp_path, other)), "not the key of this vault"),
        (("--key-file", secret_file(tmp_path, mistyped)), "group 13 of 13"),
        (("--key-file", secret_file(tmp_path, "")), "mistyped"),
        (("--passphrase-file", secret_file(tmp_path, PHRASE)), "no passphrase"),
    ):
        error = b.cli("link", str(remote), *arguments, expect=(1,))["error"]
        assert error["kind"] == "wrongKey", arguments
        assert said in error["message"]
        assert error["remedy"]
        assert not (b.own_state / "device.json").exists(), "a machine is half linked after a wrong key"
        assert not (b.own_state / "keys.json").exists()
    assert b.cli("link", str(remote), "--key-file", str(tmp_path / "none"), expect=(1,))["error"]["kind"] == "invalidParams"
    b.cli("link", str(remote), "--key-file", secret_file(tmp_path, f" {key.lower().replace('-', ' ')} "))
    turn(a, "1")
    a.cli("sync")
    b.cli("sync")
    assert sessions(b) == {"ses_1"}


def test_a_passphrase_does_instead_of_the_key(machine: Make, remote: Path, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    assert a.cli("init", str(remote), "--passphrase-file", secret_file(tmp_path, "short"), expect=(1,))["error"]["kind"] == "invalidParams"
    a.cli("init", str(remote), "--passphrase-file", secret_file(tmp_path, PHRASE))
    assert b.cli("link", str(remote), "--passphrase-file", secret_file(tmp_path, PHRASE + "!"), expect=(1,))["error"]["kind"] == "wrongKey"
    b.cli("link", str(remote), "--passphrase-file", secret_file(tmp_path, "\ufeff" + PHRASE + "\r\n"))  # as an editor on Windows saves it
    turn(a, "1")
    a.cli("sync")
    b.cli("sync")
    assert sessions(b) == {"ses_1"}


def test_the_key_is_shown_only_to_who_confirms(pair: tuple[Machine, Machine, str]) -> None:
    a, b, key = pair
    assert b.run("show-key", "--yes").stdout.strip() == key
    refused = a.run("show-key")
    assert refused.returncode == 1
    assert key not in refused.stdout + refused.stderr


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_the_key_is_kept_where_only_its_owner_reads(pair: tuple[Machine, Machine, str]) -> None:
    for one in pair[:2]:
        assert stat.S_IMODE((one.own_state / "keys.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(one.own_state.stat().st_mode) == 0o700


def test_a_lost_copy_of_the_key_is_said_and_given_again(pair: tuple[Machine, Machine, str], remote: Path, tmp_path: Path) -> None:
    _, b, key = pair
    for tag, damage in (("1", lambda path: path.unlink()), ("2", lambda path: path.write_text("{"))):
        turn(b, tag)
        damage(b.own_state / "keys.json")
        error = b.cli("sync", expect=(1,))["error"]
        assert error["kind"] == "wrongKey"
        assert "link" in error["remedy"]
        b.cli("link", str(remote), "--key-file", secret_file(tmp_path, key))
        b.cli("sync")
    assert b.cli("verify")["ok"]


def test_no_byte_that_leaves_the_machine_shows_what_was_typed(pair: tuple[Machine, Machine, str], remote: Path, tmp_path: Path) -> None:
    """A word planted in every place: titles, texts, a large value, the device's name, a folder, the key itself."""
    a, b, key = pair
    connection = a.connect()
    folder = a.root / f"home/{CANARY}-folder"
    folder.mkdir()
    connection.execute("UPDATE project SET worktree=?, name=?", (str(folder), f"{CANARY} project"))
    at = int(time.time() * 1000) - 60_000
    edits.new_session(connection, f"ses_{CANARY}", at, title=f"{CANARY} title")
    edits.add_turn(connection, f"ses_{CANARY}", CANARY, at, f"{CANARY} text")
    connection.close()
    turn(a, "2", f"{CANARY} large " * 100_000)
    said = [a.run("-v", "sync"), b.run("-v", "sync"), a.run("-v", "sync"), b.run("--json", "status"), a.run("doctor")]
    connection = a.connect()
    edits.delete_session(connection, f"ses_{CANARY}")
    connection.close()
    a.cli("sync", "--allow-deletions")
    b.cli("sync")
    everything = tamper.every_byte(remote)
    for secret in (CANARY, key, key.replace("-", ""), json.loads((a.own_state / "device.json").read_bytes())["deviceName"], "home/app"):
        assert secret.encode() not in everything, "the remote can read it"
    for run in said:
        assert key not in run.stdout + run.stderr
        assert f"{CANARY} text" not in run.stdout + run.stderr, "a message's text is printed"
    for one in (a, b):
        for path in (one.own_state / "logs").rglob("*") if (one.own_state / "logs").exists() else ():
            if path.is_file():
                assert CANARY.encode() not in path.read_bytes(), f"{path.name} holds what was typed"
    assert f"ses_{CANARY}" not in sessions(b), "the deletion did not arrive: the rest of this test shows little"


def test_a_plain_vault_has_no_keys_and_says_so(machine: Make, remote: Path, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    a.cli("init", str(remote), "--encryption", "none")
    for command in (("show-key", "--yes"), ("rotate-key",), ("forget-device", "0" * 32)):
        assert a.cli(*command, expect=(1,))["error"]["kind"] == "unsupported"
    key = secret_file(tmp_path, machine("other").cli("init")["recoveryKey"])
    assert b.cli("link", str(remote), "--key-file", key, expect=(1,))["error"]["kind"] == "wrongKey", "who believes in encryption would publish without"
    assert a.cli("init", str(remote), "--encryption", "rot13", expect=(1,))["error"]["kind"] in ("unsupported", "alreadyConfigured")
    assert b.cli("init", str(remote), "--key-store", "nowhere", expect=(1,))["error"]["kind"] == "invalidParams"
