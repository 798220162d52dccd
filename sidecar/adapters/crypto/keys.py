"""The vault's keys: a current one, those that it replaced, and how each is found by its id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sidecar.domain.errors import SidecarError

ALGORITHM = "aes-256-gcm"
KEY_BYTES, ID_BYTES, NONCE_BYTES, SALT_BYTES = 32, 8, 12, 16
SCRYPT = {"n": 1 << 16, "r": 8, "p": 1}
MAX_SCRYPT_N, MAX_SCRYPT_R, MAX_SCRYPT_P = 1 << 20, 16, 4


def derive(secret: bytes, purpose: str, salt: bytes = b"") -> bytes:
    """32 bytes for one purpose, by HKDF-SHA-256."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, salt or None, b"opencode-sidecar " + purpose.encode()).derive(secret)


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
        text = json.dumps({name: value for name, value in manifest.items() if name != "mac"}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hmac.new(derive(self.secret, "manifest"), text.encode(), hashlib.sha256).hexdigest()

    @classmethod
    def new(cls) -> VaultKey:
        return cls(os.urandom(KEY_BYTES))


@dataclass(frozen=True)
class KeyRing:
    """`current` seals; all of them open. `pending`: takes its place once the remote is known to have it. `forgotten`: (device, commit): its log is read up to there, and no further."""

    current: VaultKey
    retired: tuple[VaultKey, ...] = ()
    forgotten: tuple[tuple[str, str], ...] = ()
    pending: VaultKey | None = None

    @property
    def keys(self) -> tuple[VaultKey, ...]:
        """All of them, the current one first."""
        return (self.current, *([self.pending] if self.pending is not None else []), *self.retired)

    def find(self, key_id: bytes) -> VaultKey | None:
        return next((key for key in self.keys if key.id == key_id), None)

    # --- in the vault's manifest ------------------------------------------------------------------------------------
    def manifest(self, vault: str, created: int, passphrase: str | None = None, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the vault says of its keys: enough to tell a wrong one, nothing to find the right one. `kept`: its other members."""
        said = {
            **(kept or {}),
            "vault": vault,
            "created": created,
            "encryption": ALGORITHM,
            "key": {"id": self.current.id.hex(), "check": self.current.check(vault)},
            "retired": [{"id": key.id.hex(), "wrapped": _wrap(self.current.secret, key.secret, vault)} for key in self.retired],
            "forgotten": [{"device": device, "commit": commit} for device, commit in self.forgotten],
            "passphrase": _with_passphrase(passphrase, self.current.secret, vault) if passphrase else None,
        }
        said["mac"] = self.current.mac(said)
        return said

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], secret: bytes) -> KeyRing:
        """Raises wrongKey; remoteNotVault when somebody without the key changed the manifest."""
        current = VaultKey(secret)
        try:
            vault = str(manifest["vault"])
            if not hmac.compare_digest(str(manifest["key"]["check"]), current.check(vault)):
                raise wrong_key()
            if not hmac.compare_digest(str(manifest["mac"]), current.mac(manifest)):
                raise _tampered()
            retired = tuple(VaultKey(_unwrap(secret, str(entry["wrapped"]), vault)) for entry in manifest["retired"])
            return cls(current, retired, tuple((str(entry["device"]), str(entry["commit"])) for entry in manifest["forgotten"]))
        except (KeyError, TypeError, ValueError):
            raise _tampered() from None

    # --- on this machine --------------------------------------------------------------------------------------------
    def to_json(self) -> str:
        secrets = [_base64(key.secret) for key in (self.current, *self.retired)]
        pending = _base64(self.pending.secret) if self.pending is not None else None
        return json.dumps({"keys": secrets, "forgotten": list(self.forgotten), "pending": pending})

    @classmethod
    def from_json(cls, text: str) -> KeyRing:
        """Raises ValueError."""
        value = json.loads(text)
        try:
            keys = [_key(entry) for entry in value["keys"]]
            if not keys:
                raise ValueError("no key")
            pending = _key(value["pending"]) if value.get("pending") is not None else None
            return cls(keys[0], tuple(keys[1:]), tuple((str(device), str(commit)) for device, commit in value["forgotten"]), pending)
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from None


def _base64(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def _key(text: str) -> VaultKey:
    secret = base64.b64decode(text, validate=True)
    if len(secret) != KEY_BYTES:
        raise ValueError("not a key")
    return VaultKey(secret)


def secret_of_passphrase(manifest: Mapping[str, Any], passphrase: str) -> bytes:
    """The vault's current key, by its passphrase. Raises wrongKey."""
    entry = manifest.get("passphrase")
    if not isinstance(entry, dict):
        raise SidecarError("wrongKey", "This vault has no passphrase.", remedy="Give its recovery key: `link REMOTE --key-file FILE`.")
    try:
        n, r, p = int(entry["n"]), int(entry["r"]), int(entry["p"])
        if entry["kdf"] != "scrypt" or not (1 < n <= MAX_SCRYPT_N and 1 <= r <= MAX_SCRYPT_R and 1 <= p <= MAX_SCRYPT_P):
            raise _tampered()
        return _unwrap(_stretch(passphrase, base64.b64decode(entry["salt"]), n, r, p), str(entry["wrapped"]), str(manifest["vault"]))
    except (KeyError, TypeError, ValueError):
        raise wrong_key() from None


def wrong_key() -> SidecarError:
    return SidecarError(
        "wrongKey", "This is not the key of this vault.", remedy="`opencode-sidecar show-key` on a machine that is linked prints the right one."
    )


def _with_passphrase(passphrase: str, secret: bytes, vault: str) -> dict[str, Any]:
    salt = os.urandom(SALT_BYTES)
    stretched = _stretch(passphrase, salt, SCRYPT["n"], SCRYPT["r"], SCRYPT["p"])
    return {"kdf": "scrypt", **SCRYPT, "salt": base64.b64encode(salt).decode(), "wrapped": _wrap(stretched, secret, vault)}


def _stretch(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt, KEY_BYTES, n, r, p).derive(passphrase.encode())


def _wrap(under: bytes, secret: bytes, vault: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt = os.urandom(SALT_BYTES)
    sealed = AESGCM(derive(under, "wrap", salt)).encrypt(bytes(NONCE_BYTES), secret, vault.encode())
    return base64.b64encode(salt + sealed).decode()


def _unwrap(under: bytes, wrapped: str, vault: str) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = base64.b64decode(wrapped, validate=True)
    try:
        return AESGCM(derive(under, "wrap", data[:SALT_BYTES])).decrypt(bytes(NONCE_BYTES), data[SALT_BYTES:], vault.encode())
    except InvalidTag:
        raise wrong_key() from None


def _tampered() -> SidecarError:
    return SidecarError(
        "remoteNotVault",
        "The vault's manifest was changed by somebody who does not have the key.",
        detail=".opencode-sidecar/vault.json",
        remedy="Nothing was used. Restore that file from the repository's history, and find out who can write to it.",
    )
