"""Where opencode Desktop keeps its project list, and whether it runs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

FILE = "opencode.global.dat"
_APPS = ("ai.opencode.desktop", "ai.opencode.desktop.beta", "ai.opencode.desktop.dev")


def desktop_file(home: Path, environ: Mapping[str, str], system: str = sys.platform) -> Path | None:
    """None when no Desktop was ever started here."""
    if system == "win32":
        base = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
    elif system == "darwin":
        base = home / "Library" / "Application Support"
    else:
        xdg = environ.get("XDG_CONFIG_HOME", "")
        base = Path(xdg) if os.path.isabs(xdg) else home / ".config"
    return next((base / app / FILE for app in _APPS if (base / app / FILE).is_file()), None)


def is_running(file: Path, environ: Mapping[str, str]) -> bool:
    """Whether the app that owns this file runs, or may: what it has in memory would replace what we write."""
    if environ.get("OPENCODE_CLIENT") == "desktop":
        return True
    if (file.parent / "lockfile").exists():  # Windows: there while it runs
        return True
    try:
        host, _, pid = os.readlink(file.parent / "SingletonLock").rpartition("-")
    except OSError:
        return False
    if host != socket.gethostname() or not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
