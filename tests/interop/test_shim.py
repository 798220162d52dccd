"""The TypeScript client, built as it is shipped, against the real process under Node."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from protocol.methods import served
from tests.support.machines import Machine
from tests.support.npm import SHIM, build

ROOT = Path(__file__).parent.parent.parent
SCENARIO = Path(__file__).parent / "scenario.mjs"


@pytest.fixture(scope="module")
def built() -> Path:
    """The package, compiled."""
    return build() / "dist" / "index.js"


@pytest.fixture(scope="module")
def seen(built: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scenario saw."""
    environ = {**Machine(tmp_path_factory.mktemp("interop") / "m").environ, "PYTHONPATH": str(ROOT)}
    command = ["node", str(SCENARIO), str(built), sys.executable, "-m", "tests.support.testserver"]
    done = subprocess.run(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_start_is_single_flight_and_negotiates_the_version(seen: dict[str, Any]) -> None:
    assert seen["singleFlight"]
    assert seen["server"] == "opencode-sidecar"
    assert seen["protocolVersion"]


def test_status_of_a_new_home(seen: dict[str, Any]) -> None:
    assert seen["status"]["configured"] is False
    assert seen["status"]["devices"] == []


def test_every_method_is_a_function(seen: dict[str, Any]) -> None:
    assert seen["api"] == {
        "sync": sum(name.startswith("sync/") for name in served()),
        "shell": sum(name.startswith("shell/") for name in served()),
        "which": True,
    }


def test_errors_carry_kind_and_remedy(seen: dict[str, Any]) -> None:
    assert seen["error"] == {"ours": True, "kind": "notConfigured", "code": -31001, "remedy": True}
    assert seen["invalid"]["kind"] == "invalidParams"
    assert "$.remote" in seen["invalid"]["issues"][0]
    assert seen["unknown"] == "methodNotFound"


def test_a_failure_is_told_before_it_is_answered(seen: dict[str, Any]) -> None:
    assert seen["notes"][0] == "running"
    assert seen["notes"][1]["type"] == 1
    assert seen["notes"][1]["message"].startswith("❌")
    assert seen["notes"][2] == "failed"


def test_progress_arrives_whole_and_before_the_answer(seen: dict[str, Any]) -> None:
    assert seen["progress"]["first"] == "begin"
    assert seen["progress"]["last"] == "end"
    assert 1 <= seen["progress"]["reports"] <= 5


def test_aborting_stops_the_work(seen: dict[str, Any]) -> None:
    assert seen["aborted"] == {"name": "AbortError", "quick": True}
    assert seen["abortedBefore"] == "AbortError"


def test_text_survives(seen: dict[str, Any]) -> None:
    assert seen["text"]


def test_T40_the_death_of_the_sidecar_rejects_what_is_pending(seen: dict[str, Any]) -> None:  # noqa: N802
    assert seen["death"], "a call to a dead sidecar never settles"
    assert seen["afterDeath"], "the next call starts it again"
    assert seen["crashes"] == 1


def test_a_program_that_does_not_speak_the_protocol_rejects(seen: dict[str, Any]) -> None:
    assert seen["noisy"], "a stray line on stdout hangs the host"
    assert seen["silent"], "a program that says nothing hangs the host"


def test_a_command_that_is_not_there_rejects(seen: dict[str, Any]) -> None:
    assert seen["missing"]


def test_dispose_settles_every_call_and_ends_the_process(seen: dict[str, Any]) -> None:
    assert seen["parting"] == "SidecarError"
    assert seen["gone"] == "ESRCH"
    assert seen["disposed"]


def test_the_lock_file_names_no_host() -> None:
    lock = (SHIM / "package-lock.json").read_text(encoding="utf-8")
    links = [line for line in lock.splitlines() if "://" in line and '"url": ' not in line and "/sponsors/" not in line]  # where to send money
    assert links == []
    assert '"resolved"' not in lock
