"""Makes a database of a real opencode fit a made-up home: folders and times are moved, everything else stays."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

HOUR_MS = 3_600_000
_TIMED = ("project", "project_directory", "session", "message", "part", "todo")
_JSON_TIME = re.compile(r"(?<=:)\d{13}(?=[,}\]])")


def project_id(origin: str) -> str:
    """As opencode computes it from the remote `origin` (1.15.13 and later)."""
    return hashlib.sha1(f"git-remote:{origin}".encode(), usedforsecurity=False).hexdigest()


def unpack(name: str, target: Path) -> None:
    """`name`: ada or bob."""
    import zstandard

    packed = files("sidecar.demo").joinpath(f"{name}.db.zst").read_bytes()
    target.write_bytes(zstandard.ZstdDecompressor().stream_reader(packed).read())


def settle_in(db: Path, home: Path, projects: dict[str, str], *, newest_ago_ms: int) -> None:
    """Move the rows from the home they were recorded in to `home`. `projects`: folder below the home -> project id."""
    connection = sqlite3.connect(db, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("BEGIN")
        _move_projects(connection, projects)
        _move_folders(connection, str(home))
        _move_times(connection, int(time.time() * 1000) - newest_ago_ms)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _move_projects(connection: sqlite3.Connection, projects: dict[str, str]) -> None:
    for old, worktree in connection.execute("SELECT id, worktree FROM project WHERE id <> 'global'").fetchall():
        new = projects[worktree.split("/", 3)[3]]
        connection.execute("UPDATE project SET id=? WHERE id=?", (new, old))
        for table in ("session", "project_directory", "permission", "workspace"):
            connection.execute(f"UPDATE {table} SET project_id=? WHERE project_id=?", (new, old))


def _move_folders(connection: sqlite3.Connection, home: str) -> None:
    old = re.compile(r"^/home/[a-z]+(?=/|$)")
    move: Callable[[str], str] = lambda path: old.sub(lambda _: home, path)  # noqa: E731
    connection.create_function("moved", 1, move, deterministic=True)
    connection.create_function("moved_all", 1, lambda text: json.dumps([move(path) for path in json.loads(text)]), deterministic=True)
    connection.execute("UPDATE project SET worktree=moved(worktree), sandboxes=moved_all(sandboxes)")
    connection.execute("UPDATE project_directory SET directory=moved(directory)")
    connection.execute("UPDATE session SET directory=moved(directory)")
    connection.execute("UPDATE session SET path=ltrim(directory, '/') WHERE project_id='global'")


def _move_times(connection: sqlite3.Connection, newest: int) -> None:
    """Rows dated after this machine's clock would be held back, wherever and whenever the demo runs."""
    by = newest - max(connection.execute(f"SELECT max(time_updated) FROM {table}").fetchone()[0] or 0 for table in ("session", "message", "part"))
    shift: Callable[[str], str] = lambda text: _JSON_TIME.sub(lambda found: str(int(found[0]) + by), text)  # noqa: E731
    connection.create_function("shifted", 1, shift, deterministic=True)
    for table in _TIMED:
        for _, name, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            if name.startswith("time_"):
                connection.execute(f"UPDATE {table} SET {name}={name}+? WHERE {name}>0", (by,))
    for table in ("message", "part"):
        connection.execute(f"UPDATE {table} SET data=shifted(data)")
