"""Nothing that a host started stays behind: not what left its process group, and not when the sidecar is killed itself."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shell.test_shell import Stream, assert_gone, python
from tests.support.machines import Machine
from tests.support.patience import until
from tests.support.rawclient import RawClient

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups and signals")
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); signal.signal(1, signal.SIG_IGN); time.sleep(60)"
LEAVER = f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True); print(p.pid, flush=True); time.sleep(60)"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[RawClient]:
    made = RawClient(Machine(tmp_path / "m").environ)
    made.initialize()
    yield made
    made.kill()


def started(client: RawClient, identity: str) -> tuple[int, int]:
    """(the command, the process below it that left its group)."""
    stream = Stream(client, identity, python(LEAVER))
    _, found = stream.collect(until=lambda found: b"\n" in found["stdout"])
    return stream.pid, int(found["stdout"])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the group is known for sure")
def test_killing_a_command_takes_along_what_left_its_group(client: RawClient) -> None:
    command, stray = started(client, "leaver")
    client.call("shell/kill", {"processId": "leaver", "graceMs": 300})
    assert_gone(command)
    assert_gone(stray)


def test_T40_commands_do_not_outlive_a_sidecar_that_is_killed(client: RawClient, tmp_path: Path) -> None:  # noqa: N802
    """SIGKILL leaves the sidecar no time for anything."""
    command, stray = started(client, "leaver")
    file = tmp_path / "pid"
    client.start("shell/exec", {"argv": python(f"import os; open({str(file)!r}, 'w').write(str(os.getpid())); {STUBBORN}")})
    assert until(lambda: file.exists() and file.read_text())
    os.kill(client.process.pid, signal.SIGKILL)
    client.process.wait(30)
    for pid in (command, stray, int(file.read_text())):
        assert_gone(pid)


def test_a_process_that_took_over_an_old_number_is_not_touched() -> None:
    """The guard kills by number; the number may have gone to a stranger meanwhile."""
    import subprocess

    from sidecar.adapters.process import tree

    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], start_new_session=True)
    try:
        gone = tree.Tree(stranger.pid)
        gone.signal(signal.SIGKILL, collected=True)
        assert not gone.runs(collected=True)
        time.sleep(0.1)
        assert stranger.poll() is None, "a process that we never started was killed"
    finally:
        stranger.kill()
        stranger.wait()
