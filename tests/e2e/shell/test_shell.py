"""Commands through the real server: what a host without a shell relies on."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import Machine
from tests.support.patience import until
from tests.support.rawclient import RawClient

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the commands used here are POSIX's")
PYTHON = sys.executable


@pytest.fixture
def client(tmp_path: Path) -> Iterator[RawClient]:
    made = RawClient(Machine(tmp_path / "m").environ)
    made.initialize()
    yield made
    made.kill()


def execute(client: RawClient, *argv: str, **more: Any) -> dict[str, Any]:
    answer = client.call("shell/exec", {"argv": list(argv), **more}, timeout=60)
    assert "result" in answer, answer
    result: dict[str, Any] = answer["result"]
    for name in ("stdout", "stderr"):
        result[name]["bytes"] = base64.b64decode(result[name]["data"])
    return result


def refused(client: RawClient, method: str = "shell/exec", **params: Any) -> dict[str, Any]:
    error: dict[str, Any] = client.call(method, params)["error"]
    assert error["data"]["remedy"], "an error without a remedy leaves the user alone"
    return {**error["data"], "message": error["message"]}


def python(code: str) -> list[str]:
    return [PYTHON, "-c", code]


class Stream:
    """Collects what comes of one started command; acknowledges when told to."""

    def __init__(self, client: RawClient, identity: str, argv: list[str], **more: Any) -> None:
        self.client, self.identity = client, identity
        answer = client.call("shell/start", {"processId": identity, "argv": argv, **more})
        assert "result" in answer, answer
        self.pid = answer["result"]["pid"]

    def collect(
        self, acknowledge: bool = True, until: Callable[[dict[str, bytes]], bool] = lambda _: False, timeout: float = 60
    ) -> tuple[Any, dict[str, bytes]]:
        """(params of didExit or None, output by stream)."""
        found = {"stdout": b"", "stderr": b""}
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for message in self._new():
                params = message["params"]
                if params.get("processId") != self.identity:
                    continue
                if message["method"] == "shell/didExit":
                    return params, found
                data = base64.b64decode(params["data"])
                found[params["stream"]] += data
                if acknowledge:
                    self.client.call("shell/ack", {"processId": self.identity, "bytes": len(data)})
            if until(found):
                return None, found
            time.sleep(0.005)
        return None, found

    def _new(self) -> list[dict[str, Any]]:
        self.client.call("shell/which", {"name": "true"})  # an answer brings along what came before it
        messages, self.client.notifications = self.client.notifications, []
        return [message for message in messages if message["method"].startswith("shell/")]


# --- from start to end ------------------------------------------------------------------------------------------------
def test_output_status_and_arguments_are_those_of_the_command(client: RawClient) -> None:
    words = ["", "a b", "'\"$HOME`id`;&|", "☃ 🙂", "-n", "\n"]
    done = execute(client, *python("import sys, json; print(json.dumps(sys.argv[1:])); print('e', file=sys.stderr); sys.exit(7)"), *words)
    assert json.loads(done["stdout"]["bytes"]) == words, "an argument went through a shell"
    assert (done["stderr"]["bytes"], done["exitCode"], done["signal"], done["timedOut"]) == (b"e\n", 7, None, False)


def test_bytes_survive_in_both_directions(client: RawClient) -> None:
    data = bytes(range(256)) * 5000
    done = execute(client, "cat", stdin=base64.b64encode(data).decode())
    assert done["stdout"]["bytes"] == data


def test_folder_and_environment_are_what_was_asked_for(client: RawClient, tmp_path: Path) -> None:
    folder = tmp_path / "sp ace ☃"
    folder.mkdir()
    done = execute(client, *python("import os; print(os.getcwd()); print(sorted(os.environ))"), cwd=str(folder), env={"PATH": "/usr/bin", "ONLY": "x"})
    where, names = done["stdout"]["bytes"].decode().splitlines()
    assert where == str(folder)
    assert "ONLY" in names
    assert "HOME" not in names


def test_a_signal_has_its_name(client: RawClient) -> None:
    done = execute(client, *python("import os; os.kill(os.getpid(), 9)"))
    assert (done["exitCode"], done["signal"]) == (None, "SIGKILL")


def test_what_is_too_much_is_cut_and_said(client: RawClient) -> None:
    done = execute(client, *python("import sys; sys.stdout.write('x' * 20_000_000)"), maxOutputBytes=1000)
    assert (len(done["stdout"]["bytes"]), done["stdout"]["cutBytes"], done["exitCode"]) == (1000, 19_999_000, 0)


def test_a_timeout_ends_the_command_and_what_it_started(client: RawClient, tmp_path: Path) -> None:
    code = """(trap "" TERM; exec sleep 60) & echo $!; exec sleep 60"""  # sh, which starts in no time
    done = execute(client, "sh", "-c", code, timeoutMs=700)
    assert (done["timedOut"], done["exitCode"]) == (True, None)
    assert_gone(int(done["stdout"]["bytes"]))


def test_cancelling_ends_the_command(client: RawClient, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    identity = client.start("shell/exec", {"argv": python(f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid())); time.sleep(60)")})
    while not file.exists() or not file.read_text():
        time.sleep(0.02)
    client.notify("$/cancelRequest", {"id": identity})
    assert client.wait_for(identity)["error"]["data"]["kind"] == "cancelled"
    assert_gone(int(file.read_text()))


def test_something_left_in_the_background_does_not_hold_the_answer(client: RawClient) -> None:
    began = time.monotonic()
    done = execute(client, "sh", "-c", "sleep 60 & echo ready")
    assert done["stdout"]["bytes"] == b"ready\n"
    assert time.monotonic() - began < 30, "the answer waited for the sleeper"


def test_stdin_is_empty_and_never_the_protocols(client: RawClient) -> None:
    assert execute(client, "cat")["stdout"]["bytes"] == b""


def test_fifty_at_once_do_not_wait_for_each_other(client: RawClient, tmp_path: Path) -> None:
    """None of them ends before all have begun."""
    wait = f"touch {tmp_path}/began-$0; until [ -e {tmp_path}/gate ]; do sleep 0.3; done"
    waiting = [client.start("shell/exec", {"argv": ["sh", "-c", wait, str(n)]}) for n in range(50)]
    assert client.call("sync/status", {})["result"]["configured"] is False
    assert until(lambda: len(list(tmp_path.glob("began-*"))) == 50), "one waits for the end of another"
    (tmp_path / "gate").touch()
    assert all(client.wait_for(identity, timeout=60)["result"]["exitCode"] == 0 for identity in waiting)


# --- what cannot be ---------------------------------------------------------------------------------------------------
def test_impossible_commands_are_refused_in_words(client: RawClient, tmp_path: Path) -> None:
    assert refused(client, argv=["no-such-command-here"])["kind"] == "commandNotFound"
    assert "no-such" in refused(client, argv=["no-such-command-here"])["message"]
    assert refused(client, argv=[str(tmp_path)])["kind"] == "commandNotFound"
    assert refused(client, argv=["true"], cwd=str(tmp_path / "nowhere"))["kind"] == "cwdMissing"
    assert refused(client, argv=[])["kind"] == "invalidParams"
    assert refused(client, argv=["true", "a\0b"])["kind"] == "invalidParams"
    assert refused(client, argv=["true"], env={"A=B": "x"})["kind"] == "invalidParams"
    assert refused(client, argv=["true"], env={"A": 5})["kind"] == "invalidParams"
    assert refused(client, argv=["true"], stdin="not base64!")["kind"] == "invalidParams"
    assert refused(client, argv=["true", "x" * 10_000_000])["kind"] == "argumentsTooLong"
    assert refused(client, "shell/write", processId="none", data="")["kind"] == "processGone"
    script = tmp_path / "not-a-program"
    script.write_text("plain text")
    script.chmod(0o755)
    assert refused(client, argv=[str(script)])["kind"] == "commandNotFound"
    assert execute(client, "true")["exitCode"] == 0, "the server is well after all of that"


def test_which_and_env(client: RawClient, tmp_path: Path) -> None:
    assert client.call("shell/which", {"name": "sh"})["result"]["path"].endswith("/sh")
    assert client.call("shell/which", {"name": "no-such-command"})["result"]["path"] is None
    assert client.call("shell/which", {"name": "sh", "env": {"PATH": str(tmp_path)}})["result"]["path"] is None
    assert "PATH" in client.call("shell/env", {})["result"]["env"]


# --- while it runs ----------------------------------------------------------------------------------------------------
def test_output_comes_while_the_command_runs_and_input_goes_in(client: RawClient) -> None:
    stream = Stream(client, "cat", ["cat"], stdin=True)
    client.call("shell/write", {"processId": "cat", "data": base64.b64encode(b"one\n").decode()})
    _, found = stream.collect(until=lambda found: b"one" in found["stdout"])
    assert found["stdout"] == b"one\n"
    client.call("shell/write", {"processId": "cat", "data": base64.b64encode(b"two\n").decode()})
    client.call("shell/closeStdin", {"processId": "cat"})
    ended, found = stream.collect()
    assert (ended["exitCode"], found["stdout"]) == (0, b"two\n")


def test_a_slow_reader_slows_the_command_and_nothing_grows(client: RawClient) -> None:
    stream = Stream(
        client, "big", python("import sys\nfor _ in range(400): sys.stdout.write('x' * 1_000_000)\nsys.stderr.write('all written')"), windowBytes=1 << 20
    )
    _, found = stream.collect(acknowledge=False, until=lambda found: len(found["stdout"]) >= 1 << 19)
    _, beyond = stream.collect(acknowledge=False, timeout=1)
    found["stdout"] += beyond["stdout"]
    assert 0 < len(found["stdout"]) <= (1 << 20) + (1 << 16), "output came that nobody had asked for"
    status = Path(f"/proc/{client.process.pid}/status")
    if status.exists():
        peak = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        assert peak < 200_000, f"{peak} kB for the output of a command"
    client.call("shell/ack", {"processId": "big", "bytes": len(found["stdout"])})
    _, more = stream.collect(acknowledge=False, until=lambda found: len(found["stdout"]) > 0)
    assert len(more["stdout"]) > 0, "acknowledged bytes make room"
    client.call("shell/kill", {"processId": "big"})
    ended, _ = stream.collect()
    assert ended["signal"] == "SIGTERM"


def test_killing_takes_the_whole_group(client: RawClient) -> None:
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)']);"
    )
    stream = Stream(client, "tree", python(f"{code} print(p.pid, flush=True); time.sleep(60)"))
    _, found = stream.collect(until=lambda found: b"\n" in found["stdout"])
    client.call("shell/kill", {"processId": "tree", "graceMs": 300})
    ended, _ = stream.collect()
    assert ended["signal"] == "SIGTERM"
    assert_gone(int(found["stdout"]))


def test_T40_no_command_outlives_the_server(client: RawClient) -> None:  # noqa: N802
    stream = Stream(client, "long", python("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"))
    assert client.process.stdin is not None
    client.process.stdin.close()
    client.process.wait(15)
    assert_gone(stream.pid)


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError(f"process {pid} was left behind")
