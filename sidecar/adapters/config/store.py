"""What configuration sync remembers: the base of every file, what waits for a person, and the files as they were before each cycle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

from sidecar.adapters.files.atomic import write_private

KEEP_SECONDS = 30 * 24 * 3600


class ConfigStore:
    """`<state>/opencode-sidecar/config` and `…/config-backup`. All of it is private, and none of it is ever synced."""

    def __init__(self, own_state: Path) -> None:
        self._folder, self._backups = own_state / "config", own_state / "config-backup"

    # --- state ----------------------------------------------------------------------------------------------------
    def load(self) -> dict[str, Any]:
        """An unreadable state is none: everything is then merged without a base, which deletes nothing."""
        try:
            value = json.loads((self._folder / "state.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def save(self, state: dict[str, Any]) -> None:
        write_private(self._folder / "state.json", json.dumps(state, indent=1).encode())

    # --- contents -------------------------------------------------------------------------------------------------
    def put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        path = self._folder / "objects" / name
        if not path.exists():
            write_private(path, data)
        return name

    def get(self, name: str | None) -> bytes | None:
        """None when it was lost or damaged."""
        if name is None or not name.isalnum():
            return None
        try:
            data = (self._folder / "objects" / name).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == name else None

    def keep_only(self, names: Iterable[str]) -> None:
        wanted = set(names)
        for path in (self._folder / "objects").glob("*"):
            if path.name not in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()

    # --- pre-images -----------------------------------------------------------------------------------------------
    def back_up(self, cycle: str, repo: str, target: Path, data: bytes | None, mode: int | None) -> None:
        """Keep a file as it is before it is written. The first state of a cycle is the one that counts."""
        known = self.backup(cycle)
        if any(entry["target"] == str(target) for entry in known):
            return
        folder = self._backups / cycle
        name = f"{len(known):05d}"
        if data is not None:
            write_private(folder / name, data)
        known.append({"repo": repo, "target": str(target), "file": name if data is not None else None, "mode": mode})
        write_private(folder / "manifest.json", json.dumps({"at": int(time.time() * 1000), "files": known}).encode())

    def backup(self, cycle: str) -> list[dict[str, Any]]:
        """What a cycle changed, in order."""
        if not cycle.isalnum():
            return []
        try:
            files = json.loads((self._backups / cycle / "manifest.json").read_bytes())["files"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return files if isinstance(files, list) else []

    def before(self, cycle: str, entry: dict[str, Any]) -> bytes | None:
        """A file as it was; None when it was not there."""
        return (self._backups / cycle / entry["file"]).read_bytes() if entry["file"] else None

    def prune(self, known: Callable[[], Container[str]]) -> None:
        """Forget what is old and belongs to no cycle that is `known`: an age alone may come from a clock that jumped."""
        with contextlib.suppress(OSError):
            old = [folder for folder in self._backups.glob("*") if time.time() - folder.stat().st_mtime > KEEP_SECONDS]
            kept = known() if old else ()
            for folder in old:
                if folder.name not in kept:
                    shutil.rmtree(folder)
