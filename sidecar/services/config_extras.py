"""The user's extra paths in a vault that machines with opencode-synced may write as well: their names there, and its manifests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.domain.config_names import Refused
from sidecar.domain.config_plan import ConfigSettings, Row, extra_row
from sidecar.domain.config_synced import MANIFESTS, MAX_HOMES, Entry, ExtraPath, entries_of, homes_in, resolve, written
from sidecar.domain.errors import SidecarError
from sidecar.services.config_files import ConfigTools
from sidecar.services.config_model import ConfigPlan
from sidecar.services.config_remote import ConfigVault, RemoteConfig

NOT_THERE = (
    "opencode-synced on another machine took it out of the vault, as it does with what its own settings do not list; it is put back. "
    "Add it to extraConfigPaths or extraSecretPaths there"
)


class Extras:
    """`state` is what was remembered at the last cycle, and what is changed for the next one."""

    def __init__(self, settings: ConfigSettings, home: str, state: dict[str, Any]) -> None:
        self._home, self._state = home, state
        secret = settings.extra_secret if settings.switches["includeSecrets"] else ()
        self._paths = {"config/extra": settings.extra_config, "secrets/extra": secret} if settings.switches["includeConfig"] else {}
        known = state.get("extras")
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}
        self._manifests: dict[str, Any] = {}
        self.problems: list[tuple[str, str]] = []
        self.found = {folder: self._resolve(folder, self._remembered(folder), ()) for folder in self._paths}

    def rows(self) -> list[Row]:
        return [extra_row(extra.local, extra.repo, secret=folder == "secrets/extra") for folder, extras in self.found.items() for extra in extras]

    def _remembered(self, folder: str) -> list[Entry]:
        return [Entry(*pair) for pair in self._known.get(folder, ())]

    def _resolve(self, folder: str, entries: list[Entry], names: Iterable[str]) -> list[ExtraPath]:
        return resolve(self._paths[folder], self._home, folder, entries, names)

    # --- what the vault says --------------------------------------------------------------------------------------
    def look(self, vault: ConfigVault, remote: RemoteConfig, tools: ConfigTools, entries: dict[str, Any]) -> None:
        """Names as the vault has them now. The bases of what is called otherwise move along; what nobody listed any more was not deleted.

        `entries`: the remembered state of each file, by its path in the vault.
        """
        for folder, before in self.found.items():
            listed = self._read(vault, remote, tools, folder)
            names = {"/".join(path.split("/")[:3]) for path in remote.files if path.startswith(f"{folder}/")}
            self.found[folder] = now = self._resolve(folder, listed, names)
            self._state["homes"] = sorted({*self._state.get("homes", ()), *homes_in(listed, self._home)})[:MAX_HOMES]
            for old, new in zip(before, now, strict=True):
                if old.repo != new.repo:
                    _rename(entries, old.repo, new.repo, keep=bool(old.sources & new.sources))
                if not new.sources:
                    forgotten = _forget(entries, new.repo)
                    if forgotten and old.sources and not remote.absent:
                        self._tell(new.repo, f"{new.local}: {NOT_THERE}")
            self._remember(folder, listed)

    def _read(self, vault: ConfigVault, remote: RemoteConfig, tools: ConfigTools, folder: str) -> list[Entry]:
        self._manifests[folder], path = {}, MANIFESTS[folder]
        if path not in remote.files:
            return []
        try:
            self._manifests[folder] = tools.value_of(vault.read(remote, path))
            found, problems = entries_of(self._manifests[folder], folder)
        except (ValueError, Refused, SidecarError) as error:
            found, problems = [], [f"it cannot be read: {error}"]
        for problem in problems[:5]:
            self._tell(path, problem)
        return found

    def _tell(self, path: str, why: str) -> None:
        if (path, why) not in self.problems:
            self.problems.append((path, why))

    def _remember(self, folder: str, entries: Iterable[Entry]) -> None:
        """Only what is about this machine's paths: it decides what a later deletion or another name means."""
        ours = {extra.repo for extra in self.found[folder]}
        self._known = self._known | {folder: sorted([entry.source, entry.repo] for entry in entries if entry.repo in ours)}
        self._state["extras"] = self._known

    # --- what it shall say ----------------------------------------------------------------------------------------
    def changes(self, remote: RemoteConfig, plan: ConfigPlan, *, anyway: bool) -> dict[str, bytes]:
        """Manifests to push: when files of an extra path change, or nobody lists it, or (`anyway`) something is pushed in any case.

        Not merely because a machine with opencode-synced dropped the other machines' entries: it does so each time, and would ask its
        user to restart each time.
        """
        result = {}
        for folder, extras in self.found.items():
            files = {extra.repo: _files(extra.repo, remote, plan) for extra in extras}
            moved = {extra.repo for extra in extras if any(file.row.repo == extra.repo and (file.comes_in or file.goes_out) for file in plan.files)}
            if not anyway and not any(files[extra.repo] and (extra.repo in moved or not extra.sources) for extra in extras):
                continue
            old = self._manifests.get(folder)
            new = written(old, folder, extras, [self._home, *self._state.get("homes", ())], files)
            if new != old and new["entries"]:
                result[MANIFESTS[folder]] = (json.dumps(new, indent=2, ensure_ascii=False) + "\n").encode()
        return result

    def pushed(self, changed: Mapping[str, bytes | None]) -> None:
        """What the vault says from now on."""
        for folder in self.found:
            text = changed.get(MANIFESTS[folder])
            if text is not None:
                self._remember(folder, entries_of(json.loads(text), folder)[0])


def _files(repo: str, remote: RemoteConfig, plan: ConfigPlan) -> dict[str, bool]:
    """What the vault has of an extra path after this cycle, and which of it are programs."""
    files = {path: path in remote.executable for path in remote.files if path == repo or path.startswith(f"{repo}/")}
    for file in plan.files:
        if file.row.repo == repo and file.goes_out:
            if file.merge.theirs is None:
                files.pop(file.path, None)
            else:
                files[file.path] = file.program[2]
    return {path[len(repo) + 1 :]: program for path, program in files.items()}


def _below(entries: Mapping[str, Any], repo: str) -> list[str]:
    return [path for path in entries if path == repo or path.startswith(f"{repo}/")]


def _rename(entries: dict[str, Any], old: str, new: str, *, keep: bool) -> None:
    """`keep`: the machine that gave the new name had what the old one stood for, so that the bases hold."""
    for path in _below(entries, old):
        entry = entries.pop(path)
        if keep:
            entries[new + path[len(old) :]] = entry


def _forget(entries: dict[str, Any], repo: str) -> bool:
    """Without bases nothing counts as deleted. Whether there were any."""
    known = [path for path in _below(entries, repo) if entries[path].get("base")]
    for path in known:
        entries[path]["base"] = None
    return bool(known)
