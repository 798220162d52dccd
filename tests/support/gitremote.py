"""Real git and real remotes for tests: bare repositories on this disk, some of them in a bad mood."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

_PLAIN = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
AUTHOR = {f"GIT_{who}_{what}": f"{who.lower()}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(repo: Path, *arguments: str, stdin: bytes | None = None, check: bool = True) -> str:
    """Output of the user's own git, untouched by anything of ours."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(repo.parent), **_PLAIN, **AUTHOR}
    done = subprocess.run(["git", f"--git-dir={repo}", *arguments], input=stdin, capture_output=True, env=environ, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {arguments[0]}: {done.stderr.decode()}")
    return done.stdout.decode("utf-8", "replace").strip()


def bare(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(path.parent), **_PLAIN}
    subprocess.run(["git", "init", "--quiet", "--bare", "--template=", "-b", "main", str(path)], check=True, env=environ)
    return path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def read_only(remote: Path) -> Path:
    """A remote that may be read and not written, for root, too."""
    script(remote / "hooks" / "pre-receive", "echo 'you may only read here' >&2; exit 1")
    return remote


def no_rewriting(remote: Path) -> Path:
    git(remote, "config", "receive.denyNonFastForwards", "true")
    return remote


def commit_in(repo: Path, branch: str, files: dict[str, str], parent: str | None = None) -> str:
    """A commit with exactly these files, made by somebody else's git directly in a bare repository."""
    ref = f"refs/heads/{branch}"
    stream = f"commit {ref}\ncommitter somebody <somebody@example.org> {int(time.time())} +0000\ndata 7\nby hand\n".encode()
    stream += f"from {parent}\n".encode() if parent else b""
    stream += b"deleteall\n"
    for name, text in files.items():
        stream += f"M 100644 inline {name}\ndata {len(text.encode())}\n{text}\n".encode()
    git(repo, "fast-import", "--quiet", "--force", stdin=stream)
    return git(repo, "rev-parse", ref)


def processes_with(mark: str) -> list[int]:
    """Ids of running processes whose environment or command line mentions `mark`, this one excepted. Linux only."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if mark.encode() in text and state != "Z":
                found.append(int(entry.name))
    return found
