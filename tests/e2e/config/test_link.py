"""Joining a vault full of configuration with a machine full of configuration: shown first, kept, and never overwritten."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.sync import CycleParams, InitParams, LinkParams, LinkResult
from protocol.trust import RestoreParams
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from tests.support.gitremote import commit_in, git
from tests.support.machines import Machine
from tests.support.rawclient import RawClient
from tests.support.terminal import at_terminal

Make = Callable[..., Machine]
posix = pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
SYNCED = {"config/opencode.json": '{"model": "x/theirs"}\n', "config/agents/r.md": "theirs\n"}
SETTINGS = {"includeConfig": True, "includeSecrets": True, "includePromptStash": True}


def fill(machine: Machine, side: str) -> dict[Path, bytes]:
    """A file of every kind, different on each side, and one that only this side has."""
    root = machine.root
    files = {
        "config/opencode/opencode.json": json.dumps({"model": f"x/{side}", f"only_{side}": 1, "plugin": [side], "mcp": {"m": {"command": [side]}}}),
        "config/opencode/tui.json": json.dumps({"theme": side}),
        "config/opencode/AGENTS.md": f"# Rules\n\nof {side}\n",
        "config/opencode/agents/review.md": f"{side}\n",
        "config/opencode/plugins/p.ts": f"export const {side} = 1\n",
        "config/opencode/commands/c.md": f"{side}\n",
        "config/opencode/themes/t.json": json.dumps({"name": side}),
        "config/opencode/skills/s/SKILL.md": f"{side}\n",
        "config/opencode/skills/s/picture.bin": f"\0{side}",
        f"config/opencode/agents/only-{side}.md": side,
        f"config/opencode/plugins/only-{side}.ts": side,
        "home/.agents/x.md": side,
        "state/opencode/model.json": json.dumps({"recent": [side], "favorite": [{"providerID": "p", "modelID": side}], "variant": {"v": side}}),
        "state/opencode/prompt-history.jsonl": json.dumps({"input": side, "timestamp": 1}) + "\n",
        "data/opencode/auth.json": json.dumps({"p": {"type": "api", "key": f"key-{side}"}, side: {"type": "api", "key": "k"}}),
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    (root / "config/opencode/opencode-sidecar.jsonc").write_text(json.dumps(SETTINGS))
    return {root / name: text.encode() for name, text in files.items()}


@pytest.fixture
def key(machine: Make, remote: Path) -> str:
    a = machine("a")
    fill(a, "theirs")
    made = a.sidecar.init(InitParams(str(remote)), Task()).recovery_key
    a.sidecar.run(CycleParams(), Task())
    assert made is not None
    return made


def state(machine: Machine) -> set[str]:
    """What is ours on a machine that is not linked."""
    return {path.name for path in machine.own_state.rglob("*")} - {"sync.lock"} if machine.own_state.exists() else set()


def keeps(before: Any, now: Any) -> bool:
    """Whether every value that was there is there, lists as sets."""
    if isinstance(before, dict):
        return isinstance(now, dict) and all(name in now and keeps(value, now[name]) for name, value in before.items())
    return all(item in now for item in before) if isinstance(before, list) else before == now


# --- nothing is overwritten ------------------------------------------------------------------------------------------
def test_the_first_sync_replaces_nothing_that_is_here_and_restore_takes_all_of_it_back(machine: Make, remote: Path, key: str) -> None:
    b = machine("b")
    mine = fill(b, "mine")
    shown = b.sidecar.link(LinkParams(str(remote), key=key), Task()).preview.files
    assert {path: path.read_bytes() for path in mine} == mine, "link itself changed a file"
    done = b.sidecar.run(CycleParams(), Task())
    changed = {path for path, data in mine.items() if path.read_bytes() != data}
    for path in changed:
        if path.suffix == ".json":
            assert keeps(json.loads(mine[path]), json.loads(path.read_bytes())), f"a setting of {path.name} was replaced"
        else:
            assert set(mine[path].splitlines()) <= set(path.read_bytes().splitlines()), f"lines of {path.name} were replaced"
    conflicts = {file.path for file in shown if file.change == "conflict"}
    assert {"config/opencode.json", "config/tui.json", "config/AGENTS.md", "config/plugins/p.ts", "config/skills/s/picture.bin", "data/auth.json"} <= conflicts
    came = {str(path.relative_to(b.root)) for path in b.root.rglob("*") if "only-theirs" in path.name}
    assert came == {"config/opencode/agents/only-theirs.md", "config/opencode/plugins/only-theirs.ts"}
    assert {file.path for file in shown if file.executable} >= {"config/plugins/only-theirs.ts"}, "something that runs was not marked"
    # What was shown is what came.
    there = {"config": "config/opencode", "state": "state/opencode", "data": "data/opencode"}
    places = {b.root / there[file.path.split("/", 1)[0]] / file.path.split("/", 1)[1] for file in shown if file.change in ("in", "both", "conflict")}
    assert changed - {b.root / "home/.agents/x.md"} <= places, "something changed that was not shown"

    assert b.sidecar.restore(RestoreParams(done.cycle_id), Task()).skipped == []
    assert {path: path.read_bytes() for path in mine} == mine, "what the first sync changed cannot be had back"
    assert not any("only-theirs" in path.name for path in b.root.rglob("*"))


# --- a look first ----------------------------------------------------------------------------------------------------
def test_a_dry_run_shows_it_and_leaves_nothing(machine: Make, remote: Path, key: str) -> None:
    b = machine("b")
    mine = fill(b, "mine")
    client = RawClient(b.environ)
    try:
        client.initialize()
        seen = client.call("sync/link", {"remote": str(remote), "key": key, "dryRun": True}, timeout=60)["result"]
        assert (seen["linked"], client.call("sync/status", {})["result"]["configured"]) == (False, False)
        assert len(seen["preview"]["files"]) > 10
        assert client.call("sync/link", {"remote": str(remote), "key": key}, timeout=60)["result"]["preview"]["files"] == seen["preview"]["files"]
    finally:
        client.kill()
    assert {path: path.read_bytes() for path in mine} == mine
    c = machine("c")
    assert c.run("link", str(remote), "--key", key, "--dry-run").stdout.startswith("🔗 Not linked yet")
    assert state(c) == set(), "looking left something behind"


def test_a_look_that_was_killed_leaves_no_key_behind_after_the_next_link(machine: Make, remote: Path, key: str) -> None:
    b = machine("b")
    (b.own_state / "link-preview").mkdir(parents=True)
    (b.own_state / "link-preview/keys.json").write_text("{}")
    b.sidecar.link(LinkParams(str(remote), key=key), Task())
    assert not (b.own_state / "link-preview").exists()


def test_a_dry_run_needs_no_database_and_an_error_leaves_nothing(machine: Make, remote: Path, key: str) -> None:
    b = machine("b")
    fill(b, "mine")
    b.db.unlink()
    result = b.sidecar.link(LinkParams(str(remote), key=key, dry_run=True), Task())
    assert result.preview.files
    assert result.preview.warnings
    with pytest.raises(SidecarError):
        b.sidecar.link(LinkParams(str(remote), key="A" * 20, dry_run=True), Task())
    assert state(b) == set()


def test_without_a_terminal_it_says_what_will_happen_and_how_to_go_back(machine: Make, remote: Path, key: str) -> None:
    b = machine("b")
    fill(b, "mine")
    done = b.run("link", str(remote), "--key", key)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("⚠️ conflict config/opencode.json", "only-theirs.ts  ⚠️ opencode could run it", "opencode-sidecar resolve", "restore CYCLE"):
        assert word in done.stdout


@posix
@pytest.mark.parametrize(("answer", "linked"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_at_a_terminal_it_asks_before_anything_here_would_change(machine: Make, remote: Path, key: str, answer: str, linked: bool) -> None:
    b = machine("b")
    mine = fill(b, "mine")
    status, screen = at_terminal(b, ["link", str(remote), "--key", key], {"[y/N]": answer})
    assert "config/plugins/only-theirs.ts" in screen
    assert (b.own_state / "device.json").exists() is linked
    assert status == (0 if linked else 130)
    assert linked or state(b) == set(), "saying no left something behind"
    assert {path: path.read_bytes() for path in mine} == mine
    if linked:
        b.sidecar.run(CycleParams(), Task())
        assert (b.root / "config/opencode/agents/only-theirs.md").exists()


@posix
def test_at_a_terminal_nothing_is_asked_when_nothing_here_would_change_or_yes_was_said(machine: Make, remote: Path, key: str) -> None:
    b, c = machine("b"), machine("c")
    assert at_terminal(b, ["link", str(remote), "--key", key], {})[0] == 0
    fill(c, "mine")
    assert at_terminal(c, ["link", str(remote), "--key", key, "--yes"], {})[0] == 0


def test_what_was_fetched_for_the_look_serves_the_link(machine: Make, remote: Path, key: str) -> None:
    b = machine("b")
    seen: list[LinkResult] = []

    def agree(result: LinkResult) -> bool:
        assert state(b) >= {"link-preview"}
        assert not (b.own_state / "device.json").exists()
        seen.append(result)
        return True

    result = b.sidecar.link(LinkParams(str(remote), key=key), Task(), agree)
    assert (result.linked, len(seen)) == (True, 1)
    assert not (b.own_state / "link-preview").exists()
    with pytest.raises(SidecarError) as caught:
        b.sidecar.link(LinkParams(str(remote), dry_run=True), Task())
    assert caught.value.kind == "alreadyConfigured"


# --- what may be at the other end ------------------------------------------------------------------------------------
def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except SidecarError as error:
        return f"{error.kind}: {error.message} {error.remedy}"
    return "done"


@pytest.mark.parametrize(
    ("branch", "files", "init", "adopt", "link"),
    [
        ("main", {}, "done", "", "remoteNotVault: The remote is empty."),
        ("main", {"README.md": "# x"}, "done", "", "remoteNotVault: There is no vault"),
        ("master", {"README.md": "# x", ".gitignore": ""}, "done", "", "remoteNotVault"),
        ("main", SYNCED, "remoteNotEmpty: This is a repository of opencode-synced", "done", "remoteNotVault: This is a repository of opencode-synced"),
        ("master", SYNCED, "remoteNotEmpty", "done", "remoteNotVault"),
        ("main", {"README.md": "x", "main.py": "x"}, "remoteNotEmpty: The remote is not empty, and holds", "remoteNotEmpty", "remoteNotVault"),
        ("main", {"docs/README.md": "x"}, "remoteNotEmpty", "remoteNotEmpty", "remoteNotVault"),
        ("trunk", {"LICENSE": "x"}, "done", "", "remoteNotVault"),
    ],
)
def test_what_is_at_the_other_end(machine: Make, remote: Path, branch: str, files: dict[str, str], init: str, adopt: str, link: str) -> None:
    git(remote, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    if files:
        commit_in(remote, branch, files)
    before = git(remote, "for-each-ref")
    b = machine("b")
    assert outcome(lambda: b.sidecar.link(LinkParams(str(remote)), Task())).startswith(link)
    for wanted, adopting in ((init, False), (adopt, True)):
        said = outcome(lambda: b.sidecar.init(InitParams(str(remote), encryption="none", adopt=adopting), Task()))  # noqa: B023 - called at once
        assert said.startswith(wanted)
        if said == "done":
            break
        assert git(remote, "for-each-ref") == before, "a repository that is not ours was changed"
    else:
        return
    for name, text in files.items():
        assert git(remote, "show", f"{branch}:{name}") == text.strip(), "the user's file is gone"
    b.sidecar.run(CycleParams(), Task())
    c = machine("c")
    assert outcome(lambda: c.sidecar.link(LinkParams(str(remote)), Task())) == "done"


def test_a_vault_is_not_made_twice(machine: Make, remote: Path, key: str) -> None:
    said = outcome(lambda: machine("b").sidecar.init(InitParams(str(remote)), Task()))
    assert said.startswith("remoteNotEmpty: There is a vault")
    assert "link" in said
