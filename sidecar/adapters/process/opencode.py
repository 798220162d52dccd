"""opencode's own command: where it is and which version."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SECONDS = 10.0
_FOLDERS = (".opencode/bin", ".local/bin", ".bun/bin")


def find(environ: Mapping[str, str], home: Path) -> Path | None:
    """On the PATH, else where its installer puts it."""
    found = shutil.which("opencode", path=environ.get("PATH", ""))
    for folder in () if found else _FOLDERS:
        found = found or shutil.which("opencode", path=str(home / folder))
    return Path(found) if found else None


def version(binary: Path, environ: Mapping[str, str], check: Callable[[], None]) -> str | None:
    """What it says of itself; None when it cannot be run, or says nothing in time. It gets folders of its own: nothing of the user's is touched."""
    with tempfile.TemporaryDirectory(prefix="opencode-sidecar-") as folder:
        env = dict(environ) | {f"XDG_{name}_HOME": folder for name in ("DATA", "CONFIG", "STATE", "CACHE")} | {"OPENCODE_DISABLE_AUTOUPDATE": "1"}
        try:
            process = subprocess.Popen([binary, "--version"], env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError:
            return None
        try:
            return _answer(process, check)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def _answer(process: subprocess.Popen[bytes], check: Callable[[], None]) -> str | None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        check()
        try:
            out, _ = process.communicate(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        said = out.decode("utf-8", "replace").strip()
        return said.splitlines()[-1][:40] if said and process.returncode == 0 else None
    return None
