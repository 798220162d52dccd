"""The composition root: one `Sidecar` per data directory, used by the server and the command line alike."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from protocol.sync import (
    CycleParams,
    CycleResult,
    PreviewResult,
    StatusParams,
    StatusResult,
    VerifyParams,
    VerifyResult,
)
from sidecar.app_secrets import SecretUseCases
from sidecar.app_setup import SetupUseCases
from sidecar.app_trust import TrustUseCases
from sidecar.domain.clock import wall_clock_ms
from sidecar.domain.errors import SidecarError
from sidecar.domain.system import refused
from sidecar.domain.task import Task
from sidecar.services.workspace import CLONED, Identity
from sidecar.settings import Settings

if TYPE_CHECKING:
    from sidecar.adapters.git import VaultRepo
    from sidecar.adapters.sqlite.schema import Schema
    from sidecar.adapters.sqlite.writer import RowWriter
    from sidecar.app_shell import Shell
    from sidecar.services.workspace import Tools, Workspace

_JOIN_POLL = 0.05


def deletions_of(params: CycleParams) -> str | None:
    """The answer to the deletion guard's question: publish, restore, or None. Raises invalidParams."""
    answer = params.deletions or ("publish" if params.allow_deletions else None)
    if answer not in (None, "publish", "restore") or (params.allow_deletions and answer != "publish"):
        raise SidecarError("invalidParams", "deletions must be publish or restore.", detail=f"$.deletions: {answer}"[:200], remedy="Give one of the two.")
    return answer


class _Running:
    """A cycle that others may join."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: CycleResult | None = None
        self.error: BaseException | None = None


class Sidecar(SetupUseCases, TrustUseCases, SecretUseCases):
    """All use cases. Methods block, may be called from any thread, and raise SidecarError only."""

    def __init__(self, settings: Settings, wall: Callable[[], int] = wall_clock_ms) -> None:
        """`wall`: Unix milliseconds; given by tests that turn the clock."""
        self.settings, self._wall = settings, wall
        self._mutex, self._turn = threading.Lock(), threading.Lock()
        self._running: _Running | None = None
        self.upkeep_due = False
        """The last cycle found that `upkeep` has something to do."""

    def close(self) -> None:
        """Nothing is kept open between operations."""

    # --- cycles ---------------------------------------------------------------------------------------------------
    def run(self, params: CycleParams, task: Task) -> CycleResult:
        """One full cycle; a call while one is running in this process joins it, but for one with an answer, which comes after it."""
        while True:
            with self._mutex:
                running = self._running
                if running is None:
                    mine = self._running = _Running()
                    break
            if deletions_of(params) is None:
                return self._join(running, task)
            while not running.done.wait(_JOIN_POLL):
                task.check()
        try:
            mine.result = self._cycle(params, task)
            return mine.result
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._mutex:
                self._running = None
            mine.done.set()

    def _join(self, running: _Running, task: Task) -> CycleResult:
        while not running.done.wait(_JOIN_POLL):
            task.check()
        if running.result is not None:
            return running.result
        if isinstance(running.error, SidecarError):
            raise running.error
        raise SidecarError("internal", "The cycle that this call joined failed.", remedy="Try again.")

    def pull(self, params: CycleParams, task: Task) -> CycleResult:
        """Scan, fetch and apply; local changes are recorded first, and pushed by the next push."""
        return self._cycle(params, task, publish=False)

    def push(self, params: CycleParams, task: Task) -> CycleResult:
        """Scan and publish, confirmed by the remote."""
        return self._cycle(params, task, fetch=False)

    def _cycle(self, params: CycleParams, task: Task, *, publish: bool = True, fetch: bool = True) -> CycleResult:
        from sidecar.services.cycle import run_cycle
        from sidecar.services.upkeep import is_due

        answer = deletions_of(params)
        if answer == "restore" and not fetch:
            raise SidecarError("invalidParams", "A push brings nothing back.", detail="deletions", remedy="Use `sync` or `pull`.")
        with self._recording_errors(), self._exclusive(task), self._ours(), self._workspace() as ws:
            if publish:
                self._still_private(ws.identity, task)
            kind: dict[str, bool] = {"publish": publish, "fetch": fetch, "allow_deletions": answer == "publish"}
            result = self._with_config(ws, lambda: run_cycle(ws, task, **kind, restore_deletions=answer == "restore"), task, **kind)
            self.upkeep_due = publish and is_due(ws)
            return result

    # --- looking --------------------------------------------------------------------------------------------------
    def status(self, _params: StatusParams, _task: Task) -> StatusResult:
        """What is known here; never waits for a cycle or the network."""
        from sidecar.services import report, setup

        if setup.read_identity(self._identity_path) is None:
            return StatusResult(configured=False, database=str(self.settings.db))
        with self._ours(), self._workspace(remote=False, alone=False) as ws:
            return self._with_config_status(report.status(ws, running=self._running is not None))

    def preview(self, params: CycleParams, task: Task) -> PreviewResult:
        """What a cycle would do now."""
        from sidecar.services import report

        answer = deletions_of(params)
        with self._exclusive(task), self._ours(), self._workspace() as ws:
            result = report.preview(ws, task, allow_deletions=answer == "publish", restore_deletions=answer == "restore")
            return self._with_config_preview(ws, result, task, allow_deletions=answer == "publish")

    def verify(self, params: VerifyParams, task: Task) -> VerifyResult:
        """Compare database, shadow, logs and remote; changes nothing in any of them."""
        from sidecar.services.verify import verify

        with self._exclusive(task), self._ours(), self._workspace() as ws:
            return verify(ws, task, offline=params.offline)

    def shell(self, notify: Callable[[str, Any], None], output: Callable[[str, str, bytes], None]) -> Shell:
        """Commands for the host; what they say while they run goes to `notify`, and what they print to `output`."""
        from sidecar.app_shell import Shell

        return Shell(self.settings.environ, notify, output)

    def _elsewhere(self, own: Path) -> Self:
        return type(self)(dataclasses.replace(self.settings, own=own), self._wall)

    # --- parts ----------------------------------------------------------------------------------------------------
    @contextmanager
    def _repo(self, remote: str) -> Iterator[VaultRepo]:
        from sidecar.adapters.git import VaultRepo

        repo = VaultRepo.create(self.settings.own_state / "vault.git", self.settings.environ)
        try:
            repo.clear_locks()
            repo.set_remote(remote)
            yield repo
        finally:
            repo.close()

    @contextmanager
    def _workspace(self, identity: Identity | None = None, *, remote: bool = True, alone: bool = True) -> Iterator[Workspace]:
        """`alone`: nobody else is at work here. Otherwise no repository is made where there is none: somebody may be making one."""
        from sidecar.adapters.git import VaultRepo
        from sidecar.adapters.sqlite.journal import Journal
        from sidecar.adapters.sqlite.opencode_db import OpencodeDb
        from sidecar.adapters.sqlite.shadow import Shadow
        from sidecar.domain.clock import HybridClock
        from sidecar.domain.paths import normalise
        from sidecar.services.workspace import Workspace

        identity = identity or self._identity()
        shadow = Shadow(self.settings.own_state / "shadow.db")
        journal = Journal(self.settings.own_state / "journal.db")
        db = OpencodeDb(self.settings.db)
        repo = (VaultRepo.create if alone else VaultRepo)(self.settings.own_state / "vault.git", self.settings.environ)
        try:
            if remote:
                repo.clear_locks()
                repo.set_remote(identity.remote)
            clock = HybridClock(shadow.get("clock", 0), self._wall)
            yield Workspace(identity, normalise(str(self.settings.home)), db, shadow, journal, repo, clock, self._tools(), self._keys(identity))
        finally:
            db.close()
            repo.close()
            journal.close()
            shadow.close()

    def _tools(self) -> Tools:
        import zstandard

        from sidecar.adapters.git.fastimport import Stored
        from sidecar.adapters.git.project import checkout_stamp, describe_checkout
        from sidecar.adapters.segments import SegmentReader, SegmentWriter, reseal
        from sidecar.adapters.segments.bounded import decompress
        from sidecar.adapters.segments.values import pack, unpack
        from sidecar.adapters.sqlite.opencode_db import content_hash
        from sidecar.adapters.sqlite.snapshot import take_snapshot
        from sidecar.adapters.sqlite.writer import RowWriter
        from sidecar.adapters.validation import problem_with, role_of
        from sidecar.services.workspace import Tools

        def row_writer(schema: Schema) -> RowWriter:
            return RowWriter(self.settings.db, schema, content_hash)

        compressor = zstandard.ZstdCompressor(level=3)
        return Tools(
            hash_row=content_hash,
            segment_writer=SegmentWriter,
            segment_reader=SegmentReader,
            key_of_segment=reseal.key_of_segment,
            reseal_segment=reseal.reseal_segment,
            reseal_value=reseal.reseal_value,
            row_writer=row_writer,
            snapshot=lambda task: take_snapshot(self.settings.db, self.settings.snapshot, task),
            problem_with=problem_with,
            role_of=role_of,
            pack=pack,
            unpack=unpack,
            compress=compressor.compress,
            decompress=decompress,
            sha256=lambda data: hashlib.sha256(data).digest(),
            stored_blob=Stored,
            checkout=lambda worktree: describe_checkout(worktree, self.settings.environ),
            checkout_stamp=checkout_stamp,
            exists=os.path.isdir,  # no error for what no system takes for a path
            secrets=self._secret_tools(),
        )

    @contextmanager
    def _exclusive(self, task: Task) -> Iterator[None]:
        from sidecar.adapters.files.lock import exclusive
        from sidecar.adapters.files.private import close_to_others, private_folder

        with self._ours():
            private_folder(self.settings.own_state)
            close_to_others(self.settings.own_state)
        with self._in_turn(task), exclusive(self.settings.own_state / "sync.lock", task):
            yield

    @contextmanager
    def _in_turn(self, task: Task) -> Iterator[None]:
        """What runs in this process takes turns: `locked` is for another one."""
        while not self._turn.acquire(timeout=_JOIN_POLL):
            task.check()
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Errors of the operating system leave as ours."""
        try:
            yield
        except (OSError, MemoryError, RuntimeError) as error:
            raise refused(error, str(self.settings.own_state)) from error

    @contextmanager
    def _recording_errors(self) -> Iterator[None]:
        """`status` shows the last failure until a cycle succeeds."""
        try:
            yield
        except SidecarError as error:
            if error.kind not in ("cancelled", "locked", "notConfigured"):
                with contextlib.suppress(SidecarError, OSError):
                    self._note_error(error)
            raise

    def _note_error(self, error: SidecarError) -> None:
        from sidecar.adapters.sqlite.shadow import Shadow

        shadow = Shadow(self.settings.own_state / "shadow.db")
        try:
            with shadow.writing():
                shadow.put("last_error", {"kind": error.kind, "message": error.message, "at": int(time.time() * 1000)})
                if error.kind == "identityCloned":
                    shadow.put(CLONED, True)
        finally:
            shadow.close()
