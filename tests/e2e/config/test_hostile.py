"""A remote that anybody with push access wrote: nothing leads out of the folders, one bad file stops no other."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from protocol.sync import CycleParams
from sidecar.domain.task import Task
from tests.support.machines import Machine

Make = Callable[..., Machine]


def git(remote: Path, *arguments: str, feed: bytes = b"") -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(remote), **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}
    return subprocess.run(["git", "-C", str(remote), *arguments], env=env, input=feed, capture_output=True, check=True).stdout.decode().strip()


def write_tree(remote: Path, entries: dict[str, tuple[str, bytes]]) -> str:
    """A tree as no git client would make it: entries by name, whatever the name."""
    lines = []
    for name, (mode, data) in entries.items():
        if mode == "040000":
            lines.append(f"040000 tree {data.decode()}\t{name}\0")
        elif mode == "160000":
            lines.append(f"160000 commit {data.decode()}\t{name}\0")
        else:
            lines.append(f"{mode} blob {git(remote, 'hash-object', '-w', '--stdin', feed=data)}\t{name}\0")
    return git(remote, "mktree", "-z", "--missing", feed="".join(lines).encode())


def publish(remote: Path, config: dict[str, tuple[str, bytes]]) -> None:
    """Replace the config folder of the vault, keeping what else is there."""
    old = git(remote, "rev-parse", "main")
    rest = [line for line in git(remote, "ls-tree", old).splitlines() if not line.endswith("\tconfig")]
    tree = git(remote, "mktree", feed="\n".join([*rest, f"040000 tree {write_tree(remote, config)}\tconfig", ""]).encode())
    git(remote, "update-ref", "refs/heads/main", git(remote, "commit-tree", tree, "-p", old, "-m", "x"))


def sync(machine: Machine, *, allow_deletions: bool = False) -> list[str]:
    """Warnings."""
    result = machine.sidecar.run(CycleParams(allow_deletions), Task())
    assert "failed" not in result.config, result.warnings
    return result.warnings


def home(machine: Machine) -> Path:
    path = machine.root / "config/opencode"
    path.mkdir(parents=True, exist_ok=True)
    (path / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    return path


def test_a_hostile_remote_writes_nothing_outside(machine: Make, remote: Path, tmp_path: Path) -> None:
    a = machine("a", None)
    folder = home(a)
    a.cli("init", str(remote), "--encryption", "none")
    (folder / "AGENTS.md").write_text("mine\n")
    sync(a)
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "tools").symlink_to(outside)
    (folder / "modes").mkdir()
    (folder / "modes/link").symlink_to(outside)
    (folder / "modes/file.md").symlink_to(outside / "secret.md")
    bad = ("100644", b"evil")
    inner = write_tree(remote, {"x.md": bad, "..": bad, ".git": bad, "CON.md": bad, "a\\b.md": bad, "c:d.md": bad, "good.md": ("100644", b"good\n")})
    links = write_tree(remote, {"link.md": ("120000", b"/etc/passwd"), "sub": ("160000", b"1" * 40), "Case.md": bad, "case.md": bad})
    modes = write_tree(remote, {"link": ("040000", write_tree(remote, {"x.md": bad}).encode()), "file.md": bad})
    publish(
        remote,
        {
            "AGENTS.md": ("100644", b"mine\n"),
            "agents": ("040000", inner.encode()),
            "commands": ("040000", links.encode()),
            "modes": ("040000", modes.encode()),
            "opencode.json": ("100644", b'{"theme": '),
            "plugins": ("120000", str(outside).encode()),
            "unknown.txt": bad,
            "opencode-sidecar.jsonc": ("100644", b'{"includeSecrets": true}'),
        },
    )
    told = "\n".join(sync(a))
    assert (folder / "agents/good.md").read_text() == "good\n", "one bad name stopped the others"
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    assert written == {"AGENTS.md", "agents/good.md", "agents/x.md", "commands/Case.md", "modes/link", "modes/file.md", "tools", "opencode-sidecar.jsonc"}
    assert list(outside.iterdir()) == [], "something was written through a link"
    assert json.loads((folder / "opencode-sidecar.jsonc").read_text()) == {"includeConfig": True}, "a remote turned a setting on"
    for words in ("link.md", "sub", "case.md", "CON.md", "in the vault: line 1, column 11", "modes/link", "modes/file.md"):
        assert words in told, f"{words} was ignored without a word: {told}"
    sync(a)
    assert git(remote, "show", "main:config/agents/good.md") == "good"


def test_a_user_s_own_linked_folder_works(machine: Make, remote: Path, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    (tmp_path / "dots/skills/pdf").mkdir(parents=True)
    (tmp_path / "dots/opencode.json").write_text('{"theme": "x"}')
    (tmp_path / "dots/skills/pdf/SKILL.md").write_text("pdf\n")
    folder = home(a)
    (folder / "skills").symlink_to(tmp_path / "dots/skills")
    (folder / "opencode.json").symlink_to(tmp_path / "dots/opencode.json")
    a.cli("init", str(remote), "--encryption", "none")
    sync(a)
    other = home(b)
    b.cli("link", str(remote))
    sync(b)
    assert (other / "skills/pdf/SKILL.md").read_text() == "pdf\n"
    (other / "opencode.json").write_text('{"theme": "y"}')
    sync(b)
    sync(a)
    assert (tmp_path / "dots/opencode.json").read_text() == '{"theme": "y"}'
    assert (folder / "opencode.json").is_symlink(), "the user's link became a file"


def test_bad_files_here_are_findings_and_the_rest_syncs(machine: Make, remote: Path) -> None:
    a = machine("a")
    folder = home(a)
    a.cli("init", str(remote), "--encryption", "none")
    (folder / "opencode.json").write_text('{\n  "theme": "x"\n  "model": 1\n}')
    (folder / "AGENTS.md").write_text("fine\n")
    (folder / "agents").mkdir()
    (folder / "agents/a:b.md").write_text("x")
    (folder / "commands").write_text("a file")
    (folder / "agents/huge.md").write_bytes(b"x" * (9 << 20))
    (folder / "agents/key.md").write_text("use ghp_" + "a1" * 18 + "\n")
    (folder / "skills").mkdir()
    for number in range(5_100):
        (folder / f"skills/{number}").touch()
    told = "\n".join(sync(a))
    for words in (
        "line 3, column 3",
        "a:b.md",
        "config/commands: it is a file",
        "huge.md: it is larger",
        "more than 5000 files",
        "line 1 holds what looks like a secret",
    ):
        assert words in told, told
    assert git(remote, "ls-tree", "-r", "--name-only", "main", "config/").splitlines() == ["config/AGENTS.md"]
    assert len(a.cli("status")["attention"]) >= 6


def test_a_folder_that_vanished_is_not_deleted_elsewhere(machine: Make, remote: Path) -> None:
    a, b = machine("a"), machine("b")
    folder, other = home(a), home(b)
    (folder / "skills").mkdir()
    for number in range(30):
        (folder / f"skills/{number}.md").write_text("x")
    key = a.cli("init", str(remote))["recoveryKey"]
    sync(a)
    b.cli("link", str(remote), "--key", key)
    sync(b)
    for number in range(30):
        (folder / f"skills/{number}.md").unlink()
    assert any("--allow-deletions" in warning for warning in sync(a))
    sync(b)
    assert len(list((other / "skills").iterdir())) == 30, "an unmounted folder emptied the other machines"
    sync(a, allow_deletions=True)
    sync(b)
    assert not list((other / "skills").iterdir())


def test_a_vault_that_lost_its_configuration_deletes_nothing_here(machine: Make, remote: Path) -> None:
    a = machine("a")
    folder = home(a)
    (folder / "opencode.json").write_text('{"theme": "x"}')
    (folder / "AGENTS.md").write_text("rules\n")
    a.cli("init", str(remote))
    sync(a)
    git(remote, "update-ref", "-d", "refs/heads/config")
    sync(a)
    assert (folder / "AGENTS.md").read_text() == "rules\n", "a remote without the branch emptied this machine"
    assert (folder / "opencode.json").exists()
    assert git(remote, "rev-parse", "config"), "it was not put there again"
    (folder / "AGENTS.md").write_text("more rules\n")
    assert sync(a) == []


def test_after_a_rotation_the_old_key_opens_and_writes_nothing_more(machine: Make, remote: Path) -> None:
    a, b = machine("a"), machine("b")
    folder, other = home(a), home(b)
    key = a.cli("init", str(remote))["recoveryKey"]
    b.cli("link", str(remote), "--key", key)
    (folder / "opencode.json").write_text('{"theme": "one"}')
    sync(a)
    sync(b)
    old = git(remote, "rev-parse", "config")
    a.cli("rotate-key")
    sync(a)
    assert git(remote, "rev-parse", "config") != old, "what whoever has the old key can read is still the newest"
    (other / "opencode.json").write_text('{"theme": "two"}')
    assert b.sidecar.run(CycleParams(), Task()).config["out"] == 1, "the new key has to be brought to the other machine"
    sync(a)
    assert json.loads((folder / "opencode.json").read_text()) == {"theme": "two"}
    git(remote, "update-ref", "refs/heads/config", old)
    assert any("older state" in warning for warning in sync(a))
    assert json.loads((folder / "opencode.json").read_text()) == {"theme": "two"}


def test_so_many_deletions_in_the_vault_are_asked_about(machine: Make, remote: Path) -> None:
    a = machine("a")
    folder = home(a)
    (folder / "skills").mkdir()
    for number in range(30):
        (folder / f"skills/{number}.md").write_text("x")
    a.cli("init", str(remote), "--encryption", "none")
    sync(a)
    publish(remote, {"AGENTS.md": ("100644", b"new\n")})
    assert any("--allow-deletions" in warning for warning in sync(a))
    assert len(list((folder / "skills").iterdir())) == 30
    assert (folder / "AGENTS.md").read_text() == "new\n"
    sync(a, allow_deletions=True)
    assert not (folder / "skills").exists() or not list((folder / "skills").iterdir())


def test_settings_or_overrides_that_cannot_be_read_stop_nothing_else(machine: Make, remote: Path) -> None:
    a = machine("a")
    folder = home(a)
    a.cli("init", str(remote), "--encryption", "none")
    (folder / "AGENTS.md").write_text("x\n")
    (folder / "opencode-sidecar.overrides.jsonc").write_text("{")
    for name in ("opencode-sidecar.overrides.jsonc", "opencode-sidecar.jsonc"):
        (folder / name).write_text('{"a" 1}')
        result = a.sidecar.run(CycleParams(), Task())
        assert result.config == {"failed": 1}
        assert any(name in warning and "line 1" in warning for warning in result.warnings)
        assert any(name in entry["detail"] for entry in a.cli("status")["attention"])
        assert a.cli("preview")["config"] == {"failed": 1}


def test_an_older_state_of_a_sealed_vault_is_not_taken_for_the_newest(machine: Make, remote: Path) -> None:
    a = machine("a")
    folder = home(a)
    a.cli("init", str(remote))
    (folder / "opencode.json").write_text('{"theme": "old"}')
    sync(a)
    old = git(remote, "rev-parse", "config")
    (folder / "opencode.json").write_text('{"theme": "new"}')
    sync(a)
    git(remote, "update-ref", "refs/heads/config", old)
    warnings = sync(a)
    assert json.loads((folder / "opencode.json").read_text()) == {"theme": "new"}, "somebody with the remote could undo settings"
    assert any("older state" in warning for warning in warnings)
    b = machine("b")
    home(b)
    b.cli("link", str(remote), "--key", a.cli("show-key", "--yes")["recoveryKey"])
    sync(b)
    assert json.loads((b.root / "config/opencode/opencode.json").read_text()) == {"theme": "new"}
