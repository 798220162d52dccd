"""Where a device keeps its vault's keys: a file that only its owner can read, or the operating system's keyring."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidecar.adapters.crypto.keys import KeyRing
from sidecar.adapters.files.atomic import write_private
from sidecar.domain.errors import SidecarError

KINDS = ("file", "keyring")
SERVICE = "opencode-sidecar"
_SECRET = ("keys", "pending", "private")
KEYRING_SECONDS = 10.0
"""A keyring that is locked may ask somebody who is not there."""


def save(kind: str, path: Path, name: str, ring: KeyRing) -> None:
    """`path`: a file; `name`: the entry of kind `keyring`, which takes the secrets alone: some hold no more than a kilobyte."""
    value = json.loads(ring.to_json())
    if kind != "file":
        secrets = json.dumps({member: value.pop(member) for member in _SECRET})
        _in_time(lambda keyring: keyring.set_password(SERVICE, name, secrets))
    write_private(path, json.dumps(value).encode())


def load(kind: str, path: Path, name: str) -> KeyRing:
    """Raises wrongKey when the keys are not there or cannot be read."""
    try:
        if kind == "file":
            return KeyRing.from_json(path.read_text(encoding="ascii"))
        value = json.loads(_in_time(lambda keyring: keyring.get_password(SERVICE, name)) or "{}")
        if path.exists():
            value = json.loads(path.read_text(encoding="ascii")) | {member: value.get(member) for member in _SECRET}
        return KeyRing.from_json(json.dumps(value))
    except FileNotFoundError:
        raise _missing(str(path), "it is gone") from None
    except (ValueError, TypeError, AttributeError):
        raise _missing(str(path) if kind == "file" else f"keyring entry {SERVICE}", "it is damaged or not there") from None


def _in_time(use: Callable[[Any], Any]) -> Any:
    result: list[Any] = []
    problem: list[BaseException] = []

    def work() -> None:
        try:
            import keyring

            result.append(use(keyring))
        except BaseException as error:  # noqa: BLE001 - reported by the caller's thread
            problem.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(KEYRING_SECONDS)
    if result:
        return result[0]
    why = type(problem[0]).__name__ if problem else f"no answer within {KEYRING_SECONDS:.0f} s"
    raise SidecarError(
        "wrongKey", "The system's keyring cannot be used.", detail=why, remedy="Unlock it, or link again with `--key-store file`.", retryable=True
    )


def _missing(where: str, why: str) -> SidecarError:
    return SidecarError(
        "wrongKey", f"This device's copy of the vault's key cannot be read: {why}.", detail=where, remedy="Run `opencode-sidecar link REMOTE --key-file FILE`."
    )
