"""Use cases about where the vault is: repositories on GitHub, and who can read a remote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from protocol.sync import FindVaultsParams, FindVaultsResult, FoundVault
from sidecar.adapters.files.atomic import write_private
from sidecar.app_part import Part
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.adapters.git import RemoteUrl
    from sidecar.adapters.github import Gh, Repository
    from sidecar.services.privacy import PrivacyGate
    from sidecar.services.workspace import Identity

DEFAULT_NAME = "opencode-sidecar-vault"
USUAL_NAMES = (DEFAULT_NAME, "my-opencode-config", "opencode-config", "opencode-sync", "opencode-synced", "dotfiles-opencode")
"""Ours, and what opencode-synced looks for."""


class RemoteUseCases(Part):
    """Part of `Sidecar`, which gives it the rest."""

    # --- GitHub -----------------------------------------------------------------------------------------------------
    def find_vaults(self, _params: FindVaultsParams, task: Task) -> FindVaultsResult:
        """The user's repositories on GitHub that are likely vaults. Raises commandNotFound, authFailed, remoteUnreachable."""
        from sidecar.services.workspace import VAULT_FILE

        with self._ours():
            gh = self._gh()
            found = [one for one in gh.mine(task) if one.name.name.lower() in USUAL_NAMES]
            found.sort(key=lambda one: USUAL_NAMES.index(one.name.name.lower()))
            return FindVaultsResult([self._found(one, vault=not one.empty and gh.has_file(one.name, VAULT_FILE, task)) for one in found])

    @staticmethod
    def _found(one: Repository, *, vault: bool) -> FoundVault:
        return FoundVault(one.name.full, one.url, one.visibility, vault, one.empty)

    def _make_on_github(self, text: str, task: Task) -> str:
        """Address of a private repository of this name: made now, or there already. Raises remoteNotPrivate, authFailed, invalidParams."""
        from sidecar.adapters.github import parse_name

        name = parse_name(text or DEFAULT_NAME, self.settings.environ)
        gh = self._gh(name.host)
        name = gh.complete(name, task)
        there = gh.view(name, task)
        if there is None:
            task.report("create", message=f"making {name.full}")
            gh.create(name, task)
            for pause in (0.0, 1.0, 3.0):  # GitHub may need a moment until it shows what it made
                task.wait(pause)
                there = there or gh.view(name, task)
        if there is None or there.visibility != "private":
            shown = f"{name.full} on {name.host}"
            what = "cannot be seen after it was made" if there is None else f"is {there.visibility}: others can read it"
            raise SidecarError("remoteNotPrivate", f"The repository {what}.", detail=shown, remedy="Make it private on GitHub, or take another name.")
        return there.url

    def _find_on_github(self, text: str, task: Task) -> str:
        """Address of an existing repository. Raises remoteUnreachable."""
        from sidecar.adapters.github import parse_name

        name = parse_name(text, self.settings.environ)
        gh = self._gh(name.host)
        name = gh.complete(name, task)
        there = gh.view(name, task)
        if there is None:
            raise SidecarError(
                "remoteUnreachable",
                "There is no such repository on GitHub, or gh's login may not see it.",
                detail=name.full,
                remedy="`opencode-sidecar link --github` lists yours that are likely; `gh auth status` shows who you are.",
                retryable=False,
            )
        return there.url

    def _gh(self, host: str | None = None) -> Gh:
        from sidecar.adapters.github import Gh, host_of

        folder = next(path for path in (self.settings.own_state, *self.settings.own_state.parents) if path.is_dir())
        return Gh(self.settings.environ, host or host_of(self.settings.environ), str(folder))

    # --- who can read it ----------------------------------------------------------------------------------------------
    def _privacy(self) -> PrivacyGate:
        from sidecar.services.privacy import PrivacyGate

        path = self.settings.own_state / "privacy.json"

        def load() -> bytes | None:
            return path.read_bytes() if path.exists() else None

        return PrivacyGate(load, lambda data: write_private(path, data), self._visibility, self._wall)

    def _visibility(self, url: RemoteUrl, task: Task) -> str:
        """What gh says of an address, or that nobody knows."""
        from sidecar.adapters.github import repository_of
        from sidecar.services.privacy import UNKNOWN

        name = repository_of(url, self.settings.environ)
        if name is None:
            return UNKNOWN
        try:
            return self._gh(name.host).visibility(name, task) or UNKNOWN
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            return UNKNOWN

    def _require_private(self, remote: str, task: Task, *, acknowledged: bool) -> None:
        from sidecar.adapters.git import check_remote_url

        self._privacy().require(check_remote_url(remote), task, acknowledged=acknowledged)

    def _still_private(self, identity: Identity, task: Task) -> None:
        """Before something that is not sealed goes out."""
        if identity.encryption == "none" and not identity.embedded:
            from sidecar.adapters.git import check_remote_url

            self._privacy().recheck(check_remote_url(identity.remote), task)

    def _who_can_read(self, identity: Identity, task: Task) -> tuple[bool, str, str]:
        from sidecar.adapters.git import check_remote_url

        url, gate = check_remote_url(identity.remote), self._privacy()
        if url.kind == "file":
            return True, "a folder: whoever may read it", ""
        visibility, acknowledged = gate.look(url, task), gate.known(url).acknowledged
        sealed = identity.encryption != "none"
        said = "you said that strangers cannot read it" if acknowledged else "nobody can tell who can read it"
        shown = {"unknown": said, "internal": f"every member of its enterprise can read it; {said}"}.get(visibility, f"{visibility} on GitHub")
        remedy = (
            "Make it private on GitHub, or `init --move-to URL`." if visibility == "public" else "Check who can read it; `init --move-to` changes the remote."
        )
        return sealed or visibility == "private" or (acknowledged and visibility != "public"), shown + ("; sealed" if sealed else ""), remedy

    @staticmethod
    def _checked(text: str) -> str:
        """What git may be given as a remote. Raises invalidRemote."""
        from sidecar.adapters.git import check_remote_url

        return check_remote_url(str(Path(text).expanduser()) if text.startswith("~") else text).url
