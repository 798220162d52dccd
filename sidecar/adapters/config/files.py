"""The user's own files: finding them, reading them, writing them. Nothing that a remote sends leads out of a row's folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.domain.config_names import Refused
from sidecar.domain.config_plan import BEING_WRITTEN

MAX_FILE = 8 << 20
MAX_FILES = 5_000
MAX_DEPTH = 24
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe would wait for somebody who writes."""
ATTEMPTS, PAUSE = 5, 0.05
"""How often a file that is being written is looked at again, and after how many seconds."""


@dataclass(slots=True)
class Listing:
    """Files of one row: place below it ("" for the row itself) -> path. `stamp` moves when any of them does."""

    files: dict[str, Path] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    stamp: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    unreadable: bool = False
    """The row as a whole could not be listed: what is missing there was not deleted."""


def list_row(root: Path, leave_out: Callable[[str], bool]) -> Listing:
    """What is there. A link of the user's own is followed at the row itself; inside a folder only as far as it stays inside."""
    found = Listing()
    try:
        mode = root.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if root.is_symlink():
            found.problems.append(("", "it is a link to something that is not there"))
            found.unreadable = True
        return found
    except OSError as error:
        found.problems.append(("", error.strerror or str(error)))
        found.unreadable = True
        return found
    if stat.S_ISREG(mode):
        _add(found, "", root)
    elif stat.S_ISDIR(mode):
        try:
            _walk(found, root.resolve(), root.resolve(), "", leave_out)
        except Refused as error:
            return Listing(problems=[("", str(error))], unreadable=True)
    else:
        found.problems.append(("", "it is neither a file nor a folder"))
        found.unreadable = True
    return found


def _walk(found: Listing, top: Path, folder: Path, prefix: str, leave_out: Callable[[str], bool]) -> None:
    if prefix.count("/") > MAX_DEPTH:
        raise Refused("its folders are nested too deeply")
    for entry in _entries(folder, prefix, leave_out):
        rest = prefix + entry.name
        if entry.is_symlink() and not _stays_inside(top, Path(entry.path)):
            found.problems.append((rest, "it is a link that leads out of its folder, or to another folder"))
        elif entry.is_dir():
            _walk(found, top, Path(entry.path), f"{rest}/", leave_out)
        elif entry.is_file():
            _add(found, rest, Path(entry.path))
        else:
            found.problems.append((rest, "it is not a regular file"))
        if len(found.files) > MAX_FILES:
            raise Refused(f"it has more than {MAX_FILES} files")


def _entries(folder: Path, prefix: str, leave_out: Callable[[str], bool]) -> list[os.DirEntry[str]]:
    """In order; no more of them than are any use."""
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not leave_out(prefix + entry.name):
                    found.append(entry)
                if len(found) > MAX_FILES:
                    raise Refused(f"it has more than {MAX_FILES} files")
    except OSError as error:
        raise Refused(f"{prefix or 'it'} cannot be read: {error.strerror or error}") from None
    return sorted(found, key=lambda entry: entry.name)


def _stays_inside(top: Path, path: Path) -> bool:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_file() and target.is_relative_to(top)


def _add(found: Listing, rest: str, path: Path) -> None:
    try:
        info = path.stat()
    except OSError as error:
        found.problems.append((rest, error.strerror or str(error)))
        return
    found.files[rest] = path
    found.stamp.append((rest, info.st_size, info.st_mtime_ns, info.st_ino, info.st_mode))


def read(path: Path) -> bytes:
    """A regular file's content, as it was at one moment. Raises Refused."""
    for _ in range(ATTEMPTS):
        try:
            with os.fdopen(os.open(path, _READ), "rb") as file:
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise Refused("it is not a regular file")
                data = file.read(MAX_FILE + 1)
                after = os.fstat(file.fileno())
        except OSError as error:
            raise Refused(f"it cannot be read: {error.strerror or error}") from None
        if len(data) > MAX_FILE:
            raise Refused(f"it is larger than {MAX_FILE >> 20} MB")
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and len(data) == after.st_size:
            return data
        time.sleep(PAUSE)
    raise Refused("somebody is writing it; the next sync looks again")


def read_or_none(path: Path) -> bytes | None:
    """None when it is not there. Raises Refused."""
    return read(path) if path.exists() else None


def place_of(root: Path, rest: str) -> Path:
    """Where a file of a row is or would be written. Raises Refused for what a link leads elsewhere."""
    if not rest:
        return Path(os.path.realpath(root))  # a settings file that the user keeps elsewhere stays a link to there
    top = Path(os.path.realpath(root))
    if top.exists() and not top.is_dir():
        raise Refused("its folder is a file here")
    path = top.joinpath(*rest.split("/"))
    if path.is_symlink() or not Path(os.path.realpath(path.parent)).is_relative_to(top):
        raise Refused("a link is in its place here")
    for parent in path.relative_to(top).parents:
        if (top / parent).exists() and not (top / parent).is_dir():
            raise Refused("one of its folders is a file here")
    if path.exists() and not path.is_file():
        raise Refused("something that is no regular file is in its place here")
    return path


def mode_of(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def write(path: Path, data: bytes, *, private: bool, mode: int | None = None) -> None:
    """The old content or the new one, never half of it. What is there keeps its mode; secrets are for their owner alone."""
    mode = 0o600 if private else mode or mode_of(path) or 0o644
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o755)
    prefix = f"{BEING_WRITTEN}{hashlib.sha256(path.name.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}-"
    for left in path.parent.glob(f"{prefix}*"):  # by a crash
        left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def remove(path: Path, root: Path) -> None:
    """And the folders that are empty then, up to the row's own."""
    path.unlink(missing_ok=True)
    top = Path(os.path.realpath(root))
    for parent in path.parents:
        if parent == top or not parent.is_relative_to(top):
            break
        with contextlib.suppress(OSError):
            parent.rmdir()
