"""Making what is ours anew from opencode's database and the vault. opencode's database is only read."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Identity
from sidecar.settings import Settings

if TYPE_CHECKING:
    from sidecar.services.workspace import Workspace

Open = Callable[[Identity], AbstractContextManager["Workspace"]]


def salvage(settings: Settings, target: Path, task: Task) -> dict[str, int]:
    """Rows per table that could be read of opencode's database, damaged or not, into a new file."""
    from sidecar.adapters.sqlite.salvage import salvage as copy

    return copy(settings.db, target, task)


def rebuild(settings: Settings, identity: Identity, task: Task, open_workspace: Open) -> list[str]:
    """What was done, one line each. The caller holds the data directory's lock."""
    actions = _clear_leftovers(settings.own_state)
    actions += _check_repository(settings, identity, task)
    aside = _set_aside(settings.own_state, "shadow.db")
    if aside:
        actions.append(f"set the old shadow aside as {aside}")
    actions += _check_journal(settings.own_state)
    from sidecar.services.recover import recover

    with open_workspace(identity) as ws:
        ws.db.schema()
        _, warnings = recover(ws, task)
        actions.append(f"rebuilt the shadow from the database and the logs: {ws.shadow.count_sessions()} sessions, {ws.shadow.count_rows()} rows")
        actions += warnings
    return actions


def _clear_leftovers(state: Path) -> list[str]:
    left = [path for pattern in ("*.partial", "snapshots/*.partial", "*.tmp") for path in state.glob(pattern)]
    for path in left:
        path.unlink(missing_ok=True)
    return [f"removed {path.name}, left by a stopped run" for path in left]


def _set_aside(state: Path, name: str) -> str | None:
    """Rename a file of ours with those that SQLite keeps beside it; the one that was set aside before goes."""
    present = [path for path in (state / (name + suffix) for suffix in ("", "-wal", "-shm")) if path.exists()]
    if not present:
        return None
    for old in state.glob(f"broken-*-{name}*"):
        old.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for path in present:
        path.rename(state / f"broken-{stamp}-{path.name}")
    return f"broken-{stamp}-{name}"


def _check_journal(state: Path) -> list[str]:
    from sidecar.adapters.sqlite.health import is_sound

    path = state / "journal.db"
    if not path.exists() or is_sound(path):
        return []
    return [f"the journal was damaged: set aside as {_set_aside(state, 'journal.db')}; earlier cycles cannot be taken back with it"]


def _check_repository(settings: Settings, identity: Identity, task: Task) -> list[str]:
    """Clone our repository again when git finds it damaged."""
    from sidecar.adapters.git import VaultRepo

    path = settings.own_state / "vault.git"
    repo = VaultRepo.create(path, settings.environ)
    try:
        repo.clear_locks()
        problem = repo.problem(task)
    finally:
        repo.close()
    if problem is None:
        return []
    aside = path.with_name(f"broken-{time.strftime('%Y%m%d-%H%M%S')}-vault.git")
    repo = VaultRepo.create(path.with_name("vault.git.partial"), settings.environ)
    try:
        repo.set_remote(identity.remote)
        heads = repo.remote_heads(task)
        repo.fetch(task, sorted(heads))
        if identity.branch in heads:
            repo.adopt_ref(identity.ref, heads[identity.branch])
    except SidecarError:
        repo.close()
        raise
    repo.close()
    path.rename(aside)
    path.with_name("vault.git.partial").rename(path)
    return [f"our copy of the vault was damaged ({problem}): set aside as {aside.name} and fetched again"]
