"""I6 and I3: delivery in any order, twice or ten times, makes no difference, and what was deleted stays deleted."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.compact import CompactParams
from protocol.sync import CycleParams, InitParams, LinkParams, VerifyParams
from sidecar.adapters.sqlite.shadow import Shadow
from sidecar.domain.state import NEW
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.machines import Machine, bare_remote, from_schema

START = int(time.time() * 1000) - edits.DAY


@contextmanager
def _folder() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="delivery-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _edit(machine: Machine, chance: random.Random, number: int) -> None:
    db = machine.connect()
    at = START + number * 10_000
    ids = [row[0] for row in db.execute("SELECT id FROM session ORDER BY id")]
    messages = [row[0] for row in db.execute("SELECT id FROM message ORDER BY id")]
    parts = [row[0] for row in db.execute("SELECT id FROM part ORDER BY id")]
    kind = chance.choice(["new", "append", "append", "rename", "part", "todo", "delete message", "delete session"]) if ids and parts else "new"
    if kind == "new":
        edits.new_session(db, f"ses_{number}", at)
        edits.add_turn(db, f"ses_{number}", str(number), at)
    elif kind == "append":
        edits.add_turn(db, chance.choice(ids), str(number), at)
    elif kind == "rename":
        edits.rename(db, chance.choice(ids), f"t{number}")
    elif kind == "part":
        edits.edit_part(db, chance.choice(parts), f"p{number}", at)
    elif kind == "todo":
        edits.set_todos(db, chance.choice(ids), [f"d{number}", "x"], at)
    elif kind == "delete message":
        edits.delete_message(db, chance.choice(messages))
    else:
        edits.delete_session(db, chance.choice(ids))
    db.close()


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_I6_any_order_and_any_number_of_deliveries_end_the_same(seed: int) -> None:  # noqa: N802
    chance = random.Random(seed)
    with _folder() as root, pytest.MonkeyPatch.context() as patch:
        remote = bare_remote(root / "remote.git")
        writers = [from_schema(root / f"w{n}") for n in range(3)]
        writers[0].sidecar.init(InitParams(str(remote), encryption="none"), Task())
        for one in writers[1:]:
            one.sidecar.link(LinkParams(str(remote)), Task())
        early = from_schema(root / "r0")
        early.sidecar.link(LinkParams(str(remote)), Task())
        for number in range(25):
            one = chance.choice(writers)
            _edit(one, chance, number)
            if chance.random() < 0.5:
                getattr(one.sidecar, chance.choice(["run", "push"]))(CycleParams(allow_deletions=True), Task())
            if chance.random() < 0.2:  # some logs are compacted, some of them before somebody has read what is left out
                one.sidecar.compact(CompactParams(), Task())
            if chance.random() < 0.2:
                early.sidecar.pull(CycleParams(), Task())
        for one in writers:
            one.sidecar.push(CycleParams(allow_deletions=True), Task())
        readers = []
        real = Shadow.waiting
        for number in range(3):
            reader = from_schema(root / f"r{number}") if number else early
            if number:
                reader.sidecar.link(LinkParams(str(remote)), Task())
            readers.append(reader)
            order = random.Random(f"{seed}{number}")
            patch.setattr(Shadow, "waiting", lambda self, states, order=order: _shuffled(real(self, states), order))
            reader.sidecar.pull(CycleParams(), Task())
            for _ in range(number):
                _deliver_again(reader)
                again = reader.sidecar.pull(CycleParams(), Task())
                assert (again.applied.inserted, again.applied.updated, again.applied.deleted) == (0, 0, 0), "a second delivery changed something"
            reader.check_integrity()
            assert reader.sidecar.verify(VerifyParams(), Task()).ok
        contents = [reader.content() for reader in readers]
        assert contents[0] == contents[1] == contents[2], "the order of delivery decided what is kept"


def _shuffled(found: list, order: random.Random) -> list:  # type: ignore[type-arg]
    order.shuffle(found)
    return found


def _deliver_again(machine: Machine) -> None:
    shadow = Shadow(machine.own_state / "shadow.db")
    with shadow.writing():
        shadow.db.execute("UPDATE session_segment SET state=?", (NEW,))
    shadow.close()


def test_I3_a_deletion_that_nobody_edited_against_stays_whatever_comes_late(tmp_path: Path) -> None:  # noqa: N802
    """A device that was away all the time brings the old session along: it does not come back."""
    remote = bare_remote(tmp_path / "remote.git")
    a, b, late = (from_schema(tmp_path / name) for name in ("a", "b", "late"))
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    for one in (b, late):
        one.sidecar.link(LinkParams(str(remote)), Task())
    db = a.connect()
    edits.new_session(db, "ses_1", START)
    edits.add_turn(db, "ses_1", "1", START)
    for one in (a, b, late):
        one.sidecar.run(CycleParams(), Task())
    edits.delete_session(db, "ses_1")
    db.close()
    for one in (a, b):
        one.sidecar.run(CycleParams(), Task())
    (late.own_state / "shadow.db").unlink()  # it even forgot what it had seen
    for _ in range(2):
        for one in (late, a, b):
            one.sidecar.run(CycleParams(), Task())
    for one in (a, b, late):
        assert one.sql("SELECT count(*) FROM session") == [(0,)], f"the deleted session is back on {one.root.name}"
        assert one.sidecar.verify(VerifyParams(), Task()).ok
