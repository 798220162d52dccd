"""The command line's contract: what scripts rely on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.sync import InitParams, LinkParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services import report, setup
from tests.support.machines import Machine, bare_remote

Make = Callable[..., Machine]
COUNTS = {"held", "unplaced", "diverged", "quarantined"}


def test_the_main_job(machine: Make, remote: Path) -> None:
    a, b = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33")
    made = a.cli("init", str(remote))
    assert made.keys() >= {"vaultId", "deviceId", "remote", "recoveryKey"}
    first = a.cli("sync")
    assert first["published"]["sessions"] == 25
    assert first.keys() >= {"cycleId", "upToDate", "published", "applied", "config"} | COUNTS
    linked = b.cli("link", str(remote), "--key", made["recoveryKey"])
    assert linked["vaultId"] == made["vaultId"]
    assert linked["deviceId"] != made["deviceId"]
    assert linked["preview"]["applied"]["sessions"] == 25
    assert b.content() == b.content()
    both = b.cli("sync")
    assert (both["applied"]["sessions"], both["published"]["sessions"]) == (25, 22)
    a.cli("sync")
    assert a.content() == b.content(), "T5: sessions that exist on one side only must appear on the other"
    for m in (a, b):
        m.check_integrity()
        assert m.cli("sync")["upToDate"]
        verified = m.cli("verify")
        assert {name: verified[name] for name in ("ok", "rowsCompared", "differences", "waiting")} == {
            "ok": True,
            "rowsCompared": 631,
            "differences": [],
            "waiting": 0,
        }
        status = m.cli("status")
        assert status["configured"]
        assert len(status["devices"]) == 2
        assert all(device.keys() >= {"id", "name", "lastPublished", "behind"} for device in status["devices"])
        assert status.keys() >= {"vaultId", "deviceId", "remote", "lastError"} | COUNTS


@pytest.mark.parametrize("version", ["1.2.4", "1.14.41", "1.17.11", "1.18.34"])
def test_every_schema_version_travels(machine: Make, remote: Path, version: str) -> None:
    a, b = machine("a", f"cyd-{version}"), machine("b", f"cyd-{version}")
    for table in ("session",):
        connection = b.connect()
        connection.execute(f"DELETE FROM {table}")
        connection.close()
    a.cli("init", str(remote), "--encryption", "none")
    a.cli("sync")
    b.cli("link", str(remote))
    b.cli("sync")
    assert a.content() == b.content()
    assert a.cli("sync")["upToDate"]


def test_pull_and_push_are_the_halves(machine: Make, remote: Path) -> None:
    a, b = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33")
    a.cli("init", str(remote), "--encryption", "none")
    pushed = a.cli("push")
    assert pushed["published"]["sessions"] == 25
    b.cli("link", str(remote))
    pulled = b.cli("pull")
    assert pulled["applied"]["sessions"] == 25
    assert a.cli("sync")["applied"]["sessions"] == 0, "pull must not publish"
    b.cli("push")
    assert a.cli("sync")["applied"]["sessions"] == 22


def test_preview_changes_nothing_and_says_what_would_happen(machine: Make, remote: Path) -> None:
    a, b = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33")
    a.cli("init", str(remote), "--encryption", "none")
    plan = a.cli("preview")
    assert plan["published"]["sessions"] == len(plan["sessions"]) == 25
    assert {change["change"] for change in plan["sessions"]} == {"out"}
    assert a.cli("preview") | {"cycleId": ""} == plan | {"cycleId": ""}
    a.cli("sync")
    b.cli("link", str(remote))
    before = b.content()
    planned = b.cli("preview")
    assert planned["applied"]["inserted"] == 335
    assert all(session["title"] for session in planned["sessions"]), "nobody can tell from ids what would come in"
    assert b.content() == before
    assert b.cli("sync")["applied"]["inserted"] == 335, "the preview promised something else"


def test_an_embedded_vault_can_move_to_a_real_remote(machine: Make, remote: Path) -> None:
    a, b = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33")
    made = a.cli("init")
    assert a.cli("sync")["published"]["sessions"] == 25
    moved = a.cli("init", "--move-to", str(remote))
    assert moved["vaultId"] == made["vaultId"]
    assert b.cli("link", str(remote), "--key", made["recoveryKey"])["vaultId"] == made["vaultId"]
    assert b.cli("sync")["applied"]["sessions"] == 25


def test_a_vault_that_moves_takes_everybodys_log_along(machine: Make, remote: Path, tmp_path: Path) -> None:
    a, b, c = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33"), machine("c")
    key = a.cli("init", str(remote))["recoveryKey"]
    b.cli("link", str(remote), "--key", key)
    for one in (a, b, a):
        one.cli("sync")
    other = bare_remote(tmp_path / "other.git")
    a.cli("init", "--move-to", str(other))
    a.cli("init", "--move-to", str(other))
    c.cli("link", str(other), "--key", key)
    arrived = c.cli("sync", expect=(0, 3))
    theirs = {row[0] for row in b.sql("SELECT id FROM session")}
    assert len(theirs) > 25
    assert arrived["applied"]["sessions"] + arrived["unplaced"] == len(theirs), "what a machine had written that never comes back is not at the new address"


def test_a_vault_that_was_not_joined_leaves_nothing_that_travels(machine: Make, remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, moved = bare_remote(tmp_path / "mine.git"), bare_remote(tmp_path / "moved.git")
    stranger, a = machine("stranger", "bob-1.18.33"), machine("a")
    stranger.cli("init", str(remote), "--encryption", "none")
    stranger.cli("sync")

    def interrupted(*_: Any) -> None:
        raise SidecarError("cancelled", "Stopped.")

    with monkeypatch.context() as patched:
        patched.setattr(report, "remote_devices", interrupted)  # all logs have been fetched by then
        with pytest.raises(SidecarError, match="Stopped"):
            a.sidecar.link(LinkParams(str(remote)), Task())
    a.cli("init", str(mine))
    a.cli("init", "--move-to", str(moved))
    branches = subprocess.run(["git", "for-each-ref", "--format=%(refname)"], cwd=moved, capture_output=True, text=True, check=True).stdout.split()
    assert branches == ["refs/heads/main"], "somebody else's conversations were pushed to the new address"


@pytest.mark.parametrize("when", ["before the push", "after the push"])
def test_an_init_that_dies_can_be_repeated(machine: Make, remote: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    a, b = machine("a"), machine("b")
    make, died = setup.make_vault, False

    def dying(*args: Any, **kwargs: Any) -> None:
        nonlocal died
        if when == "after the push":
            make(*args, **kwargs)
        died = True
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "make_vault", dying)
    with pytest.raises(KeyboardInterrupt):
        a.sidecar.init(InitParams(str(remote)), Task())
    assert died
    monkeypatch.setattr(setup, "make_vault", make)
    key = a.cli("init", str(remote))["recoveryKey"]
    b.cli("link", str(remote), "--key", key)


def test_options_are_understood_before_and_after_the_command(machine: Make) -> None:
    a = machine("a", "ada-1.18.33")
    for arguments in (("--json", "status"), ("status", "--json")):
        assert json.loads(a.run(*arguments).stdout)["configured"] is False


@pytest.mark.parametrize("arguments", [["nope"], [], ["link"], ["sync", "--nope"], ["init", "a", "b"]])
def test_usage_errors(machine: Make, arguments: list[str]) -> None:
    done = machine("a").run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_errors_are_one_line_for_people_and_an_object_for_scripts(machine: Make) -> None:
    a = machine("a", "ada-1.18.33")
    done = a.run("sync")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    error = a.cli("sync", expect=(1,))["error"]
    assert error.keys() == {"code", "kind", "message", "detail", "remedy", "retryable"}
    assert error["kind"] == "notConfigured"


def test_version_and_help(machine: Make) -> None:
    assert machine("a").run("--version").stdout.startswith("opencode-sidecar 0.")
    assert "sync" in machine("b").run("--help").stdout


def test_files_of_ours_are_private(machine: Make, remote: Path) -> None:
    if os.name != "posix":
        pytest.skip("POSIX permissions")
    a = machine("a", "ada-1.18.33")
    a.cli("init", str(remote), "--encryption", "none")
    a.cli("sync")
    assert a.own_state.stat().st_mode & 0o077 == 0
    for name in ("device.json", "shadow.db"):
        assert (a.own_state / name).stat().st_mode & 0o077 == 0
