"""A rotating private log file. Never the bodies of messages."""

from __future__ import annotations

import logging
import logging.handlers
import os
import time
import traceback
from io import TextIOWrapper
from pathlib import Path

from sidecar.adapters.files.private import private_folder

MAX_BYTES = 1 << 20
BACKUPS = 3


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Also the files that follow a full one are for the user alone."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding, errors=self.errors, write_through=True)


def configure(path: Path, level: str) -> None:
    """Log to a file, mode 0600. Raises OSError when it cannot be opened; nothing is logged anywhere then."""
    root = logging.getLogger()
    root.handlers[:] = [logging.NullHandler()]
    root.setLevel(level.upper())
    for chatty in ("pygls", "asyncio"):  # they log bodies, params and reprs of what they run
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    logging.raiseExceptions = False  # a full disk must not fill stderr
    private_folder(path.parent)
    handler = _PrivateFile(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root.handlers[:] = [handler]


def record_incident(error: BaseException, state: Path) -> str:
    """Write a traceback where the user can find it; returns the file's name. Never raises."""
    try:
        folder = state / "logs"
        private_folder(folder)
        path = folder / f"incident-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}.txt"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
        return str(path)
    except OSError:
        return "the incident could not be written down"
