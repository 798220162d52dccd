"""What git printed, as a kind of error with a remedy. No URL with credentials gets through."""

from __future__ import annotations

import re

from sidecar.domain.errors import SidecarError

_CREDENTIALS = re.compile(r"(\w+://)[^/@\s]+@")
_CREDENTIALS_REFUSED = (
    r"authentication failed|permission denied \(|could not read (username|password)|terminal prompts disabled|access denied|403 forbidden"
    r"|returned error: 40[13]|invalid credentials|host key verification failed|write access to repository not granted"
)
_RULES: tuple[tuple[str, str, str, str], ...] = (
    (r"no space left|disk quota exceeded", "diskFull", "The disk is full.", "Free some space; the next cycle goes on where this one stopped."),
    (
        _CREDENTIALS_REFUSED,
        "authFailed",
        "The remote refused the credentials.",
        "Check that `git ls-remote` works for this remote in a terminal without asking anything.",
    ),
    (
        r"non-fast-forward|fetch first|stale info|cannot lock ref|failed to update ref|\[rejected\]",
        "remoteBusy",
        "The remote's branch moved meanwhile.",
        "The next cycle looks again.",
    ),
    (
        r"pre-receive hook declined|remote rejected|protected branch|permission denied|insufficient permission|read-only file system|unable to create",
        "authFailed",
        "The remote does not accept what is pushed.",
        "Ask for write access to this repository, or use another one.",
    ),
    (
        r"not appear to be a git repository|repository .*not found|does not exist|not a git repository|no such file or directory",
        "remoteUnreachable",
        "There is no git repository at the remote's address.",
        "Create an empty repository there, or correct the address.",
    ),
    (
        r"could not resolve|connection|timed out|unable to access|network is unreachable|early eof|hung up|could not read from remote|operation too slow",
        "remoteUnreachable",
        "The remote cannot be reached.",
        "Check the network; the next cycle tries again. Nothing that was recorded here is lost.",
    ),
)


def without_credentials(text: str) -> str:
    return _CREDENTIALS.sub(r"\1", text)


def from_stderr(stderr: str, command: str) -> SidecarError:
    lines = [line for line in without_credentials(stderr).strip().splitlines() if line.strip() and not line.startswith("hint:")]
    text = " ".join(lines)[-600:]
    for pattern, kind, message, remedy in _RULES:
        if re.search(pattern, text, re.IGNORECASE):
            detail = f"git {command}: {text}"
            if re.search(r"non-fast-forward|fetch first|stale info", text, re.IGNORECASE):
                detail = "nonFastForward"
            return SidecarError(kind, message, detail=detail, remedy=remedy)
    return SidecarError("remoteUnreachable", f"git {command} failed.", detail=text, remedy="See the detail; the next cycle tries again.")
