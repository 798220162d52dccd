"""What everything else here is made of: derived keys, and secrets wrapped under another secret."""

from __future__ import annotations

import base64
import os

KEY_BYTES, ID_BYTES, NONCE_BYTES, SALT_BYTES = 32, 8, 12, 16


def derive(secret: bytes, purpose: str, salt: bytes = b"") -> bytes:
    """32 bytes for one purpose, by HKDF-SHA-256."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, salt or None, b"opencode-sidecar " + purpose.encode()).derive(secret)


def encrypt_once(key: bytes, data: bytes, context: bytes) -> bytes:
    """AES-256-GCM under a key that is used for nothing else."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(bytes(NONCE_BYTES), data, context)


def decrypt_once(key: bytes, data: bytes, context: bytes) -> bytes:
    """Raises ValueError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(bytes(NONCE_BYTES), data, context)
    except InvalidTag:
        raise ValueError("it was changed, or is under another key") from None


def wrap(under: bytes, secret: bytes, vault: str) -> str:
    salt = os.urandom(SALT_BYTES)
    return to_base64(salt + encrypt_once(derive(under, "wrap", salt), secret, vault.encode()))


def unwrap(under: bytes, wrapped: str, vault: str) -> bytes:
    """Raises ValueError."""
    data = base64.b64decode(wrapped, validate=True)
    return decrypt_once(derive(under, "wrap", data[:SALT_BYTES]), data[SALT_BYTES:], vault.encode())


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def from_base64(text: str, size: int = KEY_BYTES) -> bytes:
    """Raises ValueError."""
    data = base64.b64decode(text, validate=True)
    if len(data) != size:
        raise ValueError(f"not {size} bytes")
    return data
