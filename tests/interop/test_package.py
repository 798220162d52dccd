"""The npm package as users install it, under Node: found, started again, refused, and loaded as a plugin without Bun."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import from_schema
from tests.support.npm import SHIM, install_packed

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="uses sh to make a sidecar that dies")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("package")
    install_packed(folder)
    environ = {**from_schema(folder / "machine").environ, "PYTHONPATH": str(ROOT)}
    command = ["node", str(Path(__file__).parent / "package.mjs"), sys.executable]
    done = subprocess.run(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_both_module_systems_get_it(seen: dict[str, Any]) -> None:
    assert (seen["esm"], seen["cjs"]) == ("function", "function")


def test_the_sidecar_is_found(seen: dict[str, Any]) -> None:
    assert seen["named"] == [sys.executable, "-m", "sidecar"]
    assert seen["onPython"][0].startswith(str(Path(sys.executable).parent))


def test_a_missing_sidecar_says_what_was_tried_and_what_to_do(seen: dict[str, Any]) -> None:
    assert seen["nothing"]["isOurs"]
    assert seen["nothing"]["tried"] >= 4
    assert "uv tool install" in seen["nothing"]["message"]
    assert seen["callWithout"]


def test_a_setting_that_does_not_work_is_an_error(seen: dict[str, Any]) -> None:
    assert seen["wrongSetting"], "another program than the one that was asked for would run"
    assert seen["brokenSetting"]


def test_a_crash_loop_ends(seen: dict[str, Any]) -> None:
    assert seen["loop"]["gone"]
    assert seen["loop"]["starts"] == 5
    assert "not started again" in seen["loop"]["last"]
    assert seen["hopelessStarts"] == 1, "status 78 says that starting again cannot help"


def test_reads_are_asked_again_and_writes_never(seen: dict[str, Any]) -> None:
    assert seen["read"] is False
    assert seen["readTwice"], "it is asked again once"
    assert seen["writeAgain"] == "sync/run", "the next call starts the sidecar again"
    assert seen["write"], "a cycle may have happened: only the caller may repeat it"


def test_the_plugin_works_without_bun_and_never_throws(seen: dict[str, Any]) -> None:
    assert seen["exports"] == [], "opencode calls every exported function as a plugin"
    names = ("doctor", "enable-secrets", "history", "init", "link", "page", "preview", "pull", "push", "resolve", "restore", "run", "status", "verify")
    assert seen["commands"] == [f"sync-{name}" for name in names]
    assert seen["kept"] == "mine", "the user's own command was overwritten"
    assert "not part of a vault" in seen["unconfigured"]
    assert "Part of the vault" in seen["init"]
    assert "/sync-run syncs." in seen["init"], "with `manual` a cycle began that nobody had asked for"
    assert "Vault at" in seen["status"]
    assert seen["refused"].startswith("❌")
    assert seen["history"] == "Nothing was changed by a sync yet."
    assert "/sync-history" in seen["restoreWhat"]
    assert seen["restoreNothing"].startswith("❌")
    assert "✅ git:" in seen["doctor"]
    assert "includeConfig" in seen["resolveOff"], seen["resolveOff"]
    assert seen["resolve"] == "✅ No conflicts."
    assert seen["resolveNothing"].startswith("❌")
    assert "credentials are synced" in seen["secrets"]
    assert any("examining" in title for title in seen["titles"]), "a long check shows nothing while it runs"


def test_the_packages_entry_points_fit_every_resolver(seen: dict[str, Any]) -> None:
    npx = shutil.which("npx")
    assert npx is not None
    done = subprocess.run([npx, "--no-install", "publint", "--strict"], cwd=SHIM, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    attw = [npx, "--no-install", "attw", "--pack", ".", "--profile", "node16", "--ignore-rules", "cjs-resolves-to-esm"]  # the plugin is ESM alone
    done = subprocess.run(attw, cwd=SHIM, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
