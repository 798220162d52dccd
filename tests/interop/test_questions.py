"""Questions that only a person can answer, through the TypeScript client: the answers' effects in the database and in the logs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import questions
from tests.support.machines import Machine, bare_remote
from tests.support.npm import build
from tests.support.questions import COPY, COUNT, PUBLISH, RESTORE, SAME, copied, sessions, set_back, vanish, with_many_sessions
from tests.support.tamper import logs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built() -> Path:
    return build() / "dist/index.js"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare_remote(tmp_path / "vault.git")


def run(built: Path, machine: Machine, what: str, title: str = "") -> dict[str, Any]:
    command = ["node", str(ROOT / "tests/interop/questions.mjs"), str(built), what, title, sys.executable, "-m", "sidecar"]
    environ = {**machine.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert seen["rejections"] == []
    return seen


def tombstones(machine: Machine) -> int:
    return sum(cycle["published"]["tombstones"] for cycle in machine.cli("history")["cycles"])


@pytest.mark.parametrize("by", ["answer", "panel"])
@pytest.mark.parametrize(("title", "left", "published"), [(RESTORE, COUNT, 0), (PUBLISH, 0, COUNT)])
def test_what_becomes_of_sessions_that_vanished(built: Path, remote: Path, tmp_path: Path, by: str, title: str, left: int, published: int) -> None:
    machine = with_many_sessions(tmp_path / "a", remote)
    vanish(machine)
    seen = run(built, machine, by, title)
    assert [question["kind"] for question in seen["asked"]] == ["deletionGuard"]
    assert seen["synced"], seen["last"]
    assert (len(sessions(machine)), tombstones(machine)) == (left, published)


@pytest.mark.parametrize("by", ["answer", "panel"])
def test_a_copy_gets_an_identity_of_its_own(built: Path, remote: Path, tmp_path: Path, by: str) -> None:
    original = questions.original(tmp_path / "a", remote)
    clone = copied(original, tmp_path / "b")
    device, before = clone.cli("status")["deviceId"], logs(remote)
    seen = run(built, clone, by, COPY)
    assert seen["first"]["kind"] == "identityCloned"
    assert [question["kind"] for question in seen["asked"]] == ["identityCloned"]
    assert seen["synced"], seen["last"]
    assert clone.cli("status")["deviceId"] != device
    assert len(logs(remote)) == len(before) + 1
    original.cli("sync")
    assert sessions(original) == sessions(clone) == {"ses_first", "ses_mine", "ses_its"}


@pytest.mark.parametrize("by", ["answer", "panel"])
def test_the_original_goes_on_with_its_log(built: Path, remote: Path, tmp_path: Path, by: str) -> None:
    machine = questions.original(tmp_path / "a", remote)
    set_back(machine, tmp_path / "backup")
    device, before = machine.cli("status")["deviceId"], logs(remote)
    seen = run(built, machine, by, SAME)
    assert seen["first"]["kind"] == "identityCloned"
    assert seen["synced"], seen["last"]
    assert machine.cli("status")["deviceId"] == device
    assert logs(remote).keys() == before.keys()
    assert sessions(machine) == {"ses_first", "ses_published", "ses_since"}
    assert machine.cli("verify")["ok"]


def test_a_page_can_give_an_answer_once_and_nothing_else(built: Path, remote: Path, tmp_path: Path) -> None:
    machine = with_many_sessions(tmp_path / "a", remote)
    vanish(machine)
    seen = run(built, machine, "panel", RESTORE)
    kinds = [answer["error"]["kind"] if "error" in answer else answer["result"] for answer in seen["wrong"]]
    assert kinds == ["invalidParams", "invalidParams", {"answered": False}, {"answered": False}, "invalidParams"]
    assert (seen["stillOpen"], seen["answered"], seen["told"], seen["left"]) == (1, [True, False], True, 0)


def test_a_host_without_an_answer_changes_nothing(built: Path, remote: Path, tmp_path: Path) -> None:
    machine = with_many_sessions(tmp_path / "a", remote)
    vanish(machine)
    seen = run(built, machine, "none")
    for name, result in seen["results"].items():
        assert (result["first"]["value"]["guarded"], result["again"]["value"]["guarded"], result["status"]) == (COUNT, COUNT, True), name
    assert len(seen["asked"]) == len(seen["results"]) - 1, "who has no handler was asked, or who has one was not"
    assert (sessions(machine), tombstones(machine)) == (set(), 0)


def test_a_dialog_that_is_late_is_closed_and_counts_for_nothing(built: Path, remote: Path, tmp_path: Path) -> None:
    machine = with_many_sessions(tmp_path / "a", remote)
    vanish(machine)
    seen = run(built, machine, "late", PUBLISH)
    assert seen["closedByDeath"], "a dialog without anybody to answer to stays open"
    assert seen["closedElsewhere"], "a dialog about what has been settled stays open"
    assert (seen["elsewhere"]["value"]["guarded"], seen["status"]["guarded"], seen["open"]) == (0, 0, 0)
    assert (len(sessions(machine)), tombstones(machine)) == (COUNT, 0)


def test_the_first_of_several_handlers_decides(built: Path, tmp_path: Path) -> None:
    seen = run(built, Machine(tmp_path / "m"), "handlers")
    assert "phantom" not in seen, "a dialog is opened for what has settled, and nothing closes it"
    assert seen["outcomes"] == {
        "nobody is there": [None, True],
        "one does not know, one answers": ["no", True],
        "one throws, one answers": ["no", True],
        "nobody knows": [None, True],
        "one thinks, one answers": ["no", True],
        "one thinks, one does not know": ["open", False],
        "one thinks, and leaves": [None, True],
        "one comes later": ["no", True],
        "it is withdrawn": [None, True],
        "it is withdrawn at once": [None, True],
        "it is withdrawn before": [None, True],
    }
