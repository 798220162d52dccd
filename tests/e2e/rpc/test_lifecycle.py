"""How the real process starts, tells, stops and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machines import Machine, from_fixture
from tests.support.patience import seconds, soonest, until
from tests.support.rawclient import RawClient

TEST_SERVER = [sys.executable, "-m", "tests.support.testserver", "--stdio"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return dict(Machine(tmp_path / "m").environ)


@pytest.fixture
def raw(environ: dict[str, str]) -> Iterator[RawClient]:
    client = RawClient(environ, command=TEST_SERVER)
    yield client
    client.kill()


@pytest.fixture
def client(raw: RawClient) -> RawClient:
    raw.initialize()
    return raw


def alive(client: RawClient) -> None:
    assert client.call("test/echo", {"value": "ping"})["result"] == {"value": "ping"}, "the stream is lost: the host hangs"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def messages(client: RawClient, method: str) -> list[dict[str, object]]:
    return [note["params"] for note in client.notifications if note["method"] == method]


# --- start ------------------------------------------------------------------------------------------------------------
def test_initialize_says_who_answers_and_what_is_served(raw: RawClient) -> None:
    result = raw.initialize()["result"]
    ours = result["capabilities"]["experimental"]["opencodeSidecar"]
    assert result["serverInfo"]["name"] == "opencode-sidecar"
    assert ours["protocolVersion"] == 1
    assert ours["pid"] == raw.process.pid
    assert ours["configured"] is False
    assert "sync/run" in ours["methods"]


def test_initialize_may_be_sent_once(client: RawClient) -> None:
    assert client.call("initialize", {})["error"]["code"] == -32600
    alive(client)


def test_what_is_sent_together_with_initialize_is_served_in_order(raw: RawClient) -> None:
    first = raw.start("initialize", {"processId": None})
    calls = [raw.start("test/echo", {"value": value}) for value in range(20)]
    assert "result" in raw.wait_for(first)
    assert [raw.wait_for(call)["result"]["value"] for call in calls] == list(range(20))


def test_roots_can_be_given_by_the_host(raw: RawClient, tmp_path: Path) -> None:
    roots = {"dataRoot": str(tmp_path / "other/data"), "stateRoot": str(tmp_path / "other/state")}
    raw.initialize(initializationOptions=roots)
    assert raw.call("sync/status")["result"]["database"] == str(tmp_path / "other/data/opencode.db")
    assert raw.end() == 0
    assert (tmp_path / "other/state/opencode-sidecar/logs/sidecar.log").is_file()


def test_a_state_folder_that_cannot_be_used_is_an_answer_not_a_crash(raw: RawClient, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    raw.initialize(initializationOptions={"stateRoot": str(file)})
    alive(raw)
    answer = raw.call("sync/init", {})
    assert answer["error"]["data"]["remedy"]
    assert raw.end() == 0


def test_the_first_stage_imports_nothing_heavy(environ: dict[str, str]) -> None:
    heavy = "{'pygls', 'lsprotocol', 'cattrs', 'attrs', 'attr', 'asyncio', 'dataclasses', 'pathlib', 'git'}"
    code = f"import sys, sidecar.rpc.serve; print(sorted(set(sys.modules) & {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, check=True).stdout.strip() == b"[]"


def test_the_version_is_printed_without_heavy_imports(environ: dict[str, str]) -> None:
    code = (
        "import sys; sys.argv = ['x', '--version']; from sidecar.__main__ import main; main();"
        "print(sorted({'pygls','attrs','attr','cattrs','rich','json','argparse','git'} & set(sys.modules)))"
    )
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, check=True, text=True).stdout.splitlines()
    assert lines[0].startswith("opencode-sidecar ")
    assert lines[1] == "[]"


def test_another_python_is_refused_with_a_status_that_says_do_not_restart(environ: dict[str, str]) -> None:
    code = "import sys; sys.version_info = (3, 10, 0); from sidecar.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "serve", "--stdio"], stdin=subprocess.DEVNULL, capture_output=True, env=environ, check=False)
    assert done.returncode == 78
    assert b"3.11" in done.stderr


# --- telling ----------------------------------------------------------------------------------------------------------
def test_progress_begins_reports_and_ends_before_the_answer(client: RawClient) -> None:
    began = time.monotonic()
    assert "result" in client.call("test/sleep", {"seconds": 1.0, "workDoneToken": 7})
    taken = time.monotonic() - began
    values = [params["value"] for params in messages(client, "$/progress") if params["token"] == 7]
    kinds = [value["kind"] for value in values]  # type: ignore[index]
    assert (kinds[0], kinds[-1]) == ("begin", "end")
    assert 2 <= kinds.count("report") <= taken * 10 + 1, "at most ten reports a second"
    assert values[1]["phase"] == "sleep"  # type: ignore[index]
    assert values[1]["percentage"] == 50  # type: ignore[index]


def test_a_failed_cycle_is_told_once_and_everywhere(client: RawClient) -> None:
    client.call("sync/run", {"workDoneToken": "t"})
    toasts, logged = messages(client, "window/showMessage"), messages(client, "window/logMessage")
    assert toasts == logged
    assert len(toasts) == 1
    assert toasts[0]["type"] == 1
    assert str(toasts[0]["message"]).startswith("❌")
    assert [status["state"] for status in messages(client, "sync/didChangeStatus")] == ["running", "failed"]
    assert messages(client, "$/progress")[-1]["value"] == {"kind": "end", "message": toasts[0]["message"]}


def test_cycles_over_the_wire(raw: RawClient, tmp_path: Path) -> None:
    from_fixture(tmp_path / "m", "ada-1.18.33")
    raw.initialize()
    assert raw.call("sync/init", {"deviceName": "ada"})["result"]["vaultId"]
    assert str(messages(raw, "window/showMessage")[-1]["message"]).startswith("🚀")
    first = raw.call("sync/run", {"workDoneToken": "t"}, timeout=60)["result"]
    assert first["published"]["sessions"] > 0
    assert first["upToDate"] is False
    assert str(messages(raw, "window/showMessage")[-1]["message"]).startswith("✅ Ready")
    shown = len(messages(raw, "window/showMessage"))
    assert raw.call("sync/run", timeout=60)["result"]["upToDate"] is True
    assert len(messages(raw, "window/showMessage")) == shown, "a cycle with nothing to do is not worth a toast"
    both = [raw.start("sync/run"), raw.start("sync/run"), raw.start("sync/push"), raw.start("sync/preview")]
    assert all("result" in raw.wait_for(identity, 60) for identity in both), "one joins, the others wait their turn"
    status = raw.call("sync/status")["result"]
    assert (status["configured"], status["running"]) == (True, False)
    assert raw.call("sync/init", {})["error"]["data"]["kind"] == "alreadyConfigured"
    assert raw.end() == 0


# --- stopping ---------------------------------------------------------------------------------------------------------
def test_a_request_is_cancelled_by_its_progress_token(client: RawClient) -> None:
    identity = client.start("test/sleep", {"seconds": 30, "workDoneToken": "t"})
    assert until(lambda: client.call("test/echo")["result"] is not None and bool(messages(client, "$/progress")))
    client.notify("window/workDoneProgress/cancel", {"token": "t"})
    assert client.wait_for(identity)["error"]["data"]["kind"] == "cancelled"
    client.notify("window/workDoneProgress/cancel", {"token": ["no", "token"]})
    alive(client)


def test_cancel_is_answered_within_a_quarter_second(client: RawClient) -> None:
    def attempt() -> float:
        client.notifications.clear()
        identity = client.start("test/sleep", {"seconds": 30, "workDoneToken": "t"})
        assert until(lambda: client.call("test/echo")["result"] is not None and bool(messages(client, "$/progress"))), "the work never began"
        return seconds(lambda: cancelled(client, identity))

    assert soonest(attempt, 0.25) < 0.25


def cancelled(client: RawClient, identity: int) -> None:
    client.notify("$/cancelRequest", {"id": identity})
    assert client.wait_for(identity)["error"]["data"]["kind"] == "cancelled"


def test_a_request_cancelled_before_it_begins_never_runs(client: RawClient, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = json.dumps({"jsonrpc": "2.0", "id": "c", "method": "test/sleep", "params": {"seconds": 0, "text": str(mark)}}).encode()
    stop = json.dumps({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}}).encode()
    client.send_bytes(b"".join(b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in (call, stop)))
    answer = client.wait_for("c")
    assert answer["error"]["code"] == -32800
    assert answer["error"]["data"]["kind"] == "cancelled"
    assert not mark.exists()


def test_a_request_that_waits_for_its_turn_is_cancelled_at_once(client: RawClient) -> None:
    running = client.start("test/turn", {"seconds": 300})

    def attempt() -> float:
        waiting = client.start("test/turn", {"seconds": 300})
        alive(client)
        return seconds(lambda: cancelled(client, waiting))

    assert soonest(attempt, 0.25) < 0.25
    client.notify("$/cancelRequest", {"id": running})
    assert client.wait_for(running)["error"]["code"] == -32800
    assert "result" in client.call("test/turn", {"seconds": 0.1}), "the turn was given back"


@pytest.mark.parametrize("params", [None, {}, {"id": "nobody"}, {"id": None}, {"id": [1]}, [1], 5])
def test_strange_cancellations_are_ignored(client: RawClient, params: object) -> None:
    client.notify("$/cancelRequest", params)
    alive(client)


def test_an_id_in_use_is_refused(client: RawClient) -> None:
    identity = client.start("test/sleep", {"seconds": 0.5})
    time.sleep(0.1)
    client.send({"jsonrpc": "2.0", "id": identity, "method": "test/echo", "params": {}})
    assert client.wait_for(None)["error"]["code"] == -32600
    assert client.wait_for(identity)["result"] == {"slept": True}
    client.send({"jsonrpc": "2.0", "id": identity, "method": "test/echo", "params": {}})
    assert "result" in client.wait_for(identity), "a finished id may be used again"


def test_shutdown_settles_what_runs_first(client: RawClient) -> None:
    running = [client.start("test/sleep", {"seconds": 30}) for _ in range(12)]
    time.sleep(0.2)
    assert client.call("shutdown")["result"] is None
    assert {client.wait_for(identity)["error"]["code"] for identity in running} == {-32800}
    client.notify("exit")
    assert client.process.wait(30) == 0


# --- the end ----------------------------------------------------------------------------------------------------------
@posix
@pytest.mark.parametrize("way", ["eof", "exit", "sigterm"])
def test_T40_no_child_stays_behind(client: RawClient, tmp_path: Path, way: str) -> None:  # noqa: N802
    file = tmp_path / "pid"
    client.start("test/child", {"text": str(file)})
    assert until(lambda: file.is_file() and file.read_text().isdigit())
    pid = int(file.read_text())
    assert is_running(pid)
    if way == "eof":
        assert client.process.stdin is not None
        client.process.stdin.close()
    elif way == "exit":
        client.notify("exit")
    else:
        client.process.send_signal(signal.SIGTERM)
    assert client.process.wait(30) == 1, "the child would go on for a minute"
    assert until(lambda: not is_running(pid)), "a child outlived the sidecar"


@posix
def test_ctrl_c_of_the_terminal_is_the_hosts_business(client: RawClient) -> None:
    alive(client)
    client.process.send_signal(signal.SIGINT)
    alive(client)
    assert client.end() == 0


@posix
def test_T40_a_host_that_nobody_waits_for_counts_as_dead(raw: RawClient) -> None:  # noqa: N802
    host = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        raw.initialize(processId=host.pid)
        host.kill()  # and no wait: it stays in the process table
        assert raw.process.wait(40) == 1
    finally:
        host.wait()


def test_a_host_named_on_the_command_line_is_watched_before_initialize(environ: dict[str, str]) -> None:
    host = subprocess.Popen([sys.executable, "-c", "pass"])
    host.wait()
    client = RawClient(environ, f"--clientProcessId={host.pid}", command=TEST_SERVER)
    try:
        assert client.process.wait(40) == 1
    finally:
        client.kill()


def test_a_host_that_closes_its_reading_end_ends_the_process(client: RawClient) -> None:
    process = subprocess.Popen(TEST_SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
    process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    process.stdin.flush()
    assert process.wait(10) == 1
    process.stdin.close()


@pytest.mark.parametrize("junk", [b"hello\r\n\r\n", b"Content-Length: -5\r\n\r\n", b"Content-Length: 1e3\r\n\r\n", b"x" * 20_000])
def test_a_lost_stream_is_said_and_ends_the_process(client: RawClient, junk: bytes) -> None:
    client.send_bytes(junk)
    assert client.wait_for(None)["error"]["code"] == -32700
    assert client.process.wait(40) == 1


def test_constants_that_are_not_json_are_refused(client: RawClient) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"test/echo","params":{"value":NaN}}'
    client.send_bytes(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    assert client.wait_for(None)["error"]["code"] == -32700
    alive(client)


def test_ten_megabytes_come_and_go(client: RawClient) -> None:
    rows = [{"index": index, "text": "é" * 200} for index in range(20_000)]
    assert client.call("test/echo", {"value": rows}, timeout=30)["result"]["value"] == rows
