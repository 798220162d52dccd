"""A database as no opencode writes it: the healthy sessions go on syncing, nothing is lost, and what cannot be shared is said."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, StatusParams, VerifyParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support import edits, hostile_db
from tests.support.hostile_db import GOOD, LATER
from tests.support.machines import Machine, bare_remote, from_schema
from tests.support.prepared import Prepared

SCHEMAS = ["1.18.33", "1.2.4"] if os.environ.get("SIDECAR_EXAMPLES") else ["1.18.33"]


def cycle(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def dump(machine: Machine) -> dict[str, list[object]]:
    """Every row of the synced tables, byte for byte."""
    connection = machine.connect()
    connection.text_factory = bytes
    try:
        tables = [row[0].decode() for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {t: sorted(map(repr, connection.execute(f"SELECT * FROM {t}"))) for t in ("session", "message", "part", "todo", "project") if t in tables}
    finally:
        connection.close()


AT = int(time.time() * 1000) - 3_600_000
Pair = tuple[Machine, Machine]


def linked(folder: Path, schema: str) -> Pair:
    """Two machines of one vault; one has healthy sessions, and neither has synced."""
    a, b = (from_schema(folder / name, schema) for name in ("a", "b"))
    remote = str(bare_remote(folder / "remote.git"))
    db = a.connect()
    hostile_db.fill(db, AT)
    db.close()
    a.sidecar.init(InitParams(remote, encryption="none"), Task())
    b.sidecar.link(LinkParams(remote), Task())
    return a, b


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Prepared[Pair]:
    return Prepared(tmp_path_factory.mktemp("pairs"), linked)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("case", [case for case in hostile_db.CASES if "trigger" not in case])
def test_one_session_full_of_nonsense_stops_no_other(pairs: Prepared[Pair], case: str, schema: str) -> None:
    (a, b), at = pairs.fresh(schema), AT
    db = a.connect()
    counts_no_more = case.startswith("the change counter")
    if counts_no_more:  # opencode itself could write no more after that
        edits.new_session(db, LATER, at)
        edits.add_turn(db, LATER, "later", at)
    try:
        hostile_db.apply(db, case)
    except sqlite3.OperationalError as error:
        pytest.skip(f"this version's schema has no such thing: {error}")
    if case in hostile_db.REFUSED:
        db.close()
        with pytest.raises(SidecarError) as refused:
            cycle(a)
        assert refused.value.kind == "databaseUnsupported"
        assert refused.value.remedy
        return
    before = dump(a)
    first = cycle(a)
    assert dump(a) == before, "rows of the user's were changed or deleted"
    if not counts_no_more:
        edits.new_session(db, LATER, at + 1000)
        edits.add_turn(db, LATER, "later", at + 1000)
    db.close()
    before = dump(a)
    for one in (a, b, b, a):
        done = cycle(one)
    assert dump(a) == before, "rows of the user's were changed or deleted by what came back"
    arrived = {row[0] for row in b.sql("SELECT id FROM session")}
    assert {GOOD, LATER} <= arrived, f"one session full of nonsense stopped the others: {first.warnings}"
    assert b.sql("SELECT count(*) FROM message WHERE session_id=?", GOOD) == [(2,)]
    assert (done.published.rows, done.published.tombstones) == (0, 0), "it publishes the same again and again"
    said = [
        f"{entry.reason} {entry.detail}" for entry in (*a.sidecar.status(StatusParams(), Task()).attention, *b.sidecar.status(StatusParams(), Task()).attention)
    ]
    assert len(arrived) == a.sql("SELECT count(*) FROM session")[0][0] or said, "a session stays on its machine and nobody says so"
    a.sidecar.verify(VerifyParams(), Task())
    assert b.sql("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", hostile_db.SCHEMA)
def test_a_strange_schema_where_sessions_arrive_loses_nothing(pairs: Prepared[Pair], case: str) -> None:
    (a, b), at = pairs.fresh("1.18.33"), AT
    db = a.connect()
    mine = b.connect()
    edits.new_session(mine, "ses_mine", at)
    edits.add_turn(mine, "ses_mine", "mine", at)
    hostile_db.apply(mine, case)
    mine.close()
    before, there = dump(a), dump(b)
    cycle(a)
    began = time.process_time()
    for _ in range(2):
        try:
            done = cycle(b)
        except SidecarError as error:
            if (case in hostile_db.REFUSED, error.kind) == (True, "databaseUnsupported"):
                return
            raise
    assert time.process_time() - began < 30, "opencode could not write all this time"
    after = dump(b)
    for table, rows in there.items():
        assert set(rows) <= set(after[table]), f"rows of {table} that were here are gone or changed"
    cycle(a)
    assert set(before["message"]) <= set(dump(a)["message"]), "a trigger of one machine deleted conversations of the other"
    assert set(before["part"]) <= set(dump(a)["part"])
    arrived = {row[0] for row in b.sql("SELECT id FROM session")}
    if GOOD not in arrived or b.sql("SELECT count(*) FROM part WHERE session_id=?", GOOD) != [(2,)]:
        assert done.quarantined, "a session is not here as it is elsewhere, and nobody says so"
    db.close()


def test_when_the_trigger_is_gone_what_waited_comes_in(pairs: Prepared[Pair]) -> None:
    a, b = pairs.fresh("1.18.33")
    db = a.connect()
    db.close()
    b.sql("CREATE TRIGGER t AFTER INSERT ON part BEGIN DELETE FROM part WHERE id=new.id; END")
    cycle(a)
    assert cycle(b).quarantined == 2
    b.sql("DROP TRIGGER t")
    assert cycle(b).quarantined == 0
    assert a.content() == b.content()


def test_a_trigger_that_keeps_an_index_does_no_harm(pairs: Prepared[Pair]) -> None:
    a, b = pairs.fresh("1.18.33")
    db = a.connect()
    db.close()
    b.sql("CREATE TABLE found (id, text)")
    b.sql("CREATE TRIGGER t AFTER INSERT ON part BEGIN INSERT INTO found VALUES (new.id, new.data); END")
    cycle(a)
    assert cycle(b).quarantined == 0
    assert a.content() == b.content()
    assert b.sql("SELECT count(*) FROM found") == [(4,)]


def test_a_session_that_becomes_whole_again_is_shared_again(pairs: Prepared[Pair]) -> None:
    a, b = pairs.fresh("1.18.33")
    db = a.connect()
    db.execute("UPDATE part SET id=x'ff' WHERE id='prt_msg_badu'")
    db.execute("UPDATE event_sequence SET seq=seq+1")
    assert any("cannot be shared" in text for text in cycle(a).warnings)
    db.execute("UPDATE part SET id='prt_msg_badu' WHERE id=x'ff'")
    db.execute("UPDATE event_sequence SET seq=seq+1")
    db.close()
    assert cycle(a).quarantined == 0
    cycle(b)
    assert a.content() == b.content()
