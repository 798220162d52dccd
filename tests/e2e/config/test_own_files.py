"""An extra path that holds opencode's database or our own state: neither is a file of anybody's set-up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, InitParams, LinkParams
from sidecar.domain.task import Task
from tests.e2e.config.test_config_travels import sync, turn_on
from tests.support import edits
from tests.support.gitremote import git
from tests.support.machines import Machine

Make = Callable[..., Machine]


def _talk(machine: Machine, session: str) -> None:
    connection, at = machine.connect(), int(time.time() * 1000) - 60_000
    edits.new_session(connection, session, at)
    edits.add_turn(connection, session, session, at)
    connection.close()


@pytest.mark.parametrize("below", ["data/opencode", "data", "state/opencode", "data/opencode/opencode.db", "state/opencode/opencode-sidecar"])
def test_neither_the_database_nor_our_state_is_synced_as_a_file(machine: Make, remote: Path, below: str) -> None:
    a, b = machine("a"), machine("b")
    _talk(a, "ses_a")
    _talk(b, "ses_b")
    for one in (a, b):
        (one.root / "data/opencode/notes.txt").write_text("a file of the user's")
        (one.root / "home/mine").symlink_to(one.root / below)
        turn_on(one, extraConfigPaths=["~/mine"])
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    b.sidecar.link(LinkParams(str(remote)), Task())
    first = a.sidecar.run(CycleParams(), Task())
    sync(b, a, b)
    files = git(remote, "ls-tree", "-r", "--name-only", "main").split()
    for name in ("opencode.db", "shadow.db", "journal.db", "keys.json", "device.json", "vault.git", "sync.lock"):
        assert not any(name in path for path in files), f"{name} of one machine was put over that of the other: its conversations, or its keys, are gone"
    for one in (a, b):
        one.check_integrity()
        assert set(one.content()["session"]) == {"ses_a", "ses_b"}
    if below.endswith(("opencode.db", "opencode-sidecar")):
        assert any("no configuration" in warning for warning in first.warnings), "nobody says why it does not travel"
    else:
        assert any("notes.txt" in path for path in files) or below.startswith("state"), "what else is in that folder is the user's to sync"
