"""The error tree. Everything a user can meet is a SidecarError with a kind, what, where and a remedy.

SidecarError
├── Cancelled                 the caller asked to stop; nothing is half-done
└── one instance per ErrorKind otherwise: hosts branch on `kind`, never on the text
"""

from __future__ import annotations

from typing import Final

RETRYABLE: Final = frozenset({"locked", "remoteUnreachable", "databaseBusy", "diskFull", "remoteBusy"})


class SidecarError(Exception):
    """An operation failed for a reason the user can act on.

    kind: stable camelCase string (see protocol/errors.py for the list).
    message: one line, what was wrong. detail: where (path, URL without credentials, row). remedy: what to do.
    """

    def __init__(self, kind: str, message: str, *, detail: str = "", remedy: str = "", retryable: bool | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.detail = detail
        self.remedy = remedy
        self.retryable = kind in RETRYABLE if retryable is None else retryable


class Cancelled(SidecarError):
    """The caller asked to stop. Raised only at safe points."""

    def __init__(self) -> None:
        super().__init__("cancelled", "The operation was cancelled.", remedy="Run it again when you like; nothing was left half-done.")
