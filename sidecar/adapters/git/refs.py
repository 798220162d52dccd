"""Reading a repository's refs from its files: no process, so asking costs nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|(^|/)[.-]|\.lock(/|$)|[./]$|^$|^/")

_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def is_sha(text: str) -> bool:
    return SHA.fullmatch(text) is not None


def is_branch_name(name: str) -> bool:
    """git's own rules, and no part that begins with a dash: the name comes from the remote and goes onto a command line."""
    return _BAD_NAME.search(name) is None


def read_ref(repo: Path, ref: str) -> str | None:
    """Commit of a full ref name. Raises OSError when that cannot be told: a ref that cannot be read is not one that is not there."""
    try:
        text = (repo / ref).read_text(encoding="ascii", errors="replace").strip()
    except (*_NOT_THERE, ValueError):
        text = ""
    return text if is_sha(text) else _packed(repo).get(ref)


def read_refs(repo: Path, prefix: str) -> dict[str, str]:
    """Full ref name -> commit, for all that begin with `prefix`; a loose one hides a packed one. Raises OSError."""
    found = {ref: sha for ref, sha in _packed(repo).items() if ref.startswith(prefix)}
    for folder, _, names in os.walk(repo / "refs", onerror=_unless_gone):
        for name in names:
            ref = (Path(folder) / name).relative_to(repo).as_posix()
            if ref.startswith(prefix) and not ref.endswith(".lock") and (sha := read_ref(repo, ref)):
                found[ref] = sha
    return found


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, _NOT_THERE):
        raise error


def _packed(repo: Path) -> dict[str, str]:
    try:
        lines = (repo / "packed-refs").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except _NOT_THERE:
        return {}
    pairs = (line.split(" ", 1) for line in lines if line[:1] not in ("#", "^", ""))
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and is_sha(pair[0])}
