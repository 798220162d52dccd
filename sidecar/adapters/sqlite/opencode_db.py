"""Reading opencode's database: short transactions, streamed, whatever the version."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sidecar.adapters.segments.values import LARGE_VALUE_BYTES, pack, packed_in_pieces
from sidecar.adapters.sqlite.connect import errors_as_ours, open_read_only
from sidecar.adapters.sqlite.schema import Schema, quoted, read_schema
from sidecar.domain.fitness import MAX_VALUE_BYTES, Unfit, check_fit, key_problem, readable
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO
from sidecar.domain.state import ProjectRow, Row, SessionRows


def content_hash(columns: Row) -> bytes:
    """Hash of a row's values by column name. NULLs do not count, so that a new nullable column changes nothing."""
    said = {name: columns[name] for name in sorted(columns) if columns[name] is not None}
    if not any(isinstance(value, (str, bytes)) and len(value) > LARGE_VALUE_BYTES for value in said.values()):
        return hashlib.blake2b(pack(said), digest_size=16).digest()
    found = hashlib.blake2b(digest_size=16)
    for piece in packed_in_pieces(said):
        found.update(piece)
    return found.digest()


CHANGE_COUNTER = "event_sequence"
_WAL_HEAD = 32
"""Bytes of a WAL's header; its salt is another one each time the WAL is written from its beginning again."""
_NO_OVERFLOW = (1 << 44) - 1
"""What of a time goes into a sum, which SQLite refuses beyond 63 bits: milliseconds until the year 2527."""


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
        """(device, inode, size, mtime_ns) of the file, and of its WAL, with the WAL's header: equal states mean that nothing was committed.

        A WAL is written over from its beginning and keeps its size, and not every file system tells the time of each write. No other file is read
        for that: closing the database or its `-shm` gives up the locks that SQLite holds on them in this process.
        """
        state = []
        wal = self.path.with_name(self.path.name + "-wal")
        for path in (self.path, wal):
            try:
                stat = path.stat()
                state.append([stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns])
            except OSError:
                state.append([0, 0, 0, 0])
        with suppress(OSError), wal.open("rb") as file:
            state[1].append(int.from_bytes(file.read(_WAL_HEAD)))
        return state

    def pages(self) -> int:
        """In one and the same file their number grows; a smaller one is that of an earlier state of it."""
        with errors_as_ours(self.path):
            return int(self.connection.execute("PRAGMA page_count").fetchone()[0])

    def first_project(self) -> int | None:
        """When the oldest project was made: a database that was made anew has a later one, also where the file got the number of the old one."""
        schema = self._schema or self.schema()
        if "time_created" not in schema.columns["project"]:
            return None
        with self.reading() as connection:
            return next((time for (time,) in connection.execute("SELECT min(time_created) FROM project") if isinstance(time, int)), None)

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_read_only(self.path)
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
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
            rows = connection.execute(f"SELECT id, worktree, {name} FROM project")
            return [ProjectRow(key, tree, readable(name) if name else None) for key, tree, name in rows if key_problem(key) is None and _is_folder(tree)]

    def session_ids(self) -> list[str]:
        with self.reading() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM session ORDER BY time_created, id") if key_problem(row[0]) is None]

    def fingerprints(self) -> dict[str, bytes]:
        """Per session, a hash that moves when anything of it was written.

        opencode from 1.17 on counts every write to a session in `event_sequence`; with the numbers of rows, which also show
        what another program added or removed, that costs one pass over small indexes. Older files cost a pass over the
        tables' leaves (times and sizes), still not over their content. What neither shows, a full scan finds.
        """
        schema = self._schema or self.schema()
        with self.reading() as connection:
            found = {key: hashlib.blake2b(digest, digest_size=16) for key, digest in _session_digests(connection, schema)}
            counted = CHANGE_COUNTER in schema.others and _counts_writes(connection)
            queries = {table: _counts(schema, table, by_content=not counted or table == TODO) for table in (MESSAGE, PART, TODO, SESSION_MESSAGE)}
            if counted:
                queries[CHANGE_COUNTER] = f"SELECT aggregate_id, seq FROM {CHANGE_COUNTER}"
            for table, query in queries.items():
                if query is None:
                    continue
                for session_id, *numbers in _numbers(connection, schema, table, query):
                    if session_id in found:
                        found[session_id].update(pack([table, *numbers]))
        return {session_id: digest.digest() for session_id, digest in found.items()}

    def session(self, session_id: str) -> SessionRows | None:
        """All rows of a session in one consistent read; None when it is gone. Raises Unfit."""
        with self.reading() as connection:
            try:
                rows = read_session(connection, self._schema or read_schema(connection, self.path), session_id)
            except sqlite3.DataError:
                raise Unfit(f"it has a value of more than {MAX_VALUE_BYTES >> 20} MB") from None
        if rows is not None:
            check_fit(rows)
        return rows

    def fit_session(self, session_id: str) -> SessionRows | None:
        """`session`; None, too, for one that cannot be used."""
        try:
            return self.session(session_id)
        except Unfit:
            return None


def _is_folder(worktree: object) -> bool:
    return isinstance(worktree, str) and "\0" not in worktree and worktree == readable(worktree)


def _session_digests(connection: sqlite3.Connection, schema: Schema) -> Iterator[tuple[Any, bytes]]:
    """Of each session's own row. One that is too large to be read has the hash of nothing."""
    query = f"SELECT {_names(schema, SESSION)} FROM session"
    try:
        yield from [(row["id"], content_hash(row)) for row in _rows(connection, query, ())]
    except sqlite3.DataError:
        for (number,) in connection.execute("SELECT rowid FROM session").fetchall():
            try:
                yield from [(row["id"], content_hash(row)) for row in _rows(connection, f"{query} WHERE rowid=?", (number,))]
            except sqlite3.DataError:
                yield from ((key, b"") for (key,) in connection.execute("SELECT id FROM session WHERE rowid=?", (number,)))


def _counts_writes(connection: sqlite3.Connection) -> bool:
    try:
        return connection.execute(f"SELECT aggregate_id, seq FROM {CHANGE_COUNTER} LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:  # a table of that name with other columns
        return False


def _numbers(connection: sqlite3.Connection, schema: Schema, table: str, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query for fingerprints; where a value is too large to be measured, the numbers of rows and their times have to do."""
    try:
        return connection.execute(query).fetchall()
    except sqlite3.DataError:
        return connection.execute(_counts(schema, table, by_content=True, sizes=False) or query).fetchall()


def _counts(schema: Schema, table: str, *, by_content: bool, sizes: bool = True) -> str | None:
    """Query for (session, number of rows, and if wanted sums of their times and sizes)."""
    if not schema.has(table):
        return None
    columns, sums = schema.columns[table], ""
    if by_content:
        sums += f", sum(time_updated & {_NO_OVERFLOW})" if "time_updated" in columns else ""
        sums += ", sum(length(CAST(data AS BLOB)))" if sizes and "data" in columns else ""
        sums += ", sum(length(content)*31+length(status))" if sizes and {"content", "status"} <= columns.keys() else ""
    return f"SELECT session_id, count(*){sums} FROM {table} GROUP BY session_id"


def read_session(connection: sqlite3.Connection, schema: Schema, session_id: str) -> SessionRows | None:
    """See `OpencodeDb.session`; for use inside a caller's transaction."""
    session = next(_rows(connection, f"SELECT {_names(schema, SESSION)} FROM session WHERE id=?", (session_id,)), None)
    if session is None:
        return None
    rows = SessionRows(session)
    for table, target in ((MESSAGE, rows.messages), (PART, rows.parts), (SESSION_MESSAGE, rows.session_messages)):
        if schema.has(table):
            order, no_index = "WHERE session_id=? ORDER BY time_created, id", table == PART
            for row in _rows(connection, f"SELECT {_names(schema, table)} FROM {table} {'WHERE session_id=?' if no_index else order}", (session_id,)):
                target[row["id"]] = row
            if no_index:  # sorting whole rows, SQLite would copy all of them
                for (key,) in connection.execute(f"SELECT id FROM {table} {order}", (session_id,)):
                    target[key] = target.pop(key)
    if schema.has(TODO):
        rows.todos = list(_rows(connection, f"SELECT {_names(schema, TODO)} FROM todo WHERE session_id=? ORDER BY position", (session_id,)))
    return rows


def _names(schema: Schema, table: str) -> str:
    return quoted(schema.columns[table])


def _rows(connection: sqlite3.Connection, query: str, parameters: tuple[Any, ...]) -> Iterator[Row]:
    with closing(connection.execute(query, parameters)) as cursor:
        names = [column[0] for column in cursor.description]
        for values in cursor:
            yield dict(zip(names, values, strict=True))
