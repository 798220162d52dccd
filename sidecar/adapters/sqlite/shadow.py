"""The shadow: what this device knows of every row and of every log. Never synced, can be rebuilt.

Rows describe what opencode's database held when we last looked. What the logs say beyond that is reachable through
`session_segment`: an entry that is not APPLIED names a segment whose records of that session still wait.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sidecar.adapters.files.private import private_folder
from sidecar.adapters.sqlite.connect import errors_of_ours
from sidecar.adapters.sqlite.findings import SCHEMA as FINDINGS_SCHEMA
from sidecar.adapters.sqlite.findings import Findings
from sidecar.adapters.sqlite.quarantine import SCHEMA as QUARANTINE_SCHEMA
from sidecar.adapters.sqlite.quarantine import Quarantine
from sidecar.domain.records import Mention, Mentions, Version, VersionVector, join
from sidecar.domain.state import APPLIED, BUSY, NEW, QUARANTINED, UNREADABLE, SegmentFile, ShadowRow, Waiting

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS device (id TEXT PRIMARY KEY, info TEXT NOT NULL, head TEXT, sequence INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segment (device TEXT, sequence INTEGER, blob TEXT NOT NULL, path TEXT NOT NULL, problem TEXT, first INTEGER,
  PRIMARY KEY (device, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session_segment (session TEXT, device TEXT, sequence INTEGER, puts INTEGER NOT NULL, state INTEGER NOT NULL,
  until INTEGER NOT NULL DEFAULT 0, detail TEXT NOT NULL DEFAULT '', context TEXT, shown INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (session, device, sequence)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_segment_waiting ON session_segment (state, device, sequence) WHERE state <> 0;
CREATE TABLE IF NOT EXISTS row (session TEXT, tbl TEXT, key TEXT, time INTEGER NOT NULL, counter INTEGER NOT NULL, device TEXT NOT NULL,
  sequence INTEGER NOT NULL, hash BLOB NOT NULL, updated INTEGER, cells TEXT, PRIMARY KEY (session, tbl, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS row_session ON row (session) WHERE tbl='session';
CREATE TABLE IF NOT EXISTS tombstone (session TEXT, tbl TEXT, key TEXT, seen TEXT NOT NULL, PRIMARY KEY (session, tbl, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scanned (session TEXT PRIMARY KEY, fingerprint BLOB NOT NULL, title TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (session TEXT PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL, title TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS recount (session TEXT PRIMARY KEY, anyway INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
"""
_ADDED = (("segment", "first", "INTEGER"), ("session_segment", "shown", "INTEGER NOT NULL DEFAULT 0"), ("recount", "anyway", "INTEGER NOT NULL DEFAULT 0"))
"""Columns that are younger than their tables."""
_SHOWN = f"shown OR state IN ({APPLIED},{QUARANTINED})"
"""Whether the database showed a group before its state changes: what is tried again, because more of it may fit now, was seen all the same."""


class Shadow(Findings, Quarantine):
    """One connection; the caller holds the data directory's lock while writing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        private_folder(path.parent)
        with errors_of_ours(path):
            self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            path.chmod(0o600)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.executescript(_SCHEMA + FINDINGS_SCHEMA + QUARANTINE_SCHEMA)
            if self._missing():
                with self.writing():
                    for statement in self._missing():  # another process may have been faster
                        self.db.execute(statement)

    def _missing(self) -> list[str]:
        """What makes one that an older version made like one of today."""
        return [f"ALTER TABLE {table} ADD COLUMN {name} {kind}" for table, name, kind in _ADDED if name not in self._columns(table)]

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self.db.execute(f"PRAGMA table_info({table})")}

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; nested use joins the outer one."""
        with errors_of_ours(self.path):
            if self.db.in_transaction:
                yield
                return
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    # --- meta -----------------------------------------------------------------------------------------------------
    def get(self, key: str, default: Any = None) -> Any:
        row = self.db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        self.db.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value=excluded.value", (key, json.dumps(value)))

    # --- rows -----------------------------------------------------------------------------------------------------
    def rows(self, session: str, table: str | None = None) -> dict[tuple[str, str], ShadowRow]:
        query = "SELECT tbl, key, time, counter, device, sequence, hash, updated, cells FROM row WHERE session=?"
        query, parameters = (query, (session,)) if table is None else (query + " AND tbl=?", (session, table))
        return {
            (table, key): ShadowRow(Version(time, counter, device), sequence, digest, updated, json.loads(cells) if cells else None)
            for table, key, time, counter, device, sequence, digest, updated, cells in self.db.execute(query, parameters)
        }

    def put_rows(self, session: str, rows: Iterable[tuple[str, str, ShadowRow]]) -> None:
        self.db.executemany(
            "INSERT INTO row VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET time=excluded.time, counter=excluded.counter,"
            " device=excluded.device, sequence=excluded.sequence, hash=excluded.hash, updated=excluded.updated, cells=excluded.cells",
            (
                (session, table, key, *row.version, row.sequence, row.hash, row.updated, json.dumps(row.cells) if row.cells else None)
                for table, key, row in rows
            ),
        )

    def drop_rows(self, session: str, keys: Iterable[tuple[str, str]]) -> None:
        self.db.executemany("DELETE FROM row WHERE session=? AND tbl=? AND key=?", ((session, table, key) for table, key in keys))

    def drop_session(self, session: str) -> None:
        """Forget what the database held of a session; the logs are untouched."""
        self.db.execute("DELETE FROM row WHERE session=?", (session,))
        self.db.execute("DELETE FROM scanned WHERE session=?", (session,))
        self.db.execute("DELETE FROM waiting WHERE session=?", (session,))
        self.drop_findings(session)

    def count_rows(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM row").fetchone()[0])

    def count_sessions(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM row WHERE tbl='session'").fetchone()[0])

    def known_sessions(self) -> set[str]:
        """Sessions that the database held when we last looked."""
        return {row[0] for row in self.db.execute("SELECT session FROM row WHERE tbl='session'")}

    # --- tombstones -----------------------------------------------------------------------------------------------
    def tombstones(self, session: str) -> dict[tuple[str, str], VersionVector]:
        query = "SELECT tbl, key, seen FROM tombstone WHERE session=?"
        return {(table, key): json.loads(seen) for table, key, seen in self.db.execute(query, (session,))}

    def bury(self, session: str, table: str, key: str, seen: VersionVector) -> VersionVector:
        """Join a tombstone into what is known; returns the result."""
        row = self.db.execute("SELECT seen FROM tombstone WHERE session=? AND tbl=? AND key=?", (session, table, key)).fetchone()
        merged = join(json.loads(row[0]), seen) if row else dict(seen)
        self.db.execute("INSERT INTO tombstone VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET seen=excluded.seen", (session, table, key, json.dumps(merged)))
        return merged

    # --- logs -----------------------------------------------------------------------------------------------------
    def add_segment(self, device: str, file: SegmentFile, mentions: Mentions, *, state: int, problem: str | None = None) -> None:
        self.db.execute(
            "INSERT INTO segment (device, sequence, blob, path, problem, first) VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE"
            " SET blob=excluded.blob, path=excluded.path, problem=excluded.problem, first=excluded.first",
            (device, file.sequence, file.blob, file.path, problem, file.first),
        )
        self._mention(device, mentions, state)

    def replace_log(self, device: str, files: Iterable[SegmentFile], mentions: Mentions, *, state: int) -> None:
        """A log was compacted: other files hold what is left of the same groups. What is left keeps its state, the rest is superseded."""
        known = set(self.db.execute("SELECT session, sequence FROM session_segment WHERE device=?", (device,)))
        gone = [(session, device, sequence) for session, sequence in known - mentions.keys()]
        self.db.executemany("DELETE FROM session_segment WHERE session=? AND device=? AND sequence=?", gone)
        self.db.execute("DELETE FROM segment WHERE device=?", (device,))
        for file in files:
            self.add_segment(device, file, {}, state=state)
        self._mention(device, mentions, state)

    def drop_segment(self, device: str, sequence: int) -> None:
        """Forget a file of which nothing was used."""
        self.db.execute("DELETE FROM segment WHERE device=? AND sequence=?", (device, sequence))

    def _mention(self, device: str, mentions: Mentions, state: int) -> None:
        self.db.executemany(
            "INSERT INTO session_segment (session, device, sequence, puts, state, context) VALUES (?,?,?,?,?,?)"
            f" ON CONFLICT DO UPDATE SET puts=excluded.puts, state=excluded.state, context=excluded.context WHERE state={UNREADABLE}",
            (
                (session, device, sequence, int(mention.puts), state, json.dumps(mention.context) if mention.context is not None else None)
                for (session, sequence), mention in mentions.items()
            ),
        )

    def segment(self, device: str, sequence: int) -> SegmentFile | None:
        """The file that holds this segment of a log, or what a compaction left of it."""
        found = next(iter(self.segments(device, sequence - 1, limit=1)), None)
        return found if found is not None and found.first <= sequence else None

    def segments(self, device: str, after: int, *, limit: int = -1) -> list[SegmentFile]:
        """A log's files with segments past `after`."""
        query = "SELECT ifnull(first, sequence), sequence, blob, path FROM segment WHERE device=? AND sequence>? ORDER BY sequence LIMIT ?"
        return [SegmentFile(*row) for row in self.db.execute(query, (device, after, limit))]

    def put_dots(self, session: str) -> list[tuple[str, int]]:
        """(device, sequence) of every segment with a put for this session, applied or not."""
        return list(self.db.execute("SELECT device, max(sequence) FROM session_segment WHERE session=? AND puts=1 GROUP BY device", (session,)))

    def writers(self, session: str) -> list[str]:
        return [row[0] for row in self.db.execute("SELECT DISTINCT device FROM session_segment WHERE session=? AND puts=1 ORDER BY 1", (session,))]

    def seen(self, session: str) -> VersionVector:
        """What this device's database shows of the logs, for this session: up to the first record that still waits."""
        seen: VersionVector = {}
        query = f"SELECT device, sequence, {_SHOWN} FROM session_segment WHERE session=? ORDER BY device, sequence"
        blocked: set[str] = set()
        for device, sequence, shown in self.db.execute(query, (session,)):
            if not shown:
                blocked.add(device)
            if device not in blocked:
                seen[device] = sequence
        return seen

    def waiting(self, states: Sequence[int]) -> list[Waiting]:
        marks = ",".join("?" * len(states))
        query = f"SELECT session, device, sequence, state, until, detail FROM session_segment WHERE state IN ({marks}) AND state<>0 ORDER BY device, sequence"
        return [Waiting(*row) for row in self.db.execute(query, tuple(states))]

    def session_segments(self, session: str) -> list[tuple[str, int]]:
        return list(self.db.execute("SELECT device, sequence FROM session_segment WHERE session=? ORDER BY sequence, device", (session,)))

    def mark(self, session: str, device: str, sequence: int, state: int, *, until: int = 0, detail: str = "") -> None:
        """NEW: it is due as if it had never been here. Whatever else becomes of a group, once it was shown it stays seen."""
        shown = "0" if state == NEW else _SHOWN
        self.db.execute(
            f"UPDATE session_segment SET shown={shown}, state=?, until=?, detail=? WHERE session=? AND device=? AND sequence=?",
            (state, until, detail, session, device, sequence),
        )

    def states_of(self, session: str) -> set[int]:
        return {row[0] for row in self.db.execute("SELECT DISTINCT state FROM session_segment WHERE session=?", (session,))}

    def has_session(self, session: str) -> bool:
        """Whether the database held this session when we last looked."""
        return self.db.execute("SELECT 1 FROM row WHERE session=? AND tbl='session'", (session,)).fetchone() is not None

    def reopen_unknown_columns(self) -> None:
        """Records that had columns or tables this database lacked are due again: an upgrade may have brought them. Deletions cover them as before."""
        self.db.execute(f"UPDATE session_segment SET shown={_SHOWN}, state=?, detail='' WHERE detail='unknown-columns'", (NEW,))

    def places(self, session: str) -> dict[tuple[str, int], tuple[int, str]]:
        """(device, sequence) -> (state, detail) of every segment that mentions a session."""
        query = "SELECT device, sequence, state, detail FROM session_segment WHERE session=?"
        return {(device, sequence): (state, detail) for device, sequence, state, detail in self.db.execute(query, (session,))}

    def mentioned(self, device: str, sequence: int) -> set[str]:
        """Sessions of which a segment is known to hold something."""
        return {row[0] for row in self.db.execute("SELECT session FROM session_segment WHERE device=? AND sequence=?", (device, sequence))}

    def noted_puts(self, device: str, first: int, last: int) -> dict[tuple[str, int], bool]:
        """(session, sequence) -> whether these segments are known to hold a put of it."""
        query = "SELECT session, sequence, puts FROM session_segment WHERE device=? AND sequence BETWEEN ? AND ?"
        return {(session, sequence): bool(puts) for session, sequence, puts in self.db.execute(query, (device, first, last))}

    def mentions(self, device: str) -> Mentions:
        """What a device's log says of which sessions, as far as it is known here."""
        query = "SELECT session, sequence, puts, context FROM session_segment WHERE device=? ORDER BY sequence, session"
        rows = self.db.execute(query, (device,))
        return {(session, sequence): Mention(bool(puts), json.loads(context) if context else None) for session, sequence, puts, context in rows}

    def seen_of(self, device: str) -> int:
        """The last segment of a device's log that anything in the other logs speaks of."""
        vectors = "SELECT context FROM session_segment WHERE context IS NOT NULL UNION ALL SELECT seen FROM tombstone"
        return max((json.loads(text).get(device, 0) for (text,) in self.db.execute(vectors)), default=0)

    def logged_sessions(self) -> list[tuple[str, str, int]]:
        """(session, device, sequence) of all sessions in the logs and the first segment of each, in the order of those."""
        return list(self.db.execute("SELECT session, device, min(sequence) FROM session_segment GROUP BY session ORDER BY device, min(sequence), session"))

    def due_again(self, session: str, sources: Collection[tuple[str, int]] | None) -> None:
        """Make what these segments (device, sequence) hold of a session due again; None, or one that is not known: everything."""
        known = set(self.session_segments(session))
        for device, sequence in known if sources is None or not known.issuperset(sources) else sources:
            self.mark(session, device, sequence, NEW)

    def mark_all(self, session: str, state: int, detail: str = "") -> None:
        self.db.execute("UPDATE session_segment SET shown=0, state=?, until=0, detail=? WHERE session=?", (state, detail, session))

    def reopen(self, session: str) -> None:
        """Every record of the session is due again. One that met a change of opencode's waits for the next cycle as before, or this one would never end."""
        self.db.execute("UPDATE session_segment SET shown=0, state=?, until=0, detail='' WHERE session=? AND state<>?", (NEW, session, BUSY))

    def counts(self) -> dict[int, int]:
        """Number of sessions that wait, per state."""
        return dict(self.db.execute("SELECT state, count(DISTINCT session) FROM session_segment WHERE state<>0 GROUP BY state"))

    def contexts(self, session: str) -> list[tuple[str, int, VersionVector]]:
        """(device, sequence, what it had seen) of every group that added messages to this session."""
        query = "SELECT device, sequence, context FROM session_segment WHERE session=? AND context IS NOT NULL"
        return [(device, sequence, json.loads(context)) for device, sequence, context in self.db.execute(query, (session,))]

    def forget_context(self, session: str, device: str, sequence: int) -> None:
        """This group does not count as having added messages."""
        self.db.execute("UPDATE session_segment SET context=NULL WHERE session=? AND device=? AND sequence=?", (session, device, sequence))

    # --- devices and what we know of the session lists ----------------------------------------------------------------
    def devices(self) -> list[tuple[str, dict[str, Any], str | None, int]]:
        """(id, info, head commit, last sequence)."""
        return [(i, json.loads(info), head, seq) for i, info, head, seq in self.db.execute("SELECT id, info, head, sequence FROM device ORDER BY id")]

    def put_device(self, device: str, info: Mapping[str, Any], head: str | None, sequence: int) -> None:
        self.db.execute(
            "INSERT INTO device VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET info=excluded.info, head=excluded.head, sequence=excluded.sequence",
            (device, json.dumps(info), head, sequence),
        )

    def head_of(self, device: str) -> tuple[str | None, int]:
        row = self.db.execute("SELECT head, sequence FROM device WHERE id=?", (device,)).fetchone()
        return (row[0], row[1]) if row else (None, 0)

    def info_of(self, device: str) -> dict[str, Any]:
        """What its head said: name, platform, generation, …; empty for a device that is not known."""
        row = self.db.execute("SELECT info FROM device WHERE id=?", (device,)).fetchone()
        return dict(json.loads(row[0])) if row else {}

    def fingerprints(self) -> dict[str, bytes]:
        return dict(self.db.execute("SELECT session, fingerprint FROM scanned"))

    def put_scanned(self, session: str, fingerprint: bytes, title: str) -> None:
        self.db.execute(
            "INSERT INTO scanned VALUES (?,?,?) ON CONFLICT DO UPDATE SET fingerprint=excluded.fingerprint, title=excluded.title",
            (session, fingerprint, title),
        )

    def forget_scan(self, session: str) -> None:
        """Make the next scan look at every row of the session again; what it is called stays known."""
        self.db.execute("UPDATE scanned SET fingerprint=x'' WHERE session=?", (session,))

    def set_waiting(self, session: str, reason: str | None, detail: str = "", title: str = "") -> None:
        """Note that something of a session waits here for a reason that no segment shows (None: it does not any more)."""
        self.db.execute("DELETE FROM waiting WHERE session=?", (session,))
        if reason is not None:
            self.db.execute("INSERT INTO waiting VALUES (?,?,?,?)", (session, reason, detail, title))

    def local_waiting(self) -> list[tuple[str, str, str, str]]:
        return list(self.db.execute("SELECT session, reason, detail, title FROM waiting ORDER BY session"))

    def need_recount(self, sessions: Iterable[str], *, anyway: bool = False) -> None:
        """Note that the totals of these sessions may not be the sum of their messages any more; `anyway`: also when one device alone writes to them."""
        query = "INSERT INTO recount (session, anyway) VALUES (?,?) ON CONFLICT (session) DO UPDATE SET anyway=max(anyway, excluded.anyway)"
        self.db.executemany(query, ((session, anyway) for session in sessions))

    def recounts(self) -> dict[str, bool]:
        """Session -> `anyway`, see `need_recount`."""
        return {session: bool(anyway) for session, anyway in self.db.execute("SELECT session, anyway FROM recount ORDER BY session")}

    def recounted(self, session: str) -> None:
        self.db.execute("DELETE FROM recount WHERE session=?", (session,))

    # --- what could not be used -------------------------------------------------------------------------------------
    def put_problem(self, device: str, sequence: int, problem: str) -> None:
        """A segment of which something could not be used: it is looked at again when its log moves."""
        file = self.segment(device, sequence)
        self.db.execute("UPDATE segment SET problem=? WHERE device=? AND sequence=?", (problem, device, file.sequence if file else sequence))

    def problems(self) -> list[tuple[str, int, str]]:
        """(device, sequence, why) of segments that could not be used."""
        return list(self.db.execute("SELECT device, sequence, problem FROM segment WHERE problem IS NOT NULL"))

    def title(self, session: str) -> str:
        row = self.db.execute("SELECT title FROM scanned WHERE session=?", (session,)).fetchone()
        return row[0] if row else ""
