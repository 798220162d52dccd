"""Checks of the machine, of opencode, and of our files."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from sidecar.domain.errors import SidecarError
from sidecar.examination import REPAIR, Examination

MAX_WAL_BYTES = 256 << 20
SPARE_BYTES = 512 << 20
SPARE_FILES = 2_000
LEFTOVER_SECONDS = 600
OLD_SECONDS = 30 * 24 * 3600
HELD_SECONDS = 3600
NEWEST_LEVEL = "20260622202450_simplify_session_input"
"""The newest migration of opencode's database that this version was tried with."""
_LEFT = (
    "*.partial",
    "snapshots/*.partial",
    "*.tmp",
    "vault.git/*.lock",
    "vault.git/refs/**/*.lock",
    "vault.git/objects/pack/tmp_*",
    "vault.git/objects/??/tmp_obj_*",
)
_SALVAGE = "Close opencode and make a copy with `opencode-sidecar repair --salvage FILE`; what is missing in it comes back from the vault with the next sync."


class MachineChecks(Examination):
    """Part of `Doctor`."""

    # --- the machine ----------------------------------------------------------------------------------------------
    def git(self) -> None:
        from sidecar.adapters.git import git_version

        self.say("git", True, "git " + ".".join(map(str, git_version(self.settings.environ))))

    def disk(self) -> None:
        from sidecar.adapters.files.disk import look

        size = self.settings.db.stat().st_size if self.settings.db.exists() else 0
        for name, folder in (("data", self.settings.data_root), ("state", self.settings.own_state), ("config", self.settings.config_root)):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            disk, needed = look(there), 0 if name == "config" else SPARE_BYTES + size
            detail = f"{disk.free >> 20} MB free at {there}"
            if disk.read_only:
                self.say(f"disk ({name})", False, f"{there} is on a file system that is mounted read-only", "Mount it for writing.")
            elif disk.files is not None and disk.files < SPARE_FILES:
                self.say(f"disk ({name})", False, f"room for {disk.files} more files at {there}", "Delete files, or make a file system with more inodes.")
            else:
                self.say(f"disk ({name})", disk.free >= needed, detail, f"Free some space: {needed >> 20} MB are enough.")

    def folder(self) -> None:
        state = self.settings.own_state
        if not state.exists():
            self.say("folder", True, f"{state} is not there yet")
            return
        writable = os.access(state, os.W_OK | os.X_OK)
        open_to_others = os.name == "posix" and bool(stat.S_IMODE(state.stat().st_mode) & 0o077)
        self.say("folder", writable, f"{state} can{'' if writable else 'not'} be written", "Give yourself write permission on this folder.")
        self.say("private", not open_to_others, f"{state} is {'open to' if open_to_others else 'closed to'} other users", f"Run `chmod 700 '{state}'`.")

    def leftovers(self) -> None:
        state = self.settings.own_state
        found = [path for pattern in _LEFT for path in state.glob(pattern) if _age(path) > LEFTOVER_SECONDS]
        found += [path for path in state.glob("broken-*") if _age(path) > OLD_SECONDS]
        self.say("leftovers", not found, _names(found), "The next sync removes them, or " + REPAIR)
        replaced = [path for path in state.glob("replaced-*") if _age(path) > OLD_SECONDS]
        remedy = f"They are of an identity that this device gave up. When you miss nothing, run `rm -r '{state}'/replaced-*`."
        self.say("replaced", not replaced, _names(replaced), remedy)

    def lock_file(self) -> None:
        from sidecar.adapters.files.lock import holder

        path = self.settings.own_state / "sync.lock"
        who = holder(path)
        if who is None:
            self.say("lock", True, "free; a lock is never left behind by a process that died")
            return
        age = _age(path)
        remedy = f"If it hangs, end it (process {who.pid or '?'}); nothing is lost, the next sync goes on from there."
        self.say("lock", age < HELD_SECONDS, f"held for {age / 60:.0f} min by {who.text}", remedy)

    # --- opencode -------------------------------------------------------------------------------------------------
    def opencode(self) -> None:
        from sidecar.adapters.process.opencode import find, version

        binary = find(self.settings.environ, self.settings.home)
        if binary is None:
            self.say("opencode", True, "no opencode command found; Desktop brings its own")
            return
        said = version(binary, self.settings.environ, self.task.check)
        self.say("opencode", said is not None, f"{binary}, {said or 'which cannot be run'}", "Install opencode again.")

    def database(self) -> None:
        from sidecar.adapters.sqlite.opencode_db import OpencodeDb

        db = OpencodeDb(self.settings.db)
        try:
            schema = db.schema()
            writable = os.access(self.settings.db, os.W_OK) and os.access(self.settings.db.parent, os.W_OK)
            remedy = "Give yourself write permission on the file and its folder."
            self.say("database", writable, f"{self.settings.db}, migration {schema.level or 'unknown'}", remedy)
            old = schema.level.startswith("drizzle:") or not schema.level
            newer = not old and schema.level > NEWEST_LEVEL
            known = "newer than any that this version was tried with; tables and columns that it does not know stay as they are" if newer else "known"
            self.say("schema", True, f"migration {schema.level or 'unknown'} is {known}")
        finally:
            db.close()

    def integrity(self) -> None:
        from sidecar.adapters.sqlite.health import problems

        found = problems(self.settings.db, self.task.check)
        self.say("integrity", not found, "; ".join(found) or "sound", _SALVAGE)

    def wal(self) -> None:
        from sidecar.adapters.sqlite.health import wal_bytes

        size = wal_bytes(self.settings.db)
        remedy = "Something keeps a read transaction open: close what has the database open, then start opencode once."
        self.say("wal", size <= MAX_WAL_BYTES, f"{size >> 10} KB in the write-ahead log", remedy)

    def channels(self) -> None:
        others = sorted(path.name for path in self.settings.data_root.glob("opencode*.db") if path != self.settings.db)
        self.say("channels", True, f"other databases here, which are not synced: {', '.join(others)}" if others else "one database")

    def desktop(self) -> None:
        from sidecar.adapters.config.desktop import desktop_file, is_running

        file = desktop_file(self.settings.home, self.settings.environ)
        if file is None:
            self.say("desktop", True, "opencode Desktop was never started here")
        else:
            running = is_running(file, self.settings.environ)
            self.say("desktop", True, "opencode Desktop runs; its project list is completed after it is closed" if running else f"{file}; it does not run")

    # --- ours -----------------------------------------------------------------------------------------------------
    def own_files(self) -> None:
        from sidecar.adapters.sqlite.health import problems

        for name in ("shadow.db", "journal.db"):
            path = self.settings.own_state / name
            if path.exists():
                try:
                    found = problems(path, self.task.check)
                except SidecarError as error:
                    if error.kind == "cancelled":
                        raise
                    found = [error.message]
                self.say(name, not found, "; ".join(found) or "sound", REPAIR)

    def config(self) -> None:
        found = self.problems_of_settings()
        self.say("settings", not found, "; ".join(found) or "valid", "Mend the file; docs/configuration.md says what it may hold.")


def _age(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _names(paths: list[Path]) -> str:
    return ", ".join(sorted(path.name for path in paths)[:5]) or "none"
