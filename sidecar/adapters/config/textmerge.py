"""Line-based three-way merge, by git."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from sidecar.adapters.git.run import Git
from sidecar.domain.errors import SidecarError


def merge_text(environ: Mapping[str, str], base: bytes, mine: bytes, theirs: bytes, *, union: bool = False) -> bytes | None:
    """None when both changed the same lines. `union`: then the lines of both."""
    with tempfile.TemporaryDirectory(prefix="opencode-sidecar-") as folder:
        names = []
        for name, data in (("mine", mine), ("base", base), ("theirs", theirs)):
            path = Path(folder) / name
            path.write_bytes(data)
            names.append(str(path))
        git = Git(Path(folder), environ)
        if union:
            return git.run("merge-file", "-p", "-q", "--union", *names)
        try:
            return git.run("merge-file", "-p", "-q", *names)
        except SidecarError:  # its status is the number of conflicts
            return None
