"""Other users of the machine: what the server makes in a new home is closed to them from the first moment."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.machines import Machine
from tests.support.rawclient import RawClient


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_everything_the_server_makes_is_closed_to_others(machine: Callable[..., Machine], tmp_path: Path) -> None:
    one = machine("m", "ada-1.18.33")
    before = os.umask(0)  # the most careless environment
    try:
        client = RawClient(one.environ)
    finally:
        os.umask(before)
    try:
        client.initialize()
        assert "result" in client.call("sync/init", {})
        assert "result" in client.call("sync/run", {})
    finally:
        client.kill()
    top = one.root / "state/opencode"
    for folder in (top, *(path for path in top.iterdir() if path.is_dir())):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, f"{folder.name} can be entered by other users"
    for name in ("keys.json", "device.json"):
        assert stat.S_IMODE((one.own_state / name).stat().st_mode) == 0o600
    for path in (one.own_state / "logs").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_folder_that_was_left_open_is_closed(machine: Callable[..., Machine]) -> None:
    one = machine("m", "ada-1.18.33")
    one.cli("init")
    one.own_state.chmod(0o755)
    one.cli("sync")
    assert stat.S_IMODE(one.own_state.stat().st_mode) == 0o700
