"""Use cases about the keys of an encrypted vault."""

from __future__ import annotations

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
    from sidecar.adapters.git import VaultRepo

MIN_PASSPHRASE = 12
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
                with self._exclusive(task), self._repo(identity.remote) as repo:
                    _, ring = self._settled(identity, repo, task)
            return ShowKeyResult(recovery.encode(ring.current.secret))

    def rotate_key(self, params: RotateKeyParams, task: Task) -> RotateKeyResult:
        """Seal what is written from now on with a new key; what is there stays readable with the old one, which travels under the new."""
        return self._rotate(task, params.passphrase, forget=None)

    def forget_device(self, params: ForgetDeviceParams, task: Task) -> RotateKeyResult:
        """Rotate the key, and read nothing more of that device."""
        identity = self._encrypted()
        if params.device == identity.device_id or len(params.device) < 8:
            why = "This is the device you are on." if params.device == identity.device_id else "This is no device's id."
            raise SidecarError("invalidParams", why, detail=params.device, remedy="`opencode-sidecar status --json` lists the devices with their ids.")
        return self._rotate(task, None, forget=params.device)

    def _rotate(self, task: Task, passphrase: str | None, *, forget: str | None) -> RotateKeyResult:
        from sidecar.adapters.crypto import KeyRing, VaultKey, recovery
        from sidecar.services import setup

        _check_passphrase(passphrase)
        with self._exclusive(task), self._ours():
            identity = self._encrypted()
            with self._repo(identity.remote) as repo:
                manifest, there = self._settled(identity, repo, task)
                branch = str(manifest.pop("branch"))
                forgotten = there.forgotten
                if forget is not None:
                    if any(device == forget for device, _ in forgotten):
                        raise SidecarError("invalidParams", "This device was forgotten before.", detail=forget, remedy="Use `rotate-key` for a new key.")
                    forgotten = (*forgotten, (forget, setup.pin_log(repo, task, forget)))
                ring = KeyRing(VaultKey.new(), (there.current, *there.retired), forgotten)
                self._store(identity, replace(there, pending=ring.current))  # first: a key that only the remote knows would be lost
                said = ring.manifest(identity.vault_id, int(manifest["created"]), passphrase, kept={n: v for n, v in manifest.items() if n not in _OURS})
                setup.replace_manifest(repo, task, said, branch, "Change the key")
                self._store(identity, ring)
        return RotateKeyResult(recovery.encode(ring.current.secret), ring.current.id.hex())

    def _settled(self, identity: Identity, repo: VaultRepo, task: Task) -> tuple[dict[str, Any], KeyRing]:
        """The remote's manifest, and the keys as it says: a rotation that was interrupted has either happened or not. Raises wrongKey."""
        from sidecar.adapters.crypto import KeyRing
        from sidecar.adapters.crypto.keys import wrong_key
        from sidecar.services import setup

        mine = self._ring(identity)
        manifest = setup.read_vault(repo, task)
        said = manifest.get("key")
        current = next((key for key in mine.keys if isinstance(said, dict) and said.get("id") == key.id.hex()), None)
        if current is None:
            raise wrong_key()
        there = KeyRing.from_manifest({name: value for name, value in manifest.items() if name != "branch"}, current.secret)
        others = tuple(key for key in mine.keys if there.find(key.id) is None)
        ring = replace(there, retired=(*there.retired, *others))
        if ring != mine:
            self._store(identity, ring)
        return manifest, ring

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

    def _sealer(self, identity: Identity) -> Sealer | None:
        if identity.encryption == "none":
            return None
        from sidecar.adapters.crypto import Sealer

        return Sealer(self._ring(identity), identity.vault_id)

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
    return KeyRing(VaultKey.new())


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


def _entry(identity: Identity) -> str:
    return f"{identity.vault_id}/{identity.device_id}"
