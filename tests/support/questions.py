"""Machines whose state raises one of the two questions that only a person can answer."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.support import edits
from tests.support.machines import Machine, from_schema

COUNT = 22
"""Sessions; so many at once are held back."""
RESTORE, PUBLISH = "Bring them back", "Delete on all machines"
SAME, COPY = "This is the original, restored from a backup", "This is a copy: give it its own identity"
LATER = "Later"


def a_minute_ago() -> int:
    return int(time.time() * 1000) - 60_000


def with_many_sessions(folder: Path, remote: Path) -> Machine:
    """One with `COUNT` sessions, synced."""
    found = from_schema(folder)
    db = found.connect()
    for number in range(COUNT):
        edits.new_session(db, f"ses_{number:02}", a_minute_ago(), title=f"talk {number:02}")
    db.close()
    found.cli("init", str(remote), "--encryption", "none")
    found.cli("sync")
    return found


def vanish(machine: Machine) -> None:
    """Every session is deleted, for whatever reason."""
    db = machine.connect()
    for (session,) in db.execute("SELECT id FROM session").fetchall():
        edits.delete_session(db, session)
    db.close()


def work(machine: Machine, name: str) -> None:
    """A session `ses_NAME` with one turn."""
    db = machine.connect()
    edits.new_session(db, f"ses_{name}", a_minute_ago())
    edits.add_turn(db, f"ses_{name}", name, a_minute_ago())
    db.close()


def sessions(machine: Machine) -> set[str]:
    return {row[0] for row in machine.sql("SELECT id FROM session")}


def original(folder: Path, remote: Path) -> Machine:
    """One with the session `ses_first`, in an encrypted vault."""
    found = from_schema(folder)
    work(found, "first")
    found.cli("init", str(remote))
    found.cli("sync")
    return found


def copied(machine: Machine, folder: Path) -> Machine:
    """Its state and database on another machine; since then it has written and synced `ses_mine`, and the copy has written `ses_its`."""
    clone = from_schema(folder)
    machine.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(machine.root / "state", clone.root / "state", dirs_exist_ok=True)
    shutil.copyfile(machine.db, clone.db)
    for one, name in ((machine, "mine"), (clone, "its")):
        work(one, name)
    machine.cli("sync")
    return clone


def set_back(machine: Machine, backup: Path) -> None:
    """Back to how it was before it wrote and synced `ses_published`; then it writes `ses_since`."""
    machine.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(machine.root / "state", backup)
    database = shutil.copyfile(machine.db, backup / "opencode.db")
    work(machine, "published")
    machine.cli("sync")
    shutil.rmtree(machine.root / "state")
    shutil.copytree(backup, machine.root / "state")
    for path in machine.db.parent.glob("opencode.db*"):
        path.unlink()
    shutil.copyfile(database, machine.db)
    work(machine, "since")
