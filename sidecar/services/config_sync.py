"""Configuration in a cycle: look, merge with what the vault has, push, then write here. Nothing here is touched before the push got through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.domain import config_overrides
from sidecar.domain.config_merge import MISSING, Conflict, canonical
from sidecar.domain.config_names import Refused, clashes
from sidecar.domain.config_overrides import Overrides
from sidecar.domain.config_pairs import PAIRS
from sidecar.domain.config_plan import FOLDER, PROJECTS, TEXT, ConfigSettings, Row, excluded, policy_of, row_of, rows_for
from sidecar.domain.config_synced import in_pieces
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.config_extras import Extras
from sidecar.services.config_files import ConfigTools, Content, FileMerger
from sidecar.services.config_model import ConfigOutcome, ConfigPlan, FilePlan, commit_message, moved_texts, plain_text
from sidecar.services.config_remote import ConfigVault, RemoteConfig
from sidecar.services.config_spelling import placed, spellings, stands_for
from sidecar.services.projects_sync import merge_projects
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.adapters.config.local import LocalConfig, LocalFiles
    from sidecar.adapters.config.store import ConfigStore

ATTEMPTS = 6
GUARD_FILES, GUARD_SHARE = 20, 0.5
BOTH_NAMES = [path.rpartition("/")[2] for pair in PAIRS for path in pair]
_NEW_OVERRIDES = b"// What applies to this machine only; opencode-sidecar never pushes it.\n{}\n"


@dataclass(frozen=True, slots=True)
class ConfigParts:
    """What configuration sync works with. `folder`: opencode's configuration folder, where the overrides are."""

    settings: ConfigSettings
    local: LocalFiles
    store: ConfigStore
    tools: ConfigTools
    folder: Path
    home: str
    desktop: str | None = None
    desktop_runs: Callable[[], bool] = lambda: False


class ConfigSync:
    """One cycle's part for the configuration. The caller holds the data directory's lock."""

    def __init__(self, ws: Workspace, parts: ConfigParts, task: Task) -> None:
        self.ws, self.parts, self.task = ws, parts, task
        self.state: dict[str, Any] = parts.store.load()
        self.entries: dict[str, Any] = self.state.setdefault("files", {})
        self._forget_other_vaults()
        self.extras = Extras(parts.settings, parts.home, self.state)
        self.spellings = spellings(parts.local, parts.folder, self.entries, self.entries)
        self.rows = self._rows()

    def _forget_other_vaults(self) -> None:
        """A base of another vault says nothing about this one."""
        if self.state.get("vault") != self.ws.identity.vault_id:
            self.entries.clear()
            self.state.clear()
            self.state |= {"vault": self.ws.identity.vault_id, "files": self.entries}

    # --- a cycle --------------------------------------------------------------------------------------------------
    def run(self, cycle: str, heads: Mapping[str, str], *, publish: bool, fetch: bool, allow_deletions: bool = False) -> ConfigOutcome:
        """Raises SidecarError; what was finished before it stays."""
        for attempt in range(ATTEMPTS):
            vault = ConfigVault(self.ws, heads)
            local = self._scan()
            now = [local.stamp, heads.get(vault.branch), self._key()]
            if not allow_deletions and now == [self.state.get(name) for name in ("stamp", "commit", "key")]:
                return ConfigOutcome(self._counts())
            remote = self._fetch(vault, heads)
            local = self._in_its_places(vault, remote, local)
            plan = self.plan(vault, local, remote, allow_deletions=allow_deletions)
            self._keep_secrets(plan)
            outcome = ConfigOutcome(warnings=[f"{path}: {why}." for path, why in plan.problems])
            try:
                if publish:
                    outcome.warnings += [moved for file in plan.files for moved in moved_texts(file)]
                    remote = self._push(vault, remote, plan, outcome)
                break
            except SidecarError as error:
                if error.kind not in ("remoteBusy", "conflict") or attempt == ATTEMPTS - 1:
                    raise
                self.task.wait(0.05 * (attempt + 1))
                heads = self.ws.repo.remote_heads(self.task)
        if fetch:
            self._write(cycle, plan, outcome)
        self._remember(plan, remote, publish=publish, fetch=fetch)
        outcome.counts = self._counts() | {
            "in": len(outcome.files),
            "out": sum(file.goes_out for file in plan.files) if publish else 0,
            "moved": sum(len(file.merge.moved) for file in plan.files) if publish else 0,
        }
        if outcome.counts["conflicts"]:
            outcome.warnings.append(f"{outcome.counts['conflicts']} settings were changed here and elsewhere: `opencode-sidecar resolve` lists them.")
        return outcome

    def preview(self, heads: Mapping[str, str], *, allow_deletions: bool = False) -> ConfigPlan:
        """What a cycle would do; changes nothing."""
        vault = ConfigVault(self.ws, heads)
        remote = self._fetch(vault, heads)
        return self.plan(vault, self._in_its_places(vault, remote, self._scan()), remote, allow_deletions=allow_deletions)

    def _scan(self) -> LocalConfig:
        watched = [self.parts.folder / name for name in (config_overrides.OURS, config_overrides.SYNCEDS, *BOTH_NAMES)]
        local = self.parts.local.scan(self.rows, watched)
        chosen = json.dumps([[row.repo, row.local] for row in self.rows] + [list(self.parts.settings.allow_secrets_in)])
        local.stamp = hashlib.sha256((local.stamp + chosen).encode("utf-8", "surrogateescape")).hexdigest()
        return local

    def _rows(self) -> list[Row]:
        return placed(rows_for(self.parts.settings, self.extras.rows(), self.parts.desktop), self.spellings)

    def _in_its_places(self, vault: ConfigVault, remote: RemoteConfig, local: LocalConfig) -> LocalConfig:
        """Extra paths, and files with two names, may be called otherwise in this vault than we would call them."""
        self.extras.look(vault, remote, self.parts.tools, self.entries)
        self.spellings = spellings(self.parts.local, self.parts.folder, self.entries, self.entries if self._went_back else remote.files)
        for old, new in (one.moved for one in self.spellings if one.moved is not None):
            self.entries.setdefault(new, self.entries.pop(old))
        rows = self._rows()
        if rows == self.rows:
            return local
        self.rows = rows
        return self._scan()

    def _fetch(self, vault: ConfigVault, heads: Mapping[str, str]) -> RemoteConfig:
        remote = vault.fetch(self.task, heads)
        known = int(self.state.get("generation", 0))
        if remote.absent:
            remote.generation = known
        if vault.sealed and remote.commit is not None and (remote.generation < known or (remote.reseal and self.state.get("key") == self._key())):
            remote.problems.append((vault.branch, "it went back to an older state than this device has seen; what is here was pushed again"))
            remote.generation = max(known, remote.generation)
            if remote.reseal:  # written by somebody who has the old key only
                remote.files, remote.names = {}, {}
            self._went_back = True
        return remote

    _went_back = False
    """What the vault has is older than what this device has seen of it: it counts as what was seen."""

    def _key(self) -> str | None:
        return self.ws.sealer.ring.current.id.hex() if self.ws.sealer is not None else None

    # --- planning -------------------------------------------------------------------------------------------------
    def plan(self, vault: ConfigVault, local: LocalConfig, remote: RemoteConfig, *, allow_deletions: bool = False) -> ConfigPlan:
        """Merge every file that changed on either side since the last cycle."""
        problems = [*local.problems, *remote.problems, *self.extras.problems, *(problem for one in self.spellings for problem in one.problems)]
        overrides = self.overrides()
        plan = ConfigPlan(problems=problems, overrides=overrides, stamp=local.stamp)
        merger = FileMerger(self.parts.tools, overrides, sealed=vault.sealed, allowed=self.parts.settings.allow_secrets_in, filled=self.state.get("filled", ()))
        paths = self._paths(local, remote, plan)
        keep = self._vanished(plan, paths, local, remote) if not allow_deletions else set()
        main = self._main_file(local, remote)
        for number, (path, row) in enumerate(sorted(paths.items())):
            self.task.report("config", number, len(paths))
            try:
                plan.files.append(self._file(vault, merger, local, remote, path, row, main=path == main, kept=path in keep))
            except Refused as error:
                plan.problems.append((path, str(error)))
        plan.problems += [(file.path, file.merge.problem) for file in plan.files if file.merge.problem is not None]
        plan.problems += [(file.path, file.merge.later) for file in plan.files if file.merge.later is not None]
        plan.problems += [(file.path, plain_text(file.merge.plain)) for file in plan.files if file.merge.plain]
        plan.names = {name: text for name, text in merger.names.items() if overrides.names.get(name) != text}
        return plan

    def _file(
        self, vault: ConfigVault, merger: FileMerger, local: LocalConfig, remote: RemoteConfig, path: str, row: Row, *, main: bool, kept: bool
    ) -> FilePlan:
        base = self._base(path) if not remote.absent else None
        here = self.parts.local.read(local.files[path]) if path in local.files else None
        there = base if self._went_back else vault.read(remote, path) if path in remote.files else None
        if there is not None and in_pieces(there):
            raise Refused("opencode-synced cut it into pieces, which are not read")
        pushing = self.entries.get(path, {}).get("pushing")
        if pushing and there is not None and policy_of(row, path, there) == TEXT and hashlib.sha256(there).hexdigest() == pushing[1]:
            base = self.parts.store.get(pushing[0]) or base
        if row.policy == PROJECTS:
            merge = merge_projects(self.ws, self.parts.tools, here, there, self.state.get("projects", []), self.parts.desktop_runs)
            return FilePlan(path, row, here, there, merge, self.parts.local.place(row, path) if merge.mine != here else None)
        entry = self.entries.get(path, {})
        merge = merger.merge(row, path, base, base if kept else here, there, main=main, apart=bool(entry.get("apart")))
        if kept and merge.mine == base:
            merge.mine = None
        plan = FilePlan(path, row, here, there, merge, program=self._program(path, row, local, remote))
        plan.target = self.parts.local.place(row, path) if plan.comes_in else None
        return plan

    def _program(self, path: str, row: Row, local: LocalConfig, remote: RemoteConfig) -> tuple[bool, bool, bool]:
        """Who changed the mark last decides."""
        if row.policy != FOLDER:
            return False, False, False
        base = bool(self.entries.get(path, {}).get("program"))
        here = self.parts.local.is_program(local.files[path], base) if path in local.files else base
        there = path in remote.executable if path in remote.files else base
        return here, there, here if here != base else there

    def _paths(self, local: LocalConfig, remote: RemoteConfig, plan: ConfigPlan) -> dict[str, Row]:
        """Every path to look at, with its row; of two spellings of one name neither is touched that is not the first."""
        refused = {path for path, _ in remote.problems}
        found = {}
        for path in {*local.files, *remote.files, *self.entries}:
            row = row_of(path, self.rows)
            if row is None:
                continue
            rest = path[len(row.repo) + 1 :]
            if row.policy == FOLDER and (excluded(row, rest) or self.parts.local.keeps_out(row, rest)):
                continue
            if path not in refused and row.repo not in local.unreadable:
                found[path] = row
        for path, other in clashes(found).items():
            del found[path]
            plan.problems.append((path, f"it is the same as {other} on some systems"))
        return found

    def _vanished(self, plan: ConfigPlan, paths: dict[str, Row], local: LocalConfig, remote: RemoteConfig) -> set[str]:
        """Paths of which so many went at once, here or in the vault, that perhaps nobody meant it. Those gone in the vault are left alone.

        A sealed vault is written by the user's own devices alone, and they have asked already.
        """
        known = {path for path in paths if self.entries.get(path, {}).get("base")}
        limit = max(GUARD_FILES, int(len(self.entries) * GUARD_SHARE))
        here = {path for path in known if path not in local.files and path in remote.files}
        trusted = remote.absent or self._went_back or self.ws.identity.encryption != "none"
        there = set() if trusted else {path for path in known if path in local.files and path not in remote.files}
        for gone, where, other in ((here, "here", "elsewhere"), (there, "in the vault", "here")):
            if len(gone) > limit:
                plan.guarded += len(gone)
                plan.problems.append(
                    ("config", f"{len(gone)} files are gone {where} at once; nothing was deleted {other}; --allow-deletions says it was meant")
                )
        if len(there) > limit:
            for path in there:
                del paths[path]
        return here if len(here) > limit else set()

    def _main_file(self, local: LocalConfig, remote: RemoteConfig) -> str | None:
        names = [row.repo for row in self.rows if row.overrides]
        return next((name for name in names if name in local.files), next((name for name in names if name in remote.files), None))

    def _base(self, path: str) -> Content:
        return self.parts.store.get(self.entries.get(path, {}).get("base"))

    def overrides(self) -> Overrides:
        """What applies to this machine only."""
        found: list[Any] = []
        for name in (config_overrides.OURS, config_overrides.SYNCEDS):
            try:
                data = self.parts.local.read(self.parts.folder / name)
                found.append(self.parts.tools.value_of(data) if data is not None else {})
            except (Refused, ValueError) as error:
                raise SidecarError(
                    "invalidParams",
                    "The overrides of this machine cannot be read; configuration is not synced until they can.",
                    detail=f"{name}: {error}",
                    remedy="Mend the file, or remove it.",
                ) from None
        return config_overrides.read(found[0], found[1], self.state.get("overrides", {}))

    # --- doing ----------------------------------------------------------------------------------------------------
    def _keep_secrets(self, plan: ConfigPlan) -> None:
        """What is about to travel as a placeholder is safe in our overrides first; so is what a person changed at an override's place."""
        names = {name: text for file in plan.files for name, text in file.merge.names.items() if plan.overrides.names.get(name) != text}
        if not names and not plan.overrides.edits:
            return
        path = self.parts.folder / config_overrides.OURS
        data = self.parts.local.read(path)
        value = self.parts.tools.value_of(data) if data is not None else {}
        new = self.parts.tools.edit(data or _NEW_OVERRIDES, config_overrides.written(value, plan.overrides, names), None)
        try:
            self.parts.local.write_private(path, new)
        except OSError as error:
            for file in plan.files:
                if file.merge.names.keys() & names or (file.row.overrides and plan.overrides.edits):
                    file.merge.problem = f"what shall stay on this machine cannot be written to {config_overrides.OURS}: {error.strerror or error}"
                    plan.problems.append((file.path, file.merge.problem))

    def _push(self, vault: ConfigVault, remote: RemoteConfig, plan: ConfigPlan, outcome: ConfigOutcome) -> RemoteConfig:
        changed: dict[str, Content] = {file.path: file.merge.theirs for file in plan.files if file.goes_out}
        if self._went_back:
            changed = {file.path: file.merge.theirs for file in plan.files}
        changed |= self.extras.changes(remote, plan, anyway=bool(changed))
        if not changed and not remote.reseal:
            return remote
        outcome.pushed = True
        self._note_pushing(plan)
        new = vault.push(self.task, remote, changed, commit_message(plan.files, changed), {file.path for file in plan.files if file.program[2]})
        self.extras.pushed(changed)
        return new

    def _note_pushing(self, plan: ConfigPlan) -> None:
        """Should the process end before these are written here, what the vault has then is what ours was merged into, not somebody's other edit."""
        both = [file for file in plan.files if file.comes_in and file.goes_out and file.here is not None and file.merge.theirs is not None]
        for file in both:
            entry = self.entries.setdefault(file.path, {})
            entry["pushing"] = [self.parts.store.put(file.here or b""), hashlib.sha256(file.merge.theirs or b"").hexdigest()]
        if both:
            self.parts.store.save(self.state)

    def _write(self, cycle: str, plan: ConfigPlan, outcome: ConfigOutcome) -> None:
        """Each file's state before is kept first; a file that changed since it was read waits for the next cycle."""
        for file in plan.files:
            if not file.comes_in or file.target is None:
                continue
            self.task.check()
            try:
                now = self.parts.local.read(file.target)
                if now != file.here:
                    raise Refused("it changed just now; the next sync merges it")
                self.parts.store.back_up(cycle, file.path, file.target, now, self.parts.local.mode(file.target))
                self.parts.local.write(file.row, file.target, file.merge.mine, program=file.program[2] if file.row.policy == FOLDER else None)
                outcome.files.append(file.path)
            except Refused as error:
                file.merge.problem = str(error)
                outcome.warnings.append(f"{file.path}: {error}.")

    def _remember(self, plan: ConfigPlan, remote: RemoteConfig, *, publish: bool, fetch: bool) -> None:
        store, whole = self.parts.store, not plan.guarded
        for file in plan.files:
            merge, entry = file.merge, self.entries.setdefault(file.path, {})
            waiting = merge.problem is not None or merge.later is not None or (file.goes_out and not publish) or (file.comes_in and not fetch)
            whole &= not waiting
            entry["problem"] = merge.problem
            if merge.problem is None:
                entry["conflicts"] = [self._conflict(file, conflict) for conflict in merge.conflicts]
                entry["theirs"] = store.put(file.there) if merge.conflicts and file.there is not None else None
            if not waiting:
                entry["base"] = store.put(merge.base) if merge.base is not None else None
                entry["apart"], entry["pushing"] = merge.apart, None
                entry["program"] = file.program[2] and merge.mine is not None
                self.state["projects"] = merge.seen if merge.seen is not None else self.state.get("projects", [])
            entry["as"] = stands_for(file.row) if (merge.mine if fetch else file.here) is not None else None
            if not any(entry.values()):
                del self.entries[file.path]
        self.state.pop("error", None)
        self.state["problems"] = [[path, why] for path, why in plan.problems]
        self.state["generation"] = max(remote.generation, int(self.state.get("generation", 0)))
        self.state["commit"], self.state["key"] = remote.commit, self._key() if not remote.reseal or publish else self.state.get("key")
        if fetch:
            self.state["overrides"] = config_overrides.applied(plan.overrides)
            self.state["filled"] = sorted(plan.overrides.names | plan.names)
        changed_here = any(file.comes_in for file in plan.files) or plan.names or plan.overrides.edits
        self.state["stamp"] = plan.stamp if whole and not changed_here else None
        store.save(self.state)
        used = [entry.get(name) for entry in self.entries.values() for name in ("base", "theirs")]
        used += [entry["pushing"][0] for entry in self.entries.values() if entry.get("pushing")]
        store.keep_only(name for name in used if name)
        store.prune(lambda: {cycle.id for cycle in self.ws.journal.cycles(-1)})

    @staticmethod
    def _conflict(file: FilePlan, conflict: Conflict) -> dict[str, Any]:
        def shown(value: Any) -> str | None:
            if value is MISSING:
                return None
            return "" if file.row.secret or not conflict.path else canonical(value)[:300]

        return {"key": list(conflict.path), "mine": shown(conflict.mine), "theirs": shown(conflict.theirs)}

    def _counts(self) -> dict[str, int]:
        conflicts = sum(len(entry.get("conflicts") or ()) for entry in self.entries.values())
        return {"in": 0, "out": 0, "conflicts": conflicts, "moved": 0, "problems": len(self.state.get("problems", ()))}
