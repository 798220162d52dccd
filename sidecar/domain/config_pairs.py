"""Two names for one file: opencode reads both, the second over the first, and a person has one of them. Which one is that machine's own business."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

PAIRS: Final = (("config/opencode.json", "config/opencode.jsonc"), ("config/tui.json", "config/tui.jsonc"))
"""Paths in the vault; here the same names below the configuration folder."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """`names`: path in the vault -> the one that it is here; the others of the pair are left alone.

    `moved`: (old, new) path in the vault under which the file is remembered. `problems`: (path, why it is left alone).
    """

    names: Mapping[str, str]
    moved: tuple[str, str] | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)


def spell(pair: tuple[str, str], here: Collection[str], there: Collection[str], known: Collection[str], stands: Mapping[str, str]) -> Spelling:
    """What is here under one name and in the vault under one name is one file, however each is called; who has both means both.

    `here`, `there`, `known`: which of the pair are on this machine, in the vault, and what both last agreed on. `stands`: path in the
    vault -> the other one of the pair, which it was here at the last sync.
    """
    if len(here) == 1 and len(there) <= 1:
        (name,) = here
        path = next(iter(there), name if name in known else next(iter(known), name))
        return Spelling({path: name}, _moved(_other(pair, path), path, known))
    for path, name in stands.items():
        if path in pair and name in here:
            if path in there or not there:
                return Spelling({path: name}, problems=_left_alone(path, name, here, there))
            return Spelling(_as_they_are(pair), _moved(path, name, known))  # it was renamed in the vault
    return Spelling(_as_they_are(pair))


def _as_they_are(pair: tuple[str, str]) -> dict[str, str]:
    return {path: path for path in pair}


def _other(pair: tuple[str, str], path: str) -> str:
    return pair[1] if path == pair[0] else pair[0]


def _moved(old: str, new: str, known: Collection[str]) -> tuple[str, str] | None:
    return (old, new) if old in known else None


def _left_alone(path: str, name: str, here: Collection[str], there: Collection[str]) -> list[tuple[str, str]]:
    """Nothing of a second file is used while the first stands for the other name: opencode would put the wrong one over the other."""
    mine, theirs = (one.rpartition("/")[2] for one in (name, path))
    if path in here:
        return [(path, f"{mine} here is the vault's {theirs}; {theirs} here stays here until both are one file")]
    if name in there:
        return [(name, f"{mine} here is the vault's {theirs}; the vault's {mine} comes in when you have renamed yours to {theirs}")]
    return []
