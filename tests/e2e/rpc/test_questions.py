"""The deletion guard's question, as a host that can show it sees it: asked once, and its answer carried out if it still is the question."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import edits
from tests.support.machines import Machine, bare_remote
from tests.support.questions import COUNT, a_minute_ago, vanish, with_many_sessions
from tests.support.rawclient import RawClient


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return with_many_sessions(tmp_path / "a", bare_remote(tmp_path / "remote.git"))


@pytest.fixture
def client(machine: Machine) -> Iterator[RawClient]:
    found = RawClient(machine.environ)
    yield found
    found.kill()


def question(client: RawClient) -> dict[str, Any]:
    return client.wait_for("ask-1")


def rows(machine: Machine) -> int:
    return len(machine.sql("SELECT 1 FROM session"))


@pytest.mark.parametrize(("title", "left", "tombstones"), [("Bring them back", COUNT, 0), ("Delete on all machines", 0, COUNT)])
def test_the_answer_is_carried_out(machine: Machine, client: RawClient, title: str, left: int, tombstones: int) -> None:
    client.initialize(capabilities={"window": {"showMessage": {}}})
    vanish(machine)
    assert client.call("sync/run", {})["result"]["guarded"] == COUNT
    asked = question(client)
    assert asked["method"] == "window/showMessageRequest"
    assert str(COUNT) in asked["params"]["message"]
    assert title in [action["title"] for action in asked["params"]["actions"]]
    client.send({"jsonrpc": "2.0", "id": "ask-1", "result": {"title": title}})
    deadline = time.monotonic() + 20
    while (client.call("sync/status", {})["result"]["guarded"] or rows(machine) != left) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert rows(machine) == left
    client.call("sync/preview", {})  # takes its turn after the cycle that the answer started
    assert client.call("sync/run", {})["result"]["guarded"] == 0
    assert sum(cycle["published"]["tombstones"] for cycle in client.call("sync/history", {})["result"]["cycles"]) == tombstones
    assert any(message["method"] == "sync/didApply" for message in client.notifications) == bool(left), "open windows are not told"


def test_it_is_asked_once_and_no_answer_leaves_it_open(machine: Machine, client: RawClient) -> None:
    client.initialize(capabilities={"window": {"showMessage": {"messageActionItem": {}}}})
    vanish(machine)
    client.call("sync/run", {})
    question(client)
    for answer in ({"result": None}, {"error": {"code": -32601, "message": "no"}}, {"result": {"title": "what"}}, {"result": 7}):
        client.send({"jsonrpc": "2.0", "id": "ask-1", **answer})
    assert client.call("sync/run", {})["result"]["guarded"] == COUNT
    assert client.call("sync/status", {})["result"]["guarded"] == COUNT
    assert "ask-2" not in client.answers, "the same question again"
    assert client.end() == 0


def test_a_host_that_cannot_show_it_is_not_asked(machine: Machine, client: RawClient) -> None:
    client.initialize()
    vanish(machine)
    assert client.call("sync/run", {})["result"]["guarded"] == COUNT
    client.call("sync/status", {})
    assert client.answers == {}
    result = client.call("sync/run", {"deletions": "restore"})["result"]
    assert (result["guarded"], result["applied"]["sessions"]) == (0, COUNT)
    assert client.call("sync/run", {"deletions": "perhaps"})["error"]["data"]["kind"] == "invalidParams"


def settled(client: RawClient) -> None:
    """What the answer started is over: these wait for their turn behind it."""
    for _ in range(2):
        client.call("sync/preview", {})
        time.sleep(0.2)


def test_a_yes_to_fewer_deletions_deletes_nothing_more(machine: Machine, client: RawClient) -> None:
    """A mass of other sessions vanishes between question and answer, and no cycle has seen it."""
    db = machine.connect()
    for number in range(3):
        edits.new_session(db, f"ses_kept{number}", a_minute_ago())
    db.close()
    client.initialize(capabilities={"window": {"showMessage": {}}})
    client.call("sync/run", {})
    machine.sql("DELETE FROM session WHERE id NOT LIKE 'ses_kept%'")
    client.call("sync/run", {})
    question(client)
    machine.sql("DELETE FROM session")
    client.send({"jsonrpc": "2.0", "id": "ask-1", "result": {"title": "Delete on all machines"}})
    asked = client.wait_for("ask-2")
    assert str(COUNT + 3) in asked["params"]["message"], "what is held back now is not asked about"
    assert sum(cycle["published"]["tombstones"] for cycle in client.call("sync/history", {})["result"]["cycles"]) == 0
    assert client.call("sync/run", {"deletions": "restore"})["result"]["guarded"] == 0
    assert rows(machine) == COUNT + 3


def test_a_question_that_was_answered_elsewhere_is_withdrawn_and_its_answer_does_nothing(machine: Machine, client: RawClient) -> None:
    client.initialize(capabilities={"window": {"showMessage": {}}})
    vanish(machine)
    client.call("sync/run", {})
    question(client)
    machine.cli("sync", "--deletions", "restore")
    assert client.call("sync/run", {})["result"]["guarded"] == 0
    assert {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "ask-1"}} in client.notifications, "the host goes on showing it"
    vanish(machine)
    client.send({"jsonrpc": "2.0", "id": "ask-1", "result": {"title": "Delete on all machines"}})
    settled(client)
    assert client.call("sync/run", {})["result"]["guarded"] == COUNT, "an answer to an earlier accident deleted everything"
    assert client.wait_for("ask-2")["params"]["kind"] == "deletionGuard"


def test_an_answer_after_the_end_starts_nothing(machine: Machine, client: RawClient) -> None:
    client.initialize(capabilities={"window": {"showMessage": {}}})
    vanish(machine)
    client.call("sync/run", {})
    question(client)
    client.call("shutdown")
    client.send({"jsonrpc": "2.0", "id": "ask-1", "result": {"title": "Delete on all machines"}})
    time.sleep(1)
    client.notify("exit")
    assert client.process.wait(10) == 0
    assert machine.cli("sync", expect=(3,))["guarded"] == COUNT
