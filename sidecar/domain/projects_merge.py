"""The Desktop's project list: a union over machines, each with its own folders. With it go a few preferences; nothing else of that file
travels, least of all its servers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.domain.paths import flavour, normalise

VERSION, MAX_PROJECTS = 1, 500
PREFERENCES = ("language", "model")
"""Members of the Desktop's file that are a person's taste on every machine: the language, and which models are shown. The others are of one
machine (windows, tabs, which program opens a folder), of a moment (prompts, hints), or secret (servers)."""
MAX_PREFERENCE = 64 << 10
_SESSION = re.compile(r"^ses_[0-9A-Za-z]{1,64}$")
Place = dict[str, Any]
"""A folder on every machine: `project`, an identity, or `home`, what it is below the home folder."""


@dataclass(frozen=True, slots=True)
class Places:
    """`name`: this machine's folder -> place, None for one that means nothing elsewhere. `find`: the reverse, None for one that is not here.

    `token`, `folder`: the same for a folder inside a project's.
    """

    name: Callable[[str], Place | None]
    find: Callable[[Place], str | None]
    token: Callable[[str, str], dict[str, str]]
    folder: Callable[[Mapping[str, Any], str], str]


@dataclass(slots=True)
class Local:
    """The members of the Desktop's file that matter: `projects` is `server.projects.local`, `last` is `layout.page.lastProjectSession`."""

    projects: list[Any] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    preferences: dict[str, str] = field(default_factory=dict)
    """Members of `PREFERENCES`, each a text of JSON."""


def key_of(place: Mapping[str, Any]) -> str | None:
    """Equal for one project; None when the place makes no sense."""
    project, home = place.get("project"), place.get("home")
    if isinstance(project, dict):
        origin, roots, ids = project.get("origin"), texts(project.get("roots")), texts(project.get("ids"))
        if isinstance(origin, str) and origin:
            return f"origin {origin}"
        return f"root {min(roots)}" if roots else f"id {ids[0]}" if ids else None
    return f"home {home}" if isinstance(home, str) and home else None


def texts(value: Any) -> list[str]:
    """The texts of a list that came from anywhere."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def share(shared: Any, local: Local, places: Places) -> dict[str, Any]:
    """What the vault has and what is here, together."""
    known = {key: entry for entry in _projects(shared) if (key := key_of(entry["place"]))}
    last = {key: entry for key, entry in _last(shared).items() if key in known}
    for entry in local.projects:
        worktree = entry.get("worktree") if isinstance(entry, dict) else None
        place = places.name(worktree) if isinstance(worktree, str) else None
        key = key_of(place) if place is not None else None
        if key is None or place is None or not isinstance(worktree, str):
            continue
        known.setdefault(key, {"place": place, "expanded": entry.get("expanded") is True})
        session = _find(local.last, worktree)
        if _is_session(session) and _rank(session) > _rank(last.get(key)) and isinstance(session.get("directory"), str):
            last[key] = {"id": session["id"], "at": session["at"], "directory": places.token(session["directory"], worktree)}
    projects = list(known.values())[:MAX_PROJECTS]
    together = {"version": VERSION, "projects": projects, "lastSession": dict(sorted(last.items()))}
    preferences = dict(sorted((local.preferences | preferences_in(shared)).items()))
    return together | ({"preferences": preferences} if preferences else {})


def apply(shared: Mapping[str, Any], local: Local, places: Places, seen: Iterable[str]) -> tuple[Local, list[str]]:
    """What belongs here, and the keys that were ever here then. `seen`: those before: a project that was closed here stays closed."""
    projects, last, here = list(local.projects), dict(local.last), dict[str, str]()
    open_now = {fold(entry["worktree"]): entry["worktree"] for entry in projects if isinstance(entry, dict) and isinstance(entry.get("worktree"), str)}
    closed = set(seen)
    for entry in _projects(shared):
        key, worktree = key_of(entry["place"]), places.find(entry["place"])
        if key is None or worktree is None:
            continue
        if fold(worktree) not in open_now:
            if key in closed:
                continue
            open_now[fold(worktree)] = native(worktree)
            projects.append({"worktree": native(worktree), "expanded": entry["expanded"]})
        here[key] = open_now[fold(worktree)]
    for key, entry in _last(shared).items():
        if key in here:
            worktree = here[key]
            known = _find(last, worktree)
            if not _is_session(known) or _rank(known) < _rank(entry):
                name = next((name for name in last if fold(name) == fold(worktree)), worktree)
                last[name] = {"directory": native(places.folder(entry["directory"], worktree)), "id": entry["id"], "at": entry["at"]}
    return Local(projects, last, preferences_in(shared) | local.preferences), sorted(closed | here.keys())


def preferences_in(value: Any) -> dict[str, str]:
    """Those of the vault that make sense. A machine takes what it has no own for, so the first one's stay there."""
    found = value.get("preferences") if isinstance(value, dict) else None
    return {name: text for name, text in (found if isinstance(found, dict) else {}).items() if name in PREFERENCES and is_preference(text)}


def is_preference(text: Any) -> bool:
    """Whether a member of the file is a text that holds an object."""
    try:
        return isinstance(text, str) and len(text) <= MAX_PREFERENCE and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def fold(path: str) -> str:
    """Equal for one folder; letters' case matters where it does for the system."""
    path = normalise(path)
    return path.casefold() if flavour(path) == "windows" else path


def native(path: str) -> str:
    return path.replace("/", "\\") if flavour(path) == "windows" else path


def _find(last: Mapping[str, Any], worktree: str) -> Any:
    return next((value for name, value in last.items() if fold(name) == fold(worktree)), None)


def _is_session(value: Any) -> bool:
    at = value.get("at") if isinstance(value, dict) else None
    return isinstance(at, (int, float)) and not isinstance(at, bool) and isinstance(value.get("id"), str) and _SESSION.match(value["id"]) is not None


def _rank(session: Any) -> tuple[float, str]:
    """The newest wins; of two at once the same one everywhere."""
    return (session["at"], session["id"]) if session else (-1, "")


def _projects(shared: Any) -> list[dict[str, Any]]:
    entries = shared.get("projects") if isinstance(shared, dict) else None
    return [
        {"place": entry["place"], "expanded": entry.get("expanded") is True}
        for entry in (entries if isinstance(entries, list) else [])[:MAX_PROJECTS]
        if isinstance(entry, dict) and isinstance(entry.get("place"), dict)
    ]


def _last(shared: Any) -> dict[str, Any]:
    entries = shared.get("lastSession") if isinstance(shared, dict) else None
    return {
        key: entry for key, entry in (entries if isinstance(entries, dict) else {}).items() if _is_session(entry) and isinstance(entry.get("directory"), dict)
    }
