"""What is installed is what was locked, byte for byte, and nothing of it runs while it is installed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIM = ROOT / "client-shim"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-fuzz.lock"])
def test_every_python_package_has_one_version_and_its_hashes(name: str) -> None:
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in (ROOT / name).read_text().splitlines() if not line.lstrip().startswith("#")))
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==[^\s;]+[^\n]*\\\n", entry), f"not pinned: {entry[:60]}"
        assert "--hash=sha256:" in entry, f"no hash: {entry[:60]}"


def test_every_npm_package_has_its_hash_and_none_runs_a_script() -> None:
    packages = {name: entry for name, entry in json.loads((SHIM / "package-lock.json").read_text())["packages"].items() if name}
    assert [name for name, entry in packages.items() if not str(entry.get("integrity", "")).startswith("sha512-")] == []
    assert "ignore-scripts=true" in (SHIM / ".npmrc").read_text().splitlines()
    scripts = json.loads((SHIM / "package.json").read_text())["scripts"]
    assert not {"preinstall", "install", "postinstall", "prepare"} & set(scripts), "users would run it"
    users = [name for name, entry in packages.items() if not entry.get("dev") and entry.get("hasInstallScript")]
    assert users == [], "a package that users get runs a script"
