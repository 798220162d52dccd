"""A rotating private log file. Never the bodies of messages."""

from __future__ import annotations

import logging
import logging.handlers
import os
import time
import traceback
from pathlib import Path

MAX_BYTES = 1 << 20
BACKUPS = 3


def configure(path: Path, level: str) -> None:
    """Log to a file, mode 0600. pygls logs every body at INFO, so its loggers stay at WARNING."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("pygls").setLevel(logging.WARNING)


def record_incident(error: BaseException, state: Path) -> str:
    """Write a traceback where the user can find it; returns the file's name. Never raises."""
    try:
        folder = state / "logs"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"incident-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
        return str(path)
    except OSError:
        return "the incident could not be written down"
