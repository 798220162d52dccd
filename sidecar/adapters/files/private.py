"""Folders that only their owner can enter."""

from __future__ import annotations

from pathlib import Path

MODE = 0o700


def private_folder(path: Path) -> None:
    """Make it and the missing ones above it. Raises OSError.

    `Path.mkdir(parents=True, mode=…)` gives the mode to the last of them alone.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(mode=MODE, exist_ok=True)


def close_to_others(path: Path) -> None:
    """For a folder that is ours. Raises OSError."""
    if path.stat().st_mode & 0o077:
        path.chmod(MODE)
