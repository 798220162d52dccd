"""One vault, three versions of opencode: other tables, other columns, another id for the same project."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tests.support.opencode.fleet import Fleet
from tests.support.opencode.machine import Machine

OLD, MID, NEW = "1.2.4", "1.14.41", "1.18.33"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("versions"), {"old": OLD, "mid": MID, "new": NEW}) as made:
        yield made


@pytest.fixture
def old(fleet: Fleet) -> Machine:
    return fleet.machines[0]


@pytest.fixture
def mid(fleet: Fleet) -> Machine:
    return fleet.machines[1]


@pytest.fixture
def new(fleet: Fleet) -> Machine:
    return fleet.machines[2]


def session_columns(machine: Machine) -> set[str]:
    return {str(row[1]) for row in machine.sql("PRAGMA table_info(session)")}


def test_every_version_lists_shows_and_continues_what_every_other_made(fleet: Fleet) -> None:
    made = {machine: machine.started(f"Made on {machine.root.name} {{{{todo 3; write {machine.root.name}.txt 9; text 8}}}}") for machine in fleet.machines}
    families = {machine: machine.started(f"Delegated on {machine.root.name} {{{{task look around; text 5}}}}") for machine in fleet.machines}
    children = {machine: machine.children(families[machine]) for machine in fleet.machines}
    fleet.exchange()
    for reader in fleet.machines:
        shown = reader.listed()
        for maker in fleet.machines:
            where, session, family = f"{maker.root.name}'s session on {reader.root.name}", made[maker], families[maker]
            assert {session, family} <= shown.keys(), f"{where} is not listed"
            assert shown[session]["directory"] == str(reader.app), f"{where} is in a folder that is not there"
            assert reader.text(session) == maker.text(session), f"{where} has another transcript"
            assert [(t["content"], t["status"]) for t in reader.todos(session)] == [(t["content"], t["status"]) for t in maker.todos(session)], where
            assert len(reader.todos(session)) == 3, f"{where} has lost its todo list"
            assert reader.children(family) == children[maker], f"{where} has lost its subagent's session"
    for reader, maker in zip(fleet.machines, [*fleet.machines[1:], fleet.machines[0]], strict=True):
        reader.ask(made[maker], f"Continued on {reader.root.name} {{{{text 5}}}}")
    fleet.exchange()
    for reader, maker in zip(fleet.machines, [*fleet.machines[1:], fleet.machines[0]], strict=True):
        for machine in fleet.machines:
            assert f"Continued on {reader.root.name}" in machine.text(made[maker]), f"{machine.root.name}: the turn from {reader.root.name} is lost"


def test_each_version_keeps_its_own_project_id_and_schema(old: Machine, mid: Machine, new: Machine) -> None:
    root = old.git("rev-list", "--max-parents=0", "HEAD")
    remote = hashlib.sha1(b"git-remote:git.example.invalid/lab/app").hexdigest()
    for machine, expected in ((old, root), (mid, root), (new, remote)):
        ids = {row[0] for row in machine.sql("SELECT DISTINCT project_id FROM session")}
        assert ids == {expected}, f"{machine.root.name}: sessions hang on an id that its opencode does not give this project, so it does not list them"
        projects = {row[0] for row in machine.sql("SELECT worktree FROM project WHERE id<>'global'")}
        assert projects == {str(machine.app)}, f"{machine.root.name}: the project's folder is another machine's"
    assert session_columns(old) < session_columns(mid) < session_columns(new), "this test is to cover three schemas"


def test_what_an_older_version_cannot_store_survives_the_way_through_it(fleet: Fleet, old: Machine, new: Machine) -> None:
    session = new.started("Costs something {{text 9}}")
    fleet.exchange()
    before = new.show(session)
    assert before["cost"] > 0
    old.ask(session, "An older version goes on {{text 5}}")
    old.rename(session, "Named by the older one")
    fleet.exchange()
    after = new.show(session)
    answers = [m["info"] for m in new.messages(session) if m["info"]["role"] == "assistant"]
    assert after["title"] == "Named by the older one"
    assert after["cost"] == pytest.approx(sum(answer["cost"] for answer in answers)), "the cost does not count the turn of the older version"
    assert after["tokens"]["output"] == sum(answer["tokens"]["output"] for answer in answers)
    assert (after.get("agent"), after.get("model")) == (before["agent"], before["model"]), "columns that the older version has not were reset"


def test_deletions_and_undone_turns_cross_versions(fleet: Fleet, old: Machine, new: Machine) -> None:
    gone, undone = old.started("Deleted later {{todo 2; text 5}}"), new.started("Keep {{text 5}}")
    new.ask(undone, "Undo this {{text 5}}")
    fleet.exchange()
    new.delete(gone)
    new.revert(undone, new.asked(undone, "Undo this"))
    new.ask(undone, "Another way {{text 5}}")
    fleet.exchange()
    for machine in fleet.machines:
        assert gone not in machine.listed(), f"{machine.root.name}: a deleted session is still there or came back"
        assert "Undo this" not in machine.text(undone), f"{machine.root.name}: an undone turn came back"
        assert "Another way" in machine.text(undone)


def test_quiet_with_three_schemas(fleet: Fleet) -> None:
    fleet.exchange()
    for machine in fleet.machines:
        result = machine.sidecar("sync")
        assert result["upToDate"], f"{machine.root.name}: versions answer each other's schema for ever: {result}"
        verified = machine.sidecar("verify")
        assert verified["ok"], f"{machine.root.name}: {verified['differences'][:5]}"
