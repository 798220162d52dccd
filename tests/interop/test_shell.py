"""The package's `$` against what real Bun's gave for the same thousand cases: in this process, and with commands in a sidecar."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import SIDECAR
from tests.support.npm import build

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the cases use POSIX's commands")


@pytest.fixture(scope="module")
def package() -> Path:
    return build()


def conformance(package: Path, *arguments: str, **environ: str) -> str:
    done = subprocess.run(
        ["node", "test/shell/conformance.mjs", *arguments], cwd=package, env=os.environ | environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_case_is_as_in_bun_or_a_known_difference(package: Path) -> None:
    assert "1066 cases" in conformance(package)


def test_T15_commands_in_the_sidecar_behave_the_same(package: Path) -> None:  # noqa: N802
    environ = {"SIDECAR": json.dumps(SIDECAR), "PYTHONPATH": str(ROOT)}
    assert "1066 cases" in conformance(package, "--shell", str(ROOT / "tests/interop/sidecar-shell.mjs"), **environ)


def test_it_has_the_type_that_plugins_expect(package: Path, tmp_path: Path) -> None:
    npm, npx = shutil.which("npm"), shutil.which("npx")
    assert npm is not None
    assert npx is not None
    (tmp_path / "package.json").write_text('{"private": true}')
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "@opencode-ai/plugin@1.18.33"]
    subprocess.run(install, cwd=tmp_path, check=True, stdin=subprocess.DEVNULL, timeout=240)
    options = {
        "paths": {"@opencode-ai/plugin": [str(tmp_path / "node_modules/@opencode-ai/plugin/dist/index.d.ts")]},
        "typeRoots": [str(package / "node_modules/@types")],
    }
    config = {"extends": str(package / "test/tsconfig.json"), "compilerOptions": options, "include": [str(package / "test/shell/types.ts")]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    command = [npx, "--no-install", "tsc", "-p", str(tmp_path / "tsconfig.json"), "--rootDir", "/"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
