"""What applies to this machine only: put into its files after every merge, and taken out of what is pushed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.domain.config_merge import MISSING, Path, canonical, get, put

OURS, SYNCEDS = "opencode-sidecar.overrides.jsonc", "opencode-synced.overrides.jsonc"
"""Below opencode's configuration folder; ours goes before opencode-synced's, which is only read."""
SECRETS = "{env}"
"""The member of our file that holds the secrets that placeholders stand for: name -> value. No member of opencode.json is called so."""


@dataclass(slots=True)
class Overrides:
    """`applied`: what was put into the files at the last sync, by path. `edits`: what a person changed there since, to be kept in our file."""

    leaves: dict[Path, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    applied: dict[Path, str] = field(default_factory=dict)
    edits: dict[Path, Any] = field(default_factory=dict)

    def portable(self, mine: Any, there: Any) -> Any:
        """Without what is this machine's own: there stays what the vault says."""
        for path in [*self.leaves, *(path for path, text in self.applied.items() if path not in self.leaves and canonical(get(mine, path)) == text)]:
            if get(mine, path) is not MISSING:
                mine = put(mine, path, get(there, path))
        return mine

    def note_edits(self, mine: Any) -> None:
        """An override that stayed the same while its place in the file changed: the person means that value for this machine."""
        for path, value in self.leaves.items():
            now = get(mine, path)
            if now is not MISSING and self.applied.get(path) == canonical(value) and canonical(now) != canonical(value):
                self.leaves[path] = self.edits[path] = now

    def local(self, merged: Any, *, everywhere: bool) -> Any:
        """With what is this machine's own. `everywhere`: also where the configuration has nothing."""
        for path, value in self.leaves.items():
            if everywhere or get(merged, path) is not MISSING:
                merged = put(merged, path, value)
        return merged


def read(ours: Any, synceds: Any, applied: Mapping[str, str]) -> Overrides:
    """From the two files' values."""
    ours, synceds = (value if isinstance(value, dict) else {} for value in (ours, synceds))
    secrets = ours.get(SECRETS)
    names = {name: text for name, text in secrets.items() if isinstance(text, str)} if isinstance(secrets, dict) else {}
    leaves = dict(_leaves(synceds))
    for path, value in _leaves({key: value for key, value in ours.items() if key != SECRETS}):
        leaves = {known: old for known, old in leaves.items() if known[: len(path)] != path and path[: len(known)] != known}
        leaves[path] = value
    known = {tuple(json.loads(path)): text for path, text in applied.items()}
    return Overrides(leaves, names, known)


def written(ours: Any, overrides: Overrides, names: Mapping[str, str]) -> dict[str, Any]:
    """Our file's value with what is new."""
    value = dict(ours) if isinstance(ours, dict) else {}
    for path, new in overrides.edits.items():
        value = put(value, path, new)
    if names:
        value = put(value, (SECRETS,), {**(value.get(SECRETS) or {}), **names})
    return value


def applied(overrides: Overrides) -> dict[str, str]:
    """To be remembered until the next sync."""
    return {json.dumps(path): canonical(value) for path, value in overrides.leaves.items()}


def _leaves(value: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from _leaves(inner, (*path, key))
        else:
            yield (*path, key), inner
