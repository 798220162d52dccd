"""Reading opencode's database: short transactions, streamed, whatever the version."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sidecar.adapters.segments.values import pack
from sidecar.adapters.sqlite.connect import errors_as_ours, open_read_only
from sidecar.adapters.sqlite.schema import Schema, read_schema
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO
from sidecar.domain.state import ProjectRow, Row, SessionRows


def content_hash(columns: Row) -> bytes:
    """Hash of a row's values by column name. NULLs do not count, so that a new nullable column changes nothing."""
    return hashlib.blake2b(pack({name: columns[name] for name in sorted(columns) if columns[name] is not None}), digest_size=16).digest()


CHANGE_COUNTER = "event_sequence"


class OpencodeDb:
    """A read-only connection, opened when first used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._schema: Schema | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._schema = None

    def file_state(self) -> list[list[int]]:
        """(device, inode, size, mtime_ns) of the file and its WAL: equal states mean that nothing was committed."""
        state = []
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            try:
                stat = path.stat()
                state.append([stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns])
            except OSError:
                state.append([0, 0, 0, 0])
        return state

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_read_only(self.path)
        return self._connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One short read transaction."""
        with errors_as_ours(self.path):
            connection = self.connection
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def schema(self) -> Schema:
        """Read anew each time it is asked for: opencode may have been upgraded meanwhile."""
        with errors_as_ours(self.path):
            self._schema = read_schema(self.connection, self.path)
        return self._schema

    def projects(self) -> list[ProjectRow]:
        schema = self._schema or self.schema()
        name = "name" if "name" in schema.columns["project"] else "NULL"
        with self.reading() as connection:
            return [ProjectRow(*row) for row in connection.execute(f"SELECT id, worktree, {name} FROM project")]

    def session_ids(self) -> list[str]:
        with self.reading() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM session ORDER BY time_created, id")]

    def fingerprints(self) -> dict[str, bytes]:
        """Per session, a hash that moves when anything of it was written.

        opencode from 1.17 on counts every write to a session in `event_sequence`; with the numbers of rows, which also show
        what another program added or removed, that costs one pass over small indexes. Older files cost a pass over the
        tables' leaves (times and sizes), still not over their content. What neither shows, a full scan finds.
        """
        schema = self._schema or self.schema()
        with self.reading() as connection:
            found = {
                row["id"]: hashlib.blake2b(content_hash(row), digest_size=16) for row in _rows(connection, f"SELECT {_names(schema, SESSION)} FROM session", ())
            }
            counted = CHANGE_COUNTER in schema.others and connection.execute(f"SELECT 1 FROM {CHANGE_COUNTER} LIMIT 1").fetchone() is not None
            queries = {table: _counts(schema, table, by_content=not counted or table == TODO) for table in (MESSAGE, PART, TODO, SESSION_MESSAGE)}
            if counted:
                queries[CHANGE_COUNTER] = f"SELECT aggregate_id, seq FROM {CHANGE_COUNTER}"
            for table, query in queries.items():
                if query is None:
                    continue
                for session_id, *numbers in connection.execute(query):
                    if session_id in found:
                        found[session_id].update(pack([table, *numbers]))
        return {session_id: digest.digest() for session_id, digest in found.items()}

    def session(self, session_id: str) -> SessionRows | None:
        """All rows of a session in one consistent read; None when it is gone."""
        with self.reading() as connection:
            return read_session(connection, self._schema or read_schema(connection, self.path), session_id)


def _counts(schema: Schema, table: str, *, by_content: bool) -> str | None:
    """Query for (session, number of rows, and if wanted sums of their times and sizes)."""
    if not schema.has(table):
        return None
    columns, sums = schema.columns[table], ""
    if by_content:
        sums += ", sum(time_updated)" if "time_updated" in columns else ""
        sums += ", sum(length(CAST(data AS BLOB)))" if "data" in columns else ""
        sums += ", sum(length(content)*31+length(status))" if {"content", "status"} <= columns.keys() else ""
    return f"SELECT session_id, count(*){sums} FROM {table} GROUP BY session_id"


def read_session(connection: sqlite3.Connection, schema: Schema, session_id: str) -> SessionRows | None:
    """See `OpencodeDb.session`; for use inside a caller's transaction."""
    session = next(_rows(connection, f"SELECT {_names(schema, SESSION)} FROM session WHERE id=?", (session_id,)), None)
    if session is None:
        return None
    rows = SessionRows(session)
    for table, target in ((MESSAGE, rows.messages), (PART, rows.parts), (SESSION_MESSAGE, rows.session_messages)):
        if schema.has(table):
            query = f"SELECT {_names(schema, table)} FROM {table} WHERE session_id=? ORDER BY time_created, id"
            for row in _rows(connection, query, (session_id,)):
                target[row["id"]] = row
    if schema.has(TODO):
        rows.todos = list(_rows(connection, f"SELECT {_names(schema, TODO)} FROM todo WHERE session_id=? ORDER BY position", (session_id,)))
    return rows


def _names(schema: Schema, table: str) -> str:
    return ", ".join(f'"{name}"' for name in schema.columns[table])


def _rows(connection: sqlite3.Connection, query: str, parameters: tuple[Any, ...]) -> Iterator[Row]:
    with closing(connection.execute(query, parameters)) as cursor:
        names = [column[0] for column in cursor.description]
        for values in cursor:
            yield dict(zip(names, values, strict=True))
