"""Compares two databases row by row with nothing but SQL: the demo does not take the sidecar's word for it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

TABLES = ("session", "message", "part", "todo")
Rows = dict[tuple[str, str], dict[str, Any]]


def rows(db: Path, home: Path) -> Rows:
    """Every row with every column; the home folder reads `~`, since it is another on each machine."""
    connection = sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        found: Rows = {}
        for table in TABLES:
            for row in map(dict, connection.execute(f"SELECT * FROM {table}")):
                key = str(row["id"]) if "id" in row else f"{row['session_id']}/{row['position']}"
                found[table, key] = _without_home(row, str(home)) if table == "session" else row
        return found
    finally:
        connection.close()


def _without_home(row: dict[str, Any], home: str) -> dict[str, Any]:
    directory, path = str(row["directory"]), str(row["path"])
    return {**row, "directory": directory.replace(home, "~", 1), "path": path.replace(home.lstrip("/"), "~", 1)}


def differences(left: Rows, right: Rows) -> list[str]:
    """One line for each row that is not the same on both sides."""
    found = []
    for table, key in sorted(left.keys() | right.keys()):
        a, b = left.get((table, key)), right.get((table, key))
        if a is None or b is None:
            found.append(f"{table} {key} is on the {'second' if a is None else 'first'} machine only")
        elif a != b:
            found.append(f"{table} {key} differs in {', '.join(name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name))}")
    return found


def damage(db: Path) -> list[str]:
    """What SQLite itself finds wrong."""
    connection = sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True)
    try:
        broken = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        return broken + [f"a row of {row[0]} without its parent" for row in connection.execute("PRAGMA foreign_key_check")]
    finally:
        connection.close()
