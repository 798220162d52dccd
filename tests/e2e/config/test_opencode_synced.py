"""A repository of opencode-synced, with machines that still run it: both tools read what the other wrote, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.sync import CycleParams
from sidecar.domain.task import Task
from tests.support.machines import Machine

Make = Callable[..., Machine]


class OldMachine:
    """A clone, written to as opencode-synced writes: whole files, JSON in its own format."""

    def __init__(self, remote: Path, folder: Path) -> None:
        self.folder = folder
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)} | {
            f"GIT_{who}_{what}": "old@x.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(remote))

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=self.environ, capture_output=True, check=True)
        return done.stdout.decode()

    def write(self, files: dict[str, Any]) -> None:
        for name, value in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2) + "\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "Sync opencode config (2026-01-01)")
        self.git("push", "-q", "origin", "main")

    def pull(self) -> None:
        self.git("fetch", "-q", "--prune")
        self.git("merge", "-q", "--ff-only", "origin/main")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()


EXTRA = "/srv/shared/prompts"
EXTRA_NAME = f"srv_shared_prompts-{hashlib.sha1(EXTRA.encode()).hexdigest()[:8]}"
FILES = {
    "config/opencode.json": {"model": "x/one", "mcp": {"n": {"type": "remote", "url": "https://n.invalid", "headers": {"API_KEY": "{env:API_KEY}"}}}},
    "config/opencode-synced.jsonc": '// generated\n{"repo": {"url": "x"}, "includeSecrets": true}\n',
    "config/AGENTS.md": "# Rules\n",
    "config/agent/a.md": "a\n",
    "config/skills/s/SKILL.md": "s\n",
    "config/.agents/skills/t/SKILL.md": "t\n",
    "config/extra-manifest.json": {"entries": [{"sourcePath": EXTRA, "repoPath": f"config/extra/{EXTRA_NAME}", "type": "dir"}]},
    "state/model.json": {"recent": [{"providerID": "x", "modelID": "old"}], "favorite": [{"providerID": "x", "modelID": "f1"}], "variant": {}},
    "data/auth.json": {"x": {"type": "api", "key": "of-the-old-plugin"}},
}


@pytest.mark.parametrize("encryption", ["none", "aes-256-gcm"])
def test_a_repository_of_opencode_synced_is_taken_over(machine: Make, remote: Path, tmp_path: Path, encryption: str) -> None:
    old = OldMachine(remote, tmp_path / "old")
    old.write(FILES)
    a = machine("a")
    folder = a.root / "config/opencode"
    folder.mkdir(parents=True)
    (folder / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    (folder / "opencode.json").write_text('{"theme": "mine", "mcp": {"n": {"headers": {"API_KEY": "secret-of-this-machine"}}}}')
    (folder / "opencode-synced.overrides.jsonc").write_text('{"username": "just here"}')
    assert a.cli("init", str(remote), "--encryption", encryption, expect=(1,))["error"]["kind"] == "remoteNotEmpty"
    a.cli("init", str(remote), "--encryption", encryption, "--adopt")
    sync(a)
    config = json.loads((folder / "opencode.json").read_text())
    assert config == {
        "theme": "mine",
        "model": "x/one",
        "mcp": {"n": {"type": "remote", "url": "https://n.invalid", "headers": {"API_KEY": "secret-of-this-machine"}}},
        "username": "just here",
    }
    assert (folder / "AGENTS.md").read_text() == "# Rules\n"
    assert (folder / "agent/a.md").read_text() == "a\n"
    assert (folder / "skills/s/SKILL.md").read_text() == "s\n"
    assert (a.root / "home/.agents/skills/t/SKILL.md").read_text() == "t\n"
    assert json.loads((a.root / "state/opencode/model.json").read_text())["favorite"] == [{"providerID": "x", "modelID": "f1"}]
    assert not (a.root / "data/opencode/auth.json").exists(), "credentials came without being asked for"
    if encryption == "none":
        _alongside(a, old, folder)


def _alongside(a: Machine, old: OldMachine, folder: Path) -> None:
    """Both tools on one repository."""
    old.pull()
    shared = json.loads(old.read("config/opencode.json"))
    assert shared["theme"] == "mine"
    assert shared["mcp"]["n"]["headers"] == {"API_KEY": "{env:API_KEY}"}, "its name for the secret was not kept"
    assert "username" not in shared
    for name in ("config/opencode-synced.jsonc", "config/extra-manifest.json", "data/auth.json"):
        assert old.read(name) == (FILES[name] if isinstance(FILES[name], str) else json.dumps(FILES[name], indent=2) + "\n"), f"{name} was changed"
    model = json.loads((a.root / "state/opencode/model.json").read_text())
    model["favorite"].append({"providerID": "x", "modelID": "f2"})
    model["recent"] = [{"providerID": "x", "modelID": "here"}]
    (a.root / "state/opencode/model.json").write_text(json.dumps(model))
    old.write({"config/opencode.json": shared | {"model": "x/two"}, "config/agents/b.md": "b\n"})
    sync(a)
    assert json.loads((folder / "opencode.json").read_text())["model"] == "x/two"
    assert (folder / "agents/b.md").read_text() == "b\n"
    old.pull()
    theirs = json.loads(old.read("state/model.json"))
    assert [entry["modelID"] for entry in theirs["favorite"]] == ["f1", "f2"]
    assert theirs["recent"] == [{"providerID": "x", "modelID": "old"}], "what this machine used last is nobody else's"


def test_extra_paths_keep_the_name_that_they_have_there(machine: Make, remote: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    name = f"{str(extra).lstrip('/').replace('/', '_')[-80:]}-{hashlib.sha1(str(extra).encode()).hexdigest()[:8]}"
    old = OldMachine(remote, tmp_path / "old")
    old.write({"config/opencode.json": {}, f"config/extra/{name}/p.md": "p\n"})
    a = machine("a")
    folder = a.root / "config/opencode"
    folder.mkdir(parents=True)
    (folder / "opencode-sidecar.jsonc").write_text(json.dumps({"includeConfig": True, "extraConfigPaths": [str(extra)]}))
    a.cli("init", str(remote), "--encryption", "none", "--adopt")
    sync(a)
    assert (extra / "p.md").read_text() == "p\n"
    (extra / "q.md").write_text("q\n")
    sync(a)
    old.pull()
    assert old.read(f"config/extra/{name}/q.md") == "q\n"
    assert a.sidecar.run(CycleParams(), Task()).up_to_date


def test_something_else_is_not_taken_over(machine: Make, remote: Path, tmp_path: Path) -> None:
    OldMachine(remote, tmp_path / "old").write({"README.md": "a project"})
    assert machine("a").cli("init", str(remote), "--encryption", "none", "--adopt", expect=(1,))["error"]["kind"] == "remoteNotEmpty"


def sync(machine: Machine) -> None:
    result = machine.sidecar.run(CycleParams(), Task())
    assert "failed" not in result.config, result.warnings
    assert not result.config["conflicts"], result.warnings
