"""What the operating system refuses, as an error that says what to do about it."""

from __future__ import annotations

import errno

from sidecar.domain.errors import SidecarError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REMEDIES = {
    errno.EIO: "Check the disk: it reports errors. What is here was not changed.",
    errno.EROFS: "The disk can only be read: check it, and mount it for writing.",
    errno.EACCES: "Give yourself the right to read and write there.",
    errno.EPERM: "Give yourself the right to read and write there.",
    errno.EMFILE: "Raise the limit on open files (`ulimit -n`).",
    errno.ENFILE: "Close some programs: the system has no open file left.",
    errno.ENOMEM: "Close some programs, or raise the limit on memory.",
    errno.EAGAIN: "Close some programs, or raise the limit on processes.",
}
_OTHERWISE = "See what is in the way there; the next cycle tries again."


def disk_full(where: str) -> SidecarError:
    return SidecarError("diskFull", "The disk is full.", detail=where, remedy="Free some space; the next cycle goes on where this one stopped.")


def refused(error: OSError | MemoryError | RuntimeError, where: str) -> SidecarError:
    """`where`: a path, for errors that name none themselves. Raises a RuntimeError that is none of the system's again."""
    if isinstance(error, MemoryError):
        return SidecarError("systemError", "There is not enough memory.", detail=where, remedy=_REMEDIES[errno.ENOMEM])
    if isinstance(error, RuntimeError):  # Python gives no more than these words, in all its versions
        if str(error) != "can't start new thread":
            raise error
        remedy = "Close some programs, or raise the limits on memory and processes."
        return SidecarError("systemError", "The system refused: no thread can be started.", detail=where, remedy=remedy)
    at = str(error.filename or where)
    if error.errno in _FULL:
        return disk_full(at)
    return SidecarError("systemError", f"The system refused: {error.strerror or error}.", detail=at, remedy=_REMEDIES.get(error.errno or 0, _OTHERWISE))
