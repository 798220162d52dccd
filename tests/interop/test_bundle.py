"""The self-contained bundle: built here, put where the package looks for it, and used on a machine without Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machines import Machine, from_fixture
from tests.support.npm import install_packed

ROOT = Path(__file__).parents[2]
SCRIPT = """
import { Sidecar, locate } from "opencode-sidecar";
const command = await locate();
const sidecar = new Sidecar();
const made = await sidecar.api.sync.init({});
const first = await sidecar.api.sync.run();
const ran = await sidecar.api.shell.exec({ argv: ["printenv", "LD_LIBRARY_PATH"] });
const checks = (await sidecar.api.sync.doctor({ offline: true })).checks.filter((check) => !check.ok).map((check) => check.name);
await sidecar.dispose();
console.log(JSON.stringify({ command, key: made.recoveryKey !== null, rows: first.published.rows, printed: ran.stdout.data, checks }));
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in a folder of its own."""
    into = tmp_path_factory.mktemp("bundle") / "made"
    done = subprocess.run([sys.executable, "scripts/bundle.py", "--into", str(into)], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.rsplit(" (", 1)[0])


@pytest.mark.skipif(os.name == "nt", reason="folders of programs are told apart by links")
def test_the_package_finds_it_and_needs_no_python(bundle: Path, tmp_path: Path) -> None:
    package = install_packed(tmp_path / "npm")
    (tmp_path / "npm/use.mjs").write_text(SCRIPT)
    where = subprocess.run(["node", "-p", "`${process.platform}-${process.arch}`"], capture_output=True, text=True, check=True).stdout.strip()
    shutil.copytree(bundle.parent, package / "bundle" / where, symlinks=True)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("node", "git", "printenv"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    machine = from_fixture(tmp_path / "m", "ada-1.18.33")
    environ = {name: value for name, value in machine.environ.items() if name != "PYTHONPATH"} | {"PATH": str(tools)}
    done = subprocess.run([tools / "node", "use.mjs"], cwd=tmp_path / "npm", env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["command"][0].startswith(str(package / "bundle")), "another sidecar was used than the one that came along"
    assert seen["key"], "the bundle cannot encrypt"
    assert seen["rows"] > 100
    assert seen["printed"] == "", "commands of the host see the bundle's own libraries"
    assert seen["checks"] == []


def test_the_command_line_is_whole(bundle: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "m")
    done = subprocess.run([bundle, "--json", "status"], env=machine.environ, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["configured"] is False, done.stderr
    told = subprocess.run([bundle, "sync"], env=machine.environ, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert told.stderr.startswith("❌")
