"""What opencode-synced keeps in a repository beside the files themselves: where extra paths are, and what it cut into pieces."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.domain.config_names import problem_with_name
from sidecar.domain.paths import below, flavour, normalise

MANIFESTS: Final = {"config/extra": "config/extra-manifest.json", "secrets/extra": "secrets/extra-manifest.json"}
"""Folder in the vault -> the file that says which of its names is which path on which machine."""
MAX_ENTRIES, MAX_HOMES = 2_000, 20
_HOME = re.compile(r"^(?:/(?:home|Users|var/home|usr/home|export/home)/[^/]+|/root|[A-Za-z]:/Users/[^/]+)(?=/|$)", re.IGNORECASE)
_PIECES = b'"opencode-synced-chunks"'

_SAME = ("includeModelFavorites", "includeOpencodeSkills", "includeAgentsDir", "includeProjects", "extraConfigPaths")
_FIELDS: Final = {
    "repo": None,
    "localRepoPath": None,
    "includeSecrets": "whether credentials travel is asked again: `opencode-sidecar config includeSecrets true`",
    "includeMcpSecrets": "secrets in opencode.json stay on their machine",
    "includeSessions": "sessions travel one by one, always; its copies of whole databases are neither read nor changed",
    "includePromptStash": "whether prompts travel is asked again: `opencode-sidecar config includePromptStash true`",
    "sessionBackend": "Turso is not supported; sessions travel through the vault",
    "secretsBackend": "1Password is not supported; while it is set, leave includeSecrets off: opencode-synced stops when the vault has credentials",
    "extraSecretPaths": "which secret paths travel is asked again: `opencode-sidecar config extraSecretPaths '[…]'`",
}
"""opencode-synced's other settings, and what to tell somebody who uses them. None: ours are elsewhere (`init URL`), and nothing is lost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`source`: the path on the machine that wrote it. `repo`: the name in the vault. `raw`: as it is in the manifest."""

    source: str
    repo: str
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class ExtraPath:
    """An extra path of this machine. `sources`: what the vault's manifest calls it; empty: nobody who wrote the manifest last has it."""

    local: str
    repo: str
    sources: frozenset[str] = frozenset()


def taken_over(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Which of opencode-synced's settings count for us, and what is to be told about those that do not.

    Whether credentials leave this machine is never taken over.
    """
    notes = [f"{name} is not taken over: {why}." for name, why in _FIELDS.items() if why is not None and _is_used(name, settings.get(name))]
    repo = settings.get("repo")
    branch = repo.get("branch") if isinstance(repo, dict) else None
    if branch not in (None, "main", "master"):
        notes.append("repo.branch is not taken over: the configuration is on main, on master, or on the only branch.")
    notes += [f"{name} is not known." for name in settings if name not in _FIELDS and name not in _SAME and not name.startswith("$")]
    return {name: settings[name] for name in _SAME if name in settings}, notes


def _is_used(name: str, value: Any) -> bool:
    if name == "sessionBackend":
        return isinstance(value, dict) and value.get("type", "git") != "git"
    return bool(value)


def in_pieces(data: bytes) -> bool:
    """Whether a file in the vault only points to the pieces of one (over 50 MiB; opencode-synced does so with session files alone)."""
    return len(data) < 16_384 and _PIECES in data and data.lstrip().startswith(b"{")


def extra_name(path: str) -> str:
    """What opencode-synced calls an extra path: its last 80 plain characters and 8 digits of a hash."""
    plain = re.sub(r"[^a-zA-Z0-9._-]+", "_", path).lstrip("_")
    return f"{plain[-80:] or 'path'}-{hashlib.sha1(path.encode(), usedforsecurity=False).hexdigest()[:8]}"


def entries_of(manifest: Any, folder: str) -> tuple[list[Entry], list[str]]:
    """What a manifest says, and what of it is not used. Nothing in it decides where something is written: it is compared with this machine's settings."""
    listed = manifest.get("entries") if isinstance(manifest, dict) else None
    if not isinstance(listed, list):
        return [], ["it has no list of entries"]
    found, problems = [], []
    for raw in listed[:MAX_ENTRIES]:
        source, repo = (raw.get("sourcePath"), raw.get("repoPath")) if isinstance(raw, dict) else (None, None)
        if not isinstance(source, str) or not isinstance(repo, str):
            problems.append("one of its entries is not understood")
            continue
        source, repo = source.replace("\\", "/").rstrip("/"), repo.replace("\\", "/")
        rest = repo[len(folder) + 1 :] if repo.startswith(f"{folder}/") else ""
        absolute = source.startswith(("/", "~/")) or flavour(source) == "windows"  # `~/`: as a fork of it writes
        if not rest or "/" in rest or problem_with_name(repo) is not None or not absolute or ".." in source.split("/") or _unprintable(source):
            problems.append(f"its entry for {json.dumps(source[:100])} is not used: it leads elsewhere")
            continue
        found.append(Entry(source, repo, raw))
    if len(listed) > MAX_ENTRIES:
        problems.append(f"it has more than {MAX_ENTRIES} entries")
    return found, problems


def _unprintable(path: str) -> bool:
    return any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in path)


def home_of(source: str, home: str) -> str | None:
    """The home folder that a path of any machine is in, as far as its form tells."""
    found = _HOME.match(source)
    if found is not None:
        return found[0]
    user = f"/{home.rstrip('/').rpartition('/')[2]}/"  # homes elsewhere: the same last name as here
    start = source.find(user)
    return source[: start + len(user) - 1] if start > 0 else None


def resolve(paths: Iterable[str], home: str, folder: str, entries: Sequence[Entry], names: Iterable[str]) -> list[ExtraPath]:
    """This machine's extra paths, with their names in the vault. `names`: those that it has.

    An entry names a path when it is the same path, or the same one below another machine's home. Without one, a path below the home folder is
    named after its place there, so that it is the same for every user name.
    """
    home, known = normalise(home), set(names)
    found: dict[str, ExtraPath] = {}
    for path in paths:
        path = path.replace("\\", "/") if flavour(home) == "windows" else path
        local = normalise(f"{home}{path[1:]}" if path == "~" or path.startswith("~/") else path)
        if local in found:
            continue
        taken = {extra.repo for extra in found.values()}
        same = [entry for entry in entries if entry.repo not in taken and _same(entry.source, local, home)]
        same.sort(key=lambda entry: not _equal(entry.source, local))
        if same:
            found[local] = ExtraPath(local, same[0].repo, frozenset(entry.source for entry in same if entry.repo == same[0].repo))
            continue
        rest = below(local, home)
        full, portable = (f"{folder}/{extra_name(name)}" for name in (local, f"~/{rest}" if rest else local))
        wished = [*([full] if full in known else []), portable, full, f"{full}-2"]
        found[local] = ExtraPath(local, next(name for name in wished if name not in taken))
    return list(found.values())


def _equal(one: str, other: str) -> bool:
    windows = flavour(one) == flavour(other) == "windows"
    return one.casefold() == other.casefold() if windows else one == other


def _same(source: str, local: str, home: str) -> bool:
    if _equal(source, local):
        return True
    rest, other = below(local, home), "~" if source.startswith("~/") else home_of(source, home)
    if not rest or other is None:
        return False
    theirs = below(source, other) or ""
    return rest.casefold() == theirs.casefold() if "windows" in (flavour(source), flavour(home)) else rest == theirs


def homes_in(entries: Iterable[Entry], home: str) -> list[str]:
    """The home folders of the machines that wrote these."""
    return sorted({found for entry in entries if (found := home_of(entry.source, home)) is not None})[:MAX_HOMES]


def written(manifest: Any, folder: str, extras: Iterable[ExtraPath], homes: Iterable[str], files: Mapping[str, Mapping[str, bool]]) -> dict[str, Any]:
    """The manifest as it shall be: each extra path of this machine has an entry for every known home; what others wrote of other paths stays.

    `homes`: this machine's own first. `files`: name in the vault -> the files of it (place below it, "" for itself) and whether they are programs.
    """
    homes = [normalise(home) for home in homes]
    whole = manifest if isinstance(manifest, dict) else {}
    entries = list(whole["entries"]) if isinstance(whole.get("entries"), list) else []
    known = {id(entry.raw): entry for entry in entries_of({"entries": entries}, folder)[0]}
    for extra in extras:
        content = files.get(extra.repo)
        if not content:
            continue
        entries = [_entry(raw, content, folder) if id(raw) in known and known[id(raw)].repo == extra.repo else raw for raw in entries]
        rest = below(extra.local, homes[0])
        wanted = {f"{home}/{rest}" for home in homes} if rest else {extra.local}
        for source in sorted(wanted - extra.sources):
            text = source.replace("/", "\\") if flavour(source) == "windows" else source
            entries.append(_entry({"sourcePath": text, "repoPath": extra.repo}, content, folder))
    return {**whole, "entries": entries}


def _entry(raw: Mapping[str, Any], files: Mapping[str, bool], folder: str) -> dict[str, Any]:
    """With the files that there are now; modes that are there already stay."""

    def mode(program: bool) -> int:
        return (0o700 if program else 0o600) if folder.startswith("secrets/") else (0o755 if program else 0o644)

    if "" in files:
        rest = {name: value for name, value in raw.items() if name != "items"}
        return {**rest, "type": "file", "mode": raw.get("mode", mode(files[""]))}
    listed = raw.get("items")
    items = [item for item in (listed if isinstance(listed, list) else []) if isinstance(item, dict) and _still(item, files)]
    have = {str(item["relativePath"]).replace("\\", "/") for item in items}
    items += [{"relativePath": name, "type": "file", "mode": mode(program)} for name, program in sorted(files.items()) if name not in have]
    return {**raw, "type": "dir", "mode": raw.get("mode", mode(program=True)), "items": items}


def _still(item: Mapping[str, Any], files: Mapping[str, bool]) -> bool:
    name = item.get("relativePath")
    if not isinstance(name, str):
        return False
    name = name.replace("\\", "/")
    return name in files or any(file.startswith(f"{name}/") for file in files)
