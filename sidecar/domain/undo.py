"""What has to be written to take back a series of writes, from the images that were kept of the rows before each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

INSERTED, UPDATED, DELETED = range(3)
"""What a write did to the row."""

At = tuple[str, str]
"""(table, key)."""


@dataclass(frozen=True, slots=True)
class Image:
    """A row before one write. `columns`: of an updated row those that were replaced, of a deleted one all, of an inserted one None."""

    table: str
    key: str
    kind: int
    columns: Mapping[str, Any] | None


@dataclass(slots=True)
class Target:
    """How a row was before the series. `columns` None: it was not there; `whole`: all its columns are known."""

    columns: dict[str, Any] | None
    whole: bool


def targets(newest_first: Iterable[Image]) -> dict[At, Target]:
    """Fold the images of a series of writes, the last one first, into how each row was before the first."""
    found: dict[At, Target] = {}
    for image in newest_first:
        at = (image.table, image.key)
        if image.kind == INSERTED:
            found[at] = Target(None, whole=True)
        elif image.kind == DELETED:
            found[at] = Target(dict(image.columns or {}), whole=True)
        else:
            later = found.get(at)
            if later is None or later.columns is None:
                found[at] = Target(dict(image.columns or {}), whole=False)
            else:
                later.columns.update(image.columns or {})
    return found
