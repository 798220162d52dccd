"""Use cases that look back, check and mend."""

from __future__ import annotations

import logging
import uuid
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.compact import CompactParams, CompactResult
from protocol.trust import (
    DoctorParams,
    DoctorResult,
    HistoryParams,
    HistoryResult,
    QuarantineParams,
    QuarantineResult,
    RepairParams,
    RepairResult,
    RestoreParams,
    RestoreResult,
)
from sidecar.app_part import Part
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Identity

if TYPE_CHECKING:
    from sidecar.domain.config_plan import ConfigSettings
    from sidecar.services.workspace import Workspace

MAX_HISTORY = 1_000
log = logging.getLogger(__name__)


class TrustUseCases(Part):
    """Part of `Sidecar`, which gives it the rest."""

    upkeep_due: bool

    @abstractmethod
    def _config_settings(self) -> tuple[ConfigSettings, list[str], Path]: ...

    @abstractmethod
    def _files_of(self, cycle: str) -> list[str]: ...

    @abstractmethod
    def _problems_of_settings(self) -> list[str]: ...

    @abstractmethod
    def _restore_files(self, ws: Workspace, cycle: str, result: RestoreResult) -> RestoreResult: ...

    def history(self, params: HistoryParams, _task: Task) -> HistoryResult:
        """Past cycles, newest first. Never waits for a cycle."""
        from attrs import evolve

        from sidecar.services.history import history

        if not 1 <= params.limit <= MAX_HISTORY:
            raise SidecarError("invalidParams", f"limit must be between 1 and {MAX_HISTORY}.", detail=str(params.limit), remedy="Give a number in that range.")
        with self._ours(), self._workspace(remote=False, alone=False) as ws:
            result = history(ws, params.limit)
        return evolve(result, snapshot=str(self.settings.snapshot) if self.settings.snapshot.exists() else None)

    def restore(self, params: RestoreParams, task: Task) -> RestoreResult:
        """Undo one cycle, or one session of it; the next cycle takes the result to the other machines."""
        from sidecar.services.restore import restore

        with self._exclusive(task), self._ours(), self._workspace(remote=False) as ws:
            files = self._files_of(params.cycle) if params.session is None else []
            sessions = any(entry.sessions for entry in ws.journal.cycles(-1) if entry.id == params.cycle)
            result = restore(ws, task, params.cycle, params.session) if sessions or not files else RestoreResult(uuid.uuid4().hex[:12])
            return self._restore_files(ws, params.cycle, result) if files else result

    def doctor(self, params: DoctorParams, task: Task) -> DoctorResult:
        """Check everything that sync depends on. Changes nothing."""
        from sidecar.doctor import Doctor

        identity: Identity | None = None
        with suppress(SidecarError):  # it is one of the findings
            identity = self._identity()
        workspace = lambda known: self._workspace(known, remote=False, alone=False)  # noqa: E731
        return Doctor(self.settings, identity, task, workspace, self._exclusive, self._problems_of_settings, self._who_can_read, offline=params.offline).run()

    def quarantine(self, params: QuarantineParams, task: Task) -> QuarantineResult:
        """What is kept aside; with `retry`, after it was tried again."""
        from sidecar.services.quarantine import listing, retry

        if params.retry:
            with self._exclusive(task), self._ours(), self._workspace() as ws:
                return retry(ws, task)
        with self._ours(), self._workspace(remote=False, alone=False) as ws:
            return listing(ws)

    def compact(self, params: CompactParams, task: Task) -> CompactResult:
        """Rewrite this device's own log with what still matters of it; never touches opencode's database."""
        from sidecar.services.compact import compact

        with self._exclusive(task), self._ours(), self._workspace() as ws:
            if not params.dry_run:
                self._still_private(ws.identity, task)
            return compact(ws, task, dry=params.dry_run)

    def upkeep(self, task: Task) -> bool:
        """What is due and nobody asks for; to be called when nothing waits. Whether something was done; what stops it is left for later."""
        from sidecar.services.upkeep import upkeep

        self.upkeep_due = False
        try:
            with self._ours():
                wanted = self._config_settings()[0].switches["autoCompact"]
            if not wanted:
                return False
            with self._exclusive(task), self._ours(), self._workspace() as ws:
                self._still_private(ws.identity, task)
                return upkeep(ws, task)
        except SidecarError as error:
            log.info("upkeep was left for later: %s", error.kind)
            return False

    def repair(self, params: RepairParams, task: Task) -> RepairResult:
        """Rebuild what is ours from the database and the vault; never writes to opencode's database."""
        from sidecar import repair

        with self._ours():
            target = _new_file(params.salvage) if params.salvage is not None else None
            salvaged = repair.salvage(self.settings, target, task) if target is not None else None
            if salvaged is not None:
                return RepairResult([f"wrote what could be read of {self.settings.db} to {target}"], salvaged)
            identity = self._identity()
            with self._exclusive(task):
                return RepairResult(repair.rebuild(self.settings, identity, task, self._workspace))


def _new_file(name: str) -> Path:
    """Where a file may be made. Raises invalidParams."""
    why = None
    try:
        target = Path(name).expanduser()
        if not target.is_absolute():
            why = "The file must be named by its whole path."
        elif target.exists():
            why = "There is a file of that name already."
        elif not target.parent.is_dir():
            why = "The folder of that file is not there."
    except (OSError, ValueError, RuntimeError) as error:
        why = f"This cannot be the name of a file ({getattr(error, 'strerror', None) or type(error).__name__})."
    if why is not None:
        raise SidecarError("invalidParams", why, detail=name[:200], remedy="Name a new file in an existing folder.")
    return target
