"""Kinds of errors and their codes: outside JSON-RPC's reserved block, one number each, never reused."""

from __future__ import annotations

from typing import Final

from attrs import frozen

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
SERVER_NOT_INITIALIZED, REQUEST_CANCELLED = -32002, -32800

KINDS: Final[dict[str, tuple[int, str]]] = {
    "notConfigured": (-31001, "This device is not part of a vault."),
    "alreadyConfigured": (-31002, "This device is part of a vault already."),
    "locked": (-31003, "Another process is syncing this data directory."),
    "invalidRemote": (-31004, "Not a git remote that may be used."),
    "remoteUnreachable": (-31005, "The remote cannot be reached, or is not there."),
    "authFailed": (-31006, "The remote refused the credentials, or what was pushed."),
    "remoteNotVault": (-31007, "The remote is not a vault."),
    "remoteNotEmpty": (-31008, "The remote holds something else."),
    "remoteNotPrivate": (-31009, "Nothing shows that the remote is private."),
    "remoteBusy": (-31010, "The remote moved meanwhile."),
    "newerFormat": (-31011, "Written in a format newer than this program."),
    "gitMissing": (-31012, "git is missing or too old."),
    "databaseMissing": (-31013, "opencode's database is not there."),
    "databaseBusy": (-31014, "The database has been locked for too long."),
    "databaseReadOnly": (-31015, "The database cannot be written."),
    "databaseCorrupt": (-31016, "The database is damaged."),
    "databaseUnsupported": (-31017, "Not opencode's database, or an unknown version."),
    "diskFull": (-31018, "The disk is full."),
    "segmentCorrupt": (-31019, "Something in the vault is damaged."),
    "identityCloned": (-31020, "Two machines use one device identity."),
    "deletionGuard": (-31021, "Suspiciously many deletions were held back."),
    "wrongKey": (-31022, "The key does not fit the vault."),
    "conflict": (-31023, "Both sides changed the same thing."),
    "unsupported": (-31024, "Not available in this version."),
    "commandNotFound": (-31025, "There is no such command, or it may not be run."),
    "cwdMissing": (-31026, "The folder to run a command in is not there."),
    "argumentsTooLong": (-31027, "The arguments are longer than the system allows."),
    "processGone": (-31028, "The command is not running, or does not read any more."),
    "systemError": (-31033, "The operating system refused: rights, a failing disk, no memory, too many open files."),
    "batchArgument": (-31040, "An argument that a Windows batch file would take for a command."),
    "parseError": (PARSE_ERROR, "Not JSON in UTF-8, or not a frame; the answer has id null."),
    "invalidRequest": (INVALID_REQUEST, "Not a request that may be sent now."),
    "methodNotFound": (METHOD_NOT_FOUND, "No such method."),
    "notInitialized": (SERVER_NOT_INITIALIZED, "`initialize` comes first."),
    "invalidParams": (INVALID_PARAMS, "The params do not fit the method."),
    "internal": (INTERNAL_ERROR, "Something unexpected happened; see data.incidentId."),
    "cancelled": (REQUEST_CANCELLED, "The caller asked to stop."),
}
"""kind -> (code, meaning)."""


def code_of(kind: str) -> int:
    """The JSON-RPC error code of a kind."""
    return KINDS.get(kind, KINDS["internal"])[0]


def protocol_error_data(code: int) -> dict[str, object]:
    """The `data` of an error of the protocol itself, as on the wire."""
    kind = next((kind for kind, (its_code, _) in KINDS.items() if its_code == code), "internal")
    return {"kind": kind, "detail": "", "remedy": "See docs/protocol.md.", "retryable": False}


@frozen
class ErrorData:
    """The `data` member of every error. Hosts branch on `kind`, never on the message."""

    kind: str
    detail: str = ""
    remedy: str = ""
    retryable: bool = False
    issues: list[str] | None = None
    incident_id: str | None = None
