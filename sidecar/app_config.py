"""Use cases about opencode's configuration: its part of a cycle, our settings, conflicts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.common import NoParams
from protocol.config import ConfigResult, ConfigSetParams, EnableSecretsParams, ResolveParams, ResolveResult
from protocol.sync import Attention, CycleResult, PreviewResult, StatusResult
from protocol.trust import RestoreResult
from sidecar.app_remote import RemoteUseCases
from sidecar.domain.config_plan import LISTS, SWITCHES, ConfigSettings, settings_from
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.adapters.config.store import ConfigStore
    from sidecar.services.config_files import ConfigTools
    from sidecar.services.config_sync import ConfigParts, ConfigSync
    from sidecar.services.workspace import Workspace

SETTINGS_FILE, SYNCEDS_FILE = "opencode-sidecar.jsonc", "opencode-synced.jsonc"
_NO_DATABASE = frozenset({"databaseMissing", "databaseUnsupported", "databaseCorrupt"})
_NEW = b"// Settings of opencode-sidecar; docs/configuration.md says what they mean.\n{}\n"


class ConfigUseCases(RemoteUseCases):
    """Part of `Sidecar`, which gives it the rest."""

    # --- our settings -----------------------------------------------------------------------------------------------
    def config_get(self, _params: NoParams, _task: Task) -> ConfigResult:
        """Our settings as they apply."""
        with self._ours():
            chosen, problems, source = self._config_settings()
        path = self.settings.config_root / SETTINGS_FILE
        lists = (chosen.extra_config, chosen.extra_secret, chosen.allow_secrets_in)
        return ConfigResult(str(path), str(source), dict(chosen.switches), {name: list(value) for name, value in zip(LISTS, lists, strict=True)}, problems)

    def config_set(self, params: ConfigSetParams, task: Task) -> ConfigResult:
        """Change settings; comments in their file stay. Raises invalidParams, remoteNotPrivate."""
        from sidecar.adapters.config import files, jsonc

        given = {name: value for name, value in params.values.items() if value is not None}
        unknown = sorted(set(params.values) - set(SWITCHES) - set(LISTS))
        problems = [f"there is no setting {name}" for name in unknown] + settings_from(given)[1]
        if problems:
            raise SidecarError("invalidParams", f"{problems[0][:1].upper()}{problems[0][1:]}.", remedy="See docs/configuration.md.")
        with self._ours():
            if params.values.get("includeSecrets"):
                self._allow_secrets(task, acknowledged=False)
            path = self.settings.config_root / SETTINGS_FILE
            data = files.read_or_none(path) if path.exists() else None
            try:
                value = dict(jsonc.parse(data or _NEW).value)
                for name, new in params.values.items():
                    value.pop(name, None)
                    if new is not None:
                        value[name] = new
                changed = jsonc.edit(data or _NEW, value)
            except (jsonc.SyntaxProblem, TypeError, ValueError) as error:
                raise _bad_settings(path, str(error)) from None
            if changed != data:
                files.write(files.place_of(path, ""), changed, private=False)
        return self.config_get(NoParams(), task)

    def enable_secrets(self, params: EnableSecretsParams, task: Task) -> ConfigResult:
        """opencode's credentials travel from the next cycle on, with the rest of the configuration. Raises remoteNotPrivate."""
        with self._ours():
            self._allow_secrets(task, acknowledged=params.acknowledge_private)
        return self.config_set(ConfigSetParams({"includeConfig": True, "includeSecrets": True}), task)

    def _allow_secrets(self, task: Task, *, acknowledged: bool) -> None:
        """A vault that is sealed may hold credentials, and one that strangers cannot read. One that is made later is asked about then."""
        from sidecar.services.setup import read_identity

        identity = read_identity(self.settings.own_state / "device.json")
        if identity is not None and identity.encryption == "none" and not identity.embedded:
            self._require_private(identity.remote, task, acknowledged=acknowledged)

    def _config_settings(self) -> tuple[ConfigSettings, list[str], Path]:
        """Ours; what they do not say is as opencode-synced's say, as far as they go."""
        from sidecar.domain.config_synced import taken_over

        ours, synceds = (self.settings.config_root / name for name in (SETTINGS_FILE, SYNCEDS_FILE))
        theirs, notes = taken_over(_settings_in(synceds))
        chosen, problems = settings_from({**theirs, **_settings_in(ours)})
        return chosen, problems + [f"{SYNCEDS_FILE}: {note}" for note in notes], ours if ours.exists() or not synceds.exists() else synceds

    def _problems_of_settings(self) -> list[str]:
        return self._config_settings()[1]

    # --- in a cycle ---------------------------------------------------------------------------------------------------
    def _with_config(self, ws: Workspace, sessions: Callable[[], CycleResult], task: Task, *, publish: bool, fetch: bool, allow_deletions: bool) -> CycleResult:
        """A cycle of sessions, and the configuration's part. What goes wrong with one does not hold up the other."""
        try:
            result = sessions()
        except SidecarError as error:
            if error.kind in _NO_DATABASE:  # opencode was never started here: it shall find its settings when it is
                self._config_part(ws, CycleResult(uuid.uuid4().hex[:12], up_to_date=False), task, publish=publish, fetch=fetch, allow_deletions=allow_deletions)
            raise
        return self._config_part(ws, result, task, publish=publish, fetch=fetch, allow_deletions=allow_deletions)

    def _config_part(self, ws: Workspace, result: CycleResult, task: Task, *, publish: bool, fetch: bool, allow_deletions: bool) -> CycleResult:
        """Add it to a result. What goes wrong is told there."""
        from attrs import evolve

        from sidecar.domain.config_names import Refused
        from sidecar.services.config_model import note_files

        try:
            sync = self._config_sync(ws, task)
            if sync is None:
                return result
            heads = ws.heads if ws.heads is not None else ws.repo.remote_heads(task)
            done = sync.run(result.cycle_id, heads, publish=publish, fetch=fetch, allow_deletions=allow_deletions)
            note_files(ws, result.cycle_id, done.files)
        except (SidecarError, Refused, OSError) as error:
            return evolve(result, config={"failed": 1}, warnings=[*result.warnings, self._config_failed(error)])
        quiet = result.up_to_date and not done.files and not done.pushed
        return evolve(result, config=done.counts, warnings=[*result.warnings, *done.warnings], up_to_date=quiet)

    def _config_failed(self, error: Exception) -> str:
        """What to tell; `status` shows it until it works again."""
        if isinstance(error, SidecarError) and error.kind == "cancelled":
            raise error
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, SidecarError):
            text = f"{error.message} {f'({error.detail}) ' if error.detail else ''}{error.remedy}".strip()
        store = self._config_store()
        with suppress(OSError):
            store.save(store.load() | {"error": text})
        return f"Configuration was not synced: {text}"

    def _with_config_preview(self, ws: Workspace, result: PreviewResult, task: Task, *, allow_deletions: bool = False) -> PreviewResult:
        from attrs import evolve

        from sidecar.services.config_show import file_changes

        try:
            sync = self._config_sync(ws, task)
            if sync is None:
                return result
            plan = sync.preview(ws.repo.remote_heads(task), allow_deletions=allow_deletions)
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            warning = f"Configuration would not be synced: {error.message} ({error.detail}) {error.remedy}"
            return evolve(result, config={"failed": 1}, warnings=[*result.warnings, warning])
        files = file_changes(plan, plan.overrides.names | plan.names)
        kinds = [file.change for file in files]
        counts = {
            "in": sum(kind in ("in", "both", "deleteIn") for kind in kinds),
            "out": sum(kind in ("out", "both", "deleteOut") for kind in kinds),
            "conflicts": sum(len(file.merge.conflicts) for file in plan.files),
            "moved": sum(len(file.merge.moved) for file in plan.files),
            "problems": len(plan.problems),
        }
        warnings = [*result.warnings, *(f"{path}: {why}." for path, why in plan.problems)]
        return evolve(result, config=counts, files=files, warnings=warnings, up_to_date=result.up_to_date and not files)

    def _with_config_status(self, result: StatusResult) -> StatusResult:
        from attrs import evolve

        from sidecar.services.config_show import attention, counts

        try:
            if not self._config_settings()[0].on:
                return result
        except SidecarError as error:
            return evolve(result, attention=[*result.attention, Attention("", "config", f"{error.message} {error.detail}")])
        state = self._config_store().load()
        return evolve(result, config=counts(state), attention=[*result.attention, *attention(state)])

    # --- conflicts ----------------------------------------------------------------------------------------------------
    def resolve(self, params: ResolveParams, task: Task) -> ResolveResult:
        """List or settle what was changed here and elsewhere. Raises invalidParams."""
        from sidecar.services.config_model import note_files
        from sidecar.services.config_resolve import resolve

        cycle = uuid.uuid4().hex[:12]
        with self._exclusive(task), self._ours(), self._workspace(remote=False) as ws:
            sync = self._config_sync(ws, task)
            if sync is None:
                raise SidecarError(
                    "unsupported", "Configuration is not synced on this device.", remedy="`opencode-sidecar config includeConfig true` turns it on."
                )
            result = resolve(sync, cycle, params)
            note_files(ws, cycle, [entry["repo"] for entry in sync.parts.store.backup(cycle)])
            return result

    # --- going back ---------------------------------------------------------------------------------------------------
    def _files_of(self, cycle: str) -> list[str]:
        return [str(entry["repo"]) for entry in self._config_store().backup(cycle)]

    def _restore_files(self, ws: Workspace, cycle: str, result: RestoreResult) -> RestoreResult:
        """Put the files of a cycle back as they were; the next cycle takes that to the other machines, as it would a person's edit."""
        from attrs import evolve

        from sidecar.services.config_model import note_files
        from sidecar.services.config_restore import restore_files

        parts = self._config_parts(self._config_settings()[0])
        files, skipped = restore_files(parts, cycle, result.cycle_id)
        note_files(ws, result.cycle_id, files, kind="restore")
        return evolve(result, files=files, skipped=[*result.skipped, *skipped])

    # --- parts --------------------------------------------------------------------------------------------------------
    def _config_store(self) -> ConfigStore:
        from sidecar.adapters.config.store import ConfigStore

        return ConfigStore(self.settings.own_state)

    def _config_sync(self, ws: Workspace, task: Task) -> ConfigSync | None:
        """None while it is not turned on."""
        from sidecar.services.config_sync import ConfigSync

        chosen, _, _ = self._config_settings()
        return ConfigSync(ws, self._config_parts(chosen), task) if chosen.on else None

    def _config_parts(self, chosen: ConfigSettings) -> ConfigParts:
        from sidecar.adapters.config.desktop import desktop_file, is_running
        from sidecar.adapters.config.local import LocalFiles
        from sidecar.services.config_sync import ConfigParts

        at = self.settings
        roots = {"config": at.config_root, "data": at.data_root, "state": at.state_root, "home": at.home}
        parts = (chosen, LocalFiles(roots, at.own_state, at.db), self._config_store(), self._config_tools(), at.config_root, str(at.home))
        file = desktop_file(at.home, at.environ) if chosen.switches["includeProjects"] else None
        return ConfigParts(*parts) if file is None else ConfigParts(*parts, str(file), lambda: is_running(file, at.environ))

    def _config_tools(self) -> ConfigTools:
        from sidecar.adapters.config import jsonc
        from sidecar.adapters.config.textmerge import merge_text
        from sidecar.adapters.secrets.settings import looks_secret, secret_line
        from sidecar.services.config_files import ConfigTools

        environ = self.settings.environ

        def union(base: bytes, mine: bytes, theirs: bytes) -> bytes:
            return merge_text(environ, base, mine, theirs, union=True) or mine

        return ConfigTools(
            value_of=lambda text: jsonc.parse(text).value,
            edit=jsonc.edit,
            without_comments=jsonc.without_comments,
            merge_text=lambda base, mine, theirs: merge_text(environ, base, mine, theirs),
            union_text=union,
            looks_secret=looks_secret,
            secret_line=secret_line,
            in_environment=lambda name: name in environ,
        )


def _settings_in(path: Path) -> dict[str, Any]:
    """Raises invalidParams."""
    from sidecar.adapters.config import files, jsonc
    from sidecar.domain.config_names import Refused

    try:
        data = files.read_or_none(path)
        value = jsonc.parse(data).value if data is not None else {}
    except (Refused, ValueError) as error:
        raise _bad_settings(path, str(error)) from None
    if not isinstance(value, dict):
        raise _bad_settings(path, "it is no object")
    return value


def _bad_settings(path: Path, why: str) -> SidecarError:
    return SidecarError("invalidParams", "The settings cannot be read.", detail=f"{path}: {why}", remedy="Mend the file, or remove it to have the defaults.")
