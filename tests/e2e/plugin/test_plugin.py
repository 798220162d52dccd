"""The plugin, packed and installed as users get it, inside real opencode servers: sessions travel by themselves."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.npm import install_packed
from tests.support.opencode.fleet import Fleet
from tests.support.opencode.machine import REPOSITORY, Machine

pytestmark = pytest.mark.opencode
SECONDS = 45.0


class Events(threading.Thread):
    """What a window would be told: the server's event stream."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self.seen: list[dict[str, Any]] = []
        request = urllib.request.Request(machine.url + "/event", headers={"x-opencode-directory": str(machine.app)})
        self._response = urllib.request.urlopen(request, timeout=300)
        self.start()

    def run(self) -> None:
        try:
            for line in self._response:
                if line.startswith(b"data:"):
                    self.seen.append(json.loads(line[5:]))
        except (OSError, ValueError, AttributeError):
            pass

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event["properties"] for event in self.seen if event.get("type") == kind]


def eventually(what: str, test: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = test()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {SECONDS:.0f} s")


def children(pid: int, *, words: str = "serve") -> list[int]:
    """Processes below `pid` whose command line has these words (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == pid and words in command and "sidecar" in command:
                found.append(int(entry.name))
    return found


def gone(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def notify_send(root: Path) -> Path:
    """A folder with a program that writes down what a desktop would show."""
    program = root / "bin/notify-send"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor word; do :; done\nprintf "%s\\n" "$word" >> "{root}/notified"\n')
    program.chmod(0o755)
    return program.parent


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    root = tmp_path_factory.mktemp("plugin")
    package = install_packed(root / "npm")
    with Fleet(root, {"a": "1.18.33", "b": "1.18.33"}) as fleet:
        for machine in fleet.machines:
            machine.stop()
            machine.configure(plugin=[[(package / "dist/plugin/index.js").as_uri(), {"intervalSeconds": 5, "notifications": True}]])
            machine.extra_environ = {
                "OPENCODE_SIDECAR_COMMAND": json.dumps([sys.executable, "-m", "sidecar"]),
                "PYTHONPATH": str(REPOSITORY),
                "PATH": os.pathsep.join([str(notify_send(machine.root)), os.environ["PATH"]]),
            }
            machine.start()
        yield fleet


@pytest.fixture
def a(pair: Fleet) -> Machine:
    return pair.machines[0]


@pytest.fixture
def b(pair: Fleet) -> Machine:
    return pair.machines[1]


def test_a_conversation_appears_on_the_other_machine_and_goes_on_there(a: Machine, b: Machine) -> None:
    events = Events(b)
    session = a.started("Made on a")
    eventually("the session on b", lambda: session in b.listed())
    assert "Made on a" in b.text(session)
    toast = eventually("a toast on b", lambda: [t for t in events.of("tui.toast.show") if "1 session in" in t["message"]])
    assert toast[0]["variant"] == "success"
    eventually("a notification on b", lambda: (b.root / "notified").exists() and "📥 1 session changed here" in (b.root / "notified").read_text())
    eventually("an event that makes windows look again", lambda: [e for e in events.of("session.updated") if e["info"]["id"] == session])
    b.ask(session, "Continued on b")
    eventually("the answer back on a", lambda: "Continued on b" in a.text(session))
    a.delete(session)
    eventually("the deletion on b", lambda: session not in b.listed())
    for machine in (a, b):
        machine.check_database()


def test_quiet_when_nothing_happens(a: Machine, b: Machine) -> None:
    """The no-op renames that refresh windows must not come back as changes, round and round."""
    session = a.started("Only once")
    eventually("the session on b", lambda: session in b.listed())
    time.sleep(12)
    published = [machine.sidecar("status")["devices"] for machine in (a, b)]
    time.sleep(12)
    assert [machine.sidecar("status")["devices"] for machine in (a, b)] == published, "the machines keep sending each other nothing"


def test_one_sidecar_however_many_directories_are_open(a: Machine) -> None:
    other = a.root / "home/other"
    a.make_project(other, origin="https://git.example.invalid/lab/other.git")
    a.started("In another folder", at=other)
    assert len(children(a.server_pid)) == 1


def test_the_death_of_the_sidecar_leaves_opencode_healthy(a: Machine, b: Machine) -> None:
    (pid,) = eventually("a sidecar", lambda: children(a.server_pid))
    os.kill(pid, signal.SIGKILL)
    session = a.started("After the crash")
    assert "After the crash" in a.text(session)
    eventually("the session on b, through another sidecar", lambda: session in b.listed())
    assert children(a.server_pid) != [pid]


def test_T40_the_death_of_opencode_takes_the_sidecar_along(b: Machine) -> None:  # noqa: N802
    (pid,) = eventually("a sidecar", lambda: children(b.server_pid))
    os.kill(b.server_pid, signal.SIGKILL)
    eventually("the end of the sidecar", lambda: gone(pid))
    b.stop()
    b.start()
    b.check_database()


def test_commands_and_the_tool_are_offered(a: Machine) -> None:
    commands = {command["name"] for command in a.api("GET", "/command")}
    assert {"sync-status", "sync-run", "sync-init", "sync-link", "sync-preview"} <= commands
    tools = a.api("GET", "/experimental/tool/ids")
    assert "opencode_sync" in tools
    (offered,) = [tool for tool in a.api("GET", "/experimental/tool?provider=mock&model=mock") if tool["id"] == "opencode_sync"]
    assert {"status", "run", "history", "restore", "doctor"} <= set(offered["parameters"]["properties"]["action"]["enum"]), "the model cannot call it"
