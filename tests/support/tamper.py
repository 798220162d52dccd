"""What somebody who can write to the remote does to it, with plain git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sidecar.adapters.crypto import Sealer
from sidecar.adapters.segments import SegmentWriter
from sidecar.domain.records import SESSION, Record, Version

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


def forge_turn(remote: Path, sealer: Sealer, device: str, session: str) -> None:
    """Append a segment and a head to a log, or begin one, as somebody does who has a key and the right to push."""
    branch = f"sessions/{device}"
    there = logs(remote).get(branch)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        if there is not None:
            git(Path(folder), "clone", "-q", "--branch", branch, str(remote), str(tree))
        else:
            git(Path(folder), "init", "-q", str(tree))
            git(tree, "remote", "add", "origin", str(remote))
        last = segments(tree)[-1].name if (tree / "seg").exists() else ""
        sequence, at = int(last[:9] or 0) + 1, int(time.time() * 1000) - 60_000
        writer = SegmentWriter(device, sequence, sealer=sealer, previous=last[-16:] or None)
        columns = {
            "title": "forged",
            "version": "1.18.33",
            "slug": "x",
            "project_id": {"ids": ["p" * 40]},
            "directory": {"base": "project", "rest": "", "os": "posix"},
        }
        writer.add(Record(SESSION, session, session, Version(at, 0, device), columns | {"time_created": at, "time_updated": at}))
        made = writer.finish()
        (tree / made.path).parent.mkdir(parents=True, exist_ok=True)
        (tree / made.path).write_bytes(made.data)
        said = {"format": 1, "vault": sealer._vault, "device": {"id": device, "name": "forged"}, "sequence": sequence, "previous": there}
        head = json.dumps(said | {"segment": {"path": made.path, "sha256": made.sha256}})
        (tree / "head").write_bytes(sealer.seal_whole(head.encode(), "head", device))
        git(tree, "add", "-A")
        git(tree, "commit", "-q", "-m", "x")
        git(tree, "push", "-q", "origin", f"HEAD:refs/heads/{branch}")


def unpacked(repository: Path) -> Path:
    """Store every object in a file of its own, so that one can be damaged; the folder they are in."""
    for pack in list((repository / "objects/pack").glob("*.pack")):
        data = pack.read_bytes()
        for left in (repository / "objects/pack").glob(pack.stem + ".*"):
            left.chmod(0o600)
            left.unlink()
        subprocess.run(["git", "unpack-objects", "-q"], cwd=repository, env=_ENVIRON, check=True, input=data)
    return repository / "objects"
