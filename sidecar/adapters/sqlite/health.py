"""How a SQLite file is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sidecar.adapters.sqlite.connect import open_read_only
from sidecar.domain.errors import SidecarError

MAX_PROBLEMS = 5
STEPS_PER_LOOK = 100_000


def problems(path: Path, check: Callable[[], None] = lambda: None) -> list[str]:
    """What SQLite's own checks find, at most a few of each; raises SidecarError when the file cannot be opened, and what `check` raises."""
    stopped: list[BaseException] = []

    def look() -> int:
        try:
            check()
        except BaseException as error:  # noqa: BLE001 - SQLite would swallow it
            stopped.append(error)
        return len(stopped)

    with closing(open_read_only(path)) as connection:
        connection.set_progress_handler(look, STEPS_PER_LOOK)
        try:
            found = [row[0] for row in connection.execute(f"PRAGMA quick_check({MAX_PROBLEMS})") if row[0] != "ok"]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(MAX_PROBLEMS)
        except sqlite3.DatabaseError as error:
            if stopped:
                raise stopped[0] from None
            return [str(error)]
    return found + [f"a row of {table} without its parent in {parent}" for table, _, parent, _ in orphans]


def is_sound(path: Path) -> bool:
    """Whether the file is whole."""
    try:
        return not problems(path)
    except SidecarError:
        return False


def wal_bytes(path: Path) -> int:
    """Size of the write-ahead log. Its index is not read: closing that file gives up the locks that SQLite holds on it in this process."""
    wal = path.with_name(path.name + "-wal")
    return wal.stat().st_size if wal.exists() else 0
