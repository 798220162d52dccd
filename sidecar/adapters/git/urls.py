"""Which texts may be given to git as a remote. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from sidecar.domain.errors import SidecarError

_SCP = re.compile(r"^(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9._-]+:(?!/?/)[^\s]+$|^(?:[A-Za-z0-9._-]+@)[A-Za-z0-9._-]+:/[^\s]+$")
_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """`url` is what git gets; `display` has no credentials; `kind` is https, ssh or file."""

    url: str
    display: str
    kind: str


def check_remote_url(text: str) -> RemoteUrl:
    """Accepts https, ssh, scp-like, file URLs and absolute paths; raises invalidRemote for anything else."""
    url = text.strip()
    if not url:
        raise _refuse("it is empty")
    if url.startswith("-"):
        raise _refuse("it begins with a dash")
    if any(ord(char) < 32 or ord(char) == 127 for char in url):
        raise _refuse("it holds control characters")
    if url.startswith(("/", "\\\\")) or _DRIVE.match(url):
        return RemoteUrl(url, url, "file")
    if "::" in url.split("/")[0]:
        raise _refuse("remote helpers such as ext:: are not allowed")
    if "://" in url:
        return _with_scheme(url)
    if _SCP.match(url):
        return RemoteUrl(url, url, "ssh")
    raise _refuse("it is neither a URL, nor user@host:path, nor an absolute path")


def _with_scheme(url: str) -> RemoteUrl:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise _refuse("it cannot be read as a URL") from None
    scheme = parts.scheme.lower()
    if parts.query or parts.fragment:
        raise _refuse("it has a query or a fragment")
    if scheme == "file":
        if host not in ("", "localhost") or not parts.path.startswith("/"):
            raise _refuse("a file URL must name an absolute path on this machine")
        return RemoteUrl(url, url, "file")
    if scheme not in ("https", "ssh", "http") or (scheme == "http" and host not in _LOOPBACK):
        raise _refuse(f"the transport {scheme!r} is not allowed")
    if not host or host.startswith("-") or not parts.path.strip("/") or (parts.username or "").startswith("-"):
        raise _refuse("it lacks a host or a path")
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{parts.port}" if parts.port else ""
    user = f"{parts.username}@" if parts.username and scheme == "ssh" else ""
    return RemoteUrl(url, f"{scheme}://{user}{netloc}{parts.path}", "ssh" if scheme == "ssh" else "https")


def _refuse(why: str) -> SidecarError:
    return SidecarError(
        "invalidRemote",
        f"This is not a usable git remote: {why}.",
        remedy="Give an https:// or ssh:// URL, user@host:path, or the absolute path of a bare repository.",
    )
