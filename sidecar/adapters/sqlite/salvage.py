"""Reading what can still be read of a damaged SQLite file into a new one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sidecar.adapters.sqlite.connect import bindable, decode_text, errors_as_ours, needs_cast, open_read_only
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

MAX_SKIP = 1 << 62
BATCH = 500


def salvage(source: Path, target: Path, task: Task) -> dict[str, int]:
    """Copy every readable row of every table; returns rows per table. The target appears complete or not at all.

    Raises databaseCorrupt when not even the list of tables can be read.
    """
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as writer:
            writer.execute("PRAGMA journal_mode=OFF")
            writer.execute("PRAGMA synchronous=OFF")
            with errors_as_ours(source), closing(open_read_only(source)) as reader:
                found = _copy(reader, writer, task)
            writer.execute("PRAGMA synchronous=FULL")
            writer.execute("PRAGMA journal_mode=WAL")
            if writer.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise SidecarError("databaseCorrupt", "The copy is not sound.", detail=str(partial), remedy="Check the disk and try again.")
        partial.replace(target)
        return found
    finally:
        for left in partial.parent.glob(partial.name + "*"):
            left.unlink(missing_ok=True)


def _copy(reader: sqlite3.Connection, writer: sqlite3.Connection, task: Task) -> dict[str, int]:
    schema = reader.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'").fetchall()
    tables = [(name, sql) for kind, name, sql in schema if kind == "table"]
    found = {}
    for index, (name, sql) in enumerate(tables):
        task.report("salvage", index, len(tables), message=name)
        writer.execute(sql)
        found[name] = _copy_table(reader, writer, name, task)
    for kind, _, sql in schema:
        if kind != "table":
            with suppress(sqlite3.Error):  # an index that the rows do not satisfy any more; opencode makes it again or does without
                writer.execute(sql)
    return found


def _copy_table(reader: sqlite3.Connection, writer: sqlite3.Connection, table: str, task: Task) -> int:
    quoted = '"' + table.replace('"', '""') + '"'
    count = 0
    for batch in _batches(_rows(reader, quoted)):
        task.check()
        writer.execute("BEGIN")
        for row in batch:
            marks = ",".join("CAST(? AS TEXT)" if isinstance(value, str) and needs_cast(value) else "?" for value in row)
            count += writer.execute(f"INSERT OR IGNORE INTO {quoted} VALUES ({marks})", [bindable(value) for value in row]).rowcount
        writer.execute("COMMIT")
    return count


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    batch: list[tuple[Any, ...]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _rows(reader: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    reader.text_factory = decode_text
    try:
        reader.execute(f"SELECT rowid FROM {table} LIMIT 1").fetchall()
    except sqlite3.DatabaseError as error:
        if "no such column" in str(error):  # WITHOUT ROWID: no number to go on from behind a damaged place
            with suppress(sqlite3.DatabaseError):
                yield from reader.execute(f"SELECT * FROM {table}")
            return
    last, skip = -(1 << 63), 0
    while skip < MAX_SKIP:
        try:
            for rowid, *row in reader.execute(f"SELECT rowid, * FROM {table} WHERE rowid>? ORDER BY rowid", (min(last + skip, (1 << 63) - 1),)):
                last, skip = rowid, 0
                yield tuple(row)
            return
        except sqlite3.DatabaseError:
            # Behind the damaged place, at growing distances: rows between two damaged pages may be passed over.
            skip = max(1, skip * 2)
            if last < 0:
                last = 0
