"""The Desktop's file: its two members that have the project list are changed in place, preferences that are missing are added, every other byte stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from sidecar.domain.identity import GLOBAL, ProjectIdentity, resolve
from sidecar.domain.paths import PortablePath, below, flavour, to_local, to_portable
from sidecar.domain.projects_merge import PREFERENCES, Local, Place, Places, apply, fold, is_preference, share, texts
from sidecar.services.config_files import ConfigTools, Content, FileMerge
from sidecar.services.workspace import Workspace


def merge_projects(ws: Workspace, tools: ConfigTools, here: Content, there: Content, seen_before: list[str], running: Callable[[], bool]) -> FileMerge:
    """`there`: what the vault has, without any machine's folders. `seen_before`: projects that were open here.

    While the Desktop runs its file is only read: it would write its own list over ours.
    """
    if here is None:  # no Desktop on this machine
        return FileMerge(None, there, None)
    try:
        whole, shared = tools.value_of(here), tools.value_of(there) if there is not None else {}
        server, page = (_inner(tools, whole, name) for name in ("server", "layout.page"))
        local = _local(server, page)
        local.preferences = {name: whole[name] for name in PREFERENCES if is_preference(whole.get(name)) and not tools.looks_secret(whole[name])}
    except (ValueError, TypeError) as error:
        return FileMerge(here, there, None, problem=f"the Desktop's file is not as expected: {error}")
    places = _places(ws)
    together = share(shared, local, places)
    wanted, seen = apply(together, local, places, seen_before)
    theirs = there if together == shared else (json.dumps(together, indent=2) + "\n").encode()
    new = here
    if wanted.projects != local.projects:
        new = _changed(tools, new, "server", server | {"projects": {**server.get("projects", {}), "local": wanted.projects}})
    if wanted.last != local.last:
        new = _changed(tools, new, "layout.page", page | {"lastProjectSession": wanted.last})
    missing = {name: text for name, text in wanted.preferences.items() if name not in whole}
    if missing:
        new = tools.edit(new, {**tools.value_of(new), **missing}, None)
    if new != here and running():
        return FileMerge(here, theirs, None, later="opencode Desktop is running; its project list is completed by the first sync after it is closed")
    return FileMerge(new, theirs, None, seen=seen)


def _inner(tools: ConfigTools, whole: Any, name: str) -> dict[str, Any]:
    """A member whose value is JSON in a text."""
    text = whole.get(name, "{}") if isinstance(whole, dict) else None
    if not isinstance(text, str):
        raise TypeError(f"{name} is no text")
    value = tools.value_of(text.encode())
    if not isinstance(value, dict):
        raise TypeError(f"{name} holds no object")
    return value


def _local(server: Mapping[str, Any], page: Mapping[str, Any]) -> Local:
    projects, last = server.get("projects", {}), page.get("lastProjectSession", {})
    listed = projects.get("local", []) if isinstance(projects, dict) else None
    if not isinstance(listed, list) or not isinstance(last, dict):
        raise TypeError("its project list has another form")
    return Local(listed, last)


def _changed(tools: ConfigTools, text: bytes, name: str, value: dict[str, Any]) -> bytes:
    whole = tools.value_of(text)
    inner = tools.edit(whole.get(name, "{}").encode(), value, None)
    return tools.edit(text, {**whole, name: json.dumps(tools.value_of(inner), ensure_ascii=False, separators=(",", ":"))}, None)


def _places(ws: Workspace) -> Places:
    by_folder = {fold(project.worktree): project for project in ws.projects().values() if project.id != GLOBAL}

    def name(worktree: str) -> Place | None:
        project = by_folder.get(fold(worktree))
        if project is not None:
            return {"project": project.identity.as_value()}
        rest = below(worktree, ws.home)
        return {"home": rest} if rest else None

    def find(place: Place) -> str | None:
        value = place.get("project")
        if isinstance(value, dict):
            origin = value.get("origin")
            identity = ProjectIdentity(tuple(texts(value.get("ids"))), origin if isinstance(origin, str) else None, tuple(texts(value.get("roots"))))
            found = resolve(identity, [project for project in by_folder.values() if ws.tools.exists(project.worktree)])
            return found.worktree if found is not None else None
        parts = str(place.get("home")).split("/")
        folder = "/".join([ws.home, *parts])
        return folder if not any(part in ("", ".", "..") or "\\" in part for part in parts) and ws.tools.exists(folder) else None

    def token(directory: str, worktree: str) -> dict[str, str]:
        return cast("dict[str, str]", to_portable(directory, worktree, ws.home))

    def folder(value: Mapping[str, Any], worktree: str) -> str:
        wanted = PortablePath(base=str(value.get("base")), rest=str(value.get("rest", "")), os=str(value.get("os", flavour(ws.home))))
        return to_local(wanted, worktree, ws.home, ws.tools.exists)

    return Places(name, find, token, folder)
