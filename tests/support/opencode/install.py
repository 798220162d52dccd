"""Real opencode binaries: the platform packages of `opencode-ai`, pinned by their SHA-512, kept in a cache."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

PINS: dict[str, str] = json.loads((Path(__file__).parent / "pins.json").read_text())
CACHE = Path(os.environ.get("OPENCODE_BIN_CACHE") or Path(__file__).parents[3] / ".cache" / "opencode")
_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def opencode(version: str) -> Path:
    """The binary of this version, downloaded once through npm. No network is an error, not a skip: the tests must run."""
    name = f"opencode-{_SYSTEMS.get(platform.system())}-{_MACHINES.get(platform.machine().lower())}@{version}"
    if name not in PINS:
        pytest.skip(f"NOT RUN: no pinned package {name}. Nothing was tested against the real opencode {version} on this platform.")
    folder = CACHE / version
    binary = folder / "package" / "bin" / "opencode"
    if not binary.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            _unpack(_download(name, Path(temporary)), folder, binary)
    return binary


def _download(name: str, into: Path) -> Path:
    packed = subprocess.run(["npm", "pack", "--silent", name], cwd=into, capture_output=True, text=True, timeout=300, check=False)
    assert packed.returncode == 0, f"npm pack {name} failed: {packed.stderr[-800:]}"
    archive = into / packed.stdout.strip().splitlines()[-1]
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == PINS[name], f"{name}: the package is not the pinned one"
    return archive


def _unpack(archive: Path, folder: Path, binary: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent, filter="data")
    (archive.parent / "package/bin/opencode").chmod(0o755)
    try:
        os.replace(archive.parent / "package", folder / "package")
    except OSError:
        if not binary.is_file():  # else another run was faster
            raise
