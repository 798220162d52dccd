"""A change of the key as a host shows it: one machine changes it, the servers of the others say so once, and go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.machines import Machine
from tests.support.rawclient import RawClient


def test_hosts_are_told_once_and_need_nobody(machine: Callable[..., Machine], remote: Path) -> None:
    a, b, c = machine("a"), machine("b"), machine("c")
    key = a.cli("init", str(remote), "--device-name", "desk")["recoveryKey"]
    clients = [RawClient(one.environ) for one in (b, c)]
    try:
        for client, name in zip(clients, ("laptop", "tablet"), strict=True):
            client.initialize()
            assert "result" in client.call("sync/link", {"remote": str(remote), "key": key, "deviceName": name})
            client.call("sync/run", {})
        a.cli("sync")
        for client in clients:
            client.call("sync/run", {})
        tablet = next(device["id"] for device in clients[0].call("sync/status", {})["result"]["devices"] if device["name"] == "tablet")
        done = a.cli("forget-device", tablet)
        assert done["givenTo"] == ["laptop"]
        clients[0].notifications.clear()
        result = clients[0].call("sync/run", {})["result"]
        assert result["warnings"] == []
        (notice,) = result["notices"]
        assert notice.startswith("desk gave the vault a new key and forgot tablet")
        shown = [note["params"]["message"] for note in clients[0].notifications if note["method"] == "window/showMessage"]
        assert f"🔑 {notice}" in shown
        assert clients[0].call("sync/status", {})["result"]["keyChanged"]["by"] == "desk"
        assert clients[0].call("sync/showKey", {"confirm": True})["result"]["recoveryKey"] == done["recoveryKey"]
        clients[0].call("sync/run", {})
        assert clients[0].call("sync/run", {})["result"]["upToDate"]
        error = clients[1].call("sync/run", {})["error"]
        assert error["data"]["kind"] == "wrongKey"
        assert "forgotten" in error["message"]
        rotated = clients[0].call("sync/rotateKey", {})["result"]
        assert rotated["givenTo"] == ["desk"]
        assert a.cli("sync")["notices"]
        assert a.run("show-key", "--yes").stdout.strip() == rotated["recoveryKey"]
    finally:
        for client in clients:
            client.kill()
