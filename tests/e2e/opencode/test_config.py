"""The real opencode loads what a merge made of two configurations, and shows the same on both machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.machines import bare_remote
from tests.support.opencode.install import opencode
from tests.support.opencode.machine import Machine


def shown(machine: Machine) -> Any:
    text = machine.opencode("debug", "config").replace(str(machine.root), "ROOT")
    value = json.loads(text[text.index("{") :])
    for name in ("agent", "command"):
        assert name in value, f"opencode does not load {name}"
    return value


def test_opencode_shows_the_same_merged_configuration_on_both(tmp_path: Path) -> None:
    remote = bare_remote(tmp_path / "remote.git")
    machines = [Machine(tmp_path / name, opencode("1.18.33"), "http://127.0.0.1:9/v1") for name in ("a", "b")]
    for machine in machines:
        machine.make_project()
        machine.opencode("session", "list")
        machine.sidecar("config", "includeConfig", "true")
    a, b = machines
    configs = [machine.root / "config/opencode" for machine in machines]
    base = json.loads((configs[0] / "opencode.json").read_text())
    (configs[0] / "opencode.json").write_text(
        "// comments are fine\n" + json.dumps(base | {"username": "ada", "instructions": ["one.md"], "mcp": {"n": _server("Bearer the-secret-of-a")}}, indent=2)
    )
    (configs[1] / "opencode.json").write_text(json.dumps(base | {"instructions": ["two.md"], "disabled_providers": ["x"]}))
    (configs[0] / "agents").mkdir()
    (configs[0] / "agents/reviewer.md").write_text("---\ndescription: reviews\nmode: subagent\n---\nReview.\n")
    (configs[1] / "command").mkdir()
    (configs[1] / "command/deploy.md").write_text("---\ndescription: deploys\n---\nDeploy.\n")
    key = a.sidecar("init", str(remote))["recoveryKey"]
    a.sidecar("sync")
    b.sidecar("link", str(remote), "--key", key)
    b.sidecar("sync")
    a.sidecar("sync")
    one, other = shown(a), shown(b)
    assert "the-secret-of-a" in (configs[0] / "opencode.json").read_text(), "the server lost its key where it was"
    assert "the-secret" not in (configs[1] / "opencode.json").read_text()
    assert one["username"] == other["username"] == "ada"
    assert sorted(one["instructions"]) == sorted(other["instructions"]) == ["one.md", "two.md"]
    assert {"reviewer"} <= one["agent"].keys() & other["agent"].keys()
    assert {"deploy"} <= one["command"].keys() & other["command"].keys()
    for value in (one, other):
        value["mcp"]["n"]["headers"] = {}
    assert one == other


def _server(authorization: str) -> dict[str, Any]:
    return {"type": "remote", "url": "http://127.0.0.1:9/mcp", "enabled": False, "headers": {"Authorization": authorization}}
