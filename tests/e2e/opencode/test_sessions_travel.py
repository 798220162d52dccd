"""The main job: what is done in opencode on one machine is in opencode on the other, while both servers run."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support.opencode.fleet import Fleet, fingerprint
from tests.support.opencode.machine import Machine


def synced_rows(machine: Machine, session: str) -> int:
    """Rows of a session in every table that travels."""
    tables = {"session": "id", "message": "session_id", "part": "session_id", "todo": "session_id"}
    return sum(int(machine.sql(f"SELECT count(*) FROM {table} WHERE {column}=?", session)[0][0]) for table, column in tables.items())


def test_sessions_made_on_a_are_listed_shown_and_continued_on_b(pair: Fleet, a: Machine, b: Machine) -> None:
    plan = a.started("Plan it {{todo 3; text 8}}")
    work = a.started("Do it {{write notes.txt 20; bash echo done; text 9}}")
    parent = a.started("Delegate {{task look around; text 9}}")
    (child,) = a.children(parent)
    fork = a.api("POST", f"/session/{plan}/fork", {})["id"]
    a.rename(work, "Named by hand")
    sent = a.sidecar("sync")
    assert sent["published"]["sessions"] == 5, f"not every session was published: {sent}"
    got = b.sidecar("sync")
    assert set(got["sessionIds"]) == {plan, work, parent, child, fork}, f"not every session arrived: {got}"

    shown = b.listed()
    assert {plan, work, parent, fork} <= shown.keys(), "B's opencode does not list what was made on A: the purpose fails"
    assert {session["directory"] for session in shown.values()} == {str(b.app)}, "a session points to a folder that B does not have"
    assert plan in b.opencode("session", "list"), "`opencode session list` on B does not show A's session"
    assert shown[work]["title"] == "Named by hand", "the user's title is lost"
    for session in (plan, work, parent, child, fork):
        assert [m["parts"] for m in b.messages(session)] == [m["parts"] for m in a.messages(session)], "B shows another transcript than A"
    assert b.todos(plan) == a.todos(plan) != [], "the todo list is lost"
    assert b.children(parent) == [child], "the subagent's session is not below its parent any more"

    b.ask(plan, "Go on from here {{todo 2; text 12}}")
    b.ask(work, "And this too {{write more.txt 5; text 3}}")
    assert (b.app / "more.txt").exists(), "the continued session works in another folder than B's project"
    pair.exchange()
    assert "Go on from here" in a.text(plan), "the turn made on B is not on A: the way back is lost"
    assert a.text(plan) == b.text(plan)
    assert a.todos(plan) == b.todos(plan), "the newer todo list did not replace the older one"
    assert len(a.todos(plan)) == 2, "two todo lists were mixed"
    a.ask(plan, "And on A again {{text 5}}")
    pair.exchange()
    assert a.text(plan) == b.text(plan)


def test_a_session_in_a_subfolder_keeps_its_folder(pair: Fleet, a: Machine, b: Machine) -> None:
    session = a.started("In a subfolder {{text 5}}", at=a.app / "src")
    pair.exchange()
    assert session in b.listed(b.app / "src"), "the session is not in the same subfolder of B's project"
    b.ask(session, "Go on in the subfolder {{text 5}}", at=b.app / "src")
    pair.exchange()
    assert "Go on in the subfolder" in a.text(session)


def test_a_project_that_is_not_on_b_waits_until_it_is(pair: Fleet, a: Machine, b: Machine) -> None:
    library, origin = a.root / "home/library", "git@git.example.invalid:lab/library.git"
    a.make_project(library, origin)
    session = a.started("In the library {{todo 2; text 5}}", at=library)
    pair.exchange()
    assert b.sidecar("status")["unplaced"] >= 1, "nobody tells the user that a session waits for its project"
    assert b.sql("SELECT count(*) FROM session WHERE id=?", session) == [(0,)], "a session without its project was written"
    here = b.root / "home/elsewhere/lib-clone"
    b.clone_project(library, here, origin)
    b.listed(here)  # the user opens the project
    pair.exchange()
    assert b.sidecar("status")["unplaced"] == 0
    assert session in b.listed(here), "the session did not come although its project is here now"
    worktrees = {row[0] for row in b.sql("SELECT worktree FROM project")}
    assert str(here) in worktrees
    assert str(library) not in worktrees, "A's folder became a project of B"
    b.ask(session, "Go on in the clone {{text 5}}", at=here)


def test_deleted_on_a_is_gone_on_b(pair: Fleet, a: Machine, b: Machine) -> None:
    plain, parent = a.started("Throw me away {{todo 2; text 5}}"), a.started("With a child {{task look; text 5}}")
    (child,) = a.children(parent)
    kept = a.started("Stays {{text 5}}")
    pair.exchange()
    assert {plain, parent, kept} <= b.listed().keys()
    a.delete(plain)
    a.delete(parent)
    pair.exchange()
    for machine in (a, b):
        for session in (plain, parent, child):
            assert synced_rows(machine, session) == 0, f"{machine.root.name}: a deleted session, or a part of it, is still there or came back"
        assert kept in machine.listed(), f"{machine.root.name}: a session nobody deleted is gone"


def test_deleted_on_a_but_continued_on_b_survives_whole_on_both(pair: Fleet, a: Machine, b: Machine) -> None:
    session = a.started("Wanted by one {{todo 2; text 5}}")
    pair.exchange()
    a.delete(session)
    b.ask(session, "Still needed {{text 5}}")
    pair.exchange()
    for machine in (a, b):
        assert session in machine.listed(), f"{machine.root.name}: a deletion took away what B had just written"
        assert "Wanted by one" in machine.text(session), f"{machine.root.name}: the session came back without its beginning"
        assert "Still needed" in machine.text(session), f"{machine.root.name}: B's new turn is lost"
    assert a.text(session) == b.text(session)


def test_undone_turns_and_deleted_messages_do_not_come_back(pair: Fleet, a: Machine, b: Machine) -> None:
    session = a.started("Keep this {{text 5}}")
    a.ask(session, "Undo this {{write undone.txt 4; text 5}}")
    a.ask(session, "And this {{text 5}}")
    other = a.started("First {{text 5}}")
    a.ask(other, "Remove my answer {{text 5}}")
    pair.exchange()
    assert "Undo this" in b.text(session)
    a.revert(session, a.asked(session, "Undo this"))
    pair.exchange()
    assert b.show(session)["revert"]["messageID"] == a.show(session)["revert"]["messageID"], "B does not know that A is undoing turns"
    a.ask(session, "Another way {{text 5}}")
    last = a.messages(other)[-1]["info"]["id"]
    a.api("DELETE", f"/session/{other}/message/{last}")
    pair.exchange()
    for machine in (a, b):
        text = machine.text(session)
        assert "Undo this" not in text, f"{machine.root.name}: an undone turn came back"
        assert "And this" not in text, f"{machine.root.name}: an undone turn came back"
        assert "Keep this" in text, f"{machine.root.name}: more was undone than the user undid"
        assert "Another way" in text, f"{machine.root.name}: the turn after the undo is lost"
        assert not machine.show(session).get("revert"), f"{machine.root.name}: the session still claims to be undoing"
        assert last not in {m["info"]["id"] for m in machine.messages(other)}, f"{machine.root.name}: a deleted message came back"
    b.ask(session, "On from there {{text 5}}")
    pair.exchange()
    assert a.text(session) == b.text(session)


def test_rename_and_archive_on_a_meet_new_turns_on_b(pair: Fleet, a: Machine, b: Machine) -> None:
    renamed, archived = a.started("To be renamed {{text 5}}"), a.started("To be archived {{text 5}}")
    pair.exchange()
    a.rename(renamed, "A's own title")
    a.archive(archived)
    b.ask(renamed, "Meanwhile on B {{text 5}}")
    b.ask(archived, "Meanwhile here too {{text 5}}")
    pair.exchange()
    for machine in (a, b):
        assert machine.show(renamed)["title"] == "A's own title", f"{machine.root.name}: the rename is lost"
        assert "Meanwhile on B" in machine.text(renamed), f"{machine.root.name}: the new turn is lost"
        assert machine.show(archived)["time"].get("archived"), f"{machine.root.name}: the session is back from the archive"
        assert "Meanwhile here too" in machine.text(archived), f"{machine.root.name}: the new turn is lost"
    assert a.show(renamed)["time"] == b.show(renamed)["time"]


def test_turns_made_on_both_at_once_are_all_kept_and_add_up(pair: Fleet, a: Machine, b: Machine) -> None:
    session = a.started("Base {{text 5}}")
    pair.exchange()
    before = a.sidecar("status")["diverged"]
    a.ask(session, "Only on A {{write from-a.txt 5; text 6}}")
    b.ask(session, "Only on B {{text 7}}")
    a.sidecar("sync")
    assert b.sidecar("sync")["diverged"] == before + 1, "nobody tells the user that the session was continued twice"
    pair.exchange()
    for machine in (a, b):
        text = machine.text(session)
        for prompt in ("Base", "Only on A", "Only on B"):
            assert prompt in text, f"{machine.root.name}: the turn {prompt!r} is lost"
        check_totals(machine, session)
    assert a.text(session) == b.text(session), "the machines show the turns in different orders"
    assert a.show(session)["tokens"] == b.show(session)["tokens"]
    b.ask(session, "Together again {{text 5}}")
    pair.exchange()
    for machine in (a, b):
        assert "Together again" in machine.text(session)
        check_totals(machine, session)


def check_totals(machine: Machine, session: str) -> None:
    """cost and tokens of the session are the sum over its answers."""
    shown = machine.show(session)
    answers = [m["info"] for m in machine.messages(session) if m["info"]["role"] == "assistant"]
    for kind in ("input", "output", "reasoning"):
        total = sum(answer["tokens"][kind] for answer in answers)
        assert shown["tokens"][kind] == total, f"{machine.root.name}: {kind} tokens are counted twice or lost"
    assert shown["cost"] == pytest.approx(sum(answer["cost"] for answer in answers)), f"{machine.root.name}: the cost shown is wrong"
    assert shown["cost"] > 0


def test_a_turn_still_being_written_arrives_whole_and_later(pair: Fleet, a: Machine, b: Machine) -> None:
    session = a.started("Before {{text 5}}")
    pair.exchange()
    answers = pair.provider.answers
    slow = threading.Thread(target=a.ask, args=(session, "Long work {{write long.txt 3; slow 0.5; text 20}}"))
    slow.start()
    try:
        time.sleep(4)
        a.sidecar("push")
        b.sidecar("pull")
        assert pair.provider.answers == answers + 1, "this test is to sync while the answer streams"
        assert slow.is_alive(), "this test is to sync while the answer streams"
        assert "Long work" not in b.text(session), "half a turn was published: older versions of opencode loop on it, calling the model without end"
    finally:
        slow.join()
    pair.exchange()
    assert "Long work" in b.text(session)
    assert [m["parts"] for m in a.messages(session)] == [m["parts"] for m in b.messages(session)]


def test_a_cycle_without_changes_is_quiet(pair: Fleet, a: Machine, b: Machine) -> None:
    pair.exchange()
    for machine in (a, b):
        with machine.connect() as watcher:
            seen, bytes_before = watcher.execute("PRAGMA data_version").fetchone(), fingerprint(machine)
            result = machine.sidecar("sync")
            assert result["upToDate"], f"{machine.root.name}: work was found where there is none: {result}"
            assert watcher.execute("PRAGMA data_version").fetchone() == seen, f"{machine.root.name}: a cycle with nothing to do wrote to the database"
        assert fingerprint(machine) == bytes_before, f"{machine.root.name}: a cycle with nothing to do wrote to the database"
        verified = machine.sidecar("verify")
        assert verified["ok"], f"{machine.root.name}: {verified['differences'][:5]}"


def test_changes_come_in_while_b_is_stopped(pair: Fleet, a: Machine, b: Machine) -> None:
    b.stop()
    session = a.started("While B's server is off {{todo 2; text 5}}")
    pair.exchange()
    b.start()
    assert session in b.listed()
    b.ask(session, "Awake {{text 5}}")
    pair.exchange()
    assert "Awake" in a.text(session)
    assert not list(Path(b.root / "data/opencode").glob("opencode.db.*")), "files were left beside the database"
