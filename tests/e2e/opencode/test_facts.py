"""What the code believes about opencode, asked of the real one. When a new version answers otherwise, this is where it shows."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.domain.counters import recompute
from sidecar.domain.turns import last_turn
from tests.support.opencode.install import opencode
from tests.support.opencode.machine import ApiError, Json, Machine
from tests.support.opencode.mock import MockProvider


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One machine with opencode 1.18.33, its server running."""
    provider = MockProvider()
    machine = Machine(tmp_path_factory.mktemp("facts") / "host", opencode("1.18.33"), provider.url)
    machine.make_project()
    try:
        machine.start()
        yield machine
    finally:
        machine.stop()
        provider.close()


def row_of(host: Machine, session: str) -> dict[str, Json]:
    with host.connect() as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM session WHERE id=?", (session,)).fetchone())


def put(host: Machine, row: dict[str, Json]) -> None:
    host.sql(f"INSERT INTO session ({','.join(row)}) VALUES ({','.join('?' * len(row))})", *row.values(), write=True)


def sequence(host: Machine, session: str) -> int:
    return int(host.sql("SELECT seq FROM event_sequence WHERE aggregate_id=?", session)[0][0])


def settled(host: Machine, session: str) -> None:
    """Wait for what opencode writes after an answer: the title and the turn's summary, with the whole session row."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < 1:
        now = sequence(host, session)
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.05)


def quiet_session(host: Machine, prompt: str) -> str:
    session = host.started(prompt)
    settled(host, session)
    return session


def test_after_a_first_run_the_file_is_empty_and_the_wal_has_everything(host: Machine, tmp_path: Path) -> None:
    fresh = Machine(tmp_path / "fresh", host.binary, host.provider_url)
    fresh.make_project()
    fresh.opencode("run", "First {{text 5}}")
    assert fresh.db.stat().st_size == 4096
    with closing(sqlite3.connect(f"file:{fresh.db}?immutable=1", uri=True)) as immutable:
        assert immutable.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,), "immutable=1 does not see the WAL: never use it"
    assert fresh.sql("SELECT count(*) FROM session") == [(1,)], "a read-only connection sees the WAL"
    with closing(sqlite3.connect(shutil.copyfile(fresh.db, tmp_path / "copy.db"))) as copy:
        assert copy.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,), "a copy of the file alone is empty: never copy it"


def test_rows_written_by_others_show_at_the_next_request_and_need_no_events(host: Machine) -> None:
    session = quiet_session(host, "Here without events {{text 5}}")
    host.sql("DELETE FROM event WHERE aggregate_id=?", session, write=True)
    host.sql("DELETE FROM event_sequence WHERE aggregate_id=?", session, write=True)
    host.sql("UPDATE session SET title='Written by another program' WHERE id=?", session, write=True)
    assert host.listed()[session]["title"] == "Written by another program"
    assert "Here without events" in host.text(session)
    host.ask(session, "And goes on {{text 5}}")
    assert host.sql("SELECT count(*) FROM event_sequence WHERE aggregate_id=?", session) == [(1,)]


def test_a_deletion_leaves_nothing(host: Machine) -> None:
    session = host.started("Leave no trace {{todo 2; write trace.txt 3; text 5}}")
    host.delete(session)
    tables = [row[0] for row in host.sql("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'")]
    for table in tables:
        columns = [row[1] for row in host.sql(f'PRAGMA table_info("{table}")')]
        anywhere = " OR ".join(f'instr(CAST("{column}" AS TEXT), ?)' for column in columns)
        assert host.sql(f'SELECT count(*) FROM "{table}" WHERE {anywhere}', *[session] * len(columns)) == [(0,)], f"{table} remembers the deletion"


def test_rename_and_archive_move_the_event_counter_and_not_time_updated(host: Machine) -> None:
    session = quiet_session(host, "Time stands still {{text 5}}")
    before, counter = row_of(host, session)["time_updated"], sequence(host, session)
    host.rename(session, "New title")
    assert sequence(host, session) > counter, "the cheap scan would miss a rename"
    counter = sequence(host, session)
    host.archive(session)
    assert sequence(host, session) > counter, "the cheap scan would miss an archived session"
    assert row_of(host, session)["time_updated"] == before, "time_updated has become a change clock again: nice, and not needed"


def test_a_path_of_another_system_in_one_row_breaks_the_list_of_all(host: Machine) -> None:
    session = host.started("Healthy {{text 5}}")
    put(host, row_of(host, session) | {"id": "ses_foreign", "directory": "C:/Users/bob/app"})
    with pytest.raises(ApiError) as failed:
        host.api("GET", "/session")
    assert failed.value.status == 500, "one such row, and the user sees no session of the project"
    host.sql("DELETE FROM session WHERE id='ses_foreign'", write=True)
    assert session in host.listed()


def test_a_session_in_a_missing_folder_can_be_read_and_not_continued(host: Machine, tmp_path: Path) -> None:
    session = quiet_session(host, "Homeless {{text 5}}")
    here = row_of(host, session)["directory"]
    host.sql("UPDATE session SET directory=? WHERE id=?", str(tmp_path / "not-here"), session, write=True)
    assert "Homeless" in host.text(session)
    assert session not in host.listed(), "listed by exact folder"
    with pytest.raises(ApiError) as failed:
        host.ask(session, "Go on {{text 5}}")
    assert failed.value.status == 500
    host.sql("UPDATE session SET directory=? WHERE id=?", here, session, write=True)
    for _ in range(5):  # what failed may still be at it
        try:
            host.ask(session, "Go on {{text 5}}")
            return
        except ApiError:
            time.sleep(1)
    raise AssertionError("a session that has its folder back cannot be continued")


def test_a_workspace_that_is_not_here_breaks_the_session(host: Machine) -> None:
    session = quiet_session(host, "Workspace {{text 5}}")
    put(host, row_of(host, session) | {"id": "ses_workspace", "workspace_id": "wrk_elsewhere"})
    with pytest.raises(ApiError) as failed:
        host.show("ses_workspace")
    assert failed.value.status == 500
    host.sql("DELETE FROM session WHERE id='ses_workspace'", write=True)


def test_one_part_of_an_unknown_type_makes_a_session_unreadable(host: Machine) -> None:
    session = host.started("One bad part {{text 5}}")
    message = host.messages(session)[-1]["info"]["id"]
    host.sql("INSERT INTO part VALUES ('prt_odd', ?, ?, 1, 1, '{\"type\":\"hologram\"}')", message, session, write=True)
    with pytest.raises(ApiError) as failed:
        host.messages(session)
    assert failed.value.status == 400
    host.sql("DELETE FROM part WHERE id='prt_odd'", write=True)
    assert "One bad part" in host.text(session)


def test_replacing_a_session_row_deletes_its_history(host: Machine) -> None:
    session = quiet_session(host, "T6 {{todo 2; text 5}}")
    row = row_of(host, session)
    with host.connect(write=True) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"INSERT OR REPLACE INTO session ({','.join(row)}) VALUES ({','.join('?' * len(row))})", tuple(row.values()))
    assert host.messages(session) == [], "INSERT OR REPLACE would be harmless: it was not, and must never be used"
    host.delete(session)


def test_a_revert_deletes_the_undone_turns_at_the_next_prompt_only(host: Machine) -> None:
    session = host.started("Keep {{text 5}}")
    host.ask(session, "Undo {{text 5}}")
    host.revert(session, host.asked(session, "Undo"))
    assert "Undo" in host.text(session), "after a revert alone the rows are still there"
    host.ask(session, "Instead {{text 5}}")
    assert "Undo" not in host.text(session)
    assert row_of(host, session)["revert"] is None


def test_totals_of_a_session_are_the_sum_of_its_answers(host: Machine) -> None:
    session = host.started("Count {{write count.txt 3; todo 1; text 5}}")
    host.ask(session, "Count on {{bash echo 1; text 8}}")
    settled(host, session)
    messages = [str(row[0]) for row in host.sql("SELECT data FROM message WHERE session_id=? ORDER BY time_created, id", session)]
    row = row_of(host, session)
    totals = recompute(messages)
    assert {name: row[name] for name in totals} == pytest.approx(totals), "the totals that a merge computes are not opencode's"
    assert totals["cost"] > 0


def test_a_finished_turn_says_so_and_its_earlier_steps_do_not(host: Machine) -> None:
    session = host.started("Two steps {{bash echo 1; text 8}}")
    messages = [str(row[0]) for row in host.sql("SELECT data FROM message WHERE session_id=? ORDER BY time_created, id", session)]
    assert [json.loads(message).get("finish") for message in messages] == [None, "tool-calls", "stop"]
    assert last_turn(messages) == (0, True)
    assert last_turn(messages[:2]) == (0, False), "a turn between two steps would be published as finished"
