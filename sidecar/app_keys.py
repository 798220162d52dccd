"""Use cases about the keys of an encrypted vault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.keys import ForgetDeviceParams, RotateKeyParams, RotateKeyResult, ShowKeyParams, ShowKeyResult
from sidecar.app_part import Part
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import FORMAT, Identity

if TYPE_CHECKING:
    from sidecar.adapters.crypto import KeyRing, Sealer
    from sidecar.services.workspace import Keys, Workspace

MIN_PASSPHRASE = 12
ROTATION_ATTEMPTS = 3
_OURS = ("mac", "branch")


class KeyUseCases(Part):
    """Part of `Sidecar`, which gives it the rest."""

    def show_key(self, params: ShowKeyParams, task: Task) -> ShowKeyResult:
        """The recovery key of this device's vault."""
        from sidecar.adapters.crypto import recovery

        if not params.confirm:
            raise SidecarError(
                "invalidParams", "The key is shown only when `confirm` is true.", remedy="Whoever sees it can read every conversation: make sure, then confirm."
            )
        with self._ours():
            identity = self._encrypted()
            ring = self._ring(identity)
            if ring.pending is not None:
                with self._exclusive(task), self._workspace(identity) as ws:
                    self._current(ws, task)
                    ring = ws.ring or ring
            return ShowKeyResult(recovery.encode(ring.current.secret))

    def rotate_key(self, params: RotateKeyParams, task: Task) -> RotateKeyResult:
        """Seal what is written from now on with a new key, and hand it to the other devices; what is there stays readable with the old one."""
        self._encrypted()
        return self._rotate(task, params.passphrase, forget=None)

    def forget_device(self, params: ForgetDeviceParams, task: Task) -> RotateKeyResult:
        """Rotate the key without that device, and read nothing more of it."""
        identity = self._encrypted()
        if params.device == identity.device_id or len(params.device) < 8:
            why = "This is the device you are on." if params.device == identity.device_id else "This is no device's id."
            raise SidecarError("invalidParams", why, detail=params.device, remedy="`opencode-sidecar status --json` lists the devices with their ids.")
        return self._rotate(task, params.passphrase, forget=params.device)

    def _rotate(self, task: Task, passphrase: str | None, *, forget: str | None) -> RotateKeyResult:
        from sidecar.services.receive import fetch_others

        _check_passphrase(passphrase)
        with self._exclusive(task), self._ours(), self._workspace(self._encrypted()) as ws:
            for attempt in range(ROTATION_ATTEMPTS):
                try:
                    manifest = self._current(ws, task)
                    fetch_others(ws, task, ws.heads or {})  # every log as it is now: whose public key was never seen cannot be given the new key
                    self._introduce(ws, task)
                    return self._change(ws, task, manifest, passphrase, forget)
                except SidecarError as error:
                    if error.kind != "remoteBusy" or attempt == ROTATION_ATTEMPTS - 1:
                        raise
                    task.wait(0.2 * (attempt + 1))  # another device changed it at the same moment: on top of that, then
        raise AssertionError("unreachable")

    @staticmethod
    def _introduce(ws: Workspace, task: Task) -> None:
        """A device that never pushed anything does so first: the others must be able to tell who changes the key."""
        from sidecar.services.present import present_own
        from sidecar.services.publish import push_own
        from sidecar.services.recover import recover

        heads, branch = ws.heads or {}, ws.identity.branch
        if branch not in heads:
            if ws.repo.local_ref(ws.identity.ref) != ws.shadow.head_of(ws.identity.device_id)[0]:
                recover(ws, task)
            present_own(ws, task, heads)
            push_own(ws, task, heads)
            heads[branch] = ws.repo.local_ref(ws.identity.ref) or ""

    def _change(self, ws: Workspace, task: Task, manifest: dict[str, Any], passphrase: str | None, forget: str | None) -> RotateKeyResult:
        from sidecar.adapters.crypto import recovery
        from sidecar.services import setup
        from sidecar.services.config_remote import SEALED_BRANCH
        from sidecar.services.standing import extents

        there, identity, heads = ws.ring, ws.identity, ws.heads or {}
        assert there is not None, "the vault is encrypted"
        _require_other_passphrase(manifest, passphrase)
        forgotten = there.forgotten
        if forget is not None:
            if any(device == forget for device, _ in forgotten):
                raise SidecarError("invalidParams", "This device was forgotten before.", detail=forget, remedy="Use `rotate-key` for a new key.")
            forgotten = (*forgotten, (forget, setup.pin_log(ws.repo, task, forget)))
        if there.pending is not None:  # of an attempt that never got through, as far as we know
            there = replace(there, retired=(*there.retired, there.pending), pending=None)
        ring = there.rotated(extents(ws, heads, {device for device, _ in forgotten}), forgotten, heads.get(SEALED_BRANCH))
        ws.use_keys(replace(there, pending=ring.current))  # first: a key that only the remote knows would be lost
        kept = {name: value for name, value in manifest.items() if name not in _OURS}
        said = ring.manifest(identity.vault_id, int(manifest.get("created") or 0), passphrase, kept=kept, by=identity.device_id)
        setup.replace_manifest(ws.repo, task, said, str(manifest["branch"]), "Change the key")
        ws.use_keys(ring.joined(there))
        names = {device: str(info.get("name") or device) for device, info, _, _ in ws.shadow.devices()}
        others = [member for member in said["members"] if member["device"] != identity.device_id]
        given, left = (sorted(names[m["device"]] for m in others if (m["box"] is not None) == has) for has in (True, False))
        return RotateKeyResult(
            recovery.encode(ring.current.secret), ring.current.id.hex(), given, left, passphrase_gone=bool(manifest.get("passphrase")) and passphrase is None
        )

    def _current(self, ws: Workspace, task: Task) -> dict[str, Any]:
        """The remote's manifest; the keys are as it says afterwards: a change that was interrupted, or made elsewhere, is finished first.

        Where somebody who has no key of ours replaced the manifest, or put an older one back, what this device has counts. Raises wrongKey.
        """
        from sidecar.services import setup
        from sidecar.services.manifest import follow_manifest

        ws.heads = ws.repo.remote_heads(task)
        manifest = setup.read_vault(ws.repo, task, ws.heads)
        if manifest["vault"] != ws.identity.vault_id:
            raise SidecarError("remoteNotVault", "The remote holds another vault.", remedy="Check the address; `doctor` says which one is used.")
        problems, branch = follow_manifest(ws, task, ws.heads), str(manifest["branch"])
        if ws.repo.local_ref(f"refs/remotes/origin/{branch}") != ws.heads.get(branch):
            raise SidecarError("remoteBusy", "Another device is changing the vault's key.", remedy="Try again.", retryable=True)
        if problems:
            manifest = {"format": FORMAT, "branch": branch, "created": manifest.get("created")}
        return manifest

    # --- for the other use cases ------------------------------------------------------------------------------------
    def _encrypted(self) -> Identity:
        identity = self._identity()
        if identity.encryption == "none":
            raise SidecarError(
                "unsupported", "This vault is not encrypted: it has no key.", remedy="`opencode-sidecar init` makes encrypted vaults by default."
            )
        return identity

    def _ring(self, identity: Identity) -> KeyRing:
        from sidecar.adapters.crypto import keystore

        return keystore.load(identity.key_store, self._key_path, _entry(identity))

    def _store(self, identity: Identity, ring: KeyRing) -> None:
        from sidecar.adapters.crypto import keystore

        keystore.save(identity.key_store, self._key_path, _entry(identity), ring)

    def _with_device_key(self, identity: Identity | None, ring: KeyRing) -> KeyRing:
        """Keys that were just given, and what this device has: its own key pair, and the public keys of the others as it saw them first.

        `identity`: None for a device that is new.
        """
        from sidecar.adapters.crypto.keys import went_back

        if identity is None:
            return with_device_key(ring)
        try:
            known = self._ring(identity)
        except SidecarError:
            return with_device_key(ring)
        if ring.precedes(known):
            raise went_back()
        return with_device_key(ring.joined(known))

    def _keys(self, identity: Identity) -> Keys:
        """What a workspace needs of this."""
        from sidecar.services.workspace import Keys

        def store(ring: KeyRing) -> Sealer:
            from sidecar.adapters.crypto import Sealer

            self._store(identity, ring)
            return Sealer(ring, identity.vault_id)

        def load() -> Sealer | None:
            if identity.encryption == "none":
                return None
            from sidecar.adapters.crypto import Sealer

            ring = self._ring(identity)
            return store(with_device_key(ring)) if ring.private is None else Sealer(ring, identity.vault_id)

        def settle(ring: KeyRing, manifest: Mapping[str, Any]) -> KeyRing:
            from sidecar.adapters.crypto.succession import settle

            return settle(ring, manifest, identity.device_id)

        return Keys(load, store, settle)

    @property
    def _key_path(self) -> Path:
        return self.settings.own_state / "keys.json"


def new_ring(encryption: str, passphrase: str | None) -> KeyRing | None:
    """For a new vault; None for a plain one. Raises unsupported, invalidParams."""
    from sidecar.adapters.crypto import ALGORITHM, KeyRing, VaultKey

    if encryption not in ("none", ALGORITHM):
        raise SidecarError("unsupported", f"Encryption {encryption!r} is not available.", remedy=f"Use --encryption {ALGORITHM} (the default) or none.")
    _check_passphrase(passphrase)
    if encryption == "none":
        if passphrase is not None:
            raise SidecarError("invalidParams", "A vault without encryption has no passphrase.", remedy="Leave out one of the two.")
        return None
    return with_device_key(KeyRing(VaultKey.new()))


def with_device_key(ring: KeyRing) -> KeyRing:
    """With a key pair of this device, a new one if it has none."""
    from sidecar.adapters.crypto import DeviceKey

    return ring if ring.private is not None else replace(ring, private=DeviceKey.new())


def key_store(kind: str | None) -> str:
    """Where to keep the key. Raises invalidParams."""
    from sidecar.adapters.crypto.keystore import KINDS

    if kind is not None and kind not in KINDS:
        raise SidecarError("invalidParams", f"There is no key store {kind!r}.", remedy=f"Use one of: {', '.join(KINDS)}.")
    return kind or KINDS[0]


def recovery_text(ring: KeyRing | None) -> str | None:
    from sidecar.adapters.crypto import recovery

    return recovery.encode(ring.current.secret) if ring is not None else None


def manifest_of(ring: KeyRing, vault: str, created: int, *, passphrase: str | None) -> dict[str, Any]:
    """What a new vault says of its keys."""
    return ring.manifest(vault, created, passphrase, kept={"format": FORMAT})


def ring_for(manifest: dict[str, Any], key: str | None, passphrase: str | None) -> KeyRing | None:
    """The keys of an existing vault, checked; None for a plain one. Raises wrongKey, invalidParams, remoteNotVault."""
    if manifest.get("encryption", "none") == "none":
        if key is not None or passphrase is not None:
            raise SidecarError(
                "wrongKey",
                "You gave a key, but what is at this address is not encrypted.",
                remedy="If your vault is, somebody replaced it: do not use this address. Else link without a key.",
            )
        return None
    from sidecar.adapters.crypto import KeyRing, recovery
    from sidecar.adapters.crypto.keys import secret_of_passphrase

    if key is None and passphrase is None:
        raise SidecarError(
            "wrongKey",
            "This vault is encrypted: its key is needed.",
            remedy="Give it with --key-file FILE or --passphrase-file FILE; `opencode-sidecar show-key` on the other machine prints it.",
        )
    secret = recovery.decode(key) if key is not None else secret_of_passphrase(manifest, passphrase or "")
    return KeyRing.from_manifest({name: value for name, value in manifest.items() if name != "branch"}, secret)


def _check_passphrase(passphrase: str | None) -> None:
    if passphrase is not None and len(passphrase) < MIN_PASSPHRASE:
        raise SidecarError(
            "invalidParams", f"A passphrase needs {MIN_PASSPHRASE} characters at least.", remedy="Take several words, or none: the recovery key is enough."
        )
    if passphrase is not None and any(0xD800 <= ord(char) < 0xE000 for char in passphrase):
        raise SidecarError("invalidParams", "The passphrase holds halves of characters.", remedy="Take letters, digits and spaces.")


def _require_other_passphrase(manifest: Mapping[str, Any], passphrase: str | None) -> None:
    """Raises invalidParams for the passphrase of the key that is replaced: whoever puts the old manifest back would have it open the old key."""
    from sidecar.adapters.crypto.keys import secret_of_passphrase

    if passphrase is None or not manifest.get("passphrase"):
        return
    try:
        secret_of_passphrase(manifest, passphrase)
    except SidecarError:
        return
    raise SidecarError(
        "invalidParams", "This passphrase opens the key that is to be replaced.", remedy="Take another one, or none: the recovery key is enough."
    )


def _entry(identity: Identity) -> str:
    return f"{identity.vault_id}/{identity.device_id}"
