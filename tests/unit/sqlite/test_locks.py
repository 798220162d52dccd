"""What only looks leaves SQLite's locks alone: a process that closes the database or its `-shm` by hand loses all locks on it, and two writers damage the file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.adapters.sqlite.health import problems, wal_bytes
from sidecar.adapters.sqlite.opencode_db import OpencodeDb

TRY = "import sqlite3, sys\ntry:\n    sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute('BEGIN IMMEDIATE')\nexcept sqlite3.OperationalError as error:\n    print(error)"


def _look(path: Path, look: Callable[[OpencodeDb], object]) -> None:
    with closing(OpencodeDb(path)) as db:
        look(db)


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda path: _look(path, OpencodeDb.file_state), id="state"),
        pytest.param(lambda path: _look(path, OpencodeDb.pages), id="pages"),
        pytest.param(wal_bytes, id="WAL"),
        pytest.param(problems, id="integrity"),
    ],
)
def test_a_look_takes_no_lock_away_from_who_writes(tmp_path: Path, look: Callable[[Path], object]) -> None:
    path = tmp_path / "opencode.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (1)")
        look(path)
        said = subprocess.run([sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, check=True).stdout
        assert said == "database is locked\n", "another process could write at the same time: the user's database would be damaged"
        writer.execute("COMMIT")
