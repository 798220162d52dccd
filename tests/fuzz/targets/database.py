"""opencode's database with values of any kind in any cell: a cycle ends, changes no row, and publishes the session that is whole."""

from __future__ import annotations

import functools
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from protocol.sync import CycleParams, InitParams, VerifyParams
from sidecar.domain.task import Task
from tests.fuzz.feed import Feed
from tests.support import hostile_db
from tests.support.machines import Machine, from_schema

TABLES = ("session", "message", "part", "todo", "project")


@functools.cache
def _template() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    folder = tempfile.TemporaryDirectory(prefix="opencode-sidecar-fuzz-")
    machine = from_schema(Path(folder.name) / "run")
    connection = machine.connect()
    hostile_db.fill(connection, int(time.time() * 1000) - 3_600_000)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    machine.sidecar.init(InitParams(encryption="none"), Task())
    shutil.copytree(machine.root, Path(folder.name) / "kept", symlinks=True)
    return folder, machine.root


def cells(data: bytes) -> None:
    feed = Feed(data)
    folder, root = _template()
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(Path(folder.name) / "kept", root, symlinks=True)
    machine = Machine(root)
    _change(machine.db, feed)
    before = _dump(machine.db)
    for _ in range(2):
        done = machine.sidecar.run(CycleParams(), Task())
    assert done.published.rows == 0, "it publishes the same again and again"
    machine.sidecar.verify(VerifyParams(), Task())
    assert _dump(machine.db) == before, "rows were changed or deleted"
    shadow = sqlite3.connect(machine.own_state / "shadow.db")
    known = {row[0] for row in shadow.execute("SELECT session FROM row WHERE tbl='session'")}
    shadow.close()
    assert hostile_db.GOOD in known, "one session full of nonsense stopped the others"


def _change(path: Path, feed: Feed) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    for _ in range(feed.int() % 6 + 1):
        table = feed.pick(TABLES[:4])
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        where = "id='ses_bad'" if table == "session" else "session_id='ses_bad'"
        column, kind, value = feed.pick(columns), feed.int() & 1, _value(feed)
        marks = "CAST(? AS TEXT)" if isinstance(value, bytes) and kind else "?"
        try:
            db.execute(f'UPDATE OR REPLACE {table} SET "{column}"={marks} WHERE {where}', (value,))
        except sqlite3.Error:
            pass  # a constraint of the schema: nothing was changed
    db.execute("UPDATE event_sequence SET seq=seq+1")
    db.close()


def _value(feed: Feed) -> Any:
    kind = feed.int() % 8
    if kind == 0:
        return None
    if kind == 1:
        return feed.int(8) - (1 << 63)
    if kind == 2:
        return feed.pick([0.5, -1.5, float("inf"), 1e308])
    if kind == 3:
        return feed.pick(["", "\0", "ses_good", "ses_bad", "msg_goodu", "x" * 5000, "[" * 5000, "/", "C:\\x", "global"])
    if kind == 4:
        return feed.pick(['{"role":"user"}', '{"role":"assistant","time":[],"tokens":{"input":"x"},"cost":1e999}', '{"type":"text"}', "null", '{"role":1e999}'])
    return feed.bytes(feed.int() % 64)


def _dump(path: Path) -> list[list[str]]:
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    try:
        return [sorted(map(repr, connection.execute(f"SELECT * FROM {table}"))) for table in TABLES]
    finally:
        connection.close()
