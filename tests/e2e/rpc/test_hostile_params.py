"""A host that sends anything to every method: each request is answered with a declared error or a result, nothing runs, nothing is written elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import fields

from protocol.errors import KINDS
from protocol.methods import BY_NAME, served
from protocol.naming import camel
from tests.support.machines import Machine
from tests.support.rawclient import RawClient

pytestmark = pytest.mark.skipif(os.name != "posix", reason="paths and commands are POSIX")
CALLED = [name for name in served() if name not in ("initialize", "shutdown") and not name.startswith("shell/")]
SHELL = [name for name in served() if name.startswith("shell/")]


def deep(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def values(ran: Path) -> list[Any]:
    return [
        "x" * 300_000, "", "\0", "a\0b", "\ud800", "\x1b[2J\r\n", -1, 2**70, 1e308, True, None, [], {}, {"a": {"b": []}}, deep(400), "../../../../etc/passwd",
        "/etc/passwd", f"--upload-pack=touch {ran}", f"ext::sh -c touch% {ran}", f"$(touch {ran})", f"`touch {ran}`;touch {ran}", f"-oProxyCommand=touch {ran}",
        "file:///etc", "https://u:secret@127.0.0.1:1/x", "refs/heads/../../x", "0" * 32, "C:\\x", "\u202e\u0000",
    ]  # fmt: skip


def outside(root: Path, but: Path) -> set[str]:
    return {str(path) for path in root.rglob("*") if not path.is_relative_to(but)}


@pytest.mark.parametrize("configured", [False, True])
def test_whatever_a_host_sends_is_answered_and_does_nothing_else(machine: Callable[..., Machine], tmp_path: Path, configured: bool) -> None:
    one, ran = machine("m"), tmp_path / "ran"
    if configured:
        one.cli("init")
    before, content = outside(tmp_path, one.root), one.content()
    client = RawClient(one.environ | {"TMPDIR": str(one.root)})
    try:
        client.initialize()
        asked: dict[int, tuple[str, Any]] = {}
        for name in CALLED:
            members = [camel(field.name) for field in fields(BY_NAME[name].params)] or ["x"]
            for value in values(ran):
                for params in ({member: value} for member in members):
                    asked[client.start(name, params)] = (name, params)
            asked[client.start(name, dict.fromkeys(members, "x"))] = (name, "x in every member")
            asked[client.start(name, deep(400))] = (name, "a deep list")
        for identity, (name, params) in asked.items():
            answer = client.wait_for(identity, timeout=120)
            shown = f"{name} {str(params)[:120]}"
            if "error" in answer:
                assert answer["error"]["data"]["kind"] in set(KINDS) - {"internal"}, f"{shown[:200]}: {str(answer['error'])[:400]}"
                assert "Traceback" not in str(answer)
                assert "secret@" not in str(answer["error"]) or "remote" not in params, "a password is in an error"
        assert "result" in client.call("sync/status", {}), "the server does not serve any more"
        assert client.end() == 0
    finally:
        client.kill()
    assert not ran.exists(), "a parameter was run"
    assert outside(tmp_path, one.root) == before, "something was written outside of the machine's folders"
    assert one.content() == content, "a parameter changed a conversation"
    assert b"Traceback" not in client.stderr


def test_commands_with_odd_params_are_refused_or_run_as_they_are(machine: Callable[..., Machine], tmp_path: Path) -> None:
    one, ran = machine("m"), tmp_path / "ran"
    client = RawClient(one.environ)
    try:
        client.initialize()
        asked: dict[int, tuple[str, Any]] = {}
        for name in SHELL:
            for value in values(ran):
                for field in fields(BY_NAME[name].params):
                    params: dict[str, Any] = {"argv": ["true"]} if name in ("shell/exec", "shell/start") else {}
                    asked[client.start(name, {**params, camel(field.name): value})] = (name, (field.name, str(value)[:80]))
        for identity, shown in asked.items():
            answer = client.wait_for(identity, timeout=60)
            if "error" in answer:
                assert answer["error"]["data"]["kind"] in set(KINDS) - {"internal"}, f"{shown[:200]}: {str(answer['error'])[:400]}"
        assert "result" in client.call("shell/env", {})
    finally:
        client.kill()
    assert not ran.exists(), "a parameter was given to a shell that nobody asked for"
