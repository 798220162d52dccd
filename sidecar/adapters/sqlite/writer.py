"""Writing into opencode's database: a few milliseconds per transaction, guarded by what was last seen, journal first.

opencode's SQLite calls are synchronous: while we hold the write lock its next write stops the whole app.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sidecar.adapters.sqlite.connect import bindable, errors_as_ours, needs_cast, open_read_write
from sidecar.adapters.sqlite.schema import Schema, quote, quoted
from sidecar.adapters.sqlite.triggers import TriggerGuard
from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import last_update
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TODO
from sidecar.domain.state import LocalChange, Op, Row, WriteCounts, WriteRefused
from sidecar.domain.task import Task

TARGET_SECONDS = 0.002
"""How long a transaction should hold the write lock. SQLite's own waiting looks again after 1, 3 and 8 ms."""
GAP = 2.5
"""How long the lock stays free after a transaction, in times of what that took, while somebody else writes: whoever came in
the middle of it then looks again at a moment when it is free."""
MAX_ROWS = 400
MAX_BYTES = 512 << 10
BUSY_SECONDS = 30.0
_REFUSALS = ("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG", "SQLITE_INTERRUPT")
"""What SQLite says of rows that it does not take, whoever else is at work."""
_NO_PARENT = "SQLITE_CONSTRAINT_FOREIGNKEY"
"""What it says when somebody else was at work: see `_parents_may_go`."""
_ORDER = {SESSION: 0, MESSAGE: 1, PART: 2, TODO: 3, SESSION_MESSAGE: 4}

Image = tuple[str, str, Row | None]
"""(table, key, the row before the write or None)."""


class RowWriter:
    """One read-write connection for one cycle."""

    def __init__(self, path: Path, schema: Schema, hash_row: Callable[[Row], bytes]) -> None:
        self.path, self.schema, self.hash_row = path, schema, hash_row
        self._db = open_read_write(path)
        self._db.execute("PRAGMA busy_timeout=20")
        self._guard = TriggerGuard(self._db, schema) if schema.triggers else None
        self._rows_per_chunk = 32
        self._version: int | None = None
        self._free_until = 0.0
        self.contended = False

    def close(self) -> None:
        self._db.close()

    def write(
        self,
        ops: Sequence[Op],
        task: Task,
        before_commit: Callable[[Sequence[Op], list[Image]], None],
        after_commit: Callable[[Sequence[Op]], None],
    ) -> WriteCounts:
        """Apply the ops in order, in bounded transactions. Raises LocalChange when a row is not what was recorded, WriteRefused when
        the database does not take one.

        What was committed before an error stays, and was reported to `after_commit`.
        """
        counts, start = WriteCounts(), 0
        with errors_as_ours(self.path):
            while start < len(ops):
                chunk = self._next_chunk(ops, start)
                task.wait(max(0.0, self._free_until - time.perf_counter()))
                began = time.perf_counter()
                with _parents_may_go(), self._transaction(task):
                    begun = time.perf_counter()
                    images, done = self._applied(chunk)
                    before_commit(chunk, images)
                held = time.perf_counter() - begun
                self._give_way(held, begun - began)
                after_commit(chunk)
                counts.add(done)
                start += len(chunk)
                self._adapt(len(chunk), held)
        return counts

    def _next_chunk(self, ops: Sequence[Op], start: int) -> Sequence[Op]:
        size, end = 0, start
        while end < len(ops) and end - start < self._rows_per_chunk and (size < MAX_BYTES or end == start):
            data = (ops[end].columns or {}).get("data")
            size += len(data) if isinstance(data, (str, bytes)) else 256
            end += 1
        return ops[start:end]

    def _adapt(self, rows: int, held: float) -> None:
        ideal = rows * TARGET_SECONDS / max(held, 1e-5)
        self._rows_per_chunk = int(min(MAX_ROWS, max(4, (self._rows_per_chunk + ideal) / 2)))

    def _give_way(self, held: float, waited: float) -> None:
        """Set how long the lock stays free; what we do meanwhile without it counts."""
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        self.contended = waited > 0.002 or (self._version is not None and version != self._version) or (self.contended and waited > 0.0005)
        self._version = version
        self._free_until = time.perf_counter() + (max(0.004, held * GAP) if self.contended else 0.0005)

    @contextmanager
    def _transaction(self, task: Task) -> Iterator[None]:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            task.check()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                    raise
                if time.monotonic() > deadline:
                    raise SidecarError(
                        "databaseBusy",
                        f"Another program has held opencode's database locked for {BUSY_SECONDS:.0f} s.",
                        detail=str(self.path),
                        remedy="What was applied so far is complete; the next cycle goes on. Close whatever keeps a transaction open.",
                    ) from error
                task.wait(0.01)
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # --- inside a transaction -------------------------------------------------------------------------------------
    def _applied(self, ops: Sequence[Op]) -> tuple[list[Image], WriteCounts]:
        try:
            if self._guard is None:
                return self._apply(ops)
            with self._guard.watching(ops, self._existing) as images:
                found, counts = self._apply(ops)
                images += found
            return found, counts
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            others = name == _NO_PARENT and self._guard is None  # with triggers it is they who took the parent away
            if name == "SQLITE_ERROR" or (name.startswith(_REFUSALS) and not others):
                raise WriteRefused(str(error)[:200]) from error
            raise

    def _apply(self, ops: Sequence[Op]) -> tuple[list[Image], WriteCounts]:
        images: list[Image] = []
        counts = WriteCounts()
        puts = [op for op in ops if op.columns is not None]
        for table in sorted({op.table for op in puts}, key=_ORDER.__getitem__):
            self._put(table, [op for op in puts if op.table == table], images, counts)
        deletes = [op for op in ops if op.columns is None]
        for op in sorted(deletes, key=lambda op: -_ORDER[op.table]):
            self._delete(op, images, counts)
        return images, counts

    def _put(self, table: str, ops: list[Op], images: list[Image], counts: WriteCounts) -> None:
        if table == TODO:
            for op in ops:
                self._put_todo(op, images, counts)
            return
        existing = self._existing(table, self._worth_reading(table, ops))
        write: list[tuple[Op, Row | None]] = []
        for op in ops:
            row = existing.get(op.key)
            if row is not None or op.expected is not None:
                digest = self._digest(table, row)
                if digest is not None and op.after is not None and op.after.hash == digest:
                    continue
                if digest != op.expected:
                    raise LocalChange(f"{table} {op.key}")
            write.append((op, row))
            images.append((table, op.key, row))
        self._upsert(table, [op for op, _ in write])
        for _, row in write:
            counts.inserted += row is None
            counts.updated += row is not None
        for op in ops:
            if op.after is not None and not op.after.hash:
                op.after.hash = self._digest(table, self._existing(table, [op.key]).get(op.key)) or b""
        if table == SESSION_MESSAGE and write:
            self._renumber(str(write[0][0].columns["session_id"]))  # type: ignore[index]

    def _worth_reading(self, table: str, ops: list[Op]) -> list[str]:
        """Keys of the rows that are there or ought to be: of those to be inserted a look at the index is enough."""
        new = [op.key for op in ops if op.expected is None]
        marks = ",".join("?" * len(new))
        there = {row[0] for row in self._db.execute(f"SELECT id FROM {table} WHERE id IN ({marks})", new)} if new else set()
        return [op.key for op in ops if op.expected is not None or op.key in there]

    def _digest(self, table: str, row: Row | None) -> bytes | None:
        if row is None:
            return None
        return self.hash_row({name: value for name, value in row.items() if name != "seq"} if table == SESSION_MESSAGE else row)

    def _existing(self, table: str, keys: Sequence[str]) -> dict[str, Row]:
        if not keys:
            return {}
        names = list(self.schema.columns[table])
        marks = ",".join("?" * len(keys))
        cursor = self._db.execute(f"SELECT {_quoted(names)} FROM {table} WHERE id IN ({marks})", list(keys))
        rows = (dict(zip(names, values, strict=True)) for values in cursor)
        return {row["id"]: row for row in rows}

    def _upsert(self, table: str, ops: list[Op]) -> None:
        seq = self._next_seq(str((ops[0].columns or {})["session_id"])) if ops and table == SESSION_MESSAGE else 0
        batches: dict[tuple[tuple[str, ...], tuple[bool, ...]], list[list[Any]]] = {}
        for op in ops:
            columns = op.columns or {}
            if table == SESSION_MESSAGE and "seq" in self.schema.columns[table] and op.expected is None:
                columns = {**columns, "seq": seq}
                seq += 1
            if op.expected is not None:
                columns = {"id": op.key, **columns}
            values = list(columns.values())
            casts: tuple[bool, ...] = ()
            if not "".join([value for value in values if type(value) is str]).isascii():
                casts = tuple(isinstance(value, str) and needs_cast(value) for value in values)
                values = [bindable(value) for value in values]
            if op.expected is not None:
                self._update(table, op.key, tuple(columns), casts, values)
            else:
                batches.setdefault((tuple(columns), casts if any(casts) else ()), []).append(values)
        for (names, casts), rows in batches.items():
            self._db.executemany(f"INSERT INTO {table} ({_quoted(names)}) VALUES ({_marks(names, casts)})", rows)

    def _update(self, table: str, key: str, names: Sequence[str], casts: Sequence[bool], values: list[Any]) -> None:
        assignments = ", ".join(f"{quote(name)}={mark}" for name, mark in zip(names, _marks(names, casts).split(","), strict=True))
        self._db.execute(f"UPDATE {table} SET {assignments} WHERE id=?", [*values, key])

    def _next_seq(self, session_id: str) -> int:
        if "seq" not in self.schema.columns[SESSION_MESSAGE]:
            return 0
        return int(self._db.execute("SELECT coalesce(max(seq), -1) + 1 FROM session_message WHERE session_id=?", (session_id,)).fetchone()[0])

    def _renumber(self, session_id: str) -> None:
        """`seq` is unique per session and both machines count from 0: it follows from (time_created, id), the same everywhere."""
        if "seq" not in self.schema.columns[SESSION_MESSAGE]:
            return
        rows = self._db.execute("SELECT id, seq FROM session_message WHERE session_id=? ORDER BY time_created, id", (session_id,)).fetchall()
        first = min((seq for _, seq in rows), default=0)
        moved = [(index + max(first, 0), key) for index, (key, seq) in enumerate(rows) if seq != index + max(first, 0)]
        self._db.executemany("UPDATE session_message SET seq=-1-? WHERE id=?", moved)
        self._db.executemany("UPDATE session_message SET seq=? WHERE id=?", moved)

    def _todos(self, session_id: str) -> list[Row]:
        names = list(self.schema.columns[TODO])
        cursor = self._db.execute(f"SELECT {_quoted(names)} FROM todo WHERE session_id=? ORDER BY position", (session_id,))
        return [dict(zip(names, values, strict=True)) for values in cursor]

    def _put_todo(self, op: Op, images: list[Image], counts: WriteCounts) -> None:
        before = self._todos(op.key)
        digest = todo_hash(self.hash_row, before)
        if op.after is not None and digest == op.after.hash:
            return
        if digest != (op.expected or todo_hash(self.hash_row, [])):
            raise LocalChange(f"todo {op.key}")
        images.append((TODO, op.key, {"items": before}))
        self._db.execute("DELETE FROM todo WHERE session_id=?", (op.key,))
        for item in (op.columns or {})["items"]:
            names = tuple(item)
            casts = tuple(isinstance(value, str) and needs_cast(value) for value in item.values())
            self._db.execute(f"INSERT INTO todo ({_quoted(names)}) VALUES ({_marks(names, casts)})", [bindable(value) for value in item.values()])
        counts.updated += 1 if before else 0
        counts.inserted += 0 if before else 1

    def _delete(self, op: Op, images: list[Image], counts: WriteCounts) -> None:
        if op.table == TODO:
            before = self._todos(op.key)
            if before and todo_hash(self.hash_row, before) != op.expected:
                raise LocalChange(f"todo {op.key}")
            if before:
                images.append((TODO, op.key, {"items": before}))
                self._db.execute("DELETE FROM todo WHERE session_id=?", (op.key,))
            return
        row = self._existing(op.table, [op.key]).get(op.key)
        if row is None:
            return
        if self._digest(op.table, row) != op.expected:
            raise LocalChange(f"{op.table} {op.key}")
        for table in (MESSAGE, TODO, SESSION_MESSAGE) if op.table == SESSION else ():  # they would go with it, unrecorded
            if self.schema.has(table) and self._db.execute(f"SELECT 1 FROM {table} WHERE session_id=? LIMIT 1", (op.key,)).fetchone():
                raise LocalChange(f"session {op.key} has a new {table}")
        if op.table == MESSAGE and self._db.execute("SELECT 1 FROM part WHERE message_id=? LIMIT 1", (op.key,)).fetchone():
            raise LocalChange(f"message {op.key} has new parts")
        images.append((op.table, op.key, row))
        self._db.execute(f"DELETE FROM {op.table} WHERE id=?", (op.key,))
        counts.deleted += 1


@contextmanager
def _parents_may_go() -> Iterator[None]:
    """A session or message that opencode deleted after it was looked at: its rows have nothing to hang on any more."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if getattr(error, "sqlite_errorname", "") != _NO_PARENT:
            raise
        raise LocalChange("what these rows belong to is gone") from error


def todo_hash(hash_row: Callable[[Row], bytes], items: list[Row]) -> bytes:
    """Hash of a session's whole list, as the scan computes it: one that was emptied and one that never was are the same."""
    stripped = [{name: value for name, value in item.items() if name != "session_id"} for item in items]
    return hash_row({"items": stripped, "time_updated": last_update(stripped)})


def _quoted(names: Sequence[str]) -> str:
    return quoted(names)


def _marks(names: Sequence[str], casts: Sequence[bool]) -> str:
    return ",".join("CAST(? AS TEXT)" if cast else "?" for cast in casts or [False] * len(names))
