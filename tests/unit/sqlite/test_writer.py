"""Writing rows: bit for bit, only over what was recorded, and never for long."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.adapters.sqlite.opencode_db import OpencodeDb, content_hash
from sidecar.adapters.sqlite.writer import RowWriter, todo_hash
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO, Version
from sidecar.domain.state import LocalChange, Op, ShadowRow
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.machines import Machine

Make = Callable[..., Machine]
Values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=("Cs",))) | st.binary()


@pytest.fixture
def a(machine: Make) -> Machine:
    made = machine("a")
    connection = made.connect()
    connection.execute("ALTER TABLE part ADD COLUMN anything")
    edits.new_session(connection, "ses_1", 1000)
    edits.add_turn(connection, "ses_1", "1", 1000)
    connection.close()
    return made


def write(machine: Machine, *ops: Op, task: Task | None = None) -> Any:
    db = OpencodeDb(machine.db)
    writer = RowWriter(machine.db, db.schema(), content_hash)
    try:
        return writer.write(ops, task or Task(), lambda *_: None, lambda *_: None)
    finally:
        writer.close()
        db.close()


def shadow(digest: bytes = b"") -> ShadowRow:
    return ShadowRow(Version(1, 0, "d"), 1, digest, None)


def part(key: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "message_id": "msg_1u", "session_id": "ses_1", "time_created": 1, "time_updated": 1, "data": "{}", **more}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=Values, raw=st.binary(max_size=6))
def test_every_value_is_written_as_it_was_read(a: Machine, value: Any, raw: bytes) -> None:
    """Text that is not UTF-8 included: it must survive, not be repaired."""
    a.sql("DELETE FROM part WHERE id IN ('prt_x', 'prt_y')")
    a.sql(
        "INSERT INTO part (id, message_id, session_id, time_created, time_updated, data, anything) VALUES ('prt_x','msg_1u','ses_1',1,1,CAST(? AS TEXT),?)",
        raw,
        value,
    )
    db = OpencodeDb(a.db)
    rows = db.session("ses_1")
    db.close()
    assert rows is not None
    row = {**rows.parts["prt_x"], "id": "prt_y"}
    write(a, Op(PART, "prt_y", row, None, shadow()))
    query = "SELECT typeof(data), CAST(data AS BLOB), typeof(anything), anything FROM part WHERE id=?"
    assert a.sql(query, "prt_y") == a.sql(query, "prt_x")


def test_a_row_that_is_not_what_was_recorded_is_left_alone(a: Machine) -> None:
    before = a.sql("SELECT * FROM part")
    with pytest.raises(LocalChange):
        write(a, Op(PART, "prt_msg_1u", part("prt_msg_1u", data='{"x":1}'), b"another hash", shadow()))
    with pytest.raises(LocalChange):
        write(a, Op(PART, "prt_msg_1u", part("prt_msg_1u", data='{"x":1}'), None, shadow()))
    with pytest.raises(LocalChange):
        write(a, Op(MESSAGE, "msg_gone", {"id": "msg_gone"}, b"it was here", shadow()))
    assert a.sql("SELECT * FROM part") == before, "a local change was overwritten unseen"


def test_a_row_that_is_already_so_is_adopted_without_a_write(a: Machine) -> None:
    db = OpencodeDb(a.db)
    rows = db.session("ses_1")
    db.close()
    assert rows is not None
    row = rows.parts["prt_msg_1u"]
    counts = write(a, Op(PART, "prt_msg_1u", row, None, shadow(content_hash(row))))
    assert counts.total == 0


def test_a_message_that_got_new_parts_is_not_deleted(a: Machine) -> None:
    db = OpencodeDb(a.db)
    rows = db.session("ses_1")
    db.close()
    assert rows is not None
    with pytest.raises(LocalChange):
        write(a, Op(MESSAGE, "msg_1u", None, content_hash(rows.messages["msg_1u"])))
    with pytest.raises(LocalChange):
        write(a, Op(SESSION, "ses_1", None, content_hash(rows.session)))
    assert a.sql("SELECT count(*) FROM message") == [(2,)]


@pytest.mark.parametrize("table", [TODO, SESSION_MESSAGE])
def test_a_session_with_something_new_in_it_is_not_deleted(a: Machine, table: str) -> None:
    """SQLite deletes what hangs on a session: nobody would have recorded it, and no journal would have it."""
    db = a.connect()
    edits.delete_message(db, "msg_1u")
    edits.delete_message(db, "msg_1a")
    new = {"id": "smg_1", "session_id": "ses_1", "type": "x", "content": "new", "status": "pending", "priority": "high", "time_created": 1, "data": "{}"}
    edits.insert(db, table, new)
    db.close()
    rows = OpencodeDb(a.db).session("ses_1")
    assert rows is not None
    recorded = todo_hash(content_hash, [])
    with pytest.raises(LocalChange):
        write(a, Op(TODO, "ses_1", None, recorded), Op(SESSION, "ses_1", None, content_hash(rows.session)))
    assert a.sql(f"SELECT count(*) FROM {table}") == [(1,)], "what was written a moment before the session was deleted elsewhere is gone without a trace"


def test_another_writer_gets_its_turn_all_the_while(a: Machine) -> None:
    waits: list[float] = []
    ended = threading.Event()

    def host() -> None:
        connection = sqlite3.connect(a.db, isolation_level=None, timeout=5)
        connection.execute("CREATE TABLE competitor (n)")
        while not ended.is_set():
            began = time.perf_counter()
            connection.execute("INSERT INTO competitor VALUES (1)")
            waits.append(time.perf_counter() - began)
            time.sleep(0.002)
        connection.close()

    thread = threading.Thread(target=host)
    thread.start()
    try:
        counts = write(a, *(Op(PART, f"prt_{n:05}", part(f"prt_{n:05}", data="x" * 2000), None, shadow()) for n in range(5000)))
    finally:
        ended.set()
        thread.join()
    assert counts.inserted == 5000
    assert len(waits) > 10, "the host could hardly write"


def test_cancelling_in_the_middle_leaves_whole_transactions(a: Machine) -> None:
    class Stopping(Task):
        left = 3

        def check(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(a, *(Op(PART, f"prt_{n:05}", part(f"prt_{n:05}"), None, shadow()) for n in range(5000)), task=Stopping())
    a.check_integrity()
    assert write(a, Op(PART, "prt_after", part("prt_after"), None, shadow())).inserted == 1


def test_rows_of_a_session_that_was_just_deleted_wait(a: Machine) -> None:
    """opencode may delete it between our look and our write: that is no fault of the database."""
    edit = Op(PART, "prt_new", part("prt_new"), None, shadow())
    a.sql("DELETE FROM session WHERE id='ses_1'")
    with pytest.raises(LocalChange):
        write(a, edit)
