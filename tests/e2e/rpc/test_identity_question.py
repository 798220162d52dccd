"""Two machines under one identity, as a host that can show questions sees it: what the answers do is what `link` does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import edits
from tests.support.machines import Machine
from tests.support.rawclient import RawClient
from tests.support.tamper import logs

Make = Callable[..., Machine]
SAME, COPY, LATER = "This is the original, restored from a backup", "This is a copy: give it its own identity", "Later"
CAPABLE = {"window": {"showMessage": {}}}


def work(machine: Machine, name: str) -> None:
    db = machine.connect()
    edits.new_session(db, f"ses_{name}", int(time.time() * 1000) - 60_000)
    edits.add_turn(db, f"ses_{name}", name, int(time.time() * 1000) - 60_000)
    db.close()


def sessions(machine: Machine) -> set[str]:
    return {row[0] for row in machine.sql("SELECT id FROM session")}


@pytest.fixture
def original(machine: Make, remote: Path) -> Machine:
    a = machine("a")
    work(a, "first")
    a.cli("init", str(remote))
    a.cli("sync")
    return a


@pytest.fixture
def copy(original: Machine, machine: Make) -> Machine:
    """The original's state and database on another machine; both have worked on, and the original has synced."""
    clone = machine("clone")
    original.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(original.root / "state", clone.root / "state", dirs_exist_ok=True)
    shutil.copyfile(original.db, clone.db)
    for one, name in ((original, "mine"), (clone, "its")):
        work(one, name)
    original.cli("sync")
    return clone


@pytest.fixture
def connect() -> Iterator[Callable[[Machine], RawClient]]:
    clients: list[RawClient] = []

    def made(machine: Machine) -> RawClient:
        clients.append(RawClient(machine.environ))
        return clients[-1]

    yield made
    for client in clients:
        client.kill()


def refused(client: RawClient) -> None:
    assert client.call("sync/run", {})["error"]["data"]["kind"] == "identityCloned"


def asked(client: RawClient, identity: str = "ask-1") -> dict[str, Any]:
    params: dict[str, Any] = client.wait_for(identity)["params"]
    assert params["kind"] == "identityCloned"
    assert [action["title"] for action in params["actions"]] == [SAME, COPY, LATER]
    return params


def answer(client: RawClient, title: str, identity: str = "ask-1") -> None:
    client.send({"jsonrpc": "2.0", "id": identity, "result": {"title": title}})


def synced(client: RawClient) -> None:
    """A cycle has got through since; the answer's own, or one that waited for it."""
    deadline = time.monotonic() + 20
    while client.call("sync/status", {})["result"]["lastError"] is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "result" in client.call("sync/run", {})


def test_a_copy_gets_an_identity_of_its_own(original: Machine, copy: Machine, remote: Path, connect: Callable[[Machine], RawClient]) -> None:
    client, before = connect(copy), logs(remote)
    client.initialize(capabilities=CAPABLE)
    device = copy.cli("status")["deviceId"]
    refused(client)
    asked(client)
    answer(client, COPY)
    synced(client)
    assert client.call("sync/status", {})["result"]["deviceId"] != device
    assert len(logs(remote)) == len(before) + 1
    original.cli("sync")
    assert sessions(original) == sessions(copy) == {"ses_first", "ses_mine", "ses_its"}
    assert original.content() == copy.content()


def test_the_original_goes_on_with_its_log(original: Machine, remote: Path, tmp_path: Path, connect: Callable[[Machine], RawClient]) -> None:
    original.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(original.root / "state", tmp_path / "backup")
    database = shutil.copyfile(original.db, tmp_path / "opencode.db")
    work(original, "published")
    original.cli("sync")
    before, device = logs(remote), original.cli("status")["deviceId"]
    shutil.rmtree(original.root / "state")
    shutil.copytree(tmp_path / "backup", original.root / "state")
    for path in original.db.parent.glob("opencode.db*"):
        path.unlink()
    shutil.copyfile(database, original.db)
    work(original, "since")
    client = connect(original)
    client.initialize(capabilities=CAPABLE)
    refused(client)
    asked(client)
    answer(client, SAME)
    synced(client)
    assert client.call("sync/status", {})["result"]["deviceId"] == device
    assert logs(remote).keys() == before.keys(), "the original got another log"
    assert sessions(original) == {"ses_first", "ses_published", "ses_since"}
    assert any(message["method"] == "sync/didApply" for message in client.notifications), "open windows are not told what came back"
    assert client.call("sync/verify", {})["result"]["ok"]


def test_it_is_asked_once_and_no_answer_changes_nothing(copy: Machine, remote: Path, connect: Callable[[Machine], RawClient]) -> None:
    client, before, device = connect(copy), logs(remote), copy.cli("status")["deviceId"]
    client.initialize(capabilities=CAPABLE)
    refused(client)
    asked(client)
    answer(client, LATER)
    for late in ({"result": {"title": COPY}}, {"result": {"title": SAME}}, {"error": {"code": -32800, "message": "late"}}):
        client.send({"jsonrpc": "2.0", "id": "ask-1", **late})
    for other in ({"title": [COPY]}, [], COPY):
        client.send({"jsonrpc": "2.0", "id": "ask-7", "result": other})
    refused(client)
    client.call("sync/pull", {})
    refused(client)
    assert "ask-2" not in client.answers, "the same question again"
    assert (logs(remote), client.call("sync/status", {})["result"]["deviceId"]) == (before, device)
    assert any(entry["reason"] == "identity" for entry in client.call("sync/status", {})["result"]["attention"])


def test_whoever_answers_second_changes_nothing(original: Machine, copy: Machine, remote: Path, connect: Callable[[Machine], RawClient]) -> None:
    client = connect(copy)
    client.initialize(capabilities=CAPABLE)
    refused(client)
    asked(client)
    copy.cli("link", str(remote), "--new-device")
    copy.cli("sync")
    before, device = logs(remote), copy.cli("status")["deviceId"]
    answer(client, COPY)
    synced(client)
    assert copy.cli("status")["deviceId"] == device, "a second answer gave up the identity that the first had made"
    assert logs(remote) == before


def test_an_answer_that_cannot_be_carried_out_is_told_and_asked_again(copy: Machine, remote: Path, connect: Callable[[Machine], RawClient]) -> None:
    client, away = connect(copy), remote.with_name("away.git")
    client.initialize(capabilities=CAPABLE)
    refused(client)
    asked(client)
    client.notifications.clear()
    remote.rename(away)
    answer(client, COPY)
    deadline = time.monotonic() + 20
    while not any(message["method"] == "window/showMessage" for message in client.notifications) and time.monotonic() < deadline:
        client.call("sync/status", {})
        time.sleep(0.1)
    away.rename(remote)
    assert [m["params"]["type"] for m in client.notifications if m["method"] == "window/showMessage"] == [1], "nobody is told that nothing came of it"
    refused(client)
    asked(client, "ask-2")


def test_a_host_that_cannot_show_it_is_not_asked(copy: Machine, connect: Callable[[Machine], RawClient]) -> None:
    client = connect(copy)
    client.initialize()
    refused(client)
    client.call("sync/status", {})
    assert client.answers == {}
