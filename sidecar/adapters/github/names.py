"""What a repository on GitHub may be called, and which addresses are one. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.adapters.git.urls import RemoteUrl
from sidecar.domain.errors import SidecarError
from sidecar.domain.identity import normalise_origin

GITHUB = "github.com"
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38})")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_OTHER_NAMES = {"www.github.com": GITHUB, "ssh.github.com": GITHUB}


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """`owner` is empty for the user that gh is logged in as."""

    host: str
    owner: str
    name: str

    @property
    def full(self) -> str:
        return f"{self.owner}/{self.name}"


def host_of(environ: Mapping[str, str]) -> str:
    """GitHub, or the server that gh is told to use instead."""
    named = environ.get("GH_HOST", "").strip().lower()
    return named if _HOST.fullmatch(named) else GITHUB


def is_github(host: str, environ: Mapping[str, str]) -> bool:
    """Whether gh answers for a host, and may give it credentials: asked about any other, gh would offer an enterprise token to it."""
    return host == GITHUB or host.endswith(".ghe.com") or host == host_of(environ)


def parse_name(text: str, environ: Mapping[str, str]) -> RepositoryName:
    """NAME or OWNER/NAME. Raises invalidParams."""
    owner, slash, name = text.rpartition("/")
    name = name.removesuffix(".git")
    if not _NAME.fullmatch(name) or name.startswith("-") or name in (".", "..", ".git") or (slash and not _OWNER.fullmatch(owner)):
        raise SidecarError(
            "invalidParams",
            "This cannot be the name of a repository on GitHub.",
            detail=repr(text)[:120],
            remedy="Give NAME or OWNER/NAME of letters, digits, dots, dashes and underscores; or a whole URL as REMOTE.",
        )
    return RepositoryName(host_of(environ), owner, name)


def repository_of(url: RemoteUrl, environ: Mapping[str, str]) -> RepositoryName | None:
    """The repository on GitHub that an address names; None when it is another host's, or none that gh can be asked about."""
    host, _, path = (normalise_origin(url.display) or "").partition("/")
    host = _OTHER_NAMES.get(host, host)
    owner, _, name = path.partition("/")
    if url.kind == "file" or not is_github(host, environ) or not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name):
        return None
    return RepositoryName(host, owner, name)
