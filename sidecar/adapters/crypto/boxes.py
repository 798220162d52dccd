"""A secret for one device: sealed to its public key by another device, which is thereby known to have done it.

X25519 twice, as in HPKE's authenticated mode: with a key made for this box, so that no two look alike, and with the sender's own, which
nobody else can use. What the box is for (vault, both devices, the new key's id) is bound to it, and so are all three public keys.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sidecar.adapters.crypto.primitives import KEY_BYTES, decrypt_once, derive, encrypt_once, to_base64
from sidecar.adapters.segments.values import pack

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


@dataclass(frozen=True)
class DeviceKey:
    """A device's own key pair. `public`: 64 hex digits, told to the other devices."""

    secret: bytes

    def __repr__(self) -> str:
        return f"DeviceKey({self.public[:16]})"

    @cached_property
    def public(self) -> str:
        return self._private.public_key().public_bytes_raw().hex()

    @cached_property
    def _private(self) -> X25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.from_private_bytes(self.secret)

    def agree(self, public: str) -> bytes:
        """What this device and the owner of `public` alone can compute. Raises ValueError, also for keys that would agree with anybody."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        return self._private.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(public)))

    @classmethod
    def new(cls) -> DeviceKey:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return cls(X25519PrivateKey.generate().private_bytes_raw())


def seal_box(secret: bytes, sender: DeviceKey, recipient: str, *place: Any) -> str:
    """Base64 for a manifest. `recipient`: its public key. `place`: what the box is for. Raises ValueError."""
    once = DeviceKey.new()
    shared = once.agree(recipient) + sender.agree(recipient)
    return to_base64(bytes.fromhex(once.public) + encrypt_once(_key(shared, once.public, sender.public, recipient), secret, _context(place)))


def open_box(box: str, recipient: DeviceKey, sender: str, *place: Any) -> bytes:
    """`sender`: its public key. Raises ValueError when it was not sealed by that device, for this one and this place."""
    data = base64.b64decode(box, validate=True)
    once = data[:KEY_BYTES].hex()
    shared = recipient.agree(once) + recipient.agree(sender)
    return decrypt_once(_key(shared, once, sender, recipient.public), data[KEY_BYTES:], _context(place))


def is_public(text: object) -> bool:
    """Whether it has the form of a public key."""
    return isinstance(text, str) and len(text) == 2 * KEY_BYTES and all(digit in "0123456789abcdef" for digit in text)


def _key(shared: bytes, *publics: str) -> bytes:
    return derive(shared, "box", b"".join(map(bytes.fromhex, publics)))


def _context(place: tuple[Any, ...]) -> bytes:
    return b"ocs1" + pack(list(place))
