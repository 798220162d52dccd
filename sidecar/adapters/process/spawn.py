"""Starting a command, and saying in words why it could not be started."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.adapters.process import guard
from sidecar.adapters.process.batch import problem
from sidecar.adapters.process.group import new_group
from sidecar.domain.errors import SidecarError

BATCH_REMEDY = "Run the program that the batch file starts, or give the text through stdin, a file or the environment."
_CREATE_NO_WINDOW = 0x08000000
_CREATE_NEW_PROCESS_GROUP = 0x00000200


def spawn(argv: Sequence[str], cwd: str | None, env: Mapping[str, str], *, stdin: bool) -> subprocess.Popen[bytes]:
    """A running command in a process group of its own; its stdin is a pipe or empty, never ours.

    Raises SidecarError: invalidParams, cwdMissing, commandNotFound, argumentsTooLong, batchArgument.
    """
    _check(argv, cwd, env)
    program = which(argv[0], cwd, env)
    if program is None:
        raise SidecarError(
            "commandNotFound", f"There is no command {argv[0]!r}.", detail=env.get("PATH", ""), remedy="Install it, or give its full path.", retryable=False
        )
    refusal = problem(program, argv, windows=os.name == "nt")
    if refusal is not None:
        raise SidecarError(
            "batchArgument", f"{os.path.basename(program)} is a batch file, and {refusal}.", detail=program, remedy=BATCH_REMEDY, retryable=False
        )
    options: dict[str, Any] = {"creationflags": _CREATE_NO_WINDOW | _CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else new_group()
    try:
        process = subprocess.Popen(
            list(argv),
            executable=program,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            **options,
        )
        guard.watch(process.pid)
        return process
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise SidecarError("argumentsTooLong", "The arguments are longer than this system allows.", remedy="Give them through stdin or a file.") from None
        raise SidecarError(
            "commandNotFound", f"{argv[0]!r} cannot be run: {error.strerror}.", detail=program, remedy="Check that it is a program and may be executed."
        ) from None


def which(name: str, cwd: str | None, env: Mapping[str, str]) -> str | None:
    """Absolute path of a command as a shell in `cwd` with this PATH would find it."""
    if os.sep in name or (os.altsep and os.altsep in name):
        path = os.path.join(cwd or os.getcwd(), name)
        return path if os.path.isfile(path) and os.access(path, os.X_OK) else None
    found = shutil.which(name, path=env.get("PATH", os.defpath))
    return os.path.join(cwd or os.getcwd(), found) if found else None


def _check(argv: Sequence[str], cwd: str | None, env: Mapping[str, str]) -> None:
    if not argv or not argv[0]:
        raise SidecarError("invalidParams", "There is no command to run.", remedy="Give at least one word in argv.")
    if any("\0" in word for word in argv):
        raise SidecarError("invalidParams", "An argument holds a NUL character.", remedy="No system can pass it on.")
    for name, value in env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise SidecarError("invalidParams", f"The environment has an impossible entry: {name[:40]!r}.", remedy="Names may not be empty or hold = or NUL.")
    if cwd is not None and not os.path.isdir(cwd):
        raise SidecarError("cwdMissing", "The folder to run in is not there.", detail=cwd, remedy="Give an existing folder as cwd.")
