"""A copy of opencode's database as it was before anything of ours was written to it, by SQLite's backup API."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from sidecar.adapters.files.private import private_folder
from sidecar.adapters.sqlite.connect import errors_as_ours, open_read_only
from sidecar.domain.task import Task

PAGES_PER_STEP = 2_000
SPARE_BYTES = 256 << 20


def take_snapshot(source: Path, target: Path, task: Task) -> bool:
    """Copy `source`, its WAL included, to `target`, which appears complete or not at all. False when the disk has no room for it.

    The whole copy is of one moment and keeps nobody from writing. Raises Cancelled.
    """
    private_folder(target.parent)
    wal = source.with_name(source.name + "-wal")
    needed = source.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    if shutil.disk_usage(target.parent).free < needed + SPARE_BYTES:
        return False
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))

    def report(_status: int, left: int, total: int) -> None:
        task.report("snapshot", total - left, total)
        task.check()

    try:
        with errors_as_ours(source), closing(open_read_only(source)) as reader, closing(sqlite3.connect(partial)) as writer:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on one moment: nobody's write starts the copy again
            reader.backup(writer, pages=PAGES_PER_STEP, progress=report)
            reader.execute("ROLLBACK")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return True
