"""Sealing what goes into the vault: every stored object has a key of its own and is bound to its place.

An object is a sequence of pieces. Its key is derived from the vault's by a random salt, so no nonce is ever used twice: the
nonce is the piece's number. The associated data names vault, device, kind and place, so that nothing can be moved.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

from sidecar.adapters.crypto.keys import KeyRing, VaultKey
from sidecar.adapters.crypto.primitives import ID_BYTES, NONCE_BYTES, SALT_BYTES, derive
from sidecar.adapters.segments.values import pack
from sidecar.domain.errors import SidecarError

PREFIX_BYTES = ID_BYTES + SALT_BYTES
"""Key id and salt, in front of every sealed object."""


class Sealed:
    """One object's key and place; `prefix` is stored in front of it."""

    def __init__(self, key: VaultKey, salt: bytes, context: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.prefix = key.id + salt
        self._aead = AESGCM(derive(key.secret, "object", salt))
        self._context = context

    def seal(self, piece: int, data: bytes) -> bytes:
        return self._aead.encrypt(piece.to_bytes(NONCE_BYTES, "big"), data, self._context)

    def open(self, piece: int, data: bytes) -> bytes:
        """Raises ValueError when it is not what was sealed for this place."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aead.decrypt(piece.to_bytes(NONCE_BYTES, "big"), data, self._context)
        except InvalidTag:
            raise ValueError("it was changed, or belongs to another place") from None


class Sealer:
    """For one vault. `place` is made of texts and numbers."""

    def __init__(self, ring: KeyRing, vault: str) -> None:
        self.ring, self._vault = ring, vault

    def new(self, *place: Any) -> Sealed:
        return Sealed(self.ring.current, os.urandom(SALT_BYTES), self._context(place))

    def known(self, prefix: bytes, *place: Any) -> Sealed:
        """Raises wrongKey when this device lacks the key."""
        key = self.ring.find(bytes(prefix[:ID_BYTES]))
        if key is None or len(prefix) != PREFIX_BYTES:
            raise SidecarError(
                "wrongKey",
                "Something in the vault was sealed with a key that this device does not have.",
                detail=prefix[:ID_BYTES].hex(),
                remedy="The next sync takes over the vault's new key; if it does not, run `opencode-sidecar link REMOTE --key-file FILE` with it.",
            )
        return Sealed(key, bytes(prefix[ID_BYTES:]), self._context(place))

    def seal_whole(self, data: bytes, *place: Any) -> bytes:
        """An object of one piece."""
        sealed = self.new(*place)
        return sealed.prefix + sealed.seal(0, data)

    def open_whole(self, data: bytes, *place: Any) -> bytes:
        """Raises wrongKey, ValueError."""
        return self.known(data[:PREFIX_BYTES], *place).open(0, data[PREFIX_BYTES:])

    def names_of(self, sha256: bytes) -> list[str]:
        """What a large value may be called in the vault, under each key, the current one first; says nothing of its content."""
        return [hmac.new(key.names, sha256, hashlib.sha256).hexdigest() for key in self.ring.keys]

    def _context(self, place: tuple[Any, ...]) -> bytes:
        return b"ocs1" + pack([self._vault, *place])
