"""Two homes, one vault: settings, agents, commands travel; secrets and this machine's own do not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.config import ResolveParams
from protocol.sync import CycleParams, InitParams, LinkParams, StatusParams
from sidecar.domain.task import Task
from tests.support.machines import Machine

Make = Callable[..., Machine]
CONFIG = b"""// my set-up
{
  "$schema": "https://opencode.ai/config.json",
  // the one that works best
  "model": "anthropic/claude", // for now
  "plugin": ["one"],
  "mcp": {
    "notes": {"type": "remote", "url": "https://notes.invalid/mcp", "headers": {"Authorization": "Bearer verysecretvalue1"}},
  },
}
"""
SECRET = "verysecretvalue1"


def folder(machine: Machine) -> Path:
    path = machine.root / "config/opencode"
    path.mkdir(parents=True, exist_ok=True)
    return path


def put(machine: Machine, name: str, data: bytes | str) -> None:
    path = folder(machine) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def get(machine: Machine, name: str) -> str:
    return (folder(machine) / name).read_text()


def turn_on(machine: Machine, **more: Any) -> None:
    put(machine, "opencode-sidecar.jsonc", json.dumps({"includeConfig": True, **more}))


def sync(*machines: Machine) -> Any:
    for machine in machines:
        result = machine.sidecar.run(CycleParams(), Task())
        assert "failed" not in result.config, result.warnings
    return result


@pytest.fixture
def encryption() -> str:
    return "aes-256-gcm"


@pytest.fixture
def pair(encryption: str, machine: Make, remote: Path) -> tuple[Machine, Machine]:
    a, b = machine("a"), machine("b")
    turn_on(a)
    turn_on(b)
    key = a.sidecar.init(InitParams(str(remote), encryption=encryption), Task()).recovery_key
    b.sidecar.link(LinkParams(str(remote), key=key), Task())
    return a, b


def everything_in(remote: Path) -> bytes:
    env = {"PATH": os.environ["PATH"], "HOME": str(remote)}
    done = subprocess.run(["git", "-C", str(remote), "rev-list", "--objects", "--all"], env=env, capture_output=True, check=True)
    names = b"\n".join(line.split()[0] for line in done.stdout.splitlines())
    return done.stdout + subprocess.run(["git", "-C", str(remote), "cat-file", "--batch"], env=env, input=names, capture_output=True, check=True).stdout


@pytest.mark.parametrize("encryption", ["none", "aes-256-gcm"])
def test_t25_the_whole_set_up_travels_with_its_comments(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    put(a, "opencode.jsonc", CONFIG)
    put(a, "AGENTS.md", "# Rules\nBe kind.\n")
    put(a, "agents/review.md", "reviews\n")
    put(a, "command/deploy.md", "deploys\n")
    put(a, "plugin/package.json", "{}")
    put(a, "plugin/mine.ts", "export const x = 1\n")
    put(a, "skills/pdf/SKILL.md", "reads pdf\n")
    result = sync(a, b)
    assert result.config["in"] == 6
    for name in ("AGENTS.md", "agents/review.md", "command/deploy.md", "plugin/mine.ts", "skills/pdf/SKILL.md"):
        assert get(b, name) == get(a, name), f"{name} did not travel"
    assert not (folder(b) / "plugin/package.json").exists(), "opencode's own file travelled"
    text = get(b, "opencode.jsonc")
    assert "// the one that works best" in text, "the user's comments are lost"
    assert SECRET not in text
    assert SECRET.encode() not in everything_in(remote), "a secret was pushed"
    assert get(a, "opencode.jsonc").encode() == CONFIG, "the file that was only read was changed"
    for one in (a, b, a, b):
        again = one.sidecar.run(CycleParams(), Task())
        assert (again.config["in"], again.config["out"], again.up_to_date) == (0, 0, True), again


def test_t19_edits_on_both_sides_meet(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "opencode.json", '{\n  "model": "x/one",\n  "theme": "dark"\n}\n')
    put(a, "agents/a.md", "one\ntwo\nthree\nfour\nfive\n")
    sync(a, b)
    put(a, "opencode.json", '{\n  // mine\n  "model": "x/two",\n  "theme": "dark"\n}\n')
    put(b, "opencode.json", '{\n  "model": "x/one",\n  "theme": "dark",\n  "share": "disabled" // never\n}\n')
    put(a, "agents/a.md", "ONE\ntwo\nthree\nfour\nfive\n")
    put(b, "agents/a.md", "one\ntwo\nthree\nfour\nFIVE\n")
    sync(a, b, a)
    for one in (a, b):
        text = get(one, "opencode.json")
        assert '"x/two"' in text
        assert '"disabled"' in text
        assert get(one, "agents/a.md") == "ONE\ntwo\nthree\nfour\nFIVE\n"
    assert "// mine" in get(a, "opencode.json")
    assert "// never" in get(b, "opencode.json")


def test_deletions_travel_and_an_edit_wins_over_none_silently(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "agents/a.md", "a\n")
    put(a, "agents/b.md", "b\n")
    sync(a, b)
    (folder(a) / "agents/a.md").unlink()
    (folder(a) / "agents/b.md").unlink()
    put(b, "agents/b.md", "b changed\n")
    sync(a)
    result = sync(b)
    assert not (folder(b) / "agents/a.md").exists()
    assert get(b, "agents/b.md") == "b changed\n", "an edit was deleted"
    assert result.config["conflicts"] == 1
    listed = b.cli("resolve", expect=(3,))["conflicts"]
    assert [entry["id"] for entry in listed] == ["config/agents/b.md"]
    b.cli("resolve", "config/agents/b.md", "mine")
    sync(b, a)
    assert get(a, "agents/b.md") == "b changed\n"


@pytest.mark.parametrize(("choice", "wanted"), [("mine", "b"), ("theirs", "a"), ("text", "c")])
def test_a_conflict_keeps_both_until_a_person_decides(pair: tuple[Machine, Machine], choice: str, wanted: str) -> None:
    a, b = pair
    put(a, "opencode.json", '{"model": "x/base", "theme": "t"}')
    sync(a, b)
    put(a, "opencode.json", '{"model": "x/a", "theme": "t"}')
    put(b, "opencode.json", '{"model": "x/b", "theme": "u"}')
    sync(a)
    assert sync(b).config["conflicts"] == 1
    assert '"x/b"' in get(b, "opencode.json"), "the local edit was overwritten"
    sync(a, b)
    assert json.loads(get(a, "opencode.json")) == {"model": "x/a", "theme": "u"}, "what is not in conflict did not travel"
    status = b.sidecar.status(StatusParams(), Task())
    assert status.config["conflicts"] == 1
    assert any(entry.reason == "conflict" for entry in status.attention)
    (conflict,) = b.sidecar.resolve(ResolveParams(), Task()).conflicts
    assert (conflict.mine, conflict.theirs) == ('"x/b"', '"x/a"')
    b.sidecar.resolve(ResolveParams(conflict.id, choice, '"x/c"' if choice == "text" else None), Task())
    sync(b, a, b)
    for one in (a, b):
        assert json.loads(get(one, "opencode.json"))["model"] == f"x/{wanted}"
    assert b.sidecar.resolve(ResolveParams(), Task()).conflicts == []


def test_overrides_stay_on_their_machine(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "opencode.json", '{"model": "x/shared", "theme": "dark"}')
    sync(a, b)
    put(b, "opencode-sidecar.overrides.jsonc", '{"model": "local/only", "username": "bob"}')
    sync(b)
    assert json.loads(get(b, "opencode.json")) == {"model": "local/only", "theme": "dark", "username": "bob"}
    put(a, "opencode.json", '{"model": "x/newer", "theme": "light"}')
    sync(a, b, a)
    assert json.loads(get(b, "opencode.json")) == {"model": "local/only", "theme": "light", "username": "bob"}
    assert json.loads(get(a, "opencode.json")) == {"model": "x/newer", "theme": "light"}, "an override left its machine"
    put(b, "opencode-sidecar.overrides.jsonc", "{}")
    sync(b, a, b)
    assert json.loads(get(b, "opencode.json"))["model"] == "x/newer"
    assert "username" not in json.loads(get(a, "opencode.json"))


@pytest.mark.parametrize("encryption", ["none", "aes-256-gcm"])
def test_a_secret_keeps_working_where_it_is_and_has_one_name(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    put(a, "opencode.json", json.dumps({"mcp": {"n": {"type": "remote", "url": "https://n.invalid", "headers": {"API_KEY": "first-secret-value"}}}}))
    result = sync(a)
    assert result.config["moved"] == 1
    assert any("API_KEY" in warning for warning in result.warnings), "moved silently"
    sync(b)
    assert json.loads(get(b, "opencode.json"))["mcp"]["n"]["headers"] == {"API_KEY": "{env:API_KEY}"}
    value = json.loads(get(b, "opencode.json"))
    value["mcp"]["n"]["headers"]["API_KEY"] = "second-secret-value"
    value["model"] = "x/y"
    put(b, "opencode.json", json.dumps(value))
    sync(b, a, b)
    assert json.loads(get(a, "opencode.json"))["mcp"]["n"]["headers"] == {"API_KEY": "first-secret-value"}, "this machine lost its key"
    assert json.loads(get(b, "opencode.json"))["mcp"]["n"]["headers"] == {"API_KEY": "second-secret-value"}
    assert json.loads(get(a, "opencode.json"))["model"] == "x/y"
    pushed = everything_in(remote)
    assert b"first-secret-value" not in pushed
    assert b"second-secret-value" not in pushed
    assert oct((folder(a) / "opencode-sidecar.overrides.jsonc").stat().st_mode & 0o777) == "0o600"


def test_a_placeholder_is_filled_when_its_value_is_given_and_stays_when_a_person_wants_it(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "opencode.json", json.dumps({"provider": {"p": {"options": {"apiKey": "the-key-of-a"}}}}))
    sync(a, b)
    placeholder = "{env:opencode_provider_P_OPTIONS_APIKEY}"

    def key(machine: Machine) -> str:
        return str(json.loads(get(machine, "opencode.json"))["provider"]["p"]["options"]["apiKey"])

    assert key(b) == placeholder
    put(b, "opencode-sidecar.overrides.jsonc", json.dumps({"{env}": {placeholder[5:-1]: "the-key-of-b"}}))
    sync(b, a)
    assert (key(a), key(b)) == ("the-key-of-a", "the-key-of-b")
    put(a, "opencode.json", json.dumps({"provider": {"p": {"options": {"apiKey": placeholder}}}}))
    sync(a, b, a)
    assert (key(a), key(b)) == (placeholder, "the-key-of-b"), "what a person wrote was undone"


def test_settings_come_before_opencode_was_ever_started(pair: tuple[Machine, Machine], machine: Make, remote: Path) -> None:
    a, _ = pair
    put(a, "opencode.json", '{"theme": "x"}')
    sync(a)
    c = Machine(a.root.parent / "c")
    turn_on(c)
    key = a.cli("show-key", "--yes")["recoveryKey"]
    assert c.cli("link", str(remote), "--key", key, expect=(1,))["error"]["kind"] == "databaseMissing"
    assert c.cli("sync", expect=(1,))["error"]["kind"] == "databaseMissing"
    assert get(c, "opencode.json") == '{"theme": "x"}'


def test_what_a_cycle_changed_can_be_taken_back(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "opencode.json", '{"theme": "one"}')
    put(a, "agents/a.md", "a\n")
    sync(a, b)
    put(a, "opencode.json", '{"theme": "two"}')
    put(a, "commands/new.md", "n\n")
    (folder(a) / "agents/a.md").unlink()
    sync(a)
    cycle = b.cli("sync")["cycleId"]
    listed = b.cli("history")["cycles"][0]
    assert (listed["cycleId"], sorted(listed["files"])) == (cycle, ["config/agents/a.md", "config/commands/new.md", "config/opencode.json"])
    done = b.cli("restore", cycle)
    assert sorted(done["files"]) == sorted(listed["files"])
    assert get(b, "opencode.json") == '{"theme": "one"}'
    assert get(b, "agents/a.md") == "a\n"
    assert not (folder(b) / "commands/new.md").exists()
    sync(b, a)
    assert get(a, "opencode.json") == '{"theme": "one"}', "the restore did not reach the other machine"
    b.cli("restore", done["cycleId"])
    assert get(b, "opencode.json") == '{"theme": "two"}'


def test_preview_shows_files_and_marks_what_could_run(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "opencode.json", json.dumps({"theme": "x", "mcp": {"n": {"type": "local", "command": ["n", "--token", "tok-secret"]}}}))
    put(a, "plugin/p.ts", "export const p = 1\n")
    put(a, "themes/t.json", "{}")
    sync(a)
    files = {entry["path"]: entry for entry in b.cli("preview")["files"]}
    assert {path: (entry["change"], entry["executable"]) for path, entry in files.items()} == {
        "config/opencode.json": ("in", True),
        "config/plugin/p.ts": ("in", True),
        "config/themes/t.json": ("in", False),
    }
    assert "+export const p = 1" in files["config/plugin/p.ts"]["diff"]
    assert "tok-secret" not in json.dumps(files)
    assert not (folder(b) / "plugin").exists(), "a preview changed something"


@pytest.mark.parametrize("encryption", ["none", "aes-256-gcm"])
def test_a_script_of_a_skill_can_still_be_run(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    script = "skills/pdf/run.sh"
    put(a, script, "#!/bin/sh\n")
    (folder(a) / script).chmod(0o755)
    sync(a, b)
    assert os.access(folder(b) / script, os.X_OK), "the skill's script cannot be run any more"
    put(b, script, "#!/bin/sh\necho\n")
    sync(b, a)
    assert get(a, script) == "#!/bin/sh\necho\n"
    assert os.access(folder(a) / script, os.X_OK)
    (folder(b) / script).chmod(0o644)
    sync(b, a)
    assert not os.access(folder(a) / script, os.X_OK)
    assert sync(a, b).up_to_date


def test_both_may_stay_where_both_make_sense(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "AGENTS.md", "top\nmiddle\nend\n")
    put(a, "opencode.json", '{"agent": {"x": {"tags": ["a"]}}}')
    sync(a, b)
    for one in pair:
        put(one, "AGENTS.md", f"top\nof {one.root.name}\nend\n")
        put(one, "opencode.json", json.dumps({"agent": {"x": {"tags": ["a", one.root.name * 2]}}}))
    sync(a, b)
    for path in ("config/AGENTS.md", "config/opencode.json"):
        b.sidecar.resolve(ResolveParams(path, "both"), Task())
    sync(b, a)
    for one in pair:
        assert get(one, "AGENTS.md") == "top\nof b\nof a\nend\n"
        assert json.loads(get(one, "opencode.json"))["agent"]["x"]["tags"] == ["a", "bb", "aa"]


def test_an_edit_at_an_override_s_place_is_kept_for_this_machine(pair: tuple[Machine, Machine]) -> None:
    a, b = pair
    put(a, "opencode.json", '{"model": "x/shared"}')
    sync(a, b)
    put(b, "opencode-sidecar.overrides.jsonc", '{\n  // here\n  "model": "local/one"\n}')
    sync(b)
    put(b, "opencode.json", '{"model": "local/two"}')
    b.sidecar.pull(CycleParams(), Task())
    sync(b, a, b)
    assert json.loads(get(b, "opencode.json")) == {"model": "local/two"}, "what a person wrote was undone"
    assert get(b, "opencode-sidecar.overrides.jsonc") == '{\n  // here\n  "model": "local/two"\n}'
    assert json.loads(get(a, "opencode.json")) == {"model": "x/shared"}


def test_credentials_travel_when_asked_and_only_their_owner_reads_them(pair: tuple[Machine, Machine]) -> None:
    for one in pair:
        turn_on(one, includeSecrets=True, includePromptStash=True)
        auth = one.root / "data/opencode/auth.json"
        auth.write_text(json.dumps({one.root.name: {"type": "api", "key": f"key-of-{one.root.name}"}}))
        history = one.root / "state/opencode/prompt-history.jsonl"
        history.parent.mkdir(parents=True, exist_ok=True)
        history.write_text(json.dumps({"input": f"asked on {one.root.name}"}) + "\n")
    a, b = pair
    sync(a, b, a)
    for one in pair:
        auth = one.root / "data/opencode/auth.json"
        assert sorted(json.loads(auth.read_text())) == ["a", "b"], "a login is missing"
        assert auth.stat().st_mode & 0o777 == 0o600
        assert (one.root / "state/opencode/prompt-history.jsonl").read_text().count("asked on") == 2
    (a.root / "data/opencode/auth.json").unlink()
    sync(a, b)
    assert sorted(json.loads((b.root / "data/opencode/auth.json").read_text())) == ["a", "b"], "a reset machine logged the others out"


def test_off_by_default(machine: Make, remote: Path) -> None:
    a = machine("a")
    put(a, "opencode.json", '{"theme": "x"}')
    a.cli("init", str(remote), "--encryption", "none")
    assert sync(a).config == {}
    assert b"theme" not in everything_in(remote), "configuration left without being asked for"
    assert a.cli("config", "includeConfig", "true")["settings"]["includeConfig"]
    assert sync(a).config["out"] == 1
    assert a.cli("config", "includeConfig", "maybe", expect=(1,))["error"]["kind"] == "invalidParams"
    assert a.cli("config", "nonsense", "true", expect=(1,))["error"]["kind"] == "invalidParams"
