"""What is only looked at while something else is at work disturbs nothing, and nothing disturbs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from protocol.secrets import SecretsParams
from protocol.sync import CycleParams, InitParams, LinkParams, StatusParams
from protocol.trust import DoctorParams, HistoryParams, QuarantineParams
from sidecar import repair
from sidecar.adapters.files.lock import exclusive
from sidecar.adapters.git import layout
from sidecar.adapters.sqlite.shadow import Shadow
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.setup import set_aside
from tests.support.machines import Machine

_OPEN = """
import pathlib, sys
from sidecar.adapters.sqlite.shadow import Shadow
shadow = Shadow(pathlib.Path(sys.argv[1]))
print(shadow.get("clock"), flush=True)
sys.stdin.readline()
shadow.close()
"""
LOOKS: dict[str, Callable[[Machine], object]] = {
    "status": lambda one: one.sidecar.status(StatusParams(), Task()),
    "secrets": lambda one: one.sidecar.secrets(SecretsParams(), Task()),
    "secrets, all": lambda one: one.sidecar.secrets(SecretsParams(everything=True), Task()),
    "history": lambda one: one.sidecar.history(HistoryParams(), Task()),
    "quarantine": lambda one: one.sidecar.quarantine(QuarantineParams(), Task()),
    "doctor": lambda one: one.sidecar.doctor(DoctorParams(), Task()),
}


@pytest.fixture
def one(machine: Callable[..., Machine], remote: Path) -> Machine:
    found = machine("a", "ada-1.18.33")
    found.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    found.sidecar.run(CycleParams(), Task())
    return found


# --- the repository -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_look_makes_no_repository_while_link_does(one: Machine, look: Callable[[Machine], object]) -> None:
    shutil.rmtree(one.own_state / "vault.git")
    look(one)
    assert not (one.own_state / "vault.git").exists(), "two make one repository, and the one that is in earnest fails"


def test_link_makes_its_repository_whatever_looks_on(one: Machine, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare, begun = layout.prepare, []

    def looked_at(path: Path) -> None:
        prepare(path)
        if path == one.own_state / "vault.git" and not begun:
            begun.append(path)
            for look in LOOKS.values():
                look(one)
            assert not layout.is_whole(path), "another one made what link had begun"

    with monkeypatch.context() as patch:
        patch.setattr(layout, "prepare", looked_at)
        one.sidecar.link(LinkParams(str(remote), new_device=True), Task())
    assert begun
    one.sidecar.run(CycleParams(), Task())
    assert one.sidecar.status(StatusParams(), Task()).last_error is None


def test_doctor_names_a_repository_that_is_not_there(one: Machine) -> None:
    shutil.rmtree(one.own_state / "vault.git")
    found = {check.name: check for check in one.sidecar.doctor(DoctorParams(offline=True), Task()).checks}
    assert not found["vault copy"].ok
    assert "repair" in found["vault copy"].remedy


# --- the shadow ---------------------------------------------------------------------------------------------------
def _filled(path: Path, clock: int) -> Shadow:
    shadow = Shadow(path)
    with shadow.writing():
        shadow.put("clock", clock)
    return shadow


def test_a_shadow_that_is_closed_while_it_is_set_aside_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "shadow.db"
    looking = _filled(path, 1)

    def rename(source: Path, target: Path) -> None:
        looking.close()  # between the look into the folder and this: SQLite removes what is beside the file
        source.rename(target)

    set_aside(tmp_path, ("shadow.db",), rename)
    (kept,) = tmp_path.glob("replaced-*-shadow.db")
    with closing(Shadow(kept)) as shadow:
        assert shadow.get("clock") == 1, "what was recorded is lost"
    assert not path.exists()


def test_a_damaged_shadow_that_is_closed_while_repair_sets_it_aside_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shadow.db"
    looking, rename = _filled(path, 1), Path.rename

    def late(source: Path, target: Path) -> Path:
        looking.close()
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", late)
        aside = repair._set_aside(tmp_path, "shadow.db")
    assert aside is not None
    with closing(Shadow(tmp_path / aside)) as shadow:
        assert shadow.get("clock") == 1
    assert not path.exists()


def test_who_still_has_the_old_shadow_open_leaves_the_new_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "shadow.db"
    with closing(_filled(path, 1)):
        other = subprocess.Popen([sys.executable, "-c", _OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
    set_aside(tmp_path, ("shadow.db",))
    with closing(_filled(path, 2)) as shadow:
        log = path.with_name("shadow.db-wal").stat().st_ino
        other.communicate("\n", timeout=60)
        assert other.returncode == 0
        assert path.with_name("shadow.db-wal").stat().st_ino == log, "the log of the new one was removed by its path"
        with shadow.writing():
            shadow.put("clock", 3)
        with closing(Shadow(path)) as another:
            assert another.get("clock") == 3


# --- the lock -----------------------------------------------------------------------------------------------------
class _Waits(Task):
    """Does something when it is to wait for the first time."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.meanwhile, self.waits = meanwhile, 0

    def wait(self, seconds: float) -> None:
        self.waits += 1
        if self.waits == 1:
            self.meanwhile()
        super().wait(seconds)


def test_a_sync_that_starts_while_doctor_looks_at_the_lock_is_not_refused(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "sync.lock"
    path.touch()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        task = _Waits(lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        with exclusive(path, task):
            pass
    assert task.waits, "the lock was never in its way: this shows nothing"


def test_a_lock_that_is_held_in_earnest_is_said_at_once(tmp_path: Path) -> None:
    task = _Waits(lambda: None)
    with exclusive(tmp_path / "sync.lock", Task()), pytest.raises(SidecarError) as caught, exclusive(tmp_path / "sync.lock", task):
        pass
    assert caught.value.kind == "locked"
    assert task.waits <= 2
