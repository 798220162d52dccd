"""Every row of what a stock server gets wrong, against the real process over stdio."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import Machine
from tests.support.patience import until
from tests.support.rawclient import RawClient

TEST_SERVER = [sys.executable, "-m", "tests.support.testserver", "--stdio"]


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[RawClient]:
    client = RawClient(Machine(tmp_path / "m").environ, command=TEST_SERVER)
    yield client
    client.kill()


@pytest.fixture
def client(raw: RawClient) -> RawClient:
    raw.initialize()
    return raw


def frame(body: bytes, header: str = "Content-Length: {}\r\n\r\n") -> bytes:
    return header.format(len(body)).encode() + body


def request(identity: int, method: str = "test/echo", params: Any = None) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params}).encode()


def alive(client: RawClient) -> None:
    assert client.call("test/echo", {"value": "ping"})["result"] == {"value": "ping"}, "the stream is lost: the host hangs"


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"count": "12"}, "$.count"),
        ({"text": 5}, "$.text"),
        ({"text": None}, "$.text"),
        ({"flag": "false"}, "$.flag"),
        ({"count": True}, "$.count"),
        ({"numbers": [1, "2"]}, "$.numbers"),
        ({"unknown": 1}, "unknown"),
        ({"work_done_token": "t"}, "work_done_token"),
        ([1, 2], "$"),
        (5, "$"),
    ],
)
def test_params_that_do_not_fit_are_answered_with_what_and_where(client: RawClient, params: Any, where: str) -> None:
    error = client.call("test/echo", params)["error"]
    assert error["code"] == -32602
    assert error["data"]["kind"] == "invalidParams"
    assert any(where in issue for issue in error["data"]["issues"]), error
    alive(client)


def test_a_missing_required_member_is_named_as_on_the_wire(client: RawClient) -> None:
    error = client.call("sync/restore", {})["error"]
    assert error["code"] == -32602
    assert "required member is missing" in error["data"]["issues"][0]
    assert "cycle" in error["data"]["issues"][0]


def test_a_link_to_nowhere_is_refused(client: RawClient) -> None:
    for params in ({}, {"github": ""}, {"remote": "/x", "github": "y"}):
        error = client.call("sync/link", params)["error"]
        assert error["data"]["kind"] == "invalidParams"
        assert error["data"]["remedy"]


def test_a_request_without_params_is_served(client: RawClient) -> None:
    client.send({"jsonrpc": "2.0", "id": "no-params", "method": "test/echo"})
    assert client.wait_for("no-params")["result"] == {"value": None}


def test_a_nested_jsonrpc_key_is_data(client: RawClient) -> None:
    transcript = {"jsonrpc": "2.0", "method": "x", "id": 1, "nested": [{"jsonrpc": "2.0"}]}
    assert client.call("test/echo", {"value": transcript})["result"]["value"] == transcript


@pytest.mark.parametrize("kind", ["object", "set", "nan"])
def test_a_result_that_is_not_json_is_an_error(client: RawClient, kind: str) -> None:
    assert client.call("test/strange", {"text": kind})["error"]["code"] == -32603
    alive(client)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{not json", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
        (b"[" * 100_000, -32700),
        (b'[{"jsonrpc":"2.0","id":1,"method":"test/echo"}]', -32600),
        (b'{"id":null,"method":"test/echo"}', -32600),
        (b'{"jsonrpc":"1.0","method":"test/echo"}', -32600),
        (b'{"jsonrpc":"2.0"}', -32600),
        (b'{"jsonrpc":"2.0","id":{"a":1},"method":"test/echo"}', -32600),
        (b"5", -32600),
    ],
)
def test_malformed_messages_are_answered_with_id_null(client: RawClient, body: bytes, code: int) -> None:
    client.send_bytes(frame(body))
    assert client.wait_for(None)["error"]["code"] == code
    alive(client)


@pytest.mark.parametrize("header", ["content-length:{}\r\n\r\n", "Content-Length: {}\n\n", "Content-Type: x; charset=utf-8\r\nCONTENT-LENGTH :  {}\r\n\r\n"])
def test_odd_headers_do_not_lose_the_stream(client: RawClient, header: str) -> None:
    client.send_bytes(frame(request(70), header))
    assert "result" in client.wait_for(70)
    alive(client)


def test_an_absurd_length_ends_the_process_with_an_error_and_no_memory(client: RawClient) -> None:
    client.send_bytes(b"Content-Length: 99999999999\r\n\r\n")
    assert client.wait_for(None)["error"]["code"] == -32700
    assert client.process.wait(10) == 1


@pytest.mark.parametrize("value", [{"a": 1}, [], 0, -1, 2**60, "é🙂\u2028", {"": None}, 1e300])
def test_values_come_back_as_they_went(client: RawClient, value: Any) -> None:
    assert client.call("test/echo", {"value": value})["result"]["value"] == value


def test_defaults_are_on_the_wire(client: RawClient) -> None:
    status = client.call("sync/status")["result"]
    assert status["configured"] is False
    assert status["held"] == 0
    assert status["lastError"] is None


def test_a_request_before_initialize_is_refused(raw: RawClient) -> None:
    assert raw.call("test/echo")["error"]["code"] == -32002
    raw.initialize()
    alive(raw)


def test_initialize_with_bad_params_can_be_repeated(raw: RawClient) -> None:
    error = raw.call("initialize", {"processId": "1", "initializationOptions": {"nope": 1, "db": 5}})["error"]
    assert error["code"] == -32602
    assert len(error["data"]["issues"]) == 3
    assert "result" in raw.initialize()


def test_another_protocol_version_is_named(raw: RawClient) -> None:
    error = raw.call("initialize", {"protocolVersion": 99})["error"]
    assert "99" in error["message"]
    assert "1" in error["message"]


def test_a_request_after_shutdown_is_refused(client: RawClient) -> None:
    client.call("shutdown")
    assert client.call("test/echo")["error"]["code"] == -32600
    client.notify("exit")
    assert client.process.wait(10) == 0


def test_exit_without_shutdown_is_status_1(client: RawClient) -> None:
    client.notify("exit")
    assert client.process.wait(10) == 1


def test_exit_before_initialize_is_status_1(raw: RawClient) -> None:
    raw.notify("exit")
    assert raw.process.wait(40) == 1


@pytest.mark.parametrize("kind", ["value", "exit", "interrupt"])
def test_whatever_a_handler_raises_is_answered_without_a_traceback(client: RawClient, kind: str) -> None:
    error = client.call("test/fail", {"text": kind})["error"]
    assert error["code"] == -32603
    assert error["data"]["kind"] == "internal"
    assert error["data"]["incidentId"]
    assert "secret" not in json.dumps(error), "an error tells the host what it must not"
    alive(client)


def test_domain_errors_pass_with_kind_and_remedy(client: RawClient) -> None:
    error = client.call("sync/run")["error"]
    assert error["code"] == -31001
    assert error["data"]["kind"] == "notConfigured"
    assert "init" in error["data"]["remedy"]


def test_cancel_waits_for_the_worker_to_unwind(client: RawClient, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    identity = client.start("test/sleep", {"seconds": 30, "text": str(mark)})
    assert until(mark.exists)
    client.notify("$/cancelRequest", {"id": identity})
    assert client.wait_for(identity)["error"]["code"] == -32800
    assert mark.read_text() == "unwound", "the answer came while the work was still going on"


def test_cancel_of_a_queued_request_arrives_although_all_workers_are_busy(client: RawClient) -> None:
    busy = [client.start("test/sleep", {"seconds": 2}) for _ in range(8)]
    queued = client.start("test/sleep", {"seconds": 30})
    client.notify("$/cancelRequest", {"id": queued})
    assert client.wait_for(queued, 10)["error"]["code"] == -32800
    for identity in busy:
        client.notify("$/cancelRequest", {"id": identity})
        client.wait_for(identity)


def test_status_does_not_wait_behind_work(client: RawClient) -> None:
    busy = [client.start("test/sleep", {"seconds": 20}) for _ in range(12)]
    assert "result" in client.call("sync/status", timeout=15)
    for identity in busy:
        client.notify("$/cancelRequest", {"id": identity})
        client.wait_for(identity)


def test_a_host_that_does_not_read_is_not_flooded(client: RawClient) -> None:
    client.pause_reading()
    identity = client.start("test/flood", {"count": 200_000, "workDoneToken": "t"})
    time.sleep(1.0)
    client.resume_reading()
    assert client.wait_for(identity, 60)["result"] == {"done": 200_000}
    values = [n["params"]["value"]["kind"] for n in client.notifications if n["method"] == "$/progress"]
    assert values[0] == "begin"
    assert values[-1] == "end"
    assert values.count("report") < 100, "progress must be coalesced"


def test_T38_stray_prints_and_children_stay_out_of_the_stream(client: RawClient) -> None:  # noqa: N802
    assert client.call("test/noise")["result"] == {"status": 0}
    alive(client)


def test_end_of_input_ends_the_process_while_work_runs(client: RawClient) -> None:
    client.start("test/sleep", {"seconds": 60})
    time.sleep(0.3)
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.process.wait(40) == 1


def test_T40_the_hosts_death_is_noticed_although_the_pipe_stays_open(raw: RawClient) -> None:  # noqa: N802
    host = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        raw.initialize(processId=host.pid)
        alive(raw)
        host.send_signal(signal.SIGKILL)
        host.wait()
        assert raw.process.wait(40) == 1, "the sidecar stays behind when its host is gone"
    finally:
        host.kill()
        host.wait()


def test_undrained_stderr_does_not_hang_the_server(tmp_path: Path) -> None:
    client = RawClient(Machine(tmp_path / "m").environ, "--log-level=debug", command=TEST_SERVER, drain_stderr=False)
    try:
        client.initialize()
        for index in range(300):
            client.call("test/echo", {"value": "x" * 1000 + str(index)})
        assert client.end() == 0
    finally:
        client.kill()


def test_ids_zero_and_text_are_kept(client: RawClient) -> None:
    for identity in (0, "", "é", -5):
        client.send({"jsonrpc": "2.0", "id": identity, "method": "test/echo", "params": {}})
        assert client.wait_for(identity)["id"] == identity


def test_unknown_methods_and_notifications(client: RawClient) -> None:
    assert client.call("$/unknown")["error"]["code"] == -32601
    assert client.call("sync/nothing")["error"]["code"] == -32601
    client.notify("$/unknown")
    client.notify("whatever", [1])
    alive(client)


def test_the_log_file_is_private_and_holds_no_bodies(client: RawClient, tmp_path: Path) -> None:
    client.call("test/echo", {"value": "PLANTED-CANARY"})
    client.call("test/fail", {"text": "value"})
    assert client.end() == 0
    logs = list((tmp_path / "m").rglob("sidecar.log"))
    assert logs
    assert "PLANTED-CANARY" not in logs[0].read_text()
    if os.name == "posix":
        assert logs[0].stat().st_mode & 0o077 == 0
        for folder in (logs[0].parent, logs[0].parent.parent):
            assert folder.stat().st_mode & 0o077 == 0, "other users can look into the folder of the shadow, the journal and the key"


@pytest.mark.parametrize("arguments", [["--nope"], [], ["--stdio", "--clientProcessId=x"], ["--stdio", "--log-level=loud"]])
def test_usage_errors_are_one_line_and_status_2(tmp_path: Path, arguments: list[str]) -> None:
    done = Machine(tmp_path / "m").run("serve", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
