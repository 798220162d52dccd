"""Which texts may be given to git as a remote. Pure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from sidecar.domain.errors import SidecarError

_SCP = re.compile(r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._+-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(?P<path>[^\s:-][^\s]*)")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f:.]+")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)
_LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|::1")


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """`url` is what git gets; `display` has no credentials; `kind` is https, ssh or file."""

    url: str
    display: str
    kind: str


def check_remote_url(text: str, *, windows: bool = os.name == "nt") -> RemoteUrl:
    """Accepts https, ssh, scp-like, file URLs and absolute paths; raises invalidRemote for anything else."""
    url = text.strip()
    if not url:
        raise _refuse("it is empty")
    if url.startswith("-"):
        raise _refuse("it begins with a dash")
    if any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) < 0xE000 for char in url):
        raise _refuse("it holds control characters")
    if _DRIVE.match(url) or url.startswith("\\\\"):
        if not windows:  # git would take the drive for the name of an ssh host
            raise _refuse("it is a Windows path, and this is not Windows")
        return RemoteUrl(url, url, "file")
    if url.startswith("/"):
        return RemoteUrl(url, url, "file")
    if "://" in url:
        return _with_scheme(url, windows)
    if re.match(r"[^/\[\]@]*::", url):
        raise _refuse("remote helpers such as ext:: are not allowed")
    found = _SCP.fullmatch(url)
    if found and (found["user"] or len(found["host"]) > 1):
        return RemoteUrl(url, url, "ssh")
    raise _refuse("it is neither a URL, nor user@host:path, nor an absolute path")


def _with_scheme(url: str, windows: bool) -> RemoteUrl:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _refuse("it cannot be read as a URL") from None
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    if not url.startswith(f"{scheme}://"):  # `ext::x://`, and `HTTPS://`, which git does not know
        raise _refuse(f"it does not begin with a transport such as https://, or {parts.scheme!r} is not in lower case")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _refuse("it has a query or a fragment")
    if _ENCODED_CONTROL.search(url):
        raise _refuse("it holds encoded control characters")
    if scheme == "file":
        return _file(url, parts, windows)
    if scheme not in ("https", "ssh", "http") or (scheme == "http" and not _LOOPBACK.fullmatch(host)):
        raise _refuse(f"the transport {scheme!r} is not allowed")
    if any(char.isspace() or char == "\\" for char in url):
        raise _refuse("it holds a space or a backslash")
    if not _HOST.fullmatch(host) or not parts.path.strip("/") or (parts.username or "").startswith("-"):
        raise _refuse("it lacks a usable host or path")
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{parts.port}" if parts.port else ""
    user = f"{parts.username}@" if parts.username and scheme == "ssh" else ""
    return RemoteUrl(url, f"{scheme}://{user}{netloc}{parts.path}", "ssh" if scheme == "ssh" else "https")


def _file(url: str, parts: SplitResult, windows: bool) -> RemoteUrl:
    if parts.netloc not in ("", "localhost") or not parts.path.strip("/"):
        raise _refuse("a file URL must name an absolute path on this machine")
    if not windows and _DRIVE.match(parts.path[1:]):
        raise _refuse("it is a Windows path, and this is not Windows")
    return RemoteUrl(url, url, "file")


def _refuse(why: str) -> SidecarError:
    return SidecarError(
        "invalidRemote",
        f"This is not a usable git remote: {why}.",
        remedy="Give an https:// or ssh:// URL, user@host:path, or the absolute path of a bare repository.",
    )
