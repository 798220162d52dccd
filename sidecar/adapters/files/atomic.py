"""Writing small private files so that a crash leaves the old or the new one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sidecar.adapters.files.private import private_folder


def write_private(path: Path, data: bytes) -> None:
    """Write through a temporary file in the same folder, mode 0600, synced before the rename."""
    private_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
