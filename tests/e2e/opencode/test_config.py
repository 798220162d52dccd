"""The real opencode loads what a merge made of two configurations, and shows the same on both machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from tests.support.configs import SCHEMA, SCHEMA_FILE, Config, configs
from tests.support.machines import bare_remote
from tests.support.opencode.install import opencode
from tests.support.opencode.machine import Machine
from tests.support.synced import OldMachine


def shown(machine: Machine) -> Any:
    text = machine.opencode("debug", "config").replace(str(machine.root), "ROOT")
    value = json.loads(text[text.index("{") :])
    for name in ("agent", "command"):
        assert name in value, f"opencode does not load {name}"
    return value


def same(one: Any, other: Any) -> None:
    """Both machines show what each of them had, and the same but for the secret of each."""
    assert sorted(one["instructions"]) == sorted(other["instructions"]) == ["one.md", "two.md"]
    assert {"reviewer"} <= one["agent"].keys() & other["agent"].keys()
    assert {"deploy"} <= one["command"].keys() & other["command"].keys()
    for value in (one, other):
        value["mcp"]["n"]["headers"] = {}
    assert one == other


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
    same(one, other)


def test_opencode_s_two_names_are_one_configuration(tmp_path: Path) -> None:
    """It puts opencode.jsonc over opencode.json: a machine with both would not show what the other one does."""
    remote = bare_remote(tmp_path / "remote.git")
    a, b = (Machine(tmp_path / name, opencode("1.18.33"), "http://127.0.0.1:9/v1") for name in ("a", "b"))
    for machine in (a, b):
        machine.make_project()
        machine.opencode("session", "list")
        machine.sidecar("config", "includeConfig", "true")
    a.configure(username="ada", instructions=["one.md"])
    b.configure(disabled_providers=["x"], instructions=["two.md"])
    second = b.root / "config/opencode/opencode.jsonc"
    second.write_text('{"username": "of the second file", "instructions": ["three.md"]}')
    assert (shown(b)["username"], shown(b)["instructions"], shown(b)["disabled_providers"]) == ("of the second file", ["three.md"], ["x"])
    second.unlink()
    second.with_suffix(".json").rename(second)
    key = a.sidecar("init", str(remote))["recoveryKey"]
    a.sidecar("sync")
    b.sidecar("link", str(remote), "--key", key)
    b.sidecar("sync")
    a.sidecar("sync")
    one, other = shown(a), shown(b)
    assert (one["username"], one["disabled_providers"], sorted(one["instructions"])) == ("ada", ["x"], ["one.md", "two.md"])
    assert one == other


def test_one_machine_with_opencode_synced_and_one_with_ours_show_the_same(tmp_path: Path) -> None:
    """The real opencode on both; on one of them, opencode-synced's writes."""
    remote = bare_remote(tmp_path / "remote.git")
    a, b = (Machine(tmp_path / name, opencode("1.18.33"), "http://127.0.0.1:9/v1") for name in ("a", "b"))
    for machine in (a, b):
        machine.make_project()
        machine.opencode("session", "list")
    old, here, there = OldMachine(b.root, remote), a.root / "config/opencode", b.root / "config/opencode"
    b.configure(username="ada", instructions=["two.md"], mcp={"n": _server("Bearer of-b")})
    (there / "agent").mkdir(exist_ok=True)
    (there / "agent/reviewer.md").write_text("---\ndescription: reviews\nmode: subagent\n---\nReview.\n")
    assert old.start() == "pushed"
    a.configure(instructions=["one.md"], disabled_providers=["x"])
    (here / "command").mkdir(exist_ok=True)
    (here / "command/deploy.md").write_text("---\ndescription: deploys\n---\nDeploy.\n")
    a.sidecar("config", "includeConfig", "true")
    a.sidecar("init", str(remote), "--encryption", "none", "--adopt", "--acknowledge-private")
    a.sidecar("sync")
    assert old.start() == "pulled"
    b.configure(share="manual")
    assert old.start() == "pushed"
    a.sidecar("sync")
    one, other = shown(a), shown(b)
    assert "Bearer of-b" in (there / "opencode.json").read_text(), "the machine with opencode-synced lost its secret"
    assert "of-b" not in (here / "opencode.json").read_text()
    assert one["username"] == other["username"] == "ada"
    assert one["share"] == other["share"] == "manual"
    same(one, other)


def test_the_schema_that_properties_are_made_from_is_this_opencode_s(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "m", opencode("1.18.33"), "http://127.0.0.1:9/v1")
    machine.make_project()
    machine.start()
    try:
        schemas = machine.api("GET", "/doc")["components"]["schemas"]
    finally:
        machine.stop()
    real = json.loads(json.dumps({name: schemas[name] for name in SCHEMA["$defs"]}).replace("#/components/schemas/", "#/$defs/"))
    assert real == SCHEMA["$defs"], f"opencode's configuration has changed: write {SCHEMA_FILE.name} anew"

    (machine.root / "home/.key").write_text("what {file:~/.key} stands for")

    @settings(max_examples=4, database=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(configs(secrets=False))
    def load(config: Config) -> None:
        value = {
            name: inner for name, inner in config.value.items() if name not in ("plugin", "model", "small_model", "default_agent")
        }  # what would be fetched
        (machine.root / "config/opencode/opencode.json").write_text(json.dumps(value))
        machine.opencode("debug", "config")

    load()


def _server(authorization: str) -> dict[str, Any]:
    return {"type": "remote", "url": "http://127.0.0.1:9/mcp", "enabled": False, "headers": {"Authorization": authorization}}
