"""The main job with the real opencode on both machines, its server running all the while."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import bare_remote
from tests.support.opencode.host import Machine, start_mock
from tests.support.opencode.install import opencode

pytestmark = [pytest.mark.opencode, pytest.mark.timeout(400)]
ORIGIN = "https://example.invalid/lab/app.git"
Host = Any


def sidecar(host: Host, *arguments: str, expect: tuple[int, ...] = (0,)) -> dict[str, Any]:
    env = host.env(PYTHONPATH=str(Path(__file__).parents[3]))
    done = subprocess.run([sys.executable, "-m", "sidecar", "--json", *arguments], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in expect, f"{arguments} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def texts(host: Host, session: str) -> str:
    messages = host.api("GET", f"/session/{session}/message")
    return "\n".join(part.get("text", "") for message in messages for part in message["parts"])


def listed(host: Host) -> dict[str, Any]:
    return {session["id"]: session for session in host.api("GET", "/session?directory=" + host.p("work/app"))}


def sound(host: Host) -> None:
    import sqlite3

    connection = sqlite3.connect(host.db)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def both(a: Host, b: Host) -> None:
    """A's changes to B and B's to A."""
    for host in (a, b, a):
        sidecar(host, "sync")
    sound(a)
    sound(b)


class Pair:
    """Two machines with the same project in different folders, both with a running server."""

    def __init__(self, root: Path, versions: tuple[str, str], *, origin: bool) -> None:
        self.mock, url = start_mock()
        self.a, self.b = (Machine(str(root / name), str(opencode(version)), url) for name, version in zip("ab", versions, strict=True))
        self.a.projects()
        self.b.projects(str(root / "a"))
        for host in (self.a, self.b):
            if origin:
                host.git(host.p("work/app"), "config", "remote.origin.url", ORIGIN)
            host.start()
            host.api("GET", "/session?directory=" + host.p("work/app"))  # opens the project
        self.remote = bare_remote(root / "remote.git")

    def link(self) -> None:
        sidecar(self.a, "init", str(self.remote))
        sidecar(self.b, "link", str(self.remote))

    def stop(self) -> None:
        self.a.stop()
        self.b.stop()
        self.mock.shutdown()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("same"), ("1.18.33", "1.18.33"), origin=True)
    made.link()
    yield made
    made.stop()


def test_sessions_made_on_a_are_listed_shown_and_continued_on_b(pair: Pair) -> None:
    a, b = pair.a, pair.b
    plan = a.new()["id"]
    a.ask(plan, "Plan it {{todo 3; text 8}}")
    work = a.new()["id"]
    a.ask(work, "Delegate {{task look around; write notes.txt 20; text 9}}")
    child = a.api("GET", f"/session/{work}/children")[0]["id"]
    sidecar(a, "sync")
    result = sidecar(b, "sync")
    assert {plan, work, child} <= set(result["sessionIds"])
    assert {plan, work} <= listed(b).keys(), "B's opencode does not list what was made on A"
    assert texts(b, plan) == texts(a, plan)
    assert b.api("GET", f"/session/{plan}/todo") == a.api("GET", f"/session/{plan}/todo"), "todos are lost"
    assert [s["id"] for s in b.api("GET", f"/session/{work}/children")] == [child], "the child session lost its parent"
    answer = b.ask(plan, "Go on from here {{text 12}}")
    assert answer["info"]["role"] == "assistant", "B cannot continue A's session"
    sidecar(b, "sync")
    sidecar(a, "sync")
    assert "Go on from here" in texts(a, plan), "the way back to A is lost"
    assert a.ask(plan, "And on A again {{text 5}}")["info"]["role"] == "assistant"
    both(a, b)
    assert texts(a, plan) == texts(b, plan)


def test_both_at_once_keeps_every_turn_and_adds_up(pair: Pair) -> None:
    a, b = pair.a, pair.b
    session = a.new()["id"]
    a.ask(session, "Base {{text 5}}")
    both(a, b)
    a.ask(session, "Only on A {{text 6}}")
    b.ask(session, "Only on B {{text 7}}")
    a.api("PATCH", f"/session/{session}", {"title": "Renamed on A"})
    sidecar(a, "sync")
    result = sidecar(b, "sync")
    assert result["diverged"] >= 1, "nobody is told that the session was continued twice"
    both(a, b)
    for host in (a, b):
        shown = texts(host, session)
        assert "Only on A" in shown
        assert "Only on B" in shown
        assert listed(host)[session]["title"] == "Renamed on A"
    rows = [host.api("GET", f"/session/{session}") for host in (a, b)]
    messages = a.api("GET", f"/session/{session}/message")
    total = sum(m["info"]["tokens"]["output"] for m in messages if m["info"]["role"] == "assistant")
    assert rows[0]["tokens"]["output"] == rows[1]["tokens"]["output"] == total, "usage is counted twice or lost"
    assert b.ask(session, "Together again {{text 5}}")["info"]["role"] == "assistant"
    both(a, b)


def test_deletion_revert_and_archive_reach_the_other_machine(pair: Pair) -> None:
    a, b = pair.a, pair.b
    gone, undone, old = (a.new()["id"] for _ in range(3))
    a.ask(gone, "Throw me away {{todo 2; text 5}}")
    a.ask(undone, "Keep this {{text 5}}")
    second = a.ask(undone, "Undo this {{text 5}}")
    a.ask(old, "Archive me {{text 5}}")
    both(a, b)
    assert gone in listed(b)
    a.api("DELETE", f"/session/{gone}")
    a.api("POST", f"/session/{undone}/revert", {"messageID": second["info"]["parentID"]})
    a.ask(undone, "Another way {{text 5}}")
    a.api("PATCH", f"/session/{old}", {"time": {"archived": int(time.time() * 1000)}})
    both(a, b)
    assert gone not in listed(b), "a deleted session came back"
    assert gone not in listed(a), "a deleted session came back"
    for host in (a, b):
        assert "Undo this" not in texts(host, undone), "an undone turn came back"
        assert "Another way" in texts(host, undone)
        assert host.api("GET", f"/session/{old}")["time"].get("archived"), "the archive mark is lost"


def test_a_cycle_without_changes_is_quiet(pair: Pair) -> None:
    a, b = pair.a, pair.b
    both(a, b)
    for host in (a, b):
        before = Path(host.db + "-wal").stat().st_mtime_ns
        assert sidecar(host, "sync")["upToDate"]
        assert Path(host.db + "-wal").stat().st_mtime_ns == before, "a quiet cycle wrote to the database"
        assert sidecar(host, "verify")["ok"]


@pytest.mark.parametrize("versions", [("1.2.4", "1.18.33"), ("1.18.33", "1.14.41")])
def test_across_versions_schemas_and_project_ids(tmp_path: Path, versions: tuple[str, str]) -> None:
    pair = Pair(tmp_path, versions, origin=True)
    try:
        pair.link()
        a, b = pair.a, pair.b
        session = a.new()["id"]
        a.ask(session, "From the other version {{todo 2; text 8}}")
        both(a, b)
        assert session in listed(b), f"{versions[1]} does not list what {versions[0]} made"
        assert "From the other version" in texts(b, session)
        assert b.ask(session, "Continued there {{text 6}}")["info"]["role"] == "assistant"
        both(a, b)
        assert "Continued there" in texts(a, session)
        assert a.ask(session, "And back {{text 6}}")["info"]["role"] == "assistant"
        both(a, b)
        assert "And back" in texts(b, session)
        ids = [host.api("GET", f"/session/{session}")["projectID"] for host in (a, b)]
        assert ids[0] != ids[1], "this test is to cover different ids of one project"
        assert sidecar(a, "sync")["upToDate"]
    finally:
        pair.stop()
