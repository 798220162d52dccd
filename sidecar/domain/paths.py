"""Folders that mean the same on another machine: a path becomes (base, rest), and a local folder again elsewhere.

Pure: every function takes the flavour of path it works on, so that Windows rules are tested on Linux.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypedDict

_DRIVE = re.compile(r"^[A-Za-z]:/")


class PortablePath(TypedDict):
    """`base` is project, home or absolute; `rest` has forward slashes; `os` is posix or windows."""

    base: str
    rest: str
    os: str


def normalise(path: str) -> str:
    """opencode's stored form: forward slashes, no trailing slash, `//` kept for UNC."""
    if _DRIVE.match(path.replace("\\", "/")) or path.startswith("\\\\"):
        path = path.replace("\\", "/")
    stripped = path.rstrip("/")
    return stripped + "/" if stripped.endswith(":") or not stripped else stripped


def flavour(path: str) -> str:
    """`windows` for a drive or UNC path, else `posix`."""
    text = path.replace("\\", "/")
    return "windows" if _DRIVE.match(text) or text.startswith("//") else "posix"


def below(path: str, root: str) -> str | None:
    """`path` relative to `root` (`""` for itself), or None when it is not inside. Windows paths compare case-insensitively."""
    path, root = normalise(path), normalise(root)
    if not root or root == "/":
        return None
    fold = str.casefold if flavour(root) == "windows" else str
    if fold(path) == fold(root):
        return ""
    prefix = root if root.endswith("/") else root + "/"
    return path[len(prefix) :] if fold(path).startswith(fold(prefix)) else None


def to_portable(directory: str, worktree: str, home: str) -> PortablePath:
    """Name a folder by what it is relative to. `worktree` is empty or `/` when there is no project folder."""
    for base, root in (("project", worktree), ("home", home)):
        rest = below(directory, root) if root else None
        if rest is not None:
            return PortablePath(base=base, rest=rest, os=flavour(directory))
    return PortablePath(base="absolute", rest=normalise(directory), os=flavour(directory))


def to_local(portable: PortablePath, worktree: str, home: str, exists: Callable[[str], bool]) -> str:
    """An existing local folder for a portable path, always in this machine's flavour.

    The nearest existing folder at or above the wanted one, not above the project (or home): a session in a folder that
    is not here can be read but not continued, and a path of another OS makes opencode's whole session list fail.
    """
    in_project = bool(worktree) and normalise(worktree) != "/"
    root = normalise(worktree) if portable["base"] == "project" and in_project else normalise(home)
    if portable["base"] == "absolute":
        if portable["os"] == flavour(home) and _is_absolute(portable["rest"], home) and exists(portable["rest"]):
            return portable["rest"]
        return normalise(worktree) if in_project else root
    rest = portable["rest"].replace("\\", "/") if flavour(root) == "windows" else portable["rest"]
    parts = [part for part in rest.split("/") if part not in ("", ".", "..")]
    if portable["base"] == "home" and in_project:
        wanted = "/".join([root, *parts])
        return wanted if exists(wanted) else normalise(worktree)
    if not exists(root):
        return "/".join([root.rstrip("/"), *parts])
    for count in range(len(parts), -1, -1):
        candidate = "/".join([root.rstrip("/"), *parts[:count]]) or "/"
        if exists(candidate):
            return candidate
    return root


def _is_absolute(path: str, home: str) -> bool:
    """In the flavour of `home`."""
    return flavour(path) == flavour(home) and (path.startswith("/") or flavour(home) == "windows")


def session_path(directory: str, worktree: str) -> str:
    """The value of `session.path`: relative to the worktree; absolute without the leading slash when there is none."""
    rest = below(directory, worktree) if worktree and normalise(worktree) != "/" else None
    if rest is not None:
        return rest
    return normalise(directory).lstrip("/") if normalise(worktree or "/") == "/" else ""
