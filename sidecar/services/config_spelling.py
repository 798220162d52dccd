"""What the files that opencode reads under two names are called on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.domain.config_pairs import PAIRS, Spelling, spell
from sidecar.domain.config_plan import Row

if TYPE_CHECKING:
    from sidecar.adapters.config.local import LocalFiles


def spellings(local: LocalFiles, folder: Path, entries: Mapping[str, Any], there: Collection[str]) -> list[Spelling]:
    """One for each pair. `folder`: opencode's configuration folder. `entries`: as the state has them. `there`: paths in the vault."""
    found = []
    for pair in PAIRS:
        here = [path for path in pair if local.exists(folder / _name(path))]
        known = [path for path in pair if entries.get(path, {}).get("base") or entries.get(path, {}).get("conflicts")]
        stands = {path: entries[path]["as"] for path in pair if entries.get(path, {}).get("as")}
        found.append(spell(pair, here, [path for path in pair if path in there], known, stands))
    return found


def placed(rows: Iterable[Row], found: Iterable[Spelling]) -> list[Row]:
    """The rows with the names that the files have here, without those that are left alone."""
    names = {path: name for one in found for path, name in one.names.items()}
    paired = {path for pair in PAIRS for path in pair}
    return [replace(row, local=_name(names[row.repo])) if row.repo in names else row for row in rows if row.repo in names or row.repo not in paired]


def stands_for(row: Row) -> str | None:
    """The other path of the pair, when the row's file is called so here."""
    return next((path for pair in PAIRS if row.repo in pair for path in pair if path != row.repo and _name(path) == row.local), None)


def row_at(local: LocalFiles, folder: Path, row: Row, target: Path) -> Row:
    """The row for a file that was at `target`: it may be there again, while its pair has no file here under the other name."""
    for pair in PAIRS:
        places = [folder / _name(path) for path in pair]
        if row.repo in pair and target in places and not any(local.exists(place) for place in places if place != target):
            return replace(row, local=target.name)
    return row


def _name(path: str) -> str:
    return path.rpartition("/")[2]
