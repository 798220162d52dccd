"""What a file system still takes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Disk:
    """`free`: bytes; `files`: how many more, None where that has no limit or cannot be told."""

    free: int
    files: int | None
    read_only: bool


def look(path: Path) -> Disk:
    """Raises OSError."""
    free = shutil.disk_usage(path).free
    if not hasattr(os, "statvfs"):
        return Disk(free, None, read_only=False)
    found = os.statvfs(path)
    return Disk(free, found.f_favail if found.f_files else None, bool(found.f_flag & os.ST_RDONLY))
