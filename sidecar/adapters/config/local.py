"""The rows of the plan as files of this machine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.adapters.config import files
from sidecar.domain.config_names import Refused, problem_with_name
from sidecar.domain.config_plan import FOLDER, Row, excluded


@dataclass(slots=True)
class LocalConfig:
    """What is here. `files`: path in the vault -> file. `unreadable`: rows of which nothing is known, so that nothing there counts as deleted."""

    files: dict[str, Path] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    stamp: str = ""


KEPT_OUT = "opencode's database and this program's own files are no configuration; sessions are synced otherwise"


class LocalFiles:
    """`roots`: name of a root in the plan -> folder. `own_state`, `database`: no row reaches there, whatever paths the user has added."""

    def __init__(self, roots: Mapping[str, Path], own_state: Path, database: Path) -> None:
        self._roots = roots
        self._own_state, self._database = _real(own_state), _real(database)
        self._data = _real(roots["data"])

    def root_of(self, row: Row) -> Path:
        return self._roots[row.root] / row.local if row.root else Path(row.local)

    def keeps_out(self, row: Row, rest: str) -> bool:
        """Whether a row's file, or (with "" as `rest`) the row itself, is none of the user's. Reading a database besides gives up SQLite's locks on it."""
        if row.root:
            return False
        path = _real(self.root_of(row) / rest)
        folder, name = os.path.split(path)
        is_database = path.startswith(self._database) or (folder == self._data and name.startswith("opencode") and ".db" in name)
        return is_database or f"{path}{os.sep}".startswith(f"{self._own_state}{os.sep}")

    def scan(self, rows: Iterable[Row], watched: Iterable[Path]) -> LocalConfig:
        """`watched`: other files whose change matters."""
        found, stamps = LocalConfig(), []
        for row in rows:
            if self.keeps_out(row, ""):
                listing = files.Listing(problems=[("", KEPT_OUT)], unreadable=True)
            else:
                listing = files.list_row(self.root_of(row), lambda rest, row=row: excluded(row, rest) or self.keeps_out(row, rest))  # type: ignore[misc]
            if "" in listing.files and row.policy == FOLDER and row.root:
                listing = files.Listing(problems=[("", "it is a file where a folder belongs")], unreadable=True)
            elif listing.files and "" not in listing.files and row.policy != FOLDER:
                listing = files.Listing(problems=[("", "it is a folder where a file belongs")], unreadable=True)
            stamps.append([row.repo, *listing.stamp, *listing.problems])
            if listing.unreadable:
                found.unreadable.add(row.repo)
            found.problems += [(f"{row.repo}/{rest}" if rest else row.repo, why) for rest, why in listing.problems]
            for rest, path in listing.files.items():
                repo = f"{row.repo}/{rest}" if rest else row.repo
                why = problem_with_name(repo)
                if why is None:
                    found.files[repo] = path
                else:
                    found.problems.append((repo, why))
        for path in watched:
            listing = files.list_row(path, lambda _: False)
            stamps.append([str(path), *listing.stamp, *listing.problems])
        found.stamp = hashlib.sha256(json.dumps(stamps).encode("utf-8", "surrogateescape")).hexdigest()
        return found

    def exists(self, path: Path) -> bool:
        """Whether anything has this name, of whatever kind."""
        return os.path.lexists(path)

    def read(self, path: Path) -> bytes | None:
        """None when it is not there. Raises Refused."""
        return files.read_or_none(path)

    def place(self, row: Row, repo: str) -> Path:
        """Where a file of the vault belongs here. Raises Refused."""
        rest = repo[len(row.repo) + 1 :]
        if self.keeps_out(row, rest):
            raise Refused(KEPT_OUT)
        return files.place_of(self.root_of(row), rest)

    def mode(self, path: Path) -> int | None:
        return files.mode_of(path)

    def is_program(self, path: Path, known: bool) -> bool:
        """Whether a file is marked as one; `known` where the system has no such marks."""
        return known if os.name == "nt" else bool((files.mode_of(path) or 0) & 0o100)

    def write(self, row: Row, path: Path, data: bytes | None, *, private: bool = False, mode: int | None = None, program: bool | None = None) -> None:
        """Write or (None) remove. `program`: mark it as one, or not. Raises Refused."""
        if program is not None:
            mode = (files.mode_of(path) or 0o644) & ~0o111 | (0o111 if program else 0)
        try:
            if data is None:
                files.remove(path, self.root_of(row))
            else:
                files.write(path, data, private=private or row.secret, mode=mode)
        except OSError as error:
            raise Refused(f"it cannot be written: {error.strerror or error}") from None

    def write_private(self, path: Path, data: bytes) -> None:
        files.write(path, data, private=True)


def _real(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
