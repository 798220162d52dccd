"""Compaction by itself: when it is due, and never in anybody's way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.config import ConfigSetParams
from protocol.keys import RotateKeyParams
from protocol.sync import CycleParams, InitParams
from sidecar.domain.task import Task
from sidecar.services import upkeep
from tests.support import edits, tamper
from tests.support.machines import Machine
from tests.support.rawclient import RawClient

START = int(time.time() * 1000) - edits.DAY


@pytest.fixture
def a(machine: Callable[..., Machine], remote: Path) -> Machine:
    """Half of its log is superseded."""
    one = machine("a")
    one.sidecar.init(InitParams(str(remote)), Task())
    connection = one.connect()
    edits.new_session(connection, "ses_1", START)
    edits.add_turn(connection, "ses_1", "1", START)
    for number in range(4):
        edits.edit_part(connection, "prt_msg_1u", f"edit {number}", START + number)
        one.sidecar.run(CycleParams(), Task())
    connection.close()
    return one


def commits(remote: Path) -> int:
    ((branch, _),) = tamper.logs(remote).items()  # of `a`, which is alone
    return int(tamper.git(remote, "rev-list", "--count", branch))


def an_hour_later(machine: Machine) -> None:
    connection = sqlite3.connect(machine.own_state / "shadow.db")
    connection.execute("DELETE FROM meta WHERE key=?", (upkeep.LOOK,))
    connection.commit()
    connection.close()


def due(machine: Machine) -> bool:
    """As a program that syncs and then has nothing to do."""
    sidecar = machine.sidecar
    sidecar.run(CycleParams(), Task())
    return sidecar.upkeep_due and sidecar.upkeep(Task())


def test_a_small_log_is_left_alone_and_a_large_one_looked_at_once_a_week(a: Machine, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    an_hour_later(a)
    assert not due(a)
    monkeypatch.setattr(upkeep, "MIN_BYTES", 1)
    an_hour_later(a)
    assert not due(a), "it was looked at an hour ago"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 24 * 3600)
    assert due(a)
    assert commits(remote) == 1
    monkeypatch.setattr(time, "time", lambda: now + 9 * 24 * 3600)
    assert not due(a)


def test_a_log_that_is_mostly_alive_stays_as_it_is(a: Machine, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MAX_SHARE", 0.01)
    monkeypatch.setattr(upkeep, "MIN_BYTES", 1)
    before, now = commits(remote), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 24 * 3600)
    assert not due(a)
    assert commits(remote) == before


def test_after_a_rotation_the_next_sync_takes_the_log_from_under_the_old_key(a: Machine, remote: Path) -> None:
    a.sidecar.config_set(ConfigSetParams({"autoCompact": False}), Task())
    a.sidecar.rotate_key(RotateKeyParams(None), Task())
    a.sidecar.run(CycleParams(), Task())
    an_hour_later(a)
    before = commits(remote)
    assert a.cli("sync")["upToDate"] is True
    assert commits(remote) == before, "it was turned off"
    a.cli("config", "autoCompact", "true")
    an_hour_later(a)
    assert a.cli("sync")["upToDate"] is True
    assert commits(remote) == 1
    an_hour_later(a)
    assert not due(a)


def test_a_server_does_it_while_nobody_asks_for_anything(a: Machine, remote: Path) -> None:
    a.sidecar.rotate_key(RotateKeyParams(None), Task())
    a.sidecar.run(CycleParams(), Task())
    an_hour_later(a)
    client = RawClient(a.environ)
    try:
        client.initialize()
        assert client.call("sync/run", {})["result"]["upToDate"] is True
        deadline = time.monotonic() + 60
        while commits(remote) != 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert commits(remote) == 1
        assert client.call("sync/run", {})["result"]["upToDate"] is True
    finally:
        client.kill()


def test_a_request_stops_it(a: Machine, remote: Path) -> None:
    """Whatever it is doing just then: the request is served, and nothing is lost."""
    a.sidecar.rotate_key(RotateKeyParams(None), Task())
    an_hour_later(a)
    client = RawClient(a.environ)
    try:
        client.initialize()
        client.call("sync/run", {})
        for pause in (0.0, 0.05, 0.1, 0.2):
            time.sleep(pause)
            an_hour_later(a)
            assert "result" in client.call("sync/run", {})
        assert "result" in client.call("sync/verify", {})
        client.call("shutdown")
    finally:
        client.kill()
    assert a.cli("sync")["upToDate"] is True
    assert a.cli("verify")["ok"] is True
