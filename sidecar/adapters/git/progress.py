"""git's progress lines as numbers. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<stage>Receiving objects|Writing objects|Resolving deltas|Compressing objects|Counting objects):\s+\d+% "
    r"\((?P<done>\d+)/(?P<total>\d+)\)(?:, (?P<size>[\d.]+) (?P<unit>bytes|KiB|MiB|GiB))?"
)
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Step:
    """How far one stage of a transfer is."""

    stage: str
    done: int
    total: int
    bytes_done: int


def last_step(text: str) -> Step | None:
    """The newest progress in a piece of git's standard error; None when it has none."""
    found = None
    for found in _LINE.finditer(text):  # noqa: B007 - the last one counts
        pass
    if found is None:
        return None
    size = int(float(found["size"]) * _UNITS[found["unit"]]) if found["size"] else 0
    return Step(found["stage"], int(found["done"]), int(found["total"]), size)
