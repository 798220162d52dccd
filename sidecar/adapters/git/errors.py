"""What git printed, as a kind of error with a remedy. No credentials get through."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecar.domain.errors import SidecarError

MINIMUM = (2, 31)
_USERINFO = re.compile(r"(\w+://)[^/\s'\"]*@")
_SECRET_PARAMETER = re.compile(r"([?&;][\w-]*(?:token|key|secret|password|auth)[\w-]*=)[^&\s'\"]+", re.IGNORECASE)
_TOKEN = re.compile(r"\b(?:gh[a-z]_|github_pat_)\w+")
_HEADER = re.compile(r"(authorization:\s*\w+\s+)\S+", re.IGNORECASE)
_NOISE = re.compile(r"^(hint:|warning: redirecting|\s*$|(remote: )?(Enumerating|Counting|Compressing|Receiving|Writing|Resolving|Total|Delta))")
_MAX_DETAIL = 600
_TRY_LS_REMOTE = "Check that `git ls-remote` works for this remote in a terminal without asking anything."


_REMOTE, _HERE, _FETCH = "remote", "here", "fetch"
"""What a command is about: the remote, our own copy, or both: `fetch` writes here what comes from there."""
_ANYWHERE = frozenset({_REMOTE, _HERE, _FETCH})


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: str
    kind: str
    message: str
    remedy: str
    where: frozenset[str] = frozenset({_REMOTE, _FETCH})
    detail: str | None = None


_DAMAGED = ("segmentCorrupt", "A repository lacks an object or holds a damaged one.", "Run `opencode-sidecar verify`. Nothing of it was used.")
# The first that matches wins: git's last line is often a general one ("Could not read from remote repository").
_RULES = (
    _Rule(
        r"no space left on device|disk quota exceeded|not enough space|disk full|out of disk ?space",
        "diskFull",
        "The disk is full.",
        "Free some space; the next cycle goes on where this one stopped.",
        where=_ANYWHERE,
    ),
    _Rule(
        r"unable to parse [0-9a-f]{40} header"  # flipped bits, of which git may make a size that nothing has room for
        r"|attempting to allocate \d+ over limit",
        *_DAMAGED,
        where=_ANYWHERE,
    ),
    _Rule(
        r"out of memory|cannot allocate memory|mmap failed|unable to create thread|cannot fork|unable to fork|resource temporarily unavailable"
        r"|too many open files|malloc failed",
        "systemError",
        "The system did not give git enough memory, processes or open files.",
        "Close some programs, or raise the limits (`ulimit`).",
        where=_ANYWHERE,
    ),
    _Rule(
        r"host key verification failed|remote host identification has changed",
        "authFailed",
        "The remote's ssh host key is not known, or has changed.",
        "Connect once with `ssh` in a terminal and accept the key if it is the right one.",
    ),
    _Rule(
        r"authentication failed|permission denied \(|permission denied, please try again|could not read (username|password)|terminal prompts disabled"
        r"|access denied|403 forbidden|returned error: 40[137]|invalid (credentials|username)|too many authentication failures|no such identity",
        "authFailed",
        "The remote refused the credentials.",
        _TRY_LS_REMOTE,
    ),
    _Rule(
        r"\(non-fast-forward\)|\(fetch first\)|\(stale info\)|denynonfastforwards|denying non-fast-forward",
        "remoteBusy",
        "The remote's branch moved meanwhile.",
        "The next cycle looks again.",
        detail="nonFastForward",
    ),
    _Rule(
        r"cannot lock ref|failed to update ref|reference already exists|couldn't find remote ref|incorrect old value|not our ref|unable to create '[^']*\.lock': file exists",
        "remoteBusy",
        "Somebody else is changing the remote just now.",
        "The next cycle looks again.",
    ),
    _Rule(
        r"input/output error|read-only file system|permission denied|operation not permitted|couldn't (set|write)|cannot update ref|fsync error"
        r"|unable to (create|write|append|open|rename|unlink)|failed to (write|close|open)|could not (open|write|rename|lock)|cannot (open|create|store|lock)",
        "systemError",
        "The system refused git a file in our folder.",
        "Check the disk and the rights there; the next cycle tries again.",
        where=frozenset({_HERE, _FETCH}),
    ),
    _Rule(
        r"missing necessary objects|bad object refs/|invalid object type|loose object \S+ .*is corrupt",
        "segmentCorrupt",
        "The remote's repository is damaged, or lacks objects.",
        "Restore it from a backup, or take the vault to an empty repository with `opencode-sidecar init --move-to URL`.",
    ),
    _Rule(
        r"hook declined|\[remote rejected\]|protected branch|write access to repository not granted|insufficient permission"
        r"|read-only file system|remote unpack failed|unable to create temporary|permission denied",
        "authFailed",
        "The remote does not accept what is pushed.",
        "Ask for write access to this repository and look at its branch rules, or use another one.",
    ),
    _Rule(
        r"transport '[^']*' not allowed",
        "invalidRemote",
        "git's configuration sends this remote to a transport that is not allowed.",
        "Look for `url.*.insteadOf` in your git configuration; only https, ssh and file are used.",
    ),
    _Rule(
        r"is not a git command|unable to find remote helper|cannot run ssh|ssh: (command )?not found",
        "gitMissing",
        "git lacks the part that talks to this remote.",
        "Install git with https support, or ssh, and try again.",
    ),
    _Rule(
        r"detected dubious ownership",
        "remoteUnreachable",
        "git does not trust the repository at the remote's address: it belongs to another user.",
        "Let the folder belong to you, or add it to git's `safe.directory`.",
    ),
    _Rule(
        r"(inflate|object file|packfile|pack|index|tree|commit|blob).*(corrupt|is empty|bad header|bad signature)|missing (blob|tree|commit)|bad object|bad tree"
        r"|unable to read (tree|[0-9a-f]{40})|could not read [0-9a-f]{40}|did not send all necessary objects|not a valid object|sha1 mismatch"
        r"|unable to read sha1 file|bad revision|not a tree object|needed a single revision",
        *_DAMAGED,
        where=_ANYWHERE,
    ),
    _Rule(
        r"not appear to be a git repository|repository .*not found|does not exist|not a git repository|no such file or directory|no such remote|returned error: 404",
        "remoteUnreachable",
        "There is no git repository at the remote's address, or you may not see it.",
        "Create an empty repository there, correct the address, or ask for access. Is a drive or share not mounted?",
    ),
    _Rule(
        r"could not resolve|connection|timed out|unable to access|network is unreachable|no route to host|early eof|hung up|could not read from remote"
        r"|operation too slow|rpc failed|unexpected disconnect|ssl|tls|returned error: (429|5\d\d)",
        "remoteUnreachable",
        "The remote cannot be reached.",
        "Check the network; the next cycle tries again. Nothing that was recorded here is lost.",
    ),
)


def without_credentials(text: str) -> str:
    text = _TOKEN.sub("***", _USERINFO.sub(r"\1", text))
    return _HEADER.sub(r"\1***", _SECRET_PARAMETER.sub(r"\1***", text))


def from_stderr(stderr: str, command: str, *, network: bool = True) -> SidecarError:
    lines = without_credentials(stderr).replace("\r", "\n").splitlines()
    text = " ".join(line.strip() for line in lines if not _NOISE.match(line))
    shown = text[-_MAX_DETAIL:]
    where = _FETCH if command == "fetch" else _REMOTE if network else _HERE
    for rule in _RULES:
        if where in rule.where and re.search(rule.pattern, text, re.IGNORECASE):
            return SidecarError(rule.kind, rule.message, detail=rule.detail or f"git {command}: {shown}", remedy=rule.remedy)
    if network:
        return SidecarError("remoteUnreachable", f"git {command} failed.", detail=shown, remedy="See the detail; the next cycle tries again.")
    return SidecarError("internal", f"git {command} failed.", detail=shown, remedy="Run `opencode-sidecar verify` and report the detail.")


def killed(command: str, number: int) -> SidecarError:
    """git did not end by itself."""
    remedy = "Was it killed for want of memory, or by a person? The next cycle tries again."
    return SidecarError("systemError", f"git {command} was stopped by signal {number}.", remedy=remedy)


def git_missing(why: str) -> SidecarError:
    wanted = ".".join(map(str, MINIMUM))
    return SidecarError("gitMissing", "git is not installed, or not on the PATH.", detail=why[:200], remedy=f"Install git {wanted} or newer.")


def git_too_old(version: str) -> SidecarError:
    return SidecarError("gitMissing", f"git {version} is too old.", remedy=f"Install git {'.'.join(map(str, MINIMUM))} or newer.")


def timed_out(seconds: float) -> SidecarError:
    return SidecarError(
        "remoteUnreachable",
        f"The remote did not answer for {seconds:.0f} seconds.",
        detail="quiet",
        remedy=f"{_TRY_LS_REMOTE} A credential helper that waits for an answer looks the same.",
    )


def damaged(what: str, why: str) -> SidecarError:
    return SidecarError(
        "segmentCorrupt",
        "The vault's repository lacks an object or holds a damaged one.",
        detail=f"{what[:200]}: {why[:300]}",
        remedy="Nothing of it was used; the other devices keep syncing.",
    )
