"""Putting the files of a cycle back as they were before it."""

from __future__ import annotations

from pathlib import Path

from protocol.sync import Attention
from sidecar.domain.config_names import Refused
from sidecar.domain.config_plan import PROJECTS, row_of, rows_for
from sidecar.services.config_extras import Extras
from sidecar.services.config_spelling import row_at
from sidecar.services.config_sync import ConfigParts


def restore_files(parts: ConfigParts, cycle: str, restore: str) -> tuple[list[str], list[Attention]]:
    """(paths put back, what could not be). What is there now is kept under the restore's own name, so that it can be taken back."""
    rows = rows_for(parts.settings, Extras(parts.settings, parts.home, parts.store.load()).rows(), parts.desktop)
    done: list[str] = []
    skipped: list[Attention] = []
    for entry in parts.store.backup(cycle):
        repo, target = str(entry["repo"]), Path(str(entry["target"]))
        row = row_of(repo, rows)
        if row is not None:
            row = row_at(parts.local, parts.folder, row, target)
        try:
            before = parts.store.before(cycle, entry)
            now = parts.local.read(target)
            if now == before:
                continue
            if row is not None and parts.local.place(row, repo) != target:
                raise Refused("it belongs somewhere else now")
            if row is not None and row.policy == PROJECTS and parts.desktop_runs():
                raise Refused("opencode Desktop is running; close it first")
            parts.store.back_up(restore, repo, target, now, parts.local.mode(target))
            if row is not None:
                parts.local.write(row, target, before, mode=entry["mode"])
            elif before is not None:
                parts.local.write_private(target, before)
            else:
                target.unlink(missing_ok=True)
            done.append(repo)
        except (Refused, OSError) as error:
            skipped.append(Attention("", "config", f"{repo}: {error}"))
    return done, skipped
