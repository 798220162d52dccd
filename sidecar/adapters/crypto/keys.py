"""The vault's keys: a current one, those that it replaced, and how each is found by its id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sidecar.adapters.crypto.boxes import DeviceKey, is_public, seal_box
from sidecar.adapters.crypto.primitives import ID_BYTES, KEY_BYTES, SALT_BYTES, derive, from_base64, to_base64, unwrap, wrap
from sidecar.domain.errors import SidecarError

ALGORITHM = "aes-256-gcm"
SCRYPT = {"n": 1 << 16, "r": 8, "p": 1}
MAX_SCRYPT = 8 * SCRYPT["n"] * SCRYPT["r"] * SCRYPT["p"]
"""Of n × r × p: 512 MB and some seconds. Whoever can write to the remote says how much is spent before anything can be checked."""
_COMMIT = re.compile(r"^[0-9a-f]{40}\Z")
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class VaultKey:
    """One key of a vault. `id` tells keys apart and says nothing of them."""

    secret: bytes

    def __repr__(self) -> str:
        return f"VaultKey({self.id.hex()})"

    @cached_property
    def id(self) -> bytes:
        return derive(self.secret, "key id")[:ID_BYTES]

    @cached_property
    def names(self) -> bytes:
        """The key under which large values get their names."""
        return derive(self.secret, "names")

    def check(self, vault: str) -> str:
        """Shows that somebody has this key of this vault, without giving it away."""
        return hmac.new(derive(self.secret, "check"), vault.encode(), hashlib.sha256).hexdigest()[:32]

    def mac(self, manifest: Mapping[str, Any]) -> str:
        """Over a manifest without its `mac`."""
        return self._sign("manifest", {name: value for name, value in manifest.items() if name != "mac"})

    def proof(self, manifest: Mapping[str, Any]) -> str:
        """Over a manifest of a later key, without its `mac` and without proofs: whoever made it had this key as well."""
        retired = [{name: value for name, value in entry.items() if name != "proof"} for entry in manifest["retired"]]
        return self._sign("successor", {name: value for name, value in manifest.items() if name != "mac"} | {"retired": retired})

    def _sign(self, purpose: str, said: Mapping[str, Any]) -> str:
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hmac.new(derive(self.secret, purpose), text.encode(), hashlib.sha256).hexdigest()

    @classmethod
    def new(cls) -> VaultKey:
        return cls(os.urandom(KEY_BYTES))


@dataclass(frozen=True)
class KeyRing:
    """`current` seals; all of them open. What else this device must not forget is kept beside them.

    `pending`: takes the current one's place once the remote is known to have it. `private`: this device's own key pair. `forgotten`:
    (device, commit): its log is read up to there, and no further. `pins`: (device, public key), as first seen. `bounds`: (device, commit):
    how far each log had come when the current key replaced another; None when that was not written down. `config`: the same of the configuration;
    None when there was none.
    """

    current: VaultKey
    retired: tuple[VaultKey, ...] = ()
    forgotten: Pairs = ()
    pending: VaultKey | None = None
    private: DeviceKey | None = None
    pins: Pairs = ()
    bounds: Pairs | None = ()
    config: str | None = None

    @property
    def keys(self) -> tuple[VaultKey, ...]:
        """All of them, the current one first."""
        return (self.current, *([self.pending] if self.pending is not None else []), *self.retired)

    def find(self, key_id: bytes) -> VaultKey | None:
        return next((key for key in self.keys if key.id == key_id), None)

    # --- how it changes -----------------------------------------------------------------------------------------------
    def pinned(self, device: str, public: str) -> KeyRing:
        return replace(self, pins=(*self.pins, (device, public)))

    def rotated(self, bounds: Iterable[tuple[str, str]], forgotten: Pairs, config: str | None) -> KeyRing:
        """A new key, and what the manifest will say of the devices that stay."""
        gone = {device for device, _ in forgotten}
        pins = tuple((device, public) for device, public in self.pins if device not in gone)
        return KeyRing(VaultKey.new(), (self.current, *self.retired), forgotten, None, self.private, pins, tuple(bounds), config)

    def joined(self, mine: KeyRing) -> KeyRing:
        """These keys, read from a manifest, and what this device knew already: a key that it pinned itself counts for more than one it was told."""
        forgotten = {**dict(mine.forgotten), **dict(self.forgotten)}
        pins = {device: public for device, public in {**dict(self.pins), **dict(mine.pins)}.items() if device not in forgotten}
        others = tuple(key for key in mine.keys if self.find(key.id) is None)
        return replace(self, retired=(*self.retired, *others), private=mine.private, pins=tuple(pins.items()), forgotten=tuple(forgotten.items()))

    def precedes(self, mine: KeyRing) -> bool:
        """Whether these are keys from before the ones that this device has."""
        return self.current != mine.current and mine.find(self.current.id) is not None and self.find(mine.current.id) is None

    # --- in the vault's manifest ------------------------------------------------------------------------------------
    def manifest(
        self, vault: str, created: int, passphrase: str | None = None, kept: Mapping[str, Any] | None = None, *, by: str | None = None
    ) -> dict[str, Any]:
        """What the vault says of its keys: enough to tell a wrong one, nothing to find the right one.

        `kept`: its other members. `by`: this device, when it hands a new key to the others.
        """
        said = {
            **(kept or {}),
            "vault": vault,
            "created": created,
            "encryption": ALGORITHM,
            "key": {"id": self.current.id.hex(), "check": self.current.check(vault)},
            "retired": [{"id": key.id.hex(), "wrapped": wrap(self.current.secret, key.secret, vault)} for key in self.retired],
            "forgotten": [{"device": device, "commit": commit} for device, commit in self.forgotten],
            "passphrase": _with_passphrase(passphrase, self.current.secret, vault) if passphrase else None,
            "by": by,
            "config": self.config,
            "members": [self._member(device, commit, vault, by) for device, commit in self.bounds or ()],
        }
        for key, entry in zip(self.retired, said["retired"], strict=True):
            entry["proof"] = key.proof(said)
        said["mac"] = self.current.mac(said)
        return said

    def _member(self, device: str, commit: str, vault: str, by: str | None) -> dict[str, Any]:
        public = self.private.public if device == by and self.private is not None else dict(self.pins).get(device)
        box = None
        if public is not None and device != by and by is not None and self.private is not None:
            box = seal_box(self.current.secret, self.private, public, vault, "key", device, by, self.current.id.hex())
        return {"device": device, "commit": commit, "publicKey": public, "box": box}

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], secret: bytes) -> KeyRing:
        """Raises wrongKey; remoteNotVault when somebody without the key changed the manifest."""
        current = VaultKey(secret)
        try:
            vault = str(manifest["vault"])
            if not hmac.compare_digest(str(manifest["key"]["check"]), current.check(vault)):
                raise wrong_key()
            if not hmac.compare_digest(str(manifest["mac"]), current.mac(manifest)):
                raise tampered()
            retired = tuple(VaultKey(unwrap(secret, str(entry["wrapped"]), vault)) for entry in manifest["retired"])
            members = manifest.get("members")  # None: rotated by a version that did not write them down
            pins = tuple((str(entry["device"]), entry["publicKey"]) for entry in members or () if is_public(entry["publicKey"]))
            config = manifest.get("config")
            if config is not None and not _COMMIT.match(config):
                raise tampered()
            return cls(current, retired, _commits(manifest["forgotten"]), pins=pins, bounds=None if members is None else _commits(members), config=config)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise tampered() from None

    # --- on this machine --------------------------------------------------------------------------------------------
    def to_json(self) -> str:
        return json.dumps(
            {
                "keys": [to_base64(key.secret) for key in (self.current, *self.retired)],
                "forgotten": self.forgotten,
                "pending": to_base64(self.pending.secret) if self.pending is not None else None,
                "private": to_base64(self.private.secret) if self.private is not None else None,
                "pins": self.pins,
                "bounds": self.bounds,
                "config": self.config,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> KeyRing:
        """Raises ValueError."""
        value = json.loads(text)
        try:
            keys = [VaultKey(from_base64(entry)) for entry in value["keys"]]
            if not keys:
                raise ValueError("no key")
            pending, private, bounds = value.get("pending"), value.get("private"), value.get("bounds")
            return cls(
                keys[0],
                tuple(keys[1:]),
                _pairs(value["forgotten"]),
                VaultKey(from_base64(pending)) if pending is not None else None,
                DeviceKey(from_base64(private)) if private is not None else None,
                _pairs(value.get("pins", ())),
                _pairs(bounds) if bounds is not None else None,
                str(value["config"]) if value.get("config") is not None else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from None


def _pairs(value: Iterable[Iterable[str]]) -> Pairs:
    return tuple((str(one), str(other)) for one, other in value)


def _commits(entries: Iterable[Mapping[str, Any]]) -> Pairs:
    """(device, commit) of each entry. Raises ValueError."""
    found = tuple((str(entry["device"]), str(entry["commit"])) for entry in entries)
    if not all(_COMMIT.match(commit) for _, commit in found):
        raise ValueError("not a commit")
    return found


def secret_of_passphrase(manifest: Mapping[str, Any], passphrase: str) -> bytes:
    """The vault's current key, by its passphrase. Raises wrongKey."""
    entry = manifest.get("passphrase")
    if not isinstance(entry, dict):
        raise SidecarError("wrongKey", "This vault has no passphrase.", remedy="Give its recovery key: `link REMOTE --key-file FILE`.")
    try:
        numbers = [entry[name] for name in ("n", "r", "p")]
        if entry["kdf"] != "scrypt" or not all(type(number) is int and 1 <= number <= MAX_SCRYPT for number in numbers) or math.prod(numbers) > MAX_SCRYPT:
            raise tampered()
        salt, wrapped, vault = base64.b64decode(entry["salt"]), str(entry["wrapped"]), str(manifest["vault"])
        return unwrap(_stretch(passphrase, salt, *numbers), wrapped, vault)
    except (KeyError, TypeError, ValueError):
        raise wrong_key() from None


def wrong_key() -> SidecarError:
    return SidecarError(
        "wrongKey", "This is not the key of this vault.", remedy="`opencode-sidecar show-key` on a machine that is linked prints the right one."
    )


def _with_passphrase(passphrase: str, secret: bytes, vault: str) -> dict[str, Any]:
    salt = os.urandom(SALT_BYTES)
    stretched = _stretch(passphrase, salt, SCRYPT["n"], SCRYPT["r"], SCRYPT["p"])
    return {"kdf": "scrypt", **SCRYPT, "salt": to_base64(salt), "wrapped": wrap(stretched, secret, vault)}


def _stretch(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    """Systems type the same letter as one character or as two."""
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt, KEY_BYTES, n, r, p).derive(unicodedata.normalize("NFC", passphrase).encode())


def went_back() -> SidecarError:
    return SidecarError(
        "remoteNotVault",
        "The vault's manifest went back to a key that was replaced: the remote was restored from a backup, or somebody tampers with it.",
        detail=".opencode-sidecar/vault.json",
        remedy="This device goes on with the newer key. `opencode-sidecar rotate-key` puts the manifest right.",
    )


def tampered() -> SidecarError:
    return SidecarError(
        "remoteNotVault",
        "The vault's manifest was changed by somebody who does not have the key.",
        detail=".opencode-sidecar/vault.json",
        remedy="Nothing was used. Restore that file from the repository's history, and find out who can write to it.",
    )
