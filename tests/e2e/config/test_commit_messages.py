"""What the history of a vault says: in a plain one what changed, in a sealed one nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, InitParams
from sidecar.domain.task import Task
from tests.support.machines import Machine


def log(remote: Path, form: str, *arguments: str) -> str:
    command = ["git", "-C", str(remote), "log", "--all", f"--format={form}", *arguments]
    return subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize("encryption", ["none", "aes-256-gcm"])
def test_a_commit_says_what_it_does(machine: Callable[..., Machine], remote: Path, encryption: str) -> None:
    a = machine("a")
    folder = a.root / "config/opencode"
    (folder / "agents").mkdir(parents=True)
    (folder / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    a.sidecar.init(InitParams(str(remote), encryption=encryption), Task())
    steps: list[tuple[dict[str, str | None], str]] = [
        ({"AGENTS.md": "one\n"}, "Add config/AGENTS.md"),
        ({"agents/private-name.md": "x\n", "agents/b.md": "x\n", "AGENTS.md": "two\n"}, "Add 2 files, Change config/AGENTS.md"),
        ({"AGENTS.md": None}, "Remove config/AGENTS.md"),
    ]
    for files, subject in steps:
        for name, text in files.items():
            (folder / name).unlink(missing_ok=True) if text is None else (folder / name).write_text(text)
        a.sidecar.run(CycleParams(), Task())
        if encryption != "none":
            continue
        newest = log(remote, "%s%n%b", "-1", "main").strip()
        assert newest.splitlines()[0] == subject
        shown = {line.split("\t")[1] for line in log(remote, "", "-1", "--name-status", "main").splitlines() if line}
        assert {line.partition(": ")[2] for line in newest.splitlines()[1:] if line} == shown, "the message names something else than the diff"
    if encryption != "none":
        everything = log(remote, "%an %ae %s %b", "--name-status")
        for word in ("AGENTS", "private-name", "agents", "opencode.json", "Remove"):
            assert word not in everything, f"the history of a sealed vault says {word}"
