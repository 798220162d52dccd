"""Another version of opencode migrates a database in place: columns and tables come, and what its own migrations empty goes."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.support.machines import schema_of

EMPTIED = ("event", "event_sequence", "session_message", "workspace")
"""Deleted row by row by the migrations to 1.17."""
_TOTALS = {
    "cost": "$.cost", "tokens_input": "$.tokens.input", "tokens_output": "$.tokens.output", "tokens_reasoning": "$.tokens.reasoning",
    "tokens_cache_read": "$.tokens.cache.read", "tokens_cache_write": "$.tokens.cache.write",
}  # fmt: skip


def upgrade(db: sqlite3.Connection, version: str) -> None:
    """To this version, newer than the database's own."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(schema_of(version))
        wanted = dict(fresh.execute("SELECT name, sql FROM sqlite_master WHERE type='table'"))
        columns = {name: fresh.execute(f"PRAGMA table_info({name})").fetchall() for name in wanted}
        indexes = fresh.execute("SELECT name, sql FROM sqlite_master WHERE type='index' AND sql IS NOT NULL").fetchall()
    here = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    had_totals = "cost" in _names(db, "session")
    db.execute("BEGIN IMMEDIATE")
    if "migration" in wanted and "migration" not in here:
        for table in here.intersection(EMPTIED):
            db.execute(f"DELETE FROM {table}")
    for table, sql in wanted.items():
        if table in here:
            missing = [column for column in columns[table] if column[1] not in _names(db, table)]
            if not any(not_null and default is None for _, _, _, not_null, default, _ in missing):
                for _, name, kind, not_null, default, _ in missing:
                    rest = (f" DEFAULT {default}" if default is not None else "") + (" NOT NULL" if not_null else "")
                    db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}{rest}")
                continue
            db.execute(f"DROP TABLE {table}")  # it is made anew, as `permission` and `session_message` are
        db.execute(sql)
    present = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='index'")}
    for name, sql in indexes:
        if name not in present:
            db.execute(sql)
    if not had_totals and "cost" in _names(db, "session"):
        _fill_totals(db)
    db.execute("COMMIT")


def _names(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def _fill_totals(db: sqlite3.Connection) -> None:
    sums = ", ".join(
        f"{name}=(SELECT coalesce(sum(json_extract(data, '{path}')), 0) FROM message WHERE session_id=session.id AND json_extract(data, '$.role')='assistant')"
        for name, path in _TOTALS.items()
    )
    db.execute(f"UPDATE session SET {sums}")
