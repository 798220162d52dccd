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

PINS = json.loads((Path(__file__).parent / "pins.json").read_text())
CACHE = Path(os.environ.get("OPENCODE_BIN_CACHE") or Path(__file__).parents[3] / ".cache" / "opencode")


def opencode(version: str) -> Path:
    """The binary of this version, downloaded once through npm."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("NOT RUN: the pinned opencode packages are for Linux x64; the cross-machine tests did not run here")
    folder = CACHE / version
    binary = folder / "package" / "bin" / "opencode"
    if binary.is_file():
        return binary
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        name = f"opencode-linux-x64@{version}"
        packed = subprocess.run(["npm", "pack", "--silent", name], cwd=temporary, capture_output=True, text=True, check=True, timeout=300)
        archive = Path(temporary) / packed.stdout.strip().splitlines()[-1]
        digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        assert digest == PINS[version], f"opencode {version}: the package is not the pinned one"
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, filter="data")
        os.replace(Path(temporary) / "package", folder / "package")
    binary.chmod(0o755)
    return binary
