"""What somebody who can write to the remote does to it, with plain git."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

_ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    **{f"GIT_{who}_{what}": "x@invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, env=_ENVIRON, check=True, capture_output=True, text=True).stdout.strip()


def rewrite(remote: Path, branch: str, change: Callable[[Path], object]) -> None:
    """Put another commit with a changed tree in the branch's place."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git(Path(folder), "clone", "-q", "--branch", branch, str(remote), str(tree))
        change(tree)
        git(tree, "add", "-A")
        git(tree, "commit", "-q", "--allow-empty", "-m", "x")
        git(tree, "push", "-q", "--force", "origin", f"HEAD:{branch}")


def logs(remote: Path) -> dict[str, str]:
    """Branches of devices and where they are."""
    lines = git(remote, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads/sessions/").splitlines()
    return dict(line.split(" ") for line in lines)


def point(remote: Path, branch: str, commit: str) -> None:
    """Roll a branch back, or forward."""
    git(remote, "update-ref", f"refs/heads/{branch}", commit)


def segments(tree: Path) -> list[Path]:
    return sorted((tree / "seg").rglob("*-*"))


def blob(remote: Path, name: str) -> bytes:
    return subprocess.run(["git", "cat-file", "blob", name], cwd=remote, env=_ENVIRON, check=True, capture_output=True).stdout


def every_byte(remote: Path) -> bytes:
    """All objects of a repository, unpacked, reachable or not, and its refs."""
    names = git(remote, "cat-file", "--batch-check=%(objectname)", "--batch-all-objects").split()
    objects = subprocess.run(["git", "cat-file", "--batch"], cwd=remote, env=_ENVIRON, check=True, capture_output=True, input="\n".join(names).encode()).stdout
    return objects + git(remote, "for-each-ref").encode()


def replace_with(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)
