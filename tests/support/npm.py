"""The npm package as users get it: packed, then installed into an empty folder."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

SHIM = Path(__file__).parents[2] / "client-shim"


def build() -> Path:
    """Installed from the lock file and compiled, once in a run of tests side by side. Returns the package's folder."""
    run, built = os.environ.get("PYTEST_XDIST_TESTRUNUID", ""), SHIM / ".built"
    with FileLock(SHIM / ".build.lock"):
        if not run or not built.is_file() or built.read_text() != run:
            _compile()
            built.write_text(run)
    return SHIM


def _compile() -> None:
    npm, lock, installed = _npm(), SHIM / "package-lock.json", SHIM / "node_modules" / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([npm, "ci"], cwd=SHIM, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=240)
    subprocess.run([npm, "run", "--silent", "build"], cwd=SHIM, check=True, stdin=subprocess.DEVNULL, timeout=120)


_made = tempfile.TemporaryDirectory(prefix="opencode-sidecar-npm-")


@functools.cache
def _pack() -> str:
    """Built and packed once in a run. Returns the tarball's name."""
    build()
    packed = subprocess.run([_npm(), "pack", "--silent", "--pack-destination", _made.name], cwd=SHIM, check=True, capture_output=True, text=True, timeout=120)
    return packed.stdout.strip().splitlines()[-1]


def install_packed(folder: Path) -> Path:
    """`npm pack` and `npm install` of the result. Returns the installed package's folder."""
    tarball = Path(_made.name) / _pack()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    subprocess.run([_npm(), "install", "--silent", "--no-audit", "--no-fund", str(tarball)], cwd=folder, check=True, stdin=subprocess.DEVNULL, timeout=240)
    return folder / "node_modules/opencode-sidecar"


def _npm() -> str:
    npm = shutil.which("npm")
    assert npm is not None, "Node 20 with npm is needed"
    return npm
