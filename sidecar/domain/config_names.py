"""Names of files that came from a remote: which of them may become files here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MAX_PART, MAX_PATH, MAX_DEPTH = 200, 900, 24
_RESERVED = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_BAD = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')


class Refused(Exception):
    """A file that is not read or not written, and why; the rest goes on."""


def problem_with_name(path: str) -> str | None:
    """Why a path in the vault cannot be a file on every system, or None."""
    parts = path.split("/")
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in parts):
        return "it leads out of its folder"
    if len(parts) > MAX_DEPTH or len(path) > MAX_PATH or any(len(part.encode("utf-8", "surrogateescape")) > MAX_PART for part in parts):
        return "its name is too long"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    for part in parts:
        if _BAD.search(part):
            return "its name has a character that some systems refuse"
        if _RESERVED.match(part):
            return "its name is reserved on Windows"
        if part.endswith((".", " ")):
            return "its name ends in a dot or a space, which Windows drops"
        if folded(part) == ".git" or folded(part).startswith("git~"):
            return "it would be part of a git repository"
        if any(unicodedata.category(character) in ("Cf", "Zl", "Zp") for character in part):
            return "its name has characters that cannot be seen"
    return None


def folded(path: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def clashes(paths: Iterable[str]) -> dict[str, str]:
    """Path -> the other spelling that is used in its place (the first in order), folders included."""
    spellings: dict[str, str] = {}
    found: dict[str, str] = {}
    for path in sorted(paths):
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            prefix = "/".join(parts[:depth])
            first = spellings.setdefault(folded(prefix), prefix)
            if first != prefix:
                found[path] = first
                break
    return found
