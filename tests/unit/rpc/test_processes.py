"""Watching the host, and leaving nobody behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from sidecar.rpc import children, hostwatch
from sidecar.rpc.handshake import problem_with, state_root, wrong_version
from sidecar.settings import Settings

posix = pytest.mark.skipif(os.name != "posix", reason="signals")


def test_this_process_is_alive() -> None:
    assert hostwatch.is_alive(os.getpid(), hostwatch.start_time(os.getpid()))


def test_a_process_that_has_ended_is_noticed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = threading.Event()
    hostwatch.watch(child.pid, gone.set, interval=0.02)
    assert not gone.wait(0.2)
    child.communicate(b"\n")
    assert gone.wait(3)


@posix
def test_a_process_that_may_not_be_signalled_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert hostwatch.is_alive(os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="start times come from /proc")
def test_a_reused_pid_is_not_the_host() -> None:
    assert not hostwatch.is_alive(os.getpid(), "1")


@posix
def test_descendants_are_found_whatever_their_session() -> None:
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'], start_new_session=True); print(p.pid, flush=True); p.wait()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert {child.pid, grandchild} <= set(children.descendants(os.getpid()))
        assert children._parents_from_ps().get(grandchild) in (child.pid, None)
    finally:
        child.communicate(b"\n")


@pytest.mark.parametrize(
    ("params", "count"),
    [
        (None, 0),
        ({}, 0),
        ({"processId": None, "capabilities": {}, "rootUri": None, "unknown": 1}, 0),
        ({"processId": 0}, 1),
        ({"processId": -1}, 1),
        ({"processId": True}, 1),
        ({"processId": 1 << 40}, 1),
        ({"initializationOptions": []}, 1),
        ({"initializationOptions": {"dataRoot": 5, "nope": 1, "protocolVersion": "1"}}, 3),
        ([], 1),
    ],
)
def test_initialize_params_are_checked(params: object, count: int) -> None:
    assert len(problem_with(params)) == count


def test_versions_are_compared() -> None:
    assert wrong_version({"initializationOptions": {"protocolVersion": 2}}) == 2
    assert wrong_version({"initializationOptions": {"protocolVersion": 1}}) is None
    assert wrong_version({"initializationOptions": None}) is None
    assert wrong_version(None) is None


@pytest.mark.parametrize("environ", [{}, {"XDG_STATE_HOME": "/x/state"}, {"XDG_STATE_HOME": "relative"}, {"HOME": "/h"}, {"XDG_STATE_HOME": ""}])
@pytest.mark.parametrize("override", [None, "/o/state", "relative/state", "~/state"])
def test_the_first_stage_finds_the_same_state_folder_as_the_settings(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], override: str | None) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert state_root(override) == str(Settings.from_environ(state_root=override).state_root)
