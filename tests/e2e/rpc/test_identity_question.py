"""Two machines under one identity, as a host that can show questions sees it: what the answers do is what `link` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import questions
from tests.support.machines import Machine
from tests.support.questions import COPY, LATER, SAME, copied, sessions, set_back
from tests.support.rawclient import RawClient
from tests.support.tamper import logs

CAPABLE = {"window": {"showMessage": {}}}


@pytest.fixture
def original(tmp_path: Path, remote: Path) -> Machine:
    return questions.original(tmp_path / "a", remote)


@pytest.fixture
def copy(original: Machine, tmp_path: Path) -> Machine:
    return copied(original, tmp_path / "clone")


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
    device = original.cli("status")["deviceId"]
    set_back(original, tmp_path / "backup")
    before = logs(remote)
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
