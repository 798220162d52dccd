"""The files of our bare repository that we write ourselves, so that nothing else can have a say in them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

from sidecar.adapters.files.atomic import write_private
from sidecar.adapters.files.private import private_folder

_CORE = "[core]\n\trepositoryformatversion = 0\n\tfilemode = false\n\tbare = true\n\tsharedRepository = 0600\n"
_ATTRIBUTES = b"# Contents are compressed: looking for deltas between them costs time and gains nothing. Trees still get them.\n* -delta\n"
STALE_LOCK_SECONDS = 10.0
_LEFT_BY_KILLED_GIT = (
    *("*.lock", "refs/**/*.lock", "objects/**/*.lock", "fast_import_crash_*"),
    *("objects/pack/tmp_*", "objects/pack/.tmp-*", "objects/*/tmp_obj_*", "objects/tmp_objdir-*", "objects/incoming-*"),
    "spool",  # of a compaction
    "objects/pack/*.keep",  # a pack so marked would never be packed together with others
)


def is_whole(path: Path) -> bool:
    """Whether git would take this folder for a bare repository. Raises OSError when that cannot be told."""
    try:
        head, config = (path / "HEAD").read_bytes(), (path / "config").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return head.startswith(b"ref: refs/heads/") and b"bare = true" in config and (path / "objects").is_dir() and (path / "refs").is_dir()


def prepare(path: Path) -> None:
    """What a crash in the middle of an earlier start may have left: git completes the rest."""
    private_folder(path)
    with contextlib.suppress(OSError):
        path.chmod(0o700)
    clear_leftovers(path)
    with contextlib.suppress(OSError):
        if not (path / "HEAD").read_bytes().startswith(b"ref: refs/heads/"):
            (path / "HEAD").unlink()
    with contextlib.suppress(OSError):
        if b"bare = true" not in (path / "config").read_bytes():
            (path / "config").unlink()


def finish(path: Path) -> None:
    write_private(path / "info" / "attributes", _ATTRIBUTES)
    if remote_url(path) is None:
        write_private(path / "config", _CORE.encode())


def clear_leftovers(path: Path) -> list[str]:
    """Names of what was removed."""
    gone = []
    for pattern in _LEFT_BY_KILLED_GIT:
        for left in path.glob(pattern):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
                gone.append(left.name)
    return gone


def clear_remote_lock(path: Path, ref: str) -> None:
    """On a remote that is a folder, free a ref from the lock of a git that died: a push that lives holds it for a moment only.
    One from the future was made when the clock was wrong.

    To be called for branches that nobody but this device writes.
    """
    url = remote_url(path) or ""
    lock = Path(url.removeprefix("file://")) / f"{ref}.lock"
    with contextlib.suppress(OSError, ValueError):
        if ref.startswith("refs/heads/sessions/") and lock.is_absolute() and abs(time.time() - lock.stat().st_mtime) > STALE_LOCK_SECONDS:
            lock.unlink()


def remote_url(path: Path) -> str | None:
    """The remote in our own config file."""
    try:
        text = (path / "config").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    _, found, rest = text.partition('[remote "origin"]\n\turl = "')
    if not found:
        return None
    return rest.partition('"\n')[0].replace('\\"', '"').replace("\\\\", "\\")


def write_remote(path: Path, url: str) -> None:
    """One remote and nothing else: the file is written whole, so that it holds no command anybody else put there."""
    quoted = url.replace("\\", "\\\\").replace('"', '\\"')
    wanted = f'{_CORE}[remote "origin"]\n\turl = "{quoted}"\n'.encode()
    with contextlib.suppress(OSError):
        if (path / "config").read_bytes() == wanted:
            return
    write_private(path / "config", wanted)


def sync_to_disk(*paths: Path) -> None:
    """Make renames in these folders, and these files, survive a power cut. Raises OSError when the disk could not; some cannot be asked."""
    if os.name == "nt":
        return
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
                raise


def size_of(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):  # git may be packing meanwhile
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
