"""Use cases that make this device part of a vault."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from protocol.sync import InitParams, InitResult, LinkParams, LinkResult, PreviewResult
from sidecar.adapters.files.atomic import write_private
from sidecar.app_config import ConfigUseCases
from sidecar.app_keys import KeyUseCases, key_store, manifest_of, new_ring, recovery_text, ring_for
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import Identity

if TYPE_CHECKING:
    from sidecar.adapters.git import VaultRepo
    from sidecar.services.workspace import Workspace

_DATABASE = frozenset({"databaseMissing", "databaseUnsupported", "databaseCorrupt", "databaseBusy", "databaseReadOnly"})

OwnKey = tuple[str | None, str | None]
"""A vault's id and its recovery key."""


class SetupUseCases(ConfigUseCases, KeyUseCases):
    """Part of `Sidecar`, which gives it the rest."""

    def init(self, params: InitParams, task: Task) -> InitResult:
        """Make a new vault. Raises invalidRemote, remoteNotEmpty, alreadyConfigured, remoteNotPrivate, and git's kinds."""
        from sidecar.services import setup

        _one_place(params.remote, params.github, params.move_to, params.move_to_github)
        if params.move_to is not None or params.move_to_github is not None:
            return self._move(params, task)
        with self._exclusive(task), self._ours():
            self._require_new(replacing=False)
            embedded, encryption, store = (
                params.remote is None and params.github is None,
                params.encryption or setup.ENCRYPTIONS[1],
                key_store(params.key_store),
            )
            ring = new_ring(encryption, params.passphrase)
            remote = self._embedded_remote() if embedded else self._new_remote(params.remote, params.github, task)
            if ring is None:
                self._require_private(remote, task, acknowledged=params.acknowledge_private)
            with self._repo(remote) as repo:
                repo.forget_fetched()
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
            self._settled_at(remote)
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

    def _move(self, params: InitParams, task: Task) -> InitResult:
        """Point this device at another, empty remote and take the vault there, with all logs: some of the others may never come back."""
        from sidecar.services import setup

        with self._exclusive(task), self._ours():
            identity = self._identity()
            remote = self._new_remote(params.move_to, params.move_to_github, task)
            if identity.encryption == "none":
                self._require_private(remote, task, acknowledged=params.acknowledge_private)
            with self._repo(remote) as repo:
                heads = repo.remote_heads(task)
                if heads and self._vault_of(repo, task, lost=remote == identity.remote) not in (identity.vault_id, None):
                    raise SidecarError("remoteNotEmpty", "The new remote holds another vault.", remedy="Give an empty repository.")
                repo.push_known(task, setup.DEFAULT_BRANCH, heads)
                mine = repo.local_ref(identity.ref)
                if identity.branch in heads and mine is not None and repo.is_ancestor(heads[identity.branch], mine):
                    repo.push(task, identity.branch)  # else it was compacted since somebody took it there: the next cycle puts that right
            self._write_identity(replace(identity, remote=remote, embedded=False))
            return InitResult(identity.vault_id, identity.device_id, self._display(remote))

    @staticmethod
    def _vault_of(repo: VaultRepo, task: Task, *, lost: bool) -> str | None:
        """`lost`: None, instead of remoteNotVault, when the remote has no manifest: it is the one that this device uses."""
        from sidecar.services import setup

        try:
            return str(setup.read_vault(repo, task)["vault"])
        except SidecarError as error:
            if error.kind == "remoteNotVault" and lost:
                return None
            raise

    def link(self, params: LinkParams, task: Task, agree: Callable[[LinkResult], bool] | None = None) -> LinkResult:
        """Join an existing vault and show what the first cycle would do; changes nothing in the database.

        `agree` is shown what would be before anything is kept here, and may say no: Cancelled.
        """
        _one_place(params.remote, params.github)
        if params.remote is None and not params.github:
            raise SidecarError(
                "invalidParams", "Which remote?", remedy="Give a URL, or the name of a repository on GitHub; `sync/findVaults` lists likely ones."
            )
        if params.same_device:
            return self._go_on(params, task)
        asks = params.new_device and params.key is None and params.passphrase is None
        own_key = self._key_here() if asks else (None, None)
        if not params.dry_run and (agree is None or self._known(params) is not None):
            return self._link(params, task, own_key=own_key)
        self._require_new(replacing=params.new_device)
        scratch = self._scratch
        try:
            result = self._would_link(params, scratch, task, own_key)
            if params.dry_run:
                return evolve(result, linked=False)
            if agree is not None and not agree(result):
                raise SidecarError("cancelled", "Not linked: nothing was changed here.", remedy="Run it again when you like.")
            with self._exclusive(task), self._ours():
                if params.new_device:
                    self._give_up_identity()
                if (scratch / "vault.git").exists() and not (
                    self.settings.own_state / "vault.git"
                ).exists():  # what was fetched to look at it need not come twice
                    (scratch / "vault.git").rename(self.settings.own_state / "vault.git")
            return self._link(evolve(params, new_device=False), task, own_key=own_key, shown=result.preview)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _would_link(self, params: LinkParams, scratch: Path, task: Task, own_key: OwnKey) -> LinkResult:
        """Link for real, with everything that is ours in a folder that is thrown away."""
        key_store(params.key_store)
        with self._exclusive(task), self._ours():
            shutil.rmtree(scratch, ignore_errors=True)
            return self._elsewhere(scratch)._link(evolve(params, key_store=None, new_device=False), task, own_key=own_key, without_database=True)

    def _link(self, params: LinkParams, task: Task, *, own_key: OwnKey, shown: PreviewResult | None = None, without_database: bool = False) -> LinkResult:
        """`own_key`: of the vault that this device was part of so far. `shown`: what the first cycle would do, when that was looked at just now."""
        from sidecar.services import report, setup

        with self._exclusive(task), self._ours():
            shutil.rmtree(self._scratch, ignore_errors=True)  # of a look that was killed
            known = self._known(params)
            if known is None or (params.key is None and params.passphrase is None):
                self._require_new(replacing=params.new_device)
            store = key_store(params.key_store)
            remote = self._checked(params.remote or "") if params.github is None else self._find_on_github(params.github, task)
            with self._repo(remote) as repo:
                if known is None and not params.new_device:  # that gets a repository of its own
                    repo.forget_fetched()
                manifest = setup.read_vault(repo, task)
            vault_here, key_here = own_key
            ring = ring_for(manifest, key_here if manifest["vault"] == vault_here else params.key, params.passphrase)
            if ring is None:
                self._require_private(remote, task, acknowledged=params.acknowledge_private)
            if known is not None and known.vault_id != manifest["vault"]:
                self._require_new(replacing=False)
            if params.new_device:
                self._give_up_identity()
            encryption = "none" if ring is None else str(manifest["encryption"])
            identity = known or setup.new_identity(manifest["vault"], remote, params.device_name, encryption=encryption, key_store=store)
            if ring is not None:
                self._store(identity, self._with_device_key(known, ring))
            self._write_identity(identity)
            try:
                with self._workspace(identity) as ws:
                    ws.look_again()
                    preview = shown if shown is not None and shown.cycle_id else self._first_preview(ws, task, without_database=without_database)
                    devices = report.remote_devices(ws, task)
            except SidecarError as error:
                if error.kind in _DATABASE or params.new_device:
                    raise  # linked all the same: sync works once what is wrong is mended, and an identity that was given up has no way back
                if known is None:
                    self._identity_path.unlink(missing_ok=True)
                    self._key_path.unlink(missing_ok=True)
                raise
            return LinkResult(identity.vault_id, identity.device_id, self._display(remote), devices, preview, encrypted=identity.encryption != "none")

    @property
    def _scratch(self) -> Path:
        return self.settings.own_state / "link-preview"

    def _first_preview(self, ws: Workspace, task: Task, *, without_database: bool) -> PreviewResult:
        """`without_database`: configuration comes before opencode was ever started, and is to be seen first all the same."""
        from sidecar.services import report

        try:
            plan = report.preview(ws, task)
        except SidecarError as error:
            if error.kind not in _DATABASE or not without_database:
                raise
            plan = PreviewResult("", up_to_date=True, warnings=[error.message])
        return self._with_config_preview(ws, plan, task)

    def _known(self, params: LinkParams) -> Identity | None:
        """Who this device is already, unless it shall not be that any more."""
        from sidecar.services import setup

        return None if params.new_device else setup.read_identity(self._identity_path)

    def _give_up_identity(self) -> None:
        from sidecar.services import setup

        setup.set_aside(self.settings.own_state, ("device.json", "keys.json", "shadow.db", "vault.git"))

    def _key_here(self) -> OwnKey:
        """The vault that this device, or the one it was copied from, is part of, and its recovery key."""
        with suppress(SidecarError), self._ours():  # it is asked for then
            identity = self._identity()
            if identity.encryption != "none":
                return identity.vault_id, recovery_text(self._ring(identity))
        return None, None

    def _go_on(self, params: LinkParams, task: Task) -> LinkResult:
        """This is the device that it says it is, restored from a backup."""
        from sidecar.services import report, setup
        from sidecar.services.receive import fetch_others
        from sidecar.services.recover import recover
        from sidecar.services.takeback import take_log_back

        if params.new_device:
            raise SidecarError("invalidParams", "It is the same device or a new one.", detail="$.sameDevice", remedy="Give one of the two.")
        with self._exclusive(task), self._ours():
            remote = self._checked(params.remote or "") if params.github is None else self._find_on_github(params.github, task)
            identity = replace(self._identity(), remote=remote)
            if identity.encryption == "none":
                self._require_private(remote, task, acknowledged=params.acknowledge_private)
            with self._repo(identity.remote) as repo:
                manifest = setup.read_vault(repo, task)
            if manifest["vault"] != identity.vault_id:
                self._require_new(replacing=False)
            if params.key is not None or params.passphrase is not None:
                ring = ring_for(manifest, params.key, params.passphrase)
                if ring is not None:
                    self._store(identity, self._with_device_key(identity, ring))
            with self._workspace(identity) as ws:
                moved = take_log_back(ws, task)
            if moved:  # what it remembers is older than the log; a crash before this line leaves an error that asks again
                setup.set_aside(self.settings.own_state, ("shadow.db",))
            self._write_identity(identity)
            with self._workspace(identity) as ws:
                if moved:
                    fetch_others(ws, task, ws.repo.remote_heads(task))
                    recover(ws, task)
                preview = self._with_config_preview(ws, report.preview(ws, task), task)
                where, devices = self._display(identity.remote), report.remote_devices(ws, task)
                return LinkResult(identity.vault_id, identity.device_id, where, devices, preview, encrypted=identity.encryption != "none")

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
        self._settled_at(identity.remote)

    def _new_remote(self, address: str | None, github: str | None, task: Task) -> str:
        return self._make_on_github(github, task) if github is not None else self._checked(address or "")

    def _settled_at(self, remote: str) -> None:
        from sidecar.adapters.git import check_remote_url

        self._privacy().keep_only(check_remote_url(remote))

    @staticmethod
    def _display(remote: str) -> str:
        from sidecar.adapters.git import check_remote_url

        return check_remote_url(remote).display

    def _embedded_remote(self) -> str:
        from sidecar.adapters.git import VaultRepo

        path = self.settings.own_state / "embedded.git"
        VaultRepo.create(path, self.settings.environ).close()
        return str(path)


def _one_place(*places: str | None) -> None:
    """`remote`, `github`, `moveTo`, `moveToGithub`."""
    if sum(place is not None for place in places) > 1:
        raise SidecarError("invalidParams", "There is more than one place: an address, a name on GitHub, an address to move to.", remedy="Give one of them.")
