"""What a project is on every machine: its remote, its root commits, every id it has had."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GLOBAL = "global"
_SCP = re.compile(r"^(?:[^@/]+@)?([^:/]+):(?!//)(.+)$")
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^@/]*@)?([^/:]*)(?::\d+)?/(.+)$", re.IGNORECASE)


def normalise_origin(url: str) -> str | None:
    """`host/path` of a remote as opencode >= 1.15.13 hashes it; None for file and local-path remotes."""
    url = url.strip()
    if url.lower().startswith("file:") or url.startswith(("/", ".", "~")):
        return None
    found = _URL.match(url) or _SCP.match(url)
    if found is None or not found[1] or len(found[1]) == 1:
        return None
    path = found[2].strip("/")
    return f"{found[1].lower()}/{path.removesuffix('.git').rstrip('/')}"


@dataclass(frozen=True, slots=True)
class ProjectIdentity:
    """Travels with a session in place of `project_id`. `roots`: root commits; `ids`: ids opencode gave it, newest first."""

    ids: tuple[str, ...]
    origin: str | None = None
    roots: tuple[str, ...] = ()
    name: str | None = None

    def as_value(self) -> dict[str, Any]:
        value: dict[str, Any] = {"ids": list(self.ids)}
        if self.origin:
            value["origin"] = self.origin
        if self.roots:
            value["roots"] = list(self.roots)
        if self.name:
            value["name"] = self.name
        return value

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> ProjectIdentity:
        return cls(tuple(value.get("ids", ())), value.get("origin"), tuple(value.get("roots", ())), value.get("name"))


@dataclass(frozen=True, slots=True)
class LocalProject:
    """A row of the local `project` table and what its folder says it is."""

    id: str
    worktree: str
    identity: ProjectIdentity


def resolve(wanted: ProjectIdentity, local: Iterable[LocalProject]) -> LocalProject | None:
    """The local project that is the same one, or None. The remote decides before commits, commits before old ids.

    A fork shares root commits with its upstream, so an equal remote wins over equal roots.
    """
    projects = list(local)
    if GLOBAL in wanted.ids:
        return next((p for p in projects if p.id == GLOBAL), None)
    projects = [p for p in projects if p.id != GLOBAL]
    for test in (_same_origin, _same_id, _same_roots):
        found = next((p for p in projects if test(wanted, p.identity)), None)
        if found is not None:
            return found
    return None


def _same_origin(a: ProjectIdentity, b: ProjectIdentity) -> bool:
    return a.origin is not None and a.origin == b.origin


def _same_id(a: ProjectIdentity, b: ProjectIdentity) -> bool:
    return bool(set(a.ids) & set(b.ids))


def _same_roots(a: ProjectIdentity, b: ProjectIdentity) -> bool:
    return bool(set(a.roots) & (set(b.roots) | set(b.ids))) or bool(set(b.roots) & set(a.ids))
