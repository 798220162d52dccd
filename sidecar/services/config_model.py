"""What a cycle means to do with the configuration, and what it did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.domain.config_overrides import Overrides
from sidecar.domain.config_plan import Row, runs_code
from sidecar.domain.config_secrets import Path as SecretPath
from sidecar.services.config_files import Content, FileMerge
from sidecar.services.workspace import Workspace


@dataclass(slots=True)
class FilePlan:
    """One file of which something changes or waits. `here`, `there`: as they are."""

    path: str
    row: Row
    here: Content
    there: Content
    merge: FileMerge
    target: Path | None = None
    program: tuple[bool, bool, bool] = (False, False, False)
    """Whether it is marked as a program: here, in the vault, and as it shall be."""

    @property
    def comes_in(self) -> bool:
        return self.merge.problem is None and (self.merge.mine != self.here or (self.here is not None and self.program[0] != self.program[2]))

    @property
    def goes_out(self) -> bool:
        return self.merge.problem is None and (self.merge.theirs != self.there or (self.there is not None and self.program[1] != self.program[2]))

    @property
    def executable(self) -> bool:
        return self.comes_in and self.merge.mine is not None and (self.program[2] or runs_code(self.path, self.merge.keys))


@dataclass(slots=True)
class ConfigPlan:
    files: list[FilePlan] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    overrides: Overrides = field(default_factory=Overrides)
    guarded: int = 0
    stamp: str = ""


@dataclass(slots=True)
class ConfigOutcome:
    """`files`: paths that changed here."""

    counts: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    pushed: bool = False


def moved_texts(file: FilePlan) -> list[str]:
    """What to tell about secrets that do not travel."""
    return [
        f"{file.path}: the secret at {'.'.join(map(str, moved.path))} stays on this machine; {{env:{moved.name}}} travels in its place."
        for moved in (file.merge.moved if file.merge.problem is None else ())
    ]


def plain_text(places: Iterable[SecretPath]) -> str:
    """What to tell about secrets that are in the vault."""
    named = ", ".join(".".join(map(str, path)) for path in places)
    return (
        f"opencode-synced put secrets into the vault as they are ({named}); they stay there, since its machines would lose them. "
        "A new value stays on this machine: replace them"
    )


def commit_message(files: Iterable[FilePlan], changed: Iterable[str] = ()) -> str:
    """What changed, from the changes themselves. `changed`: all paths that are pushed, those that no person edits included."""
    files = list(files)
    verbs: dict[str, list[str]] = {"Add": [], "Change": [], "Remove": [], "Update": sorted({*changed} - {file.path for file in files})}
    for file in files:
        if file.goes_out:
            verbs["Remove" if file.merge.theirs is None else "Add" if file.there is None else "Change"].append(file.path)
    said = [f"{verb} {names[0]}" if len(names) == 1 else f"{verb} {len(names)} files" for verb, names in verbs.items() if names]
    title = ", ".join(said) or "Seal with the new key"
    lines = [f"{verb}: {name}" for verb, names in verbs.items() for name in names]
    return "\n".join([title[:1] + title[1:72], "", *lines[:200]])


def note_files(ws: Workspace, cycle: str, files: list[str], kind: str = "cycle") -> None:
    """Enter the files that a cycle changed here into the history."""
    if not files:
        return
    ws.journal.begin(cycle, ws.clock.wall(), kind)
    known = next((entry.summary for entry in ws.journal.cycles(-1) if entry.id == cycle), {})
    with contextlib.suppress(ValueError):
        ws.journal.finish(cycle, known | {"files": files[:1000]})
