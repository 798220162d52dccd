"""History, restore, doctor and repair as people and scripts call them, and as a host does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support import edits
from tests.support.machines import Machine
from tests.support.rawclient import RawClient

Make = Callable[..., Machine]


def _deleted_elsewhere(machine: Make, remote: Path) -> tuple[Machine, Machine, str]:
    """Two machines; a session that was deleted on the first is gone on the second, too. Its id."""
    a, b = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33")
    a.cli("init", str(remote), "--encryption", "none")
    a.cli("sync")
    b.cli("link", str(remote))
    b.cli("sync")
    connection = a.connect()
    (session,) = connection.execute("SELECT session_id FROM message GROUP BY session_id ORDER BY count(*) DESC, session_id LIMIT 1").fetchone()
    edits.delete_session(connection, session)
    connection.close()
    a.cli("sync")
    return a, b, session


def test_a_session_deleted_by_mistake_comes_back_with_two_commands(machine: Make, remote: Path) -> None:
    a, b, session = _deleted_elsewhere(machine, remote)
    before = b.content()
    cycle = b.cli("sync")["cycleId"]
    assert session not in b.content()["session"]
    listed = b.cli("history")
    newest = listed["cycles"][0]
    assert newest.keys() >= {"cycleId", "at", "applied", "published", "sessions", "restorable"}
    assert (newest["cycleId"], [entry["id"] for entry in newest["sessions"]]) == (cycle, [session])
    assert listed["snapshot"]
    done = b.cli("restore", cycle, "--session", session)
    assert done["restored"]["sessions"] == 1
    for one in (b, a, b):
        one.cli("sync")
    assert a.content() == b.content()
    assert {key: row for key, row in b.content()["message"].items() if row["session_id"] == session} == {
        key: row for key, row in before["message"].items() if row["session_id"] == session
    }, "the restored session lacks messages"
    text = b.run("history").stdout
    assert "restore" in text
    assert cycle in text


def test_bad_input_is_one_line_with_a_remedy(machine: Make, remote: Path, tmp_path: Path) -> None:
    a = machine("a", "ada-1.18.33")
    assert a.cli("history", expect=(1,))["error"]["kind"] == "notConfigured"
    a.cli("init", str(remote), "--encryption", "none")
    assert a.cli("history")["cycles"] == []
    for arguments in (("restore", "none"), ("history", "--limit", "0"), ("repair", "--salvage", str(tmp_path / "no/such/folder.db"))):
        error = a.cli(*arguments, expect=(1,))["error"]
        assert error["kind"] == "invalidParams"
        assert error["remedy"]
    assert a.cli("restore", expect=(2,))["error"]["kind"] == "invalidParams"


def test_doctor_says_everything_in_its_exit_status(machine: Make, remote: Path) -> None:
    a = machine("a", "ada-1.18.33")
    assert not a.cli("doctor", expect=(1,))["ok"]
    a.cli("init", str(remote), "--encryption", "none")
    a.cli("sync")
    result = a.cli("doctor")
    assert result["ok"]
    assert all(check.keys() == {"name", "ok", "detail", "remedy"} for check in result["checks"])
    assert a.cli("repair")["actions"] == [], "something was done to what is in order"
    assert a.cli("sync")["upToDate"], "a repair made something to do"
    assert a.run("doctor").stdout.startswith("✅")


def test_a_host_is_told_which_sessions_came_back(machine: Make, remote: Path) -> None:
    _, b, session = _deleted_elsewhere(machine, remote)
    cycle = b.cli("sync")["cycleId"]
    client = RawClient(b.environ)
    try:
        client.initialize()
        assert client.call("sync/history", {"limit": 1})["result"]["cycles"][0]["cycleId"] == cycle
        assert client.call("sync/restore", {"cycle": cycle})["result"]["sessionIds"] == [session]
        told = [message["params"] for message in client.notifications if message.get("method") == "sync/didApply"]
        assert [params["sessionIds"] for params in told] == [[session]], "open windows would go on showing the old state"
        assert client.call("sync/doctor", {})["result"]["checks"]
    finally:
        client.kill()
