"""The journal: every row that a cycle changed or deleted in opencode's database, as it was before. In a file of its own.

It serves twice: after a crash it says what may have reached the database, and for thirty days it lets people take a cycle back.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.adapters.sqlite.connect import errors_of_ours

KEEP_MS = 30 * 24 * 3600 * 1000
KEEP_BYTES = 1 << 30
MAX_GAP_MS = 3 * 24 * 3600 * 1000
"""As how much time that between two cycles counts at most: a clock that jumps by years makes nothing old."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cycle (id TEXT PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, summary TEXT NOT NULL DEFAULT '{}') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cycle_order (number INTEGER PRIMARY KEY, cycle TEXT NOT NULL UNIQUE);
CREATE INDEX IF NOT EXISTS cycle_at ON cycle (at);
CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, cycle TEXT NOT NULL, at INTEGER NOT NULL, session TEXT NOT NULL, title TEXT NOT NULL,
  inserted INTEGER NOT NULL, updated INTEGER NOT NULL, deleted INTEGER NOT NULL, before BLOB NOT NULL, after BLOB NOT NULL, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS position (device TEXT PRIMARY KEY, sequence INTEGER NOT NULL, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_open ON entry (done) WHERE done = 0;
CREATE INDEX IF NOT EXISTS entry_cycle ON entry (cycle, session);
"""


@dataclass(frozen=True, slots=True)
class JournalCycle:
    """`sessions`: (id, title, inserted, updated, deleted)."""

    id: str
    at: int
    kind: str
    summary: dict[str, Any]
    sessions: list[tuple[str, str, int, int, int]]


class Journal:
    """Opened when first used; the caller holds the data directory's lock while writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None

    @property
    def db(self) -> sqlite3.Connection:
        if self._db is None:
            with errors_of_ours(self.path):
                self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
                self.path.chmod(0o600)
                self._db.execute("PRAGMA auto_vacuum=INCREMENTAL")
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
        return self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with errors_of_ours(self.path):
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    # --- while writing to opencode's database -----------------------------------------------------------------------
    def begin(self, cycle: str, at: int, kind: str) -> None:
        with self._writing() as db:
            db.execute("INSERT INTO cycle (id, at, kind) VALUES (?,?,?) ON CONFLICT DO NOTHING", (cycle, at, kind))
            db.execute("INSERT INTO cycle_order (cycle) VALUES (?) ON CONFLICT DO NOTHING", (cycle,))

    def add(self, cycle: str, at: int, session: str, title: str, counts: tuple[int, int, int], before: bytes, after: bytes) -> int:
        """A transaction of opencode's database that is about to be committed; its number, for `done`."""
        with self._writing() as db:
            query = "INSERT INTO entry (cycle, at, session, title, inserted, updated, deleted, before, after) VALUES (?,?,?,?,?,?,?,?,?)"
            return int(db.execute(query, (cycle, at, session, title, *counts, before, after)).lastrowid or 0)

    def done(self, entry: int) -> None:
        with self._writing() as db:
            db.execute("UPDATE entry SET done=1, after=x'' WHERE id=?", (entry,))

    def open_entries(self) -> list[tuple[int, str, bytes]]:
        """(id, session, after) of writes that may or may not have reached the database."""
        if self._db is None and not self.path.exists():
            return []
        with errors_of_ours(self.path):
            return list(self.db.execute("SELECT id, session, after FROM entry WHERE done=0 ORDER BY id"))

    def finish(self, cycle: str, summary: dict[str, Any]) -> None:
        with self._writing() as db:
            db.execute("UPDATE cycle SET summary=? WHERE id=?", (json.dumps(summary), cycle))

    # --- how far the own log went ------------------------------------------------------------------------------------
    def note_position(self, device: str, sequence: int, generation: int) -> None:
        """Others may have seen this much of this device's log from now on: it is kept apart from the shadow, for when that is lost."""
        with self._writing() as db:
            query = "INSERT INTO position VALUES (?,?,?) ON CONFLICT DO UPDATE SET sequence=max(sequence, excluded.sequence),"
            db.execute(query + " generation=max(generation, excluded.generation)", (device, sequence, generation))

    def position(self, device: str) -> tuple[int, int]:
        """(sequence, generation), zeros when nothing was noted."""
        if self._db is None and not self.path.exists():
            return 0, 0
        with errors_of_ours(self.path):
            row = self.db.execute("SELECT sequence, generation FROM position WHERE device=?", (device,)).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    # --- looking back -----------------------------------------------------------------------------------------------
    def has_entries(self) -> bool:
        """Whether anything that was written is still remembered."""
        if self._db is None and not self.path.exists():
            return False
        with errors_of_ours(self.path):
            return self.db.execute("SELECT 1 FROM entry LIMIT 1").fetchone() is not None

    def cycles(self, limit: int) -> list[JournalCycle]:
        """Those that did something, newest first; -1 for all."""
        if self._db is None and not self.path.exists():
            return []
        with errors_of_ours(self.path):
            found = []
            done = "SELECT id, at, kind, summary FROM cycle WHERE summary<>'{}' OR EXISTS (SELECT 1 FROM entry WHERE cycle=cycle.id)"
            for cycle, at, kind, summary in self.db.execute(f"{done} ORDER BY at DESC, id LIMIT ?", (limit,)).fetchall():
                query = "SELECT session, max(title), sum(inserted), sum(updated), sum(deleted) FROM entry WHERE cycle=? GROUP BY session ORDER BY min(id)"
                found.append(JournalCycle(cycle, at, kind, json.loads(summary), list(self.db.execute(query, (cycle,)))))
            return found

    def images(self, cycle: str, session: str) -> list[bytes]:
        """The packed rows before each write, the last write first."""
        with errors_of_ours(self.path):
            return [row[0] for row in self.db.execute("SELECT before FROM entry WHERE cycle=? AND session=? ORDER BY id DESC", (cycle, session))]

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.path.parent.glob(self.path.name + "*"))

    def prune(self, now: int, *, keep_ms: int | None = None, keep_bytes: int | None = None) -> int:
        """Forget the oldest cycles beyond what is kept (None: the limits of this module), never the newest; returns how many.

        The newest one that changed something stays, however large it is: a cycle that only published takes nobody's way back.
        The oldest are those that were entered first, whatever the clock said then; their age is the time between the cycles since.
        """
        keep_ms, keep_bytes = KEEP_MS if keep_ms is None else keep_ms, KEEP_BYTES if keep_bytes is None else keep_bytes
        if self._db is None and not self.path.exists():
            return 0
        with self._writing() as db:
            sizes = db.execute(
                "SELECT c.id, c.at, coalesce((SELECT sum(length(before)) FROM entry e WHERE e.cycle=c.id), 0) FROM cycle c"
                " LEFT JOIN cycle_order o ON o.cycle=c.id ORDER BY coalesce(o.number, 0) DESC, c.at DESC, c.id"
            ).fetchall()
            age, total, gone, later = 0, 0, [], now
            newest = next((cycle for cycle, _, size in sizes if size), None)
            for index, (cycle, at, size) in enumerate(sizes):
                age, total, later = age + min(max(later - at, 0), MAX_GAP_MS), total + size, min(later, at)
                if index and (age > keep_ms or (total > keep_bytes and cycle != newest)):
                    gone.append((cycle,))
            db.executemany("DELETE FROM entry WHERE cycle=? AND done=1", gone)
            db.executemany("DELETE FROM cycle WHERE id=?", gone)
            db.executemany("DELETE FROM cycle_order WHERE cycle=?", gone)
        if gone:
            with errors_of_ours(self.path):
                self.db.executescript("PRAGMA incremental_vacuum;")  # `execute` takes one step of it, which frees one page
        return len(gone)
