"""A remote and a user's git configuration that want programs run: none but our own Python and git's own programs start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import edits, tamper
from tests.support.machines import Machine

Make = Callable[..., Machine]
PROGRAMS = re.compile(r"(python[\d.]*|git|git-[a-z-]+|uname|ldconfig(\.real)?|ld|gcc|objdump)")
"""Python's own look for libraries included."""
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux") or shutil.which("strace") is None, reason="needs strace")


def traced(machine: Machine, log: Path, *arguments: str) -> list[list[str]]:
    """argv of everything that was started."""
    command = ["strace", "-f", "-qq", "-s", "4096", "-o", str(log), "-e", "trace=execve", sys.executable, "-m", "sidecar", *arguments]
    subprocess.run(command, env=machine.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    found = re.findall(r'execve\("([^"]*)", \[(.*?)\], .*\) = 0$', log.read_text(errors="replace"), re.MULTILINE)
    return [[path, *re.findall(r'"((?:[^"\\]|\\.)*)"', argv)] for path, argv in found]


def only_ours(started: list[list[str]], remote: Path) -> None:
    assert len(started) > 3, "nothing was seen"
    for path, *argv in started:
        name = Path(path).name
        if name in ("sh", "dash", "bash"):  # how git starts the other half of itself for a remote that is a folder
            assert re.fullmatch(rf"git-(upload|receive)-pack '{re.escape(str(remote))}'( \S*)?", argv[2]) or argv[3:] or "git-" in argv[2], argv
            assert "touch" not in " ".join(argv), f"a shell ran {argv}"
        else:
            assert PROGRAMS.fullmatch(name), f"{path} was started: {argv}"


def test_nothing_of_a_vault_or_of_the_user_s_git_habits_is_run(machine: Make, remote: Path, tmp_path: Path) -> None:
    a, b = machine("a"), machine("b")
    ran = tmp_path / "ran"
    evil = f"touch {ran}"
    folder = a.root / "config/opencode"
    folder.mkdir(parents=True)
    (folder / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    (folder / "AGENTS.md").write_text("mine\n")
    db, at = a.connect(), int(time.time() * 1000) - 3_600_000
    edits.new_session(db, "ses_1", at)
    edits.add_turn(db, "ses_1", "1", at)
    db.close()
    a.cli("init", str(remote), "--encryption", "none")
    a.cli("sync")
    _hostile_tree(remote, evil)
    (b.root / "config/opencode").mkdir(parents=True)
    (b.root / "config/opencode/opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    (b.root / "home/.gitconfig").write_text(_habits(evil, remote))
    (b.root / "home/attributes").write_text("* filter=x diff=x merge=x textconv=x\n")
    (b.root / "home/hooks").mkdir()
    for name in ("pre-push", "reference-transaction", "post-checkout", "post-merge", "pre-auto-gc", "fsmonitor-watchman", "post-index-change"):
        hook = b.root / "home/hooks" / name
        hook.write_text(f"#!/bin/sh\n{evil}\n")
        hook.chmod(0o755)
    _checkout(b, evil)
    started = traced(b, tmp_path / "log1", "link", str(remote))
    _poisoned(b.own_state / "vault.git", b.root / "home/hooks", evil)
    for number, command in enumerate(("sync", "preview", "doctor", "verify", "status", "repair", "sync"), 2):
        started += traced(b, tmp_path / f"log{number}", command)
    only_ours(started, remote)
    assert not ran.exists(), "something that another program wrote was run"
    assert b.sql("SELECT id FROM session") == [("ses_1",)], "the hostile things kept the honest session away"


@pytest.mark.parametrize("rewrite", ["ext::sh -c touch% {ran}", "{ran}::x", "ssh://-oProxyCommand=touch$IFS{ran}/x"])
def test_an_address_that_the_user_s_git_rewrites_is_still_no_program(machine: Make, remote: Path, tmp_path: Path, rewrite: str) -> None:
    a = machine("a")
    ran = tmp_path / "ran"
    (a.root / "home/.gitconfig").write_text(
        f'[url "{rewrite.format(ran=ran)}"]\n\tinsteadOf = {remote}\n[protocol]\n\tallow = always\n[protocol "ext"]\n\tallow = always\n'
    )
    started = traced(a, tmp_path / "log", "init", str(remote))
    assert not ran.exists()
    assert not any("touch" in " ".join(argv[2:]) and Path(argv[0]).name in ("sh", "touch") for argv in started)
    error = a.cli("init", str(remote), expect=(1,))["error"]
    assert error["remedy"]


def _hostile_tree(remote: Path, evil: str) -> None:
    def change(tree: Path) -> None:
        (tree / ".gitattributes").write_text("* filter=x diff=x merge=x\n*.md filter=lfs\n")
        (tree / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c {evil}\n\tupdate = !{evil}\n')
        (tree / ".lfsconfig").write_text(f"[lfs]\n\turl = ext::{evil}\n")
        (tree / "config/agents").mkdir(parents=True)
        (tree / "config/agents/lfs.md").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n")
        (tree / "config/agents/link.md").symlink_to("/etc/passwd")
        (tree / "hooks").mkdir()
        (tree / "hooks/post-checkout").write_text(f"#!/bin/sh\n{evil}\n")
        (tree / "hooks/post-checkout").chmod(0o755)

    tamper.rewrite(remote, "main", change)
    commit = tamper.git(remote, "rev-parse", "main")
    for name in ("--upload-pack=touch", "-x", "sessions/--exec=touch", "sessions/..%2fx", "sessions/$(touch x)", "refs/heads/main", "HEAD"):
        ref = remote / "refs/heads" / name
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit + "\n")
    (remote / "HEAD").write_text("ref: refs/heads/--upload-pack=touch\n")
    (remote / "objects/info/alternates").write_text("/nonexistent/objects\n../../../../etc\n")


def _habits(evil: str, remote: Path) -> str:
    return (
        f"[core]\n\tfsmonitor = {evil}\n\thooksPath = ~/hooks\n\tpager = {evil}\n\teditor = {evil}\n\taskPass = {evil}\n\tattributesFile = ~/attributes\n"
        f"\tgitProxy = {evil}\n\talternateRefsCommand = {evil}\n[filter \"x\"]\n\tsmudge = {evil}\n\tclean = {evil}\n\tprocess = {evil}\n\trequired = true\n"
        f"[filter \"lfs\"]\n\tsmudge = {evil}\n\tprocess = {evil}\n[diff]\n\texternal = {evil}\n[diff \"x\"]\n\ttextconv = {evil}\n\tcommand = {evil}\n"
        f"[merge \"x\"]\n\tdriver = {evil}\n[gpg]\n\tprogram = {evil}\n[commit]\n\tgpgSign = true\n[push]\n\tgpgSign = true\n\trecurseSubmodules = on-demand\n"
        f"[fetch]\n\trecurseSubmodules = true\n[submodule]\n\trecurse = true\n[alias]\n\tfetch = !{evil}\n\tversion = !{evil}\n[gc]\n\trecentObjectsHook = {evil}\n"
        f"[sequence]\n\teditor = {evil}\n[pager]\n\tls-tree = {evil}\n\tconfig = {evil}\n[safe]\n\tdirectory = {remote}\n"
    )  # fmt: skip


def _checkout(machine: Machine, evil: str) -> None:
    """A project's folder whose own git configuration wants to be run: it is looked at to know the project."""
    folder = machine.root / "home/app"
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    for command in (("init", "-q"), ("-c", "user.name=x", "-c", "user.email=x@invalid", "commit", "-q", "--allow-empty", "-m", "x")):
        subprocess.run(["git", *command], cwd=folder, env=env, check=True)
    with (folder / ".git/config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = {evil}\n\tpager = {evil}\n\thooksPath = {machine.root}/home/hooks\n[alias]\n\trev-list = !{evil}\n")


def _poisoned(vault: Path, hooks: Path, evil: str) -> None:
    """What somebody, or a copied folder, left in our own repository."""
    shutil.rmtree(vault / "hooks", ignore_errors=True)
    shutil.copytree(hooks, vault / "hooks")
    with (vault / "config").open("a") as file:
        file.write(
            f'[core]\n\tfsmonitor = {evil}\n\thooksPath = {vault}/hooks\n[remote "origin"]\n\tuploadpack = {evil};git-upload-pack\n\treceivepack = {evil};git-receive-pack\n\tvcs = x\n'
        )
