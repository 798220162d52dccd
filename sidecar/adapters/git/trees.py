"""What changed between two trees, read level by level: git's own comparison holds all of it before it prints anything.

Whoever may push can make a dozen trees that name each other sixteen times, and more paths than any memory holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.adapters.git.catfile import CatFile
from sidecar.adapters.git.errors import damaged
from sidecar.domain.errors import SidecarError

MAX_ENTRIES, MAX_DEPTH = 500_000, 16
_MAX_TREE_BYTES = 64 << 20
_FOLDER = 0o40000
_SHA_BYTES = 20


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """`size`: bytes, where it was asked for."""

    path: str
    mode: int
    sha: str
    size: int = 0


def changed(objects: CatFile, old: str, new: str, folder: str) -> list[TreeEntry]:
    """Files in `folder` (with a slash behind it) that commit `new` has and `old` has not, or has with other content. Raises segmentCorrupt."""
    name = folder.rstrip("/")
    try:
        before = _entries(objects, f"{old}:{name}")
    except SidecarError as error:
        if error.kind != "segmentCorrupt":
            raise
        before = {}  # whatever it was, it had no files
    found = list(itertools.islice(_walk(objects, before, _entries(objects, f"{new}:{name}"), folder, MAX_DEPTH), MAX_ENTRIES + 1))
    if len(found) > MAX_ENTRIES:
        raise damaged(new, f"more than {MAX_ENTRIES} files came in one step")
    return found


_Entries = dict[str, tuple[int, str]]


def _walk(objects: CatFile, before: _Entries, now: _Entries, path: str, depth: int) -> Iterator[TreeEntry]:
    if depth == 0:
        raise damaged(path, "folders deeper than in any log")
    for name, (mode, sha) in now.items():
        was = before.get(name)
        if was == (mode, sha):
            continue
        if mode == _FOLDER:
            inside = _entries(objects, was[1]) if was is not None and was[0] == _FOLDER else {}
            yield from _walk(objects, inside, _entries(objects, sha), f"{path}{name}/", depth - 1)
        else:
            yield TreeEntry(path + name, mode, sha)


def _entries(objects: CatFile, name: str) -> _Entries:
    """Name -> (mode, object) of a tree; empty when there is none. Each is `mode name NUL` and the object's 20 bytes."""
    data, found, at = objects.read(name, limit=_MAX_TREE_BYTES, kind="tree") or b"", _Entries(), 0
    try:
        while at < len(data):
            end = data.index(b"\0", at)
            mode, _, entry = data[at:end].partition(b" ")
            at = end + 1 + _SHA_BYTES
            found[entry.decode("utf-8", "surrogateescape")] = int(mode, 8), data[end + 1 : at].hex()
    except ValueError:
        raise damaged(name, "a folder that cannot be read") from None
    return found
