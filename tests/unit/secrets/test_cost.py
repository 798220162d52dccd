"""The scan costs what is new, and nothing where nothing is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.secrets import SecretsParams
from protocol.sync import CycleParams, InitParams
from sidecar.adapters import secrets
from sidecar.domain.errors import Cancelled
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.machines import Machine, bare_remote, from_schema

NOW = 1_790_000_000_000


def machine(tmp_path: Path) -> Machine:
    found = from_schema(tmp_path / "a")
    db = found.connect()
    for number in range(5):
        edits.new_session(db, f"ses_{number}", NOW)
        edits.add_turn(db, f"ses_{number}", f"t{number}", NOW, "words " * 50)
    db.close()
    found.sidecar.init(InitParams(str(bare_remote(tmp_path / "remote.git")), encryption="none"), Task())
    return found


def test_only_what_is_about_to_be_published_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(secrets, "look", lambda text, _check: bool(looked.append(len(text))))
    a = machine(tmp_path)
    a.sidecar.run(CycleParams(), Task())
    first = sum(looked)
    assert first > 3000
    looked.clear()
    a.sidecar.run(CycleParams(), Task())
    assert sum(looked) == 0
    db = a.connect()
    edits.add_turn(db, "ses_1", "t9", NOW + 9, "words " * 50)
    db.close()
    a.sidecar.run(CycleParams(), Task())
    assert 0 < sum(looked) < first / 2


def test_the_rules_are_loaded_only_when_something_may_be_found() -> None:
    script = "import sys; from sidecar.adapters.secrets import look; assert not look('x y ' * 9999, int); assert 'detect_secrets' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_looking_through_everything_can_be_stopped(tmp_path: Path) -> None:
    task = Task()
    task.cancel()
    with pytest.raises(Cancelled):
        machine(tmp_path).sidecar.secrets(SecretsParams(everything=True), task)
