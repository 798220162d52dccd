"""A host sees and settles configuration over stdio."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.support.machines import Machine
from tests.support.rawclient import RawClient

Make = Callable[..., Machine]


def test_a_host_turns_it_on_sees_conflicts_and_settles_them(machine: Make, remote: Path) -> None:
    a, b = machine("a"), machine("b")
    a.cli("init", str(remote), "--encryption", "none")
    b.cli("link", str(remote))
    files = [one.root / "config/opencode/opencode.json" for one in (a, b)]
    clients = [RawClient(one.environ) for one in (a, b)]
    try:
        for client, file, model in zip(clients, files, ("x/a", "x/b"), strict=True):
            client.initialize()
            assert client.call("config/get", {})["result"]["settings"]["includeConfig"] is False
            client.call("config/set", {"values": {"includeConfig": True}})
            file.write_text(json.dumps({"model": model}))
            client.call("sync/run", {})
        _, client = clients
        (conflict,) = client.call("sync/resolve", {})["result"]["conflicts"]
        assert (conflict["id"], conflict["mine"], conflict["theirs"]) == ("config/opencode.json#/model", '"x/b"', '"x/a"')
        assert client.call("sync/status", {})["result"]["config"]["conflicts"] == 1
        for params in (
            {"path": "nowhere", "choice": "mine"},
            {"path": conflict["id"], "choice": "either"},
            {"path": conflict["id"], "choice": "text", "text": "{"},
        ):
            assert client.call("sync/resolve", params)["error"]["data"]["kind"] == "invalidParams"
        assert client.call("config/set", {"values": {"includeConfig": 1}})["error"]["data"]["kind"] == "invalidParams"
        done = client.call("sync/resolve", {"path": conflict["id"], "choice": "theirs"})["result"]
        assert (done["conflicts"], done["settled"]) == ([], [conflict["id"]])
        assert json.loads(files[1].read_text()) == {"model": "x/a"}
    finally:
        for client in clients:
            client.kill()
