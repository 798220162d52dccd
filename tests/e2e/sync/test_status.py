"""What `status` tells of this machine and the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.machines import Machine

Make = Callable[..., Machine]


def test_status_names_versions_and_what_stays_here(machine: Make, remote: Path) -> None:
    a, b = machine("a", "ada-1.18.33"), machine("b", "cyd-1.17.11")
    a.cli("init", str(remote), "--encryption", "none", "--device-name", "desk")
    a.cli("sync")
    b.cli("link", str(remote), "--device-name", "lap")
    b.cli("sync")
    a.cli("sync")
    status = a.cli("status")
    assert status["opencodeVersion"] == "1.18.33"
    assert {device["name"]: device["opencodeVersion"] for device in status["devices"]} == {"desk": "1.18.33", "lap": "1.17.11"}
    assert {"credential", "account", "event", "session_share"} <= set(status["unsyncedTables"]), "the user is not told what stays on this machine"
    assert not {"session", "message", "part", "todo", "session_message"} & set(status["unsyncedTables"])
