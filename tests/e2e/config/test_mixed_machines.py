"""Some machines have opencode-sidecar, others still opencode-synced, on one repository: nothing is lost on either."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol.sync import CycleParams
from sidecar.adapters.config import jsonc
from sidecar.domain.task import Task
from tests.support.machines import Machine
from tests.support.synced import OldMachine

Make = Callable[..., Machine]


class New:
    """A machine with ours."""

    def __init__(self, machine: Machine, **settings: Any) -> None:
        self.machine, self.home, self.config = machine, machine.root / "home", machine.root / "config/opencode"
        self.data, self.state = machine.root / "data/opencode", machine.root / "state/opencode"
        self.config.mkdir(parents=True, exist_ok=True)
        (self.config / "opencode-sidecar.jsonc").write_text(json.dumps({"includeConfig": True, **settings}))

    def adopt(self, remote: Path) -> None:
        self.machine.cli("init", str(remote), "--encryption", "none", "--adopt", "--acknowledge-private")
        self.sync()

    def sync(self) -> list[str]:
        """Warnings."""
        result = self.machine.sidecar.run(CycleParams(), Task())
        assert "failed" not in result.config, result.warnings
        assert not result.config["conflicts"], (result.warnings, self.machine.cli("resolve", expect=(3,)))
        return result.warnings

    def quiet(self) -> bool:
        return self.machine.sidecar.run(CycleParams(), Task()).up_to_date

    def get(self, name: str) -> Any:
        return json.loads((self.config / name).read_text())

    def put(self, name: str, value: Any) -> None:
        path = self.config / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2))


def settle(old: OldMachine, *new: New) -> None:
    """Everybody starts and syncs until nobody has anything to do, which takes a bounded number of rounds."""
    for _ in range(6):
        for one in new:
            one.sync()
        if old.start() == "quiet" and all(one.quiet() for one in new):
            return
    raise AssertionError("the two tools go on answering each other for ever")


def test_rounds_of_edits_on_both_sides(machine: Make, remote: Path, tmp_path: Path) -> None:
    old = OldMachine(tmp_path / "old", remote)
    headers = {"Authorization": "Bearer of-the-old", "API_KEY": "key-of-the-old"}
    old.put("opencode.json", {"model": "x/one", "username": "ada", "mcp": {"n": {"type": "remote", "url": "https://n.invalid", "headers": headers}}})
    old.put("AGENTS.md", "one\ntwo\nthree\n")
    old.put("agent/a.md", "a\n")
    old.put("plugin/mine.ts", "export const x = 1\n")
    old.put("plugin/package.json", "{}")
    assert old.start() == "pushed"
    a = New(machine("a"))
    a.put("opencode.json", '{\n  // mine\n  "theme": "dark",\n  "mcp": {"n": {"headers": {"API_KEY": "key-of-a"}}}\n}\n')
    a.adopt(remote)
    settle(old, a)
    for turn in range(3):
        value = old.get("opencode.json")
        old.put("opencode.json", value | {"model": f"x/{turn}", f"old{turn}": turn})
        old.put(f"command/old{turn}.md", "old\n")
        text = (a.config / "opencode.json").read_text()
        a.put("opencode.json", text.replace('"theme"', f'"new{turn}": {turn},\n  "theme"', 1))
        a.put(f"command/new{turn}.md", "new\n")
        old.start()
        a.sync()
        a.put("AGENTS.md", (a.config / "AGENTS.md").read_text() + f"new {turn}\n")
        settle(old, a)
    here, there = (jsonc.parse((one.config / "opencode.json").read_bytes()).value for one in (a, old))
    assert here["mcp"]["n"].pop("headers") == {"Authorization": "Bearer {env:opencode_mcp_N_AUTHORIZATION}", "API_KEY": "key-of-a"}
    assert there["mcp"]["n"].pop("headers") == headers, "the old machine lost a secret of its own"
    assert here == there
    assert here["model"] == "x/2"
    assert {f"old{turn}" for turn in range(3)} | {f"new{turn}" for turn in range(3)} | {"theme", "username"} <= here.keys()
    assert "// mine" in (a.config / "opencode.json").read_text(), "the old tool's rewriting cost a comment here"
    for one in (a, old):
        assert (one.config / "AGENTS.md").read_text() == "one\ntwo\nthree\nnew 0\nnew 1\nnew 2\n"
        assert {path.name for path in (one.config / "command").iterdir()} == {f"{who}{turn}.md" for who in ("old", "new") for turn in range(3)}
    assert (old.config / "plugin/package.json").exists(), "opencode's own file was taken from the other machine"
    assert not (a.config / "plugin/package.json").exists()


def test_secrets_that_only_ours_knows_do_not_vanish_from_the_old_machine(machine: Make, remote: Path, tmp_path: Path) -> None:
    old = OldMachine(tmp_path / "old", remote)
    provider = {"p": {"options": {"apiKey": "the-key-that-was-pushed", "baseURL": "https://p.invalid"}}}
    old.put("opencode.json", {"provider": provider})
    old.start()
    a = New(machine("a"))
    a.adopt(remote)
    told = a.sync()
    a.put("opencode.json", a.get("opencode.json") | {"model": "x/y"})
    told += a.sync()
    assert any("provider.p.options.apiKey" in text and "replace" in text for text in told), "nobody was told that a secret is in the repository"
    settle(old, a)
    assert old.get("opencode.json")["provider"] == provider, "opencode on the old machine has a placeholder for a key"
    value = a.get("opencode.json")
    value["provider"]["p"]["options"]["apiKey"] = "a-new-key-of-this-machine"
    a.put("opencode.json", value)
    a.sync()
    old.start()
    assert "a-new-key-of-this-machine" not in old.git("log", "-p", "--all")


def test_extra_paths_go_both_ways(machine: Make, remote: Path, tmp_path: Path) -> None:
    old = OldMachine(tmp_path / "old", remote, extraConfigPaths=["~/.vim", "~/.tool.conf"], includeSecrets=True, extraSecretPaths=["~/.netrc"])
    (old.home / ".vim/ftplugin").mkdir(parents=True)
    (old.home / ".vim/ftplugin/py.vim").write_text("one\ntwo\nthree\n")
    (old.home / ".tool.conf").write_text("a = 1\nb = 2\nc = 3\n")
    (old.home / ".netrc").write_text("machine x password y\n")
    (old.home / ".netrc").chmod(0o600)
    old.put("opencode.json", {"model": "x"})
    old.start()
    a = New(machine("a"), extraConfigPaths=["~/.tool.conf", "~/.vim"], includeSecrets=True, extraSecretPaths=["~/.netrc"])
    a.adopt(remote)
    assert (a.home / ".vim/ftplugin/py.vim").read_text() == "one\ntwo\nthree\n", "the other machine's extra path did not come: its home has another name"
    assert (a.home / ".tool.conf").read_text() == "a = 1\nb = 2\nc = 3\n"
    assert (a.home / ".netrc").read_text() == "machine x password y\n"
    assert (a.home / ".netrc").stat().st_mode & 0o777 == 0o600
    settle(old, a)
    (a.home / ".vim/new.vim").write_text("new\n")
    (a.home / ".vim/ftplugin/py.vim").write_text("ONE\ntwo\nthree\n")
    (a.home / ".tool.conf").write_text("a = 1\nb = 2\nc = 4\n")
    (a.home / ".netrc").write_text("machine x password z\n")
    settle(old, a)
    assert (old.home / ".vim/new.vim").read_text() == "new\n", "what we added to an extra path does not reach the old plugin"
    assert (old.home / ".vim/ftplugin/py.vim").read_text() == "ONE\ntwo\nthree\n"
    assert (old.home / ".tool.conf").read_text() == "a = 1\nb = 2\nc = 4\n"
    assert (old.home / ".netrc").read_text() == "machine x password z\n"
    assert (old.home / ".netrc").stat().st_mode & 0o777 == 0o600
    (old.home / ".vim/ftplugin/py.vim").write_text("ONE\ntwo\nTHREE\n")
    (old.home / ".vim/new.vim").unlink()
    settle(old, a)
    assert (a.home / ".vim/ftplugin/py.vim").read_text() == "ONE\ntwo\nTHREE\n"
    assert not (a.home / ".vim/new.vim").exists()


def test_an_old_machine_without_extra_paths_takes_nothing_away(machine: Make, remote: Path, tmp_path: Path) -> None:
    old = OldMachine(tmp_path / "old", remote)
    old.put("opencode.json", {"model": "x"})
    old.start()
    a, b = (New(machine(name), extraConfigPaths=["~/.vim"]) for name in "ab")
    (a.home / ".vim").mkdir()
    for number in range(30):  # enough that so many deletions would be asked about
        (a.home / f".vim/{number}.vim").write_text(f"{number}\n")
    a.adopt(remote)
    b.machine.cli("link", str(remote))
    b.sync()
    assert (b.home / ".vim/7.vim").read_text() == "7\n"
    old.start()
    old.put("opencode.json", {"model": "y"})
    assert old.start() == "pushed"
    assert not list((old.repo / "config").glob("extra*")), "this test no longer does what the old plugin does"
    warnings = a.sync()
    b.sync()
    for one in (a, b):
        assert len(list((one.home / ".vim").iterdir())) == 30, "a machine without extra paths emptied those of the others"
        assert one.get("opencode.json")["model"] == "y"
    assert any("extraConfigPaths" in text for text in warnings), "the user is not told how to end this"
    (a.home / ".vim/7.vim").unlink()
    a.sync()
    b.sync()
    assert not (b.home / ".vim/7.vim").exists(), "a real deletion does not travel any more"


def test_what_the_old_plugin_cut_into_pieces_stays_as_it_is(machine: Make, remote: Path, tmp_path: Path) -> None:
    old = OldMachine(tmp_path / "old", remote)
    old.put("opencode.json", {"model": "x"})
    old.start()
    part, name = b"x" * 5_000, "0" * 64
    pointer = {"format": "opencode-synced-chunks", "version": 1, "id": name, "sha256": name, "size": 5_000, "mode": 384, "chunkSize": 5_000, "chunkCount": 1}
    pieces = {
        ".opencode-synced/chunks/OWNER.json": b'{"format":"opencode-synced-chunk-store","version":1}\n',
        f".opencode-synced/chunks/v1/{name}/000000.part": part,
        "data/opencode.db": json.dumps(pointer).encode() + b"\n",
        "data/storage/message/m.json": b"{}",
        "config/agents/large.md": json.dumps(pointer).encode() + b"\n",
    }
    for path, data in pieces.items():
        (old.repo / path).parent.mkdir(parents=True, exist_ok=True)
        (old.repo / path).write_bytes(data)
    old.git("add", "-A")
    old.git("commit", "-q", "-m", "sessions")
    old.git("push", "-q", "origin", "main")
    a = New(machine("a"))
    a.adopt(remote)
    a.put("AGENTS.md", "rules\n")
    told = a.sync()
    assert not (a.config / "agents/large.md").exists(), "a pointer was written as if it were the file"
    assert any("config/agents/large.md" in text and "pieces" in text for text in told)
    old.git("fetch", "-q")
    assert old.git("show", "origin/main:config/AGENTS.md") == "rules\n"
    for path, data in pieces.items():
        assert old.git("show", f"origin/main:{path}").encode() == data, f"{path} was changed"


def test_settings_of_opencode_synced_count_where_ours_say_nothing(machine: Make) -> None:
    a = New(machine("a"), includeAgentsDir=True)
    a.put(
        "opencode-synced.jsonc",
        """{
          "repo": {"owner": "me", "name": "x", "branch": "sync"}, "localRepoPath": "~/x", // comments and a comma too many
          "includeSecrets": true, "includeMcpSecrets": true, "includeSessions": true, "includePromptStash": true,
          "includeModelFavorites": false, "includeOpencodeSkills": false, "includeAgentsDir": false,
          "sessionBackend": {"type": "turso"}, "secretsBackend": {"type": "1password"},
          "extraSecretPaths": ["~/.netrc"], "extraConfigPaths": ["~/.vim"], "somethingNew": 1,
        }""",
    )
    shown = a.machine.cli("config")
    assert shown["settings"] == {
        "includeConfig": True,
        "includeProjects": False,
        "includeOpencodeSkills": False,
        "includeAgentsDir": True,
        "includeModelFavorites": False,
        "includePromptStash": False,
        "includeSecrets": False,
        "autoCompact": True,
    }, "credentials would leave this machine because another tool's settings say so, or a choice of the user's was ignored"
    assert shown["lists"]["extraConfigPaths"] == ["~/.vim"]
    assert shown["lists"]["extraSecretPaths"] == []
    told = "\n".join(shown["problems"])
    for name in (
        "includeSecrets",
        "includeMcpSecrets",
        "includeSessions",
        "includePromptStash",
        "sessionBackend",
        "secretsBackend",
        "extraSecretPaths",
        "branch",
        "somethingNew",
    ):
        assert name in told, f"{name} has no effect, and nobody says so"


def test_two_old_machines_with_different_homes_meet_through_ours(machine: Make, remote: Path, tmp_path: Path) -> None:
    """By themselves each of them takes the other's copy out of the repository."""
    one = OldMachine(tmp_path / "one", remote, extraConfigPaths=["~/.vim"])
    (one.home / ".vim").mkdir()
    (one.home / ".vim/a.vim").write_text("one\n")
    one.put("opencode.json", {"model": "x"})
    one.start()
    a = New(machine("a"), extraConfigPaths=["~/.vim"])
    a.adopt(remote)
    other = OldMachine(tmp_path / "other", remote, extraConfigPaths=["~/.vim"])
    assert other.start() == "pulled"
    (other.home / ".vim").mkdir(exist_ok=True)
    (other.home / ".vim/a.vim").write_text("one\n")
    other.start()
    for _ in range(2):
        a.sync()
        one.start()
        other.start()
    (one.home / ".vim/b.vim").write_text("b\n")
    for _ in range(2):
        one.start()
        a.sync()
        other.start()
    assert (a.home / ".vim/b.vim").read_text() == "b\n"
    assert (other.home / ".vim/b.vim").read_text() == "b\n", "one old machine's work does not reach the other one"
    for path in (one.home, other.home, a.home):
        assert (path / ".vim/a.vim").read_text() == "one\n"


def test_a_machine_without_favourites_or_credentials_takes_none_away(machine: Make, remote: Path, tmp_path: Path) -> None:
    """opencode-synced removes from the repository what its own machine does not have (yet, or after a reset of opencode)."""
    old = OldMachine(tmp_path / "old", remote, includeSecrets=True)
    old.put("opencode.json", {"model": "x"})
    files = {old.state / "model.json": {"favorite": [{"providerID": "x", "modelID": "f"}]}, old.data / "auth.json": {"x": {"type": "api", "key": "k"}}}
    for path, value in files.items():
        path.write_text(json.dumps(value))
    old.start()
    a = New(machine("a"), includeSecrets=True)
    a.adopt(remote)
    settle(old, a)
    for path in files:
        path.unlink()
    assert old.start() == "pushed"
    a.sync()
    for path, value in files.items():
        here = a.machine.root / path.relative_to(old.root)
        assert json.loads(here.read_text()).items() >= value.items(), f"{path.name} of another machine was emptied"
    assert old.start() == "pulled"
    assert json.loads((old.data / "auth.json").read_text()) == files[old.data / "auth.json"]
