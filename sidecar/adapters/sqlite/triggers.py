"""Writing into a database that has triggers, which opencode's has not: what they make of a write is looked at before it is committed.

One that keeps a search index does no harm. One that deletes what we write would make the next scan publish deletions.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sidecar.adapters.sqlite.schema import Schema
from sidecar.domain.records import SESSION_MESSAGE, TODO
from sidecar.domain.state import Op, Row, WriteRefused

SECONDS = 3.0
"""opencode waits 5 s for the write lock."""
_STEPS = 10_000
"""Of SQLite's virtual machine between two looks at the clock."""

Images = list[tuple[str, str, Row | None]]


class TriggerGuard:
    """For one connection."""

    def __init__(self, connection: sqlite3.Connection, schema: Schema) -> None:
        self._db, self._tables = connection, tuple(schema.columns)

    @contextmanager
    def watching(self, ops: Sequence[Op], existing: Callable[[str, Sequence[str]], dict[str, Row]]) -> Iterator[Images]:
        """Around the writing of these ops, which puts the rows as they were into the list that it is given. Raises WriteRefused."""
        images: Images = []
        before = self._counts()
        deadline = time.monotonic() + SECONDS
        self._db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            yield images
            self._check(ops, images, before, existing)
        finally:
            self._db.set_progress_handler(None, 0)

    def _counts(self) -> dict[str, int]:
        return {table: self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in self._tables}

    def _check(self, ops: Sequence[Op], images: Images, before: dict[str, int], existing: Callable[[str, Sequence[str]], dict[str, Row]]) -> None:
        written = {(op.table, op.key): op.columns for op in ops}
        expected = dict(before)
        for table, key, row in images:
            expected[table] += _rows(table, written[table, key]) - _rows(table, row)
        if self._counts() != expected:
            raise WriteRefused("a trigger in the database adds or deletes rows")
        for table, key, _ in images:
            columns = written[table, key]
            if columns is not None and table not in (TODO, SESSION_MESSAGE):
                row = existing(table, [key]).get(key, {})
                if any(row.get(name) != value for name, value in columns.items()):
                    raise WriteRefused("a trigger in the database changes what is written")


def _rows(table: str, columns: dict[str, Any] | None) -> int:
    if columns is None:
        return 0
    return len(columns["items"]) if table == TODO else 1
