"""The wheel as users get it, in an environment of its own: the package's files are all there, and the npm package finds it on PATH."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.machines import from_fixture
from tests.support.npm import install_packed

ROOT = Path(__file__).parents[2]
SCRIPT = """
import { Sidecar, locate } from "opencode-sidecar";
const sidecar = new Sidecar();
const made = await sidecar.api.sync.init({});
const first = await sidecar.api.sync.run();
const status = await sidecar.api.sync.status();
await sidecar.dispose();
console.log(JSON.stringify({ command: await locate(), key: made.recoveryKey !== null, rows: first.published.rows, configured: status.configured }));
"""


@pytest.mark.skipif(os.name == "nt", reason="programs are found through links")
def test_the_wheel_is_whole_and_found_on_path(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, timeout=120)
    installed = next((tmp_path / "env/lib").glob("python*/site-packages/sidecar"))
    assert (installed / "py.typed").is_file(), "programs that use it get no types"
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("node", "git"):
        (tools / name).symlink_to(str(shutil.which(name)))
    (tools / "opencode-sidecar").symlink_to(tmp_path / "env/bin/opencode-sidecar")
    install_packed(tmp_path / "npm")
    (tmp_path / "npm/use.mjs").write_text(SCRIPT)
    machine = from_fixture(tmp_path / "m", "ada-1.18.33")
    # The libraries are those of this environment; our own code can only come from the wheel, as a path in PYTHONPATH reads no .pth files.
    environ = machine.environ | {"PATH": str(tools), "PYTHONPATH": sysconfig.get_path("purelib")}
    done = subprocess.run([tools / "node", "use.mjs"], cwd=tmp_path / "npm", env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["command"] == [str(tools / "opencode-sidecar")]
    assert seen["key"]
    assert seen["configured"]
    assert seen["rows"] > 100
