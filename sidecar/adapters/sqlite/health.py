"""How a SQLite file is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sidecar.adapters.sqlite.connect import open_read_only
from sidecar.domain.errors import SidecarError

MAX_PROBLEMS = 5


def problems(path: Path) -> list[str]:
    """What SQLite's own checks find, at most a few of each; raises SidecarError when the file cannot be opened."""
    with closing(open_read_only(path)) as connection:
        try:
            found = [row[0] for row in connection.execute(f"PRAGMA quick_check({MAX_PROBLEMS})") if row[0] != "ok"]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(MAX_PROBLEMS)
        except sqlite3.DatabaseError as error:
            return [str(error)]
    return found + [f"a row of {table} without its parent in {parent}" for table, _, parent, _ in orphans]


def is_sound(path: Path) -> bool:
    """Whether the file is whole."""
    try:
        return not problems(path)
    except SidecarError:
        return False
