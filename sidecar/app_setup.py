"""Use cases that make this device part of a vault."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.sync import InitParams, InitResult, LinkParams, LinkResult
from sidecar.adapters.files.atomic import write_private
from sidecar.app_config import ConfigUseCases
from sidecar.app_keys import KeyUseCases, key_store, manifest_of, new_ring, recovery_text, ring_for
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Identity

if TYPE_CHECKING:
    from sidecar.adapters.git import VaultRepo


class SetupUseCases(ConfigUseCases, KeyUseCases):
    """Part of `Sidecar`, which gives it the rest."""

    def init(self, params: InitParams, task: Task) -> InitResult:
        """Make a new vault. Raises invalidRemote, remoteNotEmpty, alreadyConfigured, remoteNotPrivate, and git's kinds."""
        from sidecar.services import setup

        if params.github:
            raise SidecarError(
                "unsupported", "Creating a repository on GitHub is not available yet.", remedy="Create an empty private repository there and give its URL."
            )
        if params.move_to is not None:
            return self._move(params.move_to, acknowledged=params.acknowledge_private, task=task)
        with self._exclusive(task), self._ours():
            self._require_new(replacing=False)
            embedded, encryption, store = params.remote is None, params.encryption or setup.ENCRYPTIONS[1], key_store(params.key_store)
            ring = new_ring(encryption, params.passphrase)
            acknowledged = params.acknowledge_private or ring is not None
            remote = self._embedded_remote() if params.remote is None else self._check(params.remote, acknowledged=acknowledged)
            with self._repo(remote) as repo:
                identity = self._begun(repo, remote, task)
                if identity is None:
                    identity = setup.new_identity(setup.new_vault_id(), remote, params.device_name, embedded=embedded, encryption=encryption, key_store=store)
                    said = None
                    if ring is not None:
                        self._store(identity, ring)  # before the remote has the vault: a key that was never kept would lock it for good
                        said = partial(manifest_of, ring, passphrase=params.passphrase)
                    write_private(self._begun_path, setup.identity_bytes(identity))
                    try:
                        setup.make_vault(repo, task, identity.vault_id, said, adopt=params.adopt)
                    except SidecarError as error:
                        if error.kind in ("remoteNotEmpty", "remoteNotVault"):
                            self._begun_path.unlink()
                        raise
            self._begun_path.replace(self._identity_path)
            ring = self._ring(identity) if identity.encryption != "none" else None
            return InitResult(identity.vault_id, identity.device_id, self._display(remote), recovery_text(ring))

    def _begun(self, repo: VaultRepo, remote: str, task: Task) -> Identity | None:
        """What an `init` that was interrupted had made, when the remote has taken it."""
        from sidecar.services import setup

        begun = setup.read_identity(self._begun_path)
        if begun is None or begun.remote != remote or not repo.remote_heads(task):
            return None
        try:
            return begun if setup.read_vault(repo, task)["vault"] == begun.vault_id else None
        except SidecarError as error:
            if error.kind != "remoteNotVault":
                raise
            return None

    def _move(self, target: str, *, acknowledged: bool, task: Task) -> InitResult:
        """Point this device at another, empty remote and take the vault there, with all logs: some of the others may never come back."""
        from sidecar.services import setup

        with self._exclusive(task), self._ours():
            identity = self._identity()
            remote = self._check(target, acknowledged=acknowledged or identity.encryption != "none")
            with self._repo(remote) as repo:
                heads = repo.remote_heads(task)
                if heads:
                    manifest = setup.read_vault(repo, task)
                    if manifest["vault"] != identity.vault_id:
                        raise SidecarError("remoteNotEmpty", "The new remote holds another vault.", remedy="Give an empty repository.")
                repo.push_known(task, setup.DEFAULT_BRANCH, heads)
                mine = repo.local_ref(identity.ref)
                if identity.branch in heads and mine is not None and repo.is_ancestor(heads[identity.branch], mine):
                    repo.push(task, identity.branch)  # else it was compacted since somebody took it there: the next cycle puts that right
            self._write_identity(replace(identity, remote=remote, embedded=False))
            return InitResult(identity.vault_id, identity.device_id, self._display(remote))

    def link(self, params: LinkParams, task: Task) -> LinkResult:
        """Join an existing vault and show what the first cycle would do; changes nothing in the database."""
        from sidecar.services import report, setup

        with self._exclusive(task), self._ours():
            known = None if params.new_device else setup.read_identity(self._identity_path)
            if known is None or (params.key is None and params.passphrase is None):
                self._require_new(replacing=params.new_device)
            store = key_store(params.key_store)
            remote = self._check(params.remote, acknowledged=True)
            if params.new_device:
                setup.set_aside(self.settings.own_state, ("device.json", "shadow.db", "vault.git"))
            with self._repo(remote) as repo:
                manifest = setup.read_vault(repo, task)
            ring = ring_for(manifest, params.key, params.passphrase)
            self._check(params.remote, acknowledged=params.acknowledge_private or ring is not None)
            if known is not None and known.vault_id != manifest["vault"]:
                self._require_new(replacing=False)
            encryption = "none" if ring is None else str(manifest["encryption"])
            identity = known or setup.new_identity(manifest["vault"], remote, params.device_name, encryption=encryption, key_store=store)
            if ring is not None:
                self._store(identity, ring)
            self._write_identity(identity)
            try:
                with self._workspace(identity) as ws:
                    preview = self._with_config_preview(ws, report.preview(ws, task), task)
                    devices = report.remote_devices(ws, task)
            except SidecarError as error:
                if error.kind in ("databaseMissing", "databaseUnsupported", "databaseCorrupt", "databaseBusy", "databaseReadOnly"):
                    raise  # linked all the same: the remedy is about the database, and sync works once it is there
                if known is None:
                    self._identity_path.unlink(missing_ok=True)
                    self._key_path.unlink(missing_ok=True)
                raise
            return LinkResult(identity.vault_id, identity.device_id, self._display(remote), devices, preview)

    # --- who this device is --------------------------------------------------------------------------------------------
    @property
    def _identity_path(self) -> Path:
        return self.settings.own_state / "device.json"

    @property
    def _begun_path(self) -> Path:
        return self.settings.own_state / "device.begun.json"

    def _identity(self) -> Identity:
        from sidecar.services.setup import read_identity

        identity = read_identity(self._identity_path)
        if identity is None:
            raise SidecarError(
                "notConfigured",
                "This device is not part of a vault yet.",
                remedy="Run `opencode-sidecar init [REMOTE]` to make one, or `opencode-sidecar link REMOTE` to join one.",
            )
        return identity

    def _require_new(self, *, replacing: bool) -> None:
        from sidecar.services.setup import read_identity

        identity = None if replacing else read_identity(self._identity_path)
        if identity is not None:
            raise SidecarError(
                "alreadyConfigured",
                "This device is part of a vault already.",
                detail=self._display(identity.remote),
                remedy="Use `sync`; `init --move-to URL` changes the remote; `link REMOTE --new-device` starts again under a new identity.",
            )

    def _write_identity(self, identity: Identity) -> None:
        from sidecar.services.setup import identity_bytes

        write_private(self._identity_path, identity_bytes(identity))

    def _check(self, text: str, *, acknowledged: bool) -> str:
        from sidecar.adapters.git import check_remote_url
        from sidecar.services.setup import require_private

        url = check_remote_url(str(Path(text).expanduser()) if text.startswith("~") else text)
        require_private(url, acknowledged=acknowledged)
        return url.url

    @staticmethod
    def _display(remote: str) -> str:
        from sidecar.adapters.git import check_remote_url

        return check_remote_url(remote).display

    def _embedded_remote(self) -> str:
        from sidecar.adapters.git import VaultRepo

        path = self.settings.own_state / "embedded.git"
        VaultRepo.create(path, self.settings.environ).close()
        return str(path)
