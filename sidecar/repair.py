"""Making what is ours anew from opencode's database and the vault. opencode's database is only read.

Every step may be stopped anywhere and repeated: a second run does what is left, and nothing when nothing is.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Identity
from sidecar.settings import Settings

if TYPE_CHECKING:
    from sidecar.adapters.git import VaultRepo
    from sidecar.services.workspace import Workspace

Open = Callable[[Identity], AbstractContextManager["Workspace"]]
OLD_SECONDS = 30 * 24 * 3600
_OF_THE_DATABASE = frozenset({"databaseMissing", "databaseUnsupported", "databaseCorrupt", "databaseBusy", "databaseReadOnly"})
_OF_THE_REMOTE = frozenset({"remoteUnreachable", "remoteBusy", "authFailed", "remoteNotVault", "wrongKey"})
_REBUILT_FOR = frozenset({"missing", "shadowLost", "shadowWrong", "notApplied", "unaccounted", "deleted", "segmentUnknown"})
"""Differences that a new shadow settles. Rows that are `missing` come back with the next sync: of the two mistakes, bringing back
what somebody deleted is the one that can be put right."""


def salvage(settings: Settings, target: Path, task: Task) -> dict[str, int]:
    """Rows per table that could be read of opencode's database, damaged or not, into a new file."""
    from sidecar.adapters.sqlite.salvage import salvage as copy

    return copy(settings.db, target, task)


def rebuild(settings: Settings, identity: Identity, task: Task, open_workspace: Open) -> list[str]:
    """What was done, one line each. The caller holds the data directory's lock."""
    state = settings.own_state
    actions = _finish_exchange(state) + _clear_leftovers(state)
    actions += _check_repository(settings, identity, task)
    actions += _check_journal(state) + _check_file_of_shadow(state)
    said, is_settled = _check_own_log(settings, identity, task, open_workspace)
    actions += said
    return actions + _check_shadow(state, identity, task, open_workspace) if is_settled else actions


# --- files --------------------------------------------------------------------------------------------------------
def _clear_leftovers(state: Path) -> list[str]:
    left = [path for pattern in ("*.partial", "snapshots/*.partial", "*.tmp") for path in state.glob(pattern)]
    old = [path for path in state.glob("broken-*") if time.time() - path.lstat().st_mtime > OLD_SECONDS]
    for path in left + old:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    return [f"removed {path.name}, left by a stopped run" for path in left] + [f"removed {path.name}, set aside long ago" for path in old]


def _set_aside(state: Path, name: str) -> str | None:
    """Rename a file of ours with those that SQLite keeps beside it; the one that was set aside before goes."""
    present = [path for path in (state / (name + suffix) for suffix in ("", "-wal", "-shm")) if path.exists()]
    if not present:
        return None
    for old in state.glob(f"broken-*-{name}*"):
        old.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for path in present:
        with suppress(FileNotFoundError):  # who looked at it has closed it since: SQLite removed what was beside it
            path.rename(state / f"broken-{stamp}-{path.name}")
    return f"broken-{stamp}-{name}"


def _check_journal(state: Path) -> list[str]:
    from sidecar.adapters.sqlite.health import is_sound

    path = state / "journal.db"
    if not path.exists() or is_sound(path):
        return []
    return [f"the journal was damaged: set aside as {_set_aside(state, 'journal.db')}; earlier cycles cannot be taken back with it"]


def free_name(path: Path) -> Path:
    """Where to set a folder aside: a name that nothing has yet, also when that was done a moment ago."""
    stamp, number = time.strftime("%Y%m%d-%H%M%S"), 0
    while (aside := path.with_name(f"broken-{stamp}{f'.{number}' if number else ''}-{path.name}")).exists():
        number += 1
    return aside


# --- our copy of the vault ----------------------------------------------------------------------------------------
def _finish_exchange(state: Path) -> list[str]:
    """A run that was stopped after it had set the damaged copy aside, and before the new one was in its place."""
    path, partial = state / "vault.git", state / "vault.git.partial"
    if path.exists() or not partial.exists():
        return []
    partial.rename(path)
    return ["put the copy of the vault in its place that a stopped run had fetched"]


def _check_repository(settings: Settings, identity: Identity, task: Task) -> list[str]:
    """Remove what killed gits left; fetch our repository again when git finds it damaged."""
    from sidecar.adapters.git import VaultRepo

    path = settings.own_state / "vault.git"
    with closing(VaultRepo.create(path, settings.environ)) as repo:
        actions = [f"removed {name}, left by a git that is gone" for name in repo.clear_locks()]
        repo.set_remote(identity.remote)
        problem = repo.problem(task)
        if problem is None:
            return actions
    aside, partial = free_name(path), path.with_name("vault.git.partial")
    try:
        with closing(VaultRepo.create(partial, settings.environ)) as repo:
            mine = _rescued(repo, path, identity, task)
            repo.set_remote(identity.remote)
            repo.fetch(task, sorted(repo.remote_heads(task)))
            if mine is not None:
                repo.adopt_ref(identity.ref, mine)  # else it is put together by `_check_own_log`
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    path.rename(aside)
    partial.rename(path)
    return [*actions, f"our copy of the vault was damaged ({problem}): set aside as {aside.name} and fetched again"]


def _rescued(repo: VaultRepo, damaged: Path, identity: Identity, task: Task) -> str | None:
    """Our own log from the damaged copy, when that much of it is sound: its end may not have been pushed."""
    repo.set_remote(str(damaged))
    try:
        repo.fetch(task, [identity.branch])
    except SidecarError as error:
        if error.kind == "cancelled":
            raise
        return None
    return repo.local_ref(f"refs/remotes/origin/{identity.branch}")


def _check_own_log(settings: Settings, identity: Identity, task: Task, open_workspace: Open) -> tuple[list[str], bool]:
    """Bring back our own log when it is not here: the remote is asked, and not simply believed. (What was done, whether it is here now or never was)."""
    from sidecar.adapters.git import VaultRepo
    from sidecar.services.mend import NEW_REF, mend_own
    from sidecar.services.receive import keep_others, keep_own

    with open_workspace(identity) as ws:
        here, known = ws.repo.local_ref(identity.ref), ws.shadow.head_of(identity.device_id)[0]
        if here is not None and (known is None or ws.repo.has(known)):
            return [], True
        lost = known is not None or ws.journal.position(identity.device_id)[0] > 0
        try:
            heads = ws.repo.remote_heads(task)
            keep_others(ws, heads)
            ws.repo.fetch(task, sorted(heads))
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            return [f"this device's log is not here, and the remote could not be asked: {error.message}"], not lost
        try:
            there = heads.get(identity.branch)
            if here is not None and (there is None or ws.repo.is_ancestor(there, here)):
                there = here  # an older one, but not as old
            if here is not None:
                keep_own(ws.repo, identity, here)
                ws.repo.forget_ref(identity.ref)  # when this is stopped, the next run begins again
            mended = mend_own(ws, task, there)
        except SidecarError as error:
            if error.kind not in _OF_THE_DATABASE:
                raise
            return [f"this device's log was left as it is, since the database cannot be read: {error.message} {error.remedy}"], False
    if mended.rebuild:
        _set_aside(settings.own_state, "shadow.db")
    if mended.commit is not None:  # last of all
        with closing(VaultRepo.create(settings.own_state / "vault.git", settings.environ)) as repo:
            repo.adopt_ref(identity.ref, mended.commit)
            repo.forget_ref(NEW_REF)
    return mended.actions, True


# --- the shadow ---------------------------------------------------------------------------------------------------
def _check_file_of_shadow(state: Path) -> list[str]:
    from sidecar.adapters.sqlite.health import is_sound

    path = state / "shadow.db"
    if path.exists() and is_sound(path):
        return []
    aside = _set_aside(state, "shadow.db")
    return [f"the shadow was damaged: set aside as {aside}"] if aside else []


def _check_shadow(state: Path, identity: Identity, task: Task, open_workspace: Open) -> list[str]:
    actions: list[str] = []
    try:
        wrong = _differences(identity, task, open_workspace)
        if wrong:
            actions.append(f"the shadow did not fit the database and the logs ({wrong} differences): set aside as {_set_aside(state, 'shadow.db')}")
        return actions + _rebuild(identity, task, open_workspace)
    except SidecarError as error:
        if error.kind in _OF_THE_REMOTE:
            return [*actions, f"the shadow is rebuilt by the next sync, which needs the remote for it: {error.message} {error.remedy}"]
        if error.kind not in _OF_THE_DATABASE:
            raise
        return [*actions, f"the shadow was left as it is, since the database cannot be read: {error.message} {error.remedy}"]


def _differences(identity: Identity, task: Task, open_workspace: Open) -> int:
    from sidecar.services.verify import verify

    with open_workspace(identity) as ws:
        ws.db.schema()
        if ws.shadow.get("device") != identity.device_id:
            return 0
        return sum(difference.kind in _REBUILT_FOR for difference in verify(ws, task, offline=True).differences)


def _rebuild(identity: Identity, task: Task, open_workspace: Open) -> list[str]:
    """From database and logs, when the shadow remembers nothing; else finish what was interrupted. Then what is kept aside is read again."""
    from sidecar.services.quarantine import read_again
    from sidecar.services.recover import recover

    with open_workspace(identity) as ws:
        new = ws.shadow.get("device") != identity.device_id
        _, warnings = recover(ws, task, looked=True)
        actions = [f"rebuilt the shadow from the database and the logs: {ws.shadow.count_sessions()} sessions, {ws.shadow.count_rows()} rows"] if new else []
        before = len(ws.shadow.quarantined())
        if before:
            warnings += read_again(ws, task)
            left = len(ws.shadow.quarantined())
            if left < before:
                actions.append(f"{before - left} of {before} entries in quarantine are due again: the next sync tries them")
        return actions + warnings
