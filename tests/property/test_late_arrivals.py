"""Single cases that long random histories (`campaigns/soak`) found: what arrives late, or in another order, must still arrive."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import pytest

from protocol.compact import CompactParams
from protocol.keys import RotateKeyParams
from protocol.sync import CycleParams, InitParams, LinkParams, StatusParams
from protocol.trust import HistoryParams, RepairParams, RestoreParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Progress, Task
from sidecar.services.guard import GUARD_SESSIONS
from sidecar.services.publish import Publisher
from tests.support import edits
from tests.support.invariants import Crash, quiet
from tests.support.machines import Machine, bare_remote, from_schema, open_project
from tests.support.upgrade import upgrade

P, Q = "p" * 40, "q" * 40


class Group:
    """Machines that share a vault and a clock; `add` gives their place in the order of devices."""

    def __init__(self, root: Path) -> None:
        self.root, self.remote, self.now = root, bare_remote(root / "vault.git"), 1_790_000_000_000
        self.machines: list[Machine] = []
        self.encryption, self.key = "none", None

    def add(self, name: str, place: int, project: str = P, version: str = "1.18.33") -> Machine:
        machine = from_schema(self.root / name, version, lambda: self.now, project)
        with patch("uuid.uuid4", lambda: UUID(int=place)):
            if self.machines:
                machine.sidecar.link(LinkParams(str(self.remote), self.key), Task())
            else:
                self.key = machine.sidecar.init(InitParams(str(self.remote), encryption=self.encryption), Task()).recovery_key
        self.machines.append(machine)
        return machine

    def edit(self, machine: Machine, change: Callable[[sqlite3.Connection, int], object]) -> int:
        """The time it was made at."""
        self.now += 60_000
        connection, at = machine.connect(), self.now - 10_000
        change(connection, at)
        connection.close()
        return at

    def sync(self, *machines: Machine) -> None:
        for machine in machines:
            self.now += 60_000
            machine.sidecar.run(CycleParams(), Task())


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path)


def _conversation(session: str, parent: str | None = None, project: str | None = None) -> Callable[[sqlite3.Connection, int], object]:
    def make(db: sqlite3.Connection, now: int) -> None:
        edits.new_session(db, session, now, parent=parent, project=project)
        edits.add_turn(db, session, session, now)

    return make


def _sessions(machine: Machine) -> list[str]:
    return [row[0] for row in machine.sql("SELECT id FROM session ORDER BY id")]


def test_a_child_session_that_was_gone_on_with_comes_back_although_its_parent_was_deleted(group: Group) -> None:
    a, b = group.add("a", 1), group.add("b", 2)
    group.edit(a, _conversation("ses_parent"))
    group.edit(a, _conversation("ses_child", "ses_parent"))
    group.sync(a, b)
    for session in ("ses_child", "ses_parent"):
        group.edit(a, lambda db, _, session=session: edits.delete_session(db, session))
    group.edit(b, lambda db, now: edits.add_turn(db, "ses_child", "more", now))
    group.sync(a, b, a, b)
    assert _sessions(b) == ["ses_child"]
    assert _sessions(a) == ["ses_child"], "the turns that were added on b are never seen on a"


def test_a_row_that_was_put_back_to_what_it_had_been_is_that_on_a_new_machine_too(group: Group) -> None:
    """The new machine reads a's log first: there, the last record changes nothing of what the one before said."""
    a, b = group.add("a", 2), group.add("b", 1)
    group.edit(a, _conversation("ses_1"))
    first = group.edit(a, lambda db, now: edits.edit_part(db, "prt_msg_ses_1a", "one", now))
    group.sync(a, b)
    group.edit(b, lambda db, now: edits.edit_part(db, "prt_msg_ses_1a", "two", now))
    group.sync(b, a)
    group.edit(a, lambda db, _: edits.edit_part(db, "prt_msg_ses_1a", "one", first))
    group.sync(a, b)
    c = group.add("c", 3)
    group.sync(c, a, b, c)
    assert [machine.sql("SELECT data FROM part WHERE id='prt_msg_ses_1a'") for machine in (b, c)] == [
        a.sql("SELECT data FROM part WHERE id='prt_msg_ses_1a'")
    ] * 2


def test_a_todo_list_that_was_put_back_is_that_on_a_new_machine_too(group: Group) -> None:
    a, b = group.add("a", 2), group.add("b", 1)
    group.edit(a, _conversation("ses_1"))
    first = group.edit(a, lambda db, now: edits.set_todos(db, "ses_1", ["one"], now))
    group.sync(a, b)
    group.edit(b, lambda db, now: edits.set_todos(db, "ses_1", ["two"], now))
    group.sync(b, a)
    group.edit(a, lambda db, _: edits.set_todos(db, "ses_1", ["one"], first))
    group.sync(a, b)
    c = group.add("c", 3)
    group.sync(c, a, b, c)
    assert [machine.sql("SELECT content FROM todo") for machine in (a, b, c)] == [[("one",)]] * 3


def test_a_child_session_is_placed_with_its_parent_whichever_log_is_read_first(group: Group) -> None:
    a, b, c = group.add("a", 1), group.add("b", 2), group.add("c", 3, project=Q)
    group.edit(b, _conversation("ses_parent"))
    group.sync(b, a)
    group.edit(a, _conversation("ses_child", "ses_parent"))
    group.sync(a, c)
    assert _sessions(c) == [], "its project is not there yet"
    open_project(c, P, c.root / "home/p")
    group.sync(c)
    assert _sessions(c) == ["ses_child", "ses_parent"], "the project was opened, and a session of it is still not there"


def test_a_session_that_was_moved_to_a_project_that_is_not_here_is_not_moved_back(group: Group) -> None:
    a, b = group.add("a", 1), group.add("b", 2)
    open_project(a, Q, a.root / "home/q")
    group.edit(a, _conversation("ses_1", project=P))
    group.sync(a, b)
    group.edit(a, lambda db, _: edits.move(db, "ses_1", Q))
    group.sync(a, b)
    group.edit(b, lambda db, _: edits.rename(db, "ses_1", "renamed on b"))
    group.sync(b, a)
    assert a.sql("SELECT project_id, title FROM session") == [(Q, "renamed on b")], "b never had the other project, and took the session out of it"
    assert b.sidecar.run(CycleParams(), Task()).unplaced == 1, "nothing says that something waits for the other project"
    open_project(b, Q, b.root / "home/q")
    group.sync(b)
    assert b.sql("SELECT project_id, directory FROM session") == [(Q, str(b.root / "home/q"))]


def test_an_edit_is_not_kept_out_by_a_row_beside_it_that_this_version_cannot_hold(group: Group) -> None:
    """b's second record set has both, and the new machine reads it before a's log has brought the message."""
    a, b = group.add("a", 2), group.add("b", 1)
    group.edit(b, _conversation("ses_1"))
    group.sync(b, a)
    group.edit(a, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(a, b)
    group.edit(b, lambda db, _: db.execute("""UPDATE part SET data='{"type": "hologram"}' WHERE id='prt_msg_ses_1u'"""))
    group.edit(b, lambda db, now: edits.edit_part(db, "prt_msg_morea", "edited on b", now))
    group.sync(b)
    c = group.add("c", 3)
    group.sync(c)
    assert "edited on b" in c.sql("SELECT data FROM part WHERE id='prt_msg_morea'")[0][0]


def test_taking_away_just_what_came_in_is_an_edit_too(group: Group) -> None:
    a, b = group.add("a", 1, version="1.14.41"), group.add("b", 2, version="1.14.41")
    group.edit(a, _conversation("ses_1"))
    group.sync(a, b, a)
    group.edit(
        b,
        lambda db, now: edits.insert(
            db,
            "part",
            {
                "id": "prt_new",
                "message_id": "msg_ses_1a",
                "session_id": "ses_1",
                "time_created": now,
                "time_updated": now,
                "data": '{"type": "text", "text": "from b"}',
            },
        ),
    )
    group.sync(b, a)
    group.edit(a, lambda db, _: edits.delete_part(db, "prt_new"))
    group.sync(a, b)
    assert b.sql("SELECT id FROM part WHERE id='prt_new'") == [], "a deleted it, and nobody ever heard of that"


def test_totals_of_a_session_from_an_older_opencode_follow_a_deletion_on_the_machine_where_it_was_made(group: Group) -> None:
    """1.14 counts nothing: the newer ones add up what the messages say, and so must the one that took a message away."""
    a, b, c = group.add("a", 1, version="1.14.41"), group.add("b", 2), group.add("c", 3)
    group.edit(a, _conversation("ses_1"))
    group.edit(a, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(a, b, c)
    group.edit(b, lambda db, _: edits.delete_message(db, "msg_morea"))
    group.sync(b, a, c, b)
    assert b.sql("SELECT cost, tokens_input FROM session") == c.sql("SELECT cost, tokens_input FROM session") == [(0.25, 10)]
    group.edit(a, lambda db, _: upgrade(db, "1.18.33"))
    group.sync(a)
    group.edit(a, lambda db, _: edits.delete_message(db, "msg_ses_1a"))
    group.sync(a, b, c, a)
    assert [machine.sql("SELECT cost FROM session") for machine in (a, b, c)] == [[(0,)]] * 3


def test_a_part_that_came_while_its_message_was_deleted_is_there_when_the_message_returns(group: Group) -> None:
    a, b, c = group.add("a", 1), group.add("b", 2), group.add("c", 3)
    group.edit(c, _conversation("ses_1"))
    group.edit(c, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(c, a, b)
    group.edit(a, lambda db, _: edits.delete_message(db, "msg_moreu"))
    group.edit(c, lambda db, now: edits.edit_part(db, "prt_msg_moreu", "edited on c", now))
    group.sync(a, c, a)
    group.edit(b, lambda db, now: edits.edit_message(db, "msg_moreu", "kept by b", now))
    group.sync(b, a, b, c, a)
    for machine in (b, c, a):
        assert "edited on c" in str(machine.sql("SELECT data FROM part WHERE id='prt_msg_moreu'")), (
            f"{machine.root.name} has the message without what was written in it"
        )


def test_a_session_that_was_restored_has_what_had_come_for_it_meanwhile(group: Group) -> None:
    """b never saw a's second turn before a deleted the session; once b brings it back, the turn is part of it, on b too."""
    a, b = group.add("a", 1), group.add("b", 2)
    group.edit(a, _conversation("ses_1"))
    group.sync(a, b)
    group.edit(a, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(a)
    group.edit(a, lambda db, _: edits.delete_session(db, "ses_1"))
    group.sync(a, b)
    assert _sessions(b) == []
    deletion = b.sidecar.history(HistoryParams(), Task()).cycles[0].cycle_id
    b.sidecar.restore(RestoreParams(deletion), Task())
    group.sync(b, a, b)
    assert b.content() == a.content()
    assert len(b.content()["message"]) == 4


def test_a_message_that_was_restored_has_what_others_had_written_in_it_meanwhile(group: Group) -> None:
    a, b, c = group.add("a", 1), group.add("b", 2), group.add("c", 3)
    group.edit(c, _conversation("ses_1"))
    group.edit(c, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(c, a, b)
    group.edit(b, lambda db, _: edits.delete_message(db, "msg_moreu"))
    group.edit(a, lambda db, now: edits.edit_part(db, "prt_msg_moreu", "edited on a", now))
    group.sync(b, c)
    deletion = c.sidecar.history(HistoryParams(), Task()).cycles[0].cycle_id
    group.sync(a, c)
    c.sidecar.restore(RestoreParams(deletion), Task())
    group.sync(c, a, b, c)
    for machine in (a, b, c):
        found = str(machine.sql("SELECT data FROM part WHERE id='prt_msg_moreu'"))
        assert "edited on a" in found, f"{machine.root.name} has the message without what was written in it: {found}"


def test_a_session_that_was_moved_is_in_the_other_projects_folder_also_after_the_shadow_was_lost(group: Group) -> None:
    a, b = group.add("a", 1), group.add("b", 2)
    for machine in (a, b):
        open_project(machine, Q, machine.root / "home/q")
    group.edit(a, _conversation("ses_1", project=P))
    group.sync(a, b)
    group.edit(a, lambda db, _: edits.move(db, "ses_1", Q))
    group.sync(a)
    b.sidecar.preview(CycleParams(), Task())  # fetches, and applies nothing
    for path in b.own_state.glob("shadow.db*"):
        path.unlink()
    group.sync(b)
    assert b.sql("SELECT project_id, directory FROM session") == [(Q, str(b.root / "home/q"))]


def _deleted_and_kept(group: Group) -> tuple[Machine, Machine, Machine]:
    """A message that the first machine deleted, and that each of the others has changed without knowing."""
    a, b, c = group.add("a", 1), group.add("b", 2), group.add("c", 3)
    group.edit(a, _conversation("ses_1"))
    group.sync(a, b, c)
    group.edit(a, lambda db, _: edits.delete_message(db, "msg_ses_1u"))
    group.sync(a)
    for machine in (b, c):
        group.edit(machine, lambda db, now, name=machine.root.name: edits.edit_message(db, "msg_ses_1u", f"kept by {name}", now))
        machine.sidecar.push(CycleParams(), Task())
    return a, b, c


@pytest.mark.timeout(300)
def test_a_cycle_ends_when_opencode_deletes_the_session_that_messages_come_back_to(group: Group) -> None:
    a, b, c = _deleted_and_kept(group)

    def delete(progress: Progress) -> None:
        if progress.phase == "apply":
            a.sql("DELETE FROM session WHERE id='ses_1'")

    group.now += 60_000
    a.sidecar.run(CycleParams(), Task(delete))
    group.sync(a, b, c, a)
    assert a.content() == b.content() == c.content()


@pytest.mark.timeout(300)
def test_a_cycle_ends_when_the_database_refuses_the_messages_that_come_back(group: Group) -> None:
    a, *_ = _deleted_and_kept(group)
    a.sql("CREATE TRIGGER refuse BEFORE INSERT ON message BEGIN SELECT RAISE(ABORT, 'no more'); END")
    group.now += 60_000
    assert a.sidecar.run(CycleParams(), Task()).quarantined == 1, "nothing says that something could not be written"


def _lose_shadow(machine: Machine) -> None:
    for path in machine.own_state.glob("shadow.db*"):
        path.unlink()


def test_a_child_session_is_placed_also_when_the_clock_holds_back_messages_of_its_parent(group: Group) -> None:
    a, b, c = group.add("a", 2), group.add("b", 1), group.add("c", 3, project=Q)
    started = group.edit(a, _conversation("ses_parent"))
    group.edit(a, lambda db, now: edits.add_turn(db, "ses_parent", "more", now + 7_200_000))
    group.now += 7_200_000
    group.sync(a, b)
    group.edit(b, lambda db, _: _conversation("ses_child", "ses_parent")(db, started))
    group.sync(b)
    c.wall = lambda: started + 600_000
    group.sync(c)
    assert _sessions(c) == [], "its project is not there yet"
    open_project(c, P, c.root / "home/p")
    group.sync(c)
    assert _sessions(c) == ["ses_child", "ses_parent"], "the project was opened, and a session of it is still not there"


def test_a_session_appears_whole_or_not_at_all_when_its_move_can_be_read_before_its_beginning(group: Group) -> None:
    """c's clock is behind: what began the session waits, and the record that moved it says a project and a folder, and no title."""
    a, c = group.add("a", 1), group.add("c", 2)
    for machine in (a, c):
        open_project(machine, Q, machine.root / "home/q")
    started = group.edit(a, _conversation("ses_1", project=P))
    group.sync(a)
    group.edit(a, lambda db, _: edits.move(db, "ses_1", Q))
    group.sync(a)
    c.wall = lambda: started - 600_000
    group.sync(c)
    assert c.sql("SELECT title, time_created FROM session") == [], "a session without a title, of 1970"
    c.wall = lambda: group.now
    group.sync(c, a)
    assert c.content() == a.content()


def test_sessions_of_a_project_that_was_opened_come_also_when_the_cycle_that_placed_them_died(group: Group) -> None:
    a, b = group.add("a", 1), group.add("b", 2, project=Q)
    for session in ("ses_1", "ses_2", "ses_3"):
        group.edit(a, _conversation(session))
    group.sync(a, b)
    assert _sessions(b) == [], "its project is not there yet"
    open_project(b, P, b.root / "home/p")

    def die(progress: Progress) -> None:
        if progress.phase == "apply" and progress.done:
            raise Crash

    group.now += 60_000
    with pytest.raises(Crash):
        b.sidecar.run(CycleParams(), Task(die))
    group.sync(b)
    assert _sessions(b) == ["ses_1", "ses_2", "ses_3"], "they wait for a project that is open"


def _newer_part(db: sqlite3.Connection, _: int) -> None:
    db.execute("""UPDATE part SET data='{"type": "hologram"}' WHERE id='prt_msg_morea'""")
    edits.wrote(db, "ses_1")


@pytest.mark.parametrize(
    ("version", "change"),
    [
        ("1.2.4", lambda db, now: edits.rename(db, "ses_1", "as it was")),
        ("1.18.33", lambda db, now: edits.delete_message(db, "msg_ses_1a")),
        ("1.18.33", lambda db, now: edits.delete_part(db, "prt_msg_ses_1a")),
        ("1.18.33", _newer_part),
    ],
    ids=["columns that b has not", "a message deleted on a", "a part deleted on a", "a part that b cannot hold"],
)
def test_a_session_that_is_deleted_after_the_shadow_was_made_anew_stays_deleted(
    group: Group, version: str, change: Callable[[sqlite3.Connection, int], object]
) -> None:
    """Of what the new shadow does not know to be here, the deletion says that it was not seen: then the session comes back."""
    a, b = group.add("a", 1), group.add("b", 2, version=version)
    group.edit(a, _conversation("ses_1"))
    group.edit(a, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    if change is _newer_part:
        group.edit(a, change)
    group.sync(a, b)
    if change is not _newer_part:
        group.edit(a, change)
    group.sync(a, b)
    _lose_shadow(b)
    group.now += 60_000
    b.sidecar.push(CycleParams(), Task())  # makes the shadow, and applies nothing
    group.edit(b, lambda db, _: edits.delete_session(db, "ses_1"))
    group.sync(b, a, b)
    assert (_sessions(a), _sessions(b)) == ([], []), "nobody but b had anything to do with it since, and its deletion does not hold"


def test_a_deletion_that_was_asked_about_holds_also_when_opencode_was_upgraded_meanwhile(group: Group) -> None:
    """The upgrade makes due again what had columns that were not here: it was seen before all the same, and the deletion must say so."""
    a, b = group.add("a", 1), group.add("b", 2, version="1.2.4")
    sessions = [f"ses_{index:02}" for index in range(GUARD_SESSIONS + 1)]
    for session in sessions:
        group.edit(a, _conversation(session))
    group.sync(a, b)
    group.edit(b, lambda db, _: upgrade(db, "1.18.33"))
    for session in sessions:
        group.edit(b, lambda db, _, session=session: edits.delete_session(db, session))
    group.now += 60_000
    assert b.sidecar.run(CycleParams(), Task()).guarded == len(sessions)
    b.sidecar.run(CycleParams(allow_deletions=True), Task())
    group.sync(a, b)
    assert (_sessions(a), _sessions(b)) == ([], []), "nobody else had touched them, it was said that they are to go, and they are back"


def test_a_deletion_after_an_upgrade_removes_nothing_that_was_never_here(group: Group) -> None:
    """As above, but a went on with one of them before it heard of the deletion."""
    a, b = group.add("a", 1), group.add("b", 2, version="1.2.4")
    group.edit(a, _conversation("ses_1"))
    group.sync(a, b)
    group.edit(b, lambda db, _: upgrade(db, "1.18.33"))
    group.edit(b, lambda db, _: edits.delete_session(db, "ses_1"))
    group.edit(a, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(a, b)
    b.sidecar.run(CycleParams(allow_deletions=True), Task())
    group.sync(a, b)
    assert (_sessions(a), _sessions(b)) == (["ses_1"], ["ses_1"]), "a's next turn is gone, and nobody on b had seen it"
    assert a.content() == b.content()


def test_a_deletion_that_could_not_say_what_it_had_seen_holds_when_it_is_repeated(group: Group) -> None:
    """A message deleted on b cannot be told from one that never came, once the shadow is lost; so the records that have it are due there."""
    a, b = group.add("a", 1), group.add("b", 2)
    group.edit(a, _conversation("ses_1"))
    group.sync(a, b)
    group.edit(b, lambda db, _: edits.delete_message(db, "msg_ses_1a"))
    _lose_shadow(b)
    group.now += 60_000
    b.sidecar.push(CycleParams(), Task())
    group.edit(b, lambda db, _: edits.delete_session(db, "ses_1"))
    group.sync(b, a, b)
    assert a.content() == b.content()
    assert _sessions(a) == ["ses_1"], "what may never have been on b was deleted from there"
    group.edit(b, lambda db, _: edits.delete_session(db, "ses_1"))
    group.sync(b, a, b)
    assert (_sessions(a), _sessions(b)) == ([], []), "the session can never be deleted"


def test_a_shadow_made_anew_after_an_upgrade_takes_new_columns_for_nobodys_edit(group: Group) -> None:
    a, b = group.add("a", 1), group.add("b", 2, version="1.2.4")
    group.edit(a, _conversation("ses_1"))
    group.sync(a, b)
    said = a.sql("SELECT agent, model FROM session")
    assert said[0][0]
    group.edit(b, lambda db, _: upgrade(db, "1.18.33"))
    _lose_shadow(b)
    group.sync(b, a, b)
    assert a.sql("SELECT agent, model FROM session") == said, "empty columns of an upgrade replaced what was there on every machine"
    assert b.sql("SELECT agent, model FROM session") == said


@pytest.mark.parametrize("first", ["a cycle", "a repair without the remote", "a cycle without the remote"])
def test_a_shadow_made_anew_after_a_change_of_the_key_takes_nothing_of_the_others_for_its_own(group: Group, first: str) -> None:
    """b's log was compacted and then the key changed: the copy of it that c has does not count any more, but tells what c's rows are."""
    group.encryption = "aes-256-gcm"
    a, b, c = group.add("a", 1), group.add("b", 2), group.add("c", 3)
    group.edit(b, _conversation("ses_1"))
    group.edit(b, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(b, a, c)
    group.edit(b, lambda db, _: edits.delete_message(db, "msg_ses_1a"))
    group.sync(b)
    b.sidecar.compact(CompactParams(), Task())
    group.sync(a)
    a.sidecar.rotate_key(RotateKeyParams(), Task())
    group.now += 60_000
    c.sidecar.push(CycleParams(), Task())  # takes the key over, and reads nothing
    _lose_shadow(c)
    if first == "a cycle without the remote":
        group.edit(c, lambda db, now: edits.add_turn(db, "ses_1", "offline", now))
        away = group.remote.rename(group.root / "away")
        with pytest.raises(SidecarError) as caught:
            group.sync(c)
        said = c.sidecar.status(StatusParams(), Task()).last_error
        assert said is not None
        assert caught.value.kind == said.kind == "remoteUnreachable"
        assert "shadow is lost" in caught.value.message, "no word of why nothing is recorded, as it is without the remote at other times"
        assert caught.value.message == said.message
        group.edit(c, lambda db, now: edits.edit_part(db, "prt_msg_ses_1u", "edited offline", now))
        away.rename(group.remote)
    if first == "a repair without the remote":
        away = group.remote.rename(group.root / "away")
        done = c.sidecar.repair(RepairParams(), Task()).actions
        assert any("rebuilt by the next sync" in action for action in done), f"nothing says that the shadow is not there yet: {done}"
        away.rename(group.remote)
    group.sync(c, b, a, c)
    assert [machine.sql("SELECT 1 FROM message WHERE id='msg_ses_1a'") for machine in (a, b, c)] == [[]] * 3, "a message that b deleted is back"
    assert a.content() == b.content() == c.content()
    if first == "a cycle without the remote":
        assert "edited offline" in a.sql("SELECT data FROM part WHERE id='prt_msg_ses_1u'")[0][0]
        assert "msg_offlinea" in a.content()["message"], "what was written while the remote was away is on no other machine"


def _totals(machine: Machine) -> tuple[object, object]:
    """(What opencode shows of the session, what its messages add up to)."""
    (shown,) = machine.sql("SELECT cost, tokens_input, tokens_output FROM session WHERE id='ses_1'")
    answers = [json.loads(data) for (data,) in machine.sql("SELECT data FROM message WHERE session_id='ses_1'")]
    said = [answer for answer in answers if answer["role"] == "assistant"]
    return shown, tuple(sum(one) for one in zip(*((a["cost"], a["tokens"]["input"], a["tokens"]["output"]) for a in said), strict=True))


@pytest.mark.parametrize("by", ["a repair", "a cycle"])
@pytest.mark.parametrize("where", ["made there", "compacted", "made on the other", "put back from a backup", "put back and gone on with"])
def test_totals_of_a_session_are_those_of_its_messages_also_after_the_shadow_was_lost(group: Group, by: str, where: str) -> None:
    """What is not published yet is counted in them: the logs say less."""
    a, b = group.add("a", 1), group.add("b", 2)
    maker, machine = (b, a) if where == "made on the other" else (a, a)
    for session in ("ses_1", "ses_2"):
        group.edit(maker, _conversation(session))
    backup = group.root / "backup.db"
    for tag in ("t2", "t3", "t4"):
        group.sync(maker)
        if tag == "t4":
            machine.sql("VACUUM INTO ?", str(backup))
        group.edit(maker, lambda db, now, tag=tag: edits.add_turn(db, "ses_1", tag, now))
    group.sync(maker, a, b)
    if where == "compacted":
        a.sidecar.compact(CompactParams(), Task())
    if where.startswith("put back"):
        for path in machine.db.parent.glob("opencode.db*"):
            path.unlink()
        shutil.copy(backup, machine.db)
    if where != "put back from a backup":
        group.edit(machine, lambda db, now: edits.add_turn(db, "ses_1", "t5", now))
        group.edit(machine, lambda db, _: edits.delete_session(db, "ses_2"))
    _lose_shadow(machine)
    if by == "a repair":
        machine.sidecar.repair(RepairParams(), Task())
    group.sync(machine, b, a)
    turns = 4 if where == "put back from a backup" else 5
    expected = (turns * 0.25, turns * 10, turns * 3)
    assert [_totals(one) for one in (a, b)] == [(expected, expected)] * 2, "opencode shows that less was used than was"
    for one in (a, b):
        quiet(one)


def _undone_while_another_goes_on(group: Group) -> tuple[Machine, Machine]:
    a, b = group.add("a", 1), group.add("b", 2)
    group.edit(a, _conversation("s1"))
    group.edit(a, lambda db, now: edits.add_turn(db, "s1", "t2", now))
    group.sync(a, b)
    group.edit(b, lambda db, now: edits.revert(db, "s1", "msg_t2u"))
    group.edit(a, lambda db, now: edits.add_turn(db, "s1", "t3", now))
    group.sync(a, b)
    return a, b


def test_a_turn_that_came_while_an_undo_was_open_is_not_deleted_with_what_was_undone(group: Group) -> None:
    """opencode hides what follows the undone turn, and deletes all of it at the next prompt."""
    a, b = _undone_while_another_goes_on(group)
    group.edit(b, lambda db, now: edits.drop_reverted(db, "s1"))
    connection = b.connect()
    edits.add_turn(connection, "s1", "t4", group.now - 10)
    connection.close()
    b.sidecar.preview(CycleParams(), Task())
    with b.sidecar._workspace() as ws:
        assert Publisher(ws, Task()).scan().settles_in, "the prompt was just given: nothing of it is published yet"
    group.sync(b, a, b)
    messages = {row[0] for row in b.sql("SELECT id FROM message")}
    assert {"msg_t3u", "msg_t3a"} <= messages, "what was said on the other machine, and never seen here, is gone on both"
    assert "msg_t2u" not in messages, "what was undone is back"
    assert a.content() == b.content()
    assert b.sidecar.run(CycleParams(), Task()).up_to_date
    group.edit(b, lambda db, now: edits.delete_message(db, "msg_t3u"))
    group.sync(b, a)
    assert a.sql("SELECT 1 FROM message WHERE id='msg_t3u'") == [], "deleted by a person, and it comes back"


def test_what_came_while_an_undo_was_open_can_be_deleted_once_the_undo_is_taken_back(group: Group) -> None:
    a, b = _undone_while_another_goes_on(group)
    group.edit(b, lambda db, now: edits.revert(db, "s1", None))
    group.sync(b, a)
    group.edit(b, lambda db, now: edits.delete_message(db, "msg_t3u"))
    group.sync(b, a)
    assert a.sql("SELECT 1 FROM message WHERE id='msg_t3u'") == []
    assert a.content() == b.content()


def test_what_was_undone_stays_deleted_in_a_session_that_came_back_after_an_older_database_was_put_back(group: Group) -> None:
    """It comes as new, with the undo that is still open in it: all of it had been seen when it was undone."""
    a, b = group.add("a", 1), group.add("b", 2)
    group.edit(b, _conversation("s0"))
    group.sync(b, a)
    older = group.root / "older.db"
    b.sql("VACUUM INTO ?", str(older))
    group.edit(b, _conversation("s1"))
    group.edit(b, lambda db, now: edits.add_turn(db, "s1", "t2", now))
    group.edit(b, lambda db, now: edits.revert(db, "s1", "msg_t2u"))
    group.sync(b, a)
    for path in b.db.parent.glob("opencode.db*"):
        path.unlink()
    shutil.copyfile(older, b.db)
    _lose_shadow(b)
    group.sync(b, a, b)
    assert b.sql("SELECT 1 FROM message WHERE id='msg_t2u'"), "the session did not come back: this tests nothing any more"
    group.edit(b, lambda db, now: edits.drop_reverted(db, "s1"))
    group.edit(b, lambda db, now: edits.add_turn(db, "s1", "t3", now))
    group.sync(b, a, b)
    assert [machine.sql("SELECT 1 FROM message WHERE id='msg_t2u'") for machine in (a, b)] == [[], []], "what was undone is back after the next prompt"
    assert a.content() == b.content()


def test_what_this_device_wrote_and_gets_back_under_an_undo_is_deleted_with_it(group: Group) -> None:
    """A deletion that was lost with the shadow is undone once; the next one holds."""
    a, b = group.add("a", 1), group.add("b", 2)
    group.edit(b, _conversation("s1"))
    group.edit(b, lambda db, now: edits.add_turn(db, "s1", "t2", now))
    group.edit(b, lambda db, now: edits.revert(db, "s1", "msg_t2u"))
    group.sync(b, a)
    group.edit(b, lambda db, now: edits.delete_message(db, "msg_t2a"))
    _lose_shadow(b)
    group.sync(b, a)
    assert b.sql("SELECT 1 FROM message WHERE id='msg_t2a'"), "the deletion was not lost: this tests nothing any more"
    group.edit(b, lambda db, now: edits.drop_reverted(db, "s1"))
    group.edit(b, lambda db, now: edits.add_turn(db, "s1", "t3", now))
    group.sync(b, a, b)
    gone = "SELECT id FROM message WHERE id IN ('msg_t2u', 'msg_t2a')"
    assert [machine.sql(gone) for machine in (a, b)] == [[], []], "what was undone is back after the next prompt"
    assert a.content() == b.content()
