"""Opening SQLite files, and turning SQLite's errors into ours."""

from __future__ import annotations

import functools
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.system import disk_full

BUSY_MS = 5_000
ROOM_BYTES = 256 << 10
"""With less free than this an error of the disk is taken for its being full."""


decode_text = functools.partial(str, encoding="utf-8", errors="surrogateescape")
"""Text that is not UTF-8 keeps its bytes as surrogate escapes. No Python function: it runs for every text that is read."""


def bindable(value: Any) -> Any:
    """A value as sqlite3 takes it; text with escapes needs `CAST(? AS TEXT)` and is given as bytes (see `needs_cast`)."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) and needs_cast(value) else value


def needs_cast(value: str) -> bool:
    """Whether this text holds escaped bytes, which sqlite3 cannot bind as text."""
    if value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def open_read_only(path: Path) -> sqlite3.Connection:
    """`mode=ro`, never `immutable`: the newest rows are in the WAL."""
    if not path.is_file():
        raise SidecarError(
            "databaseMissing",
            "opencode's database is not there.",
            detail=str(path),
            remedy="Start opencode once on this machine so that it makes its database, or name the file with --db.",
        )
    return _connect(path, "ro")


def open_read_write(path: Path) -> sqlite3.Connection:
    """For applying: foreign keys on, never creates the file."""
    connection = _connect(path, "rw")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with errors_as_ours(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_MS / 1000, check_same_thread=False)
        connection.text_factory = decode_text
        connection.execute("PRAGMA cache_size=-8000")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection


@contextmanager
def errors_as_ours(path: Path, *, damaged_remedy: str | None = None) -> Iterator[None]:
    """Every sqlite3 error leaves as a SidecarError that names the file and the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        found = translate(error, path)
        if damaged_remedy is not None and found.kind == "databaseCorrupt":
            found.remedy = damaged_remedy
        raise found from error


def errors_of_ours(path: Path) -> AbstractContextManager[None]:
    """For files of our own, which can be made anew."""
    return errors_as_ours(path, damaged_remedy="Run `opencode-sidecar repair`: this file is ours, and no conversation is in it alone.")


def _no_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < ROOM_BYTES
    except OSError:
        return False


def translate(error: sqlite3.Error, path: Path) -> SidecarError:
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    kind, message, remedy = "databaseUnsupported", "The database could not be used.", "Run `opencode db path` and check that this is opencode's file."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in text:
        kind, message = "databaseBusy", "Another program has held the database locked for too long."
        remedy = "Nothing was changed; the next cycle tries again. Close whatever keeps a long transaction open."
    elif name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")) or "readonly" in text:
        kind, message, remedy = "databaseReadOnly", "The database cannot be written.", "Give yourself write permission on the file and its folder."
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "malformed" in text or "not a database" in text:
        kind, message = "databaseCorrupt", "The file is damaged or no SQLite database."
        remedy = "Nothing was changed. Restore it from a backup, or name the right file with --db."
    elif name.startswith("SQLITE_FULL") or "disk is full" in text:
        return disk_full(f"{path}: {text}")
    elif name.startswith("SQLITE_CANTOPEN"):
        kind, message, remedy = "databaseReadOnly", "The database cannot be opened.", "Check the permissions of the file and its folder."
    elif name.startswith("SQLITE_IOERR"):
        if _no_room(path):  # the index of the WAL is a mapped file: a disk without room for it is an error of the disk to SQLite
            return disk_full(f"{path}: {text}")
        kind, message, remedy = "systemError", "The disk reported an error.", "Check the disk; the next cycle tries again."
    return SidecarError(kind, message, detail=f"{path}: {text}", remedy=remedy)
