"""Checks of everything that sync depends on, each with a remedy. Nothing here changes anything."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from protocol.trust import Check, DoctorResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Identity
from sidecar.settings import Settings

if TYPE_CHECKING:
    from sidecar.services.workspace import Workspace

MAX_WAL_BYTES = 256 << 20
SPARE_BYTES = 512 << 20
MAX_BRANCHES = 1_000
CLOCK_TOLERANCE_MS = 5 * 60_000
LEFTOVER_SECONDS = 600
REPAIR = "Run `opencode-sidecar repair`."

Open = Callable[[Identity], AbstractContextManager["Workspace"]]
Lock = Callable[[Task], AbstractContextManager[None]]


class Doctor:
    """One examination. A check that cannot be made is a finding, never an error."""

    def __init__(self, settings: Settings, identity: Identity | None, task: Task, open_workspace: Open, lock: Lock, *, offline: bool) -> None:
        self.settings, self.identity, self.task, self.offline = settings, identity, task, offline
        self._open, self._lock = open_workspace, lock
        self.checks: list[Check] = []

    def run(self) -> DoctorResult:
        steps = [
            self._git,
            self._database,
            self._integrity,
            self._wal,
            self._channels,
            self._disk,
            self._folder,
            self._leftovers,
            self._own_files,
            self._device,
        ]
        if self.identity is not None:
            steps += [self._key, self._vault_copy, self._inside] + ([] if self.offline else [self._remote])
        for index, step in enumerate(steps):
            self.task.report("doctor", index, len(steps))
            with self._finding(step.__name__.removeprefix("_")):
                step()
        return DoctorResult(all(check.ok for check in self.checks), self.checks)

    @contextmanager
    def _finding(self, name: str) -> Iterator[None]:
        try:
            yield
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            self._say(name, False, f"{error.message} {error.detail}".strip(), error.remedy)
        except OSError as error:
            self._say(name, False, f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "Check the permissions of this file or folder.")

    def _say(self, name: str, ok: bool, detail: str, remedy: str = "") -> None:
        self.checks.append(Check(name, ok, detail, "" if ok else remedy))

    # --- the machine ----------------------------------------------------------------------------------------------
    def _git(self) -> None:
        from sidecar.adapters.git import git_version

        self._say("git", True, "git " + ".".join(map(str, git_version(self.settings.environ))))

    def _disk(self) -> None:
        size = self.settings.db.stat().st_size if self.settings.db.exists() else 0
        for name, folder in (("data", self.settings.data_root), ("state", self.settings.own_state)):
            there = next(path for path in (folder, *folder.parents) if path.exists())
            free = shutil.disk_usage(there).free
            enough = free > SPARE_BYTES + size
            self._say(f"disk ({name})", enough, f"{free >> 20} MB free at {there}", f"Free some space: {(SPARE_BYTES + size) >> 20} MB are enough.")

    def _folder(self) -> None:
        state = self.settings.own_state
        if not state.exists():
            self._say("folder", True, f"{state} is not there yet")
            return
        writable = os.access(state, os.W_OK | os.X_OK)
        open_to_others = os.name == "posix" and bool(stat.S_IMODE(state.stat().st_mode) & 0o077)
        self._say("folder", writable, f"{state} can{'' if writable else 'not'} be written", "Give yourself write permission on this folder.")
        self._say("private", not open_to_others, f"{state} is {'open to' if open_to_others else 'closed to'} other users", f"Run `chmod 700 '{state}'`.")

    def _leftovers(self) -> None:
        now, state = time.time(), self.settings.own_state
        patterns = ("*.partial", "snapshots/*.partial", "*.tmp", "vault.git/*.lock", "vault.git/refs/**/*.lock", "vault.git/objects/pack/tmp_*")
        found = [path for pattern in patterns for path in state.glob(pattern) if now - path.stat().st_mtime > LEFTOVER_SECONDS]
        self._say("leftovers", not found, ", ".join(sorted(path.name for path in found)[:5]) or "none", "The next sync removes them, or " + REPAIR)

    # --- opencode -------------------------------------------------------------------------------------------------
    def _database(self) -> None:
        from sidecar.adapters.sqlite.opencode_db import OpencodeDb

        db = OpencodeDb(self.settings.db)
        try:
            schema = db.schema()
            writable = os.access(self.settings.db, os.W_OK) and os.access(self.settings.db.parent, os.W_OK)
            self._say(
                "database", writable, f"{self.settings.db}, migration {schema.level or 'unknown'}", "Give yourself write permission on the file and its folder."
            )
        finally:
            db.close()

    def _integrity(self) -> None:
        from sidecar.adapters.sqlite.health import problems

        found = problems(self.settings.db)
        remedy = (
            "Close opencode and make a copy with `opencode-sidecar repair --salvage FILE`; what is missing in it comes back from the vault with the next sync."
        )
        self._say("integrity", not found, "; ".join(found) or "sound", remedy)

    def _wal(self) -> None:
        wal = self.settings.db.with_name(self.settings.db.name + "-wal")
        size = wal.stat().st_size if wal.exists() else 0
        remedy = "Something keeps a read transaction open: close what has the database open, then start opencode once."
        self._say("wal", size <= MAX_WAL_BYTES, f"{size >> 10} KB in the write-ahead log", remedy)

    def _channels(self) -> None:
        others = sorted(path.name for path in self.settings.data_root.glob("opencode*.db") if path != self.settings.db)
        self._say("channels", True, f"other databases here, which are not synced: {', '.join(others)}" if others else "one database")

    # --- ours -----------------------------------------------------------------------------------------------------
    def _own_files(self) -> None:
        from sidecar.adapters.sqlite.health import problems

        for name in ("shadow.db", "journal.db"):
            path = self.settings.own_state / name
            if path.exists():
                try:
                    found = problems(path)
                except SidecarError as error:
                    found = [error.message]
                self._say(name, not found, "; ".join(found) or "sound", REPAIR)

    def _device(self) -> None:
        if self.identity is None:
            there = (self.settings.own_state / "device.json").exists()
            detail = "the file that says which device this is cannot be read" if there else "not part of a vault"
            remedy = "`opencode-sidecar link REMOTE --new-device`." if there else "`opencode-sidecar init [REMOTE]` or `opencode-sidecar link REMOTE`."
            self._say("device", False, detail, remedy)
        else:
            self._say("device", True, f"{self.identity.device_name} ({self.identity.device_id[:8]}) in vault {self.identity.vault_id[:8]}")

    def _key(self) -> None:
        with self._workspace() as ws:
            sealer = ws.sealer
        detail = "the vault is not encrypted" if sealer is None else f"key {sealer.ring.current.id.hex()} is here, {len(sealer.ring.retired)} older ones"
        self._say("key", True, detail)

    def _vault_copy(self) -> None:
        with self._workspace() as ws:
            problem = ws.repo.problem(self.task)
        self._say("vault copy", problem is None, problem or "sound", REPAIR)

    def _inside(self) -> None:
        from sidecar.services.report import status

        with self._workspace() as ws:
            seen, ahead = status(ws, running=False), ws.clock.ahead_ms()
        self._say("clock", ahead < CLOCK_TOLERANCE_MS, f"{ahead / 1000:.0f} s behind what was recorded here", "Set this machine's clock.")
        wrong = [f"{device.name} by {device.clock_ahead_ms // 1000} s" for device in seen.devices if device.clock_ahead_ms > CLOCK_TOLERANCE_MS]
        self._say("clocks elsewhere", not wrong, "ahead: " + ", ".join(wrong) if wrong else "none ahead", "Set the clock of these machines.")
        self._say("quarantine", not seen.quarantined, f"{seen.quarantined} kept aside", "Update opencode and opencode-sidecar here, then " + REPAIR)
        self._say(
            "guard",
            not seen.guarded,
            f"{seen.guarded} sessions lost rows in a suspicious way",
            "`opencode-sidecar sync --deletions publish` if that was meant, `--deletions restore` brings them back.",
        )
        failed = seen.last_error.message if seen.last_error else ""
        self._say("last cycle", not failed, failed or "succeeded", "See `opencode-sidecar status`.")

    def _remote(self) -> None:
        """Asked while nobody syncs: two gits in one repository disturb each other."""
        try:
            with self._lock(self.task):
                self._ask_remote()
        except SidecarError as error:
            if error.kind != "locked":
                raise
            self._say("remote", True, "not asked: a sync is running")

    def _ask_remote(self) -> None:
        from sidecar.services import setup

        identity = self.identity
        assert identity is not None
        with self._workspace() as ws:
            heads = ws.repo.remote_heads(self.task)
            manifest = setup.read_vault(ws.repo, self.task)
            self._say(
                "remote",
                manifest["vault"] == identity.vault_id,
                f"reached; {len(heads)} branches",
                "It holds another vault: give the right address with `link`.",
            )
            self._say("branches", len(heads) <= MAX_BRANCHES, f"{len(heads)} branches", "Remove those of devices that are gone.")
            ours = ws.repo.local_ref(identity.ref)
            rights = ws.repo.may_push(identity.branch, self.task) if ours is not None else True
            self._say("rights", rights, "may push" if ours is not None else "nothing to push yet")
            behind = ours is not None and heads.get(identity.branch) != ours
            self._say(
                "published", not behind, "the remote lacks what was recorded last" if behind else "the remote has all of it", "Run `opencode-sidecar sync`."
            )

    def _workspace(self) -> AbstractContextManager[Workspace]:
        assert self.identity is not None
        return self._open(self.identity)
