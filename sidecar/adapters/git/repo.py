"""The vault's bare repository: refs and objects, never a working tree."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.adapters.git.run import Git
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

IDENTITY = b"opencode-sidecar <sidecar@localhost>"
_SHA = re.compile(r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$")
MINIMUM = (2, 30)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    path: str
    mode: int
    sha: str


def git_version(environ: Mapping[str, str]) -> tuple[int, ...]:
    """(major, minor, patch). Raises gitMissing."""
    text = Git(Path.cwd(), environ).run("version").decode()
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    version = tuple(int(part or 0) for part in found.groups()) if found else (0,)
    if version < MINIMUM:
        raise SidecarError("gitMissing", f"git {'.'.join(map(str, version))} is too old.", remedy="Install git 2.30 or newer.")
    return version


class VaultRepo:
    """One bare repository with the remote `origin`. All calls block; one thread at a time."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self._git = Git(path, environ)
        self._repo: Any = None

    @classmethod
    def create(cls, path: Path, environ: Mapping[str, str]) -> VaultRepo:
        """Make it if it is not there. Safe to repeat after a crash: git completes a half-made repository."""
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        repo = cls(path, environ)
        if not (path / "HEAD").is_file() or not (path / "objects").is_dir():
            repo._git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path))
        return repo

    def close(self) -> None:
        if self._repo is not None:
            self._repo.close()
            self._repo = None

    def clear_locks(self) -> None:
        """Remove what a killed git left. Call only while holding the data directory's lock: nobody else works here."""
        for name in ("refs/**/*.lock", "*.lock", "objects/**/*.lock", "objects/pack/tmp_*", "objects/pack/.tmp-*", "fast_import_crash_*"):
            for left in self.path.glob(name):
                with contextlib.suppress(OSError):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    # --- refs -----------------------------------------------------------------------------------------------------
    def set_remote(self, url: str) -> None:
        with contextlib.suppress(OSError):
            if f"\turl = {url}\n" in (self.path / "config").read_text(encoding="utf-8"):
                return
        self._git.run("config", "--replace-all", "remote.origin.url", url)

    def remote_heads(self, task: Task) -> dict[str, str]:
        """Branch -> commit, as the remote has them now. One round trip."""
        output = self._git.run("ls-remote", "--heads", "--quiet", "origin", task=task).decode("utf-8", "replace")
        heads = {}
        for line in output.splitlines():
            sha, _, ref = line.partition("\t")
            if _SHA.match(sha) and ref.startswith("refs/heads/"):
                heads[ref.removeprefix("refs/heads/")] = sha
        return heads

    def local_ref(self, ref: str) -> str | None:
        """Commit of a full ref name, read from the file where it is loose."""
        try:
            text = (self.path / ref).read_text().strip()
            if _SHA.match(text):
                return text
        except OSError:
            pass
        if not (self.path / "packed-refs").is_file():
            return None
        output = self._git.run("rev-parse", "--verify", "--quiet", "--end-of-options", ref, ok=(0, 1, 128)).decode().strip()
        return output if _SHA.match(output) else None

    def forget_ref(self, ref: str) -> None:
        """Delete a local ref, if it is there."""
        if self.local_ref(ref) is not None:
            self._git.run("update-ref", "-d", ref)

    def is_ancestor(self, older: str, newer: str) -> bool:
        return self._git.run("rev-list", "--max-count=1", older, f"^{newer}", "--", ok=(0, 128)).strip() == b"" and self.has(older)

    def has(self, sha: str) -> bool:
        return self._git.run("cat-file", "-t", sha, ok=(0, 1, 128)).strip() != b""

    # --- network --------------------------------------------------------------------------------------------------
    def fetch(self, task: Task, branches: Sequence[str]) -> None:
        specs = [f"+refs/heads/{branch}:refs/remotes/origin/{branch}" for branch in branches]
        self._git.run("fetch", "--progress", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "origin", *specs, task=task, phase="fetch")

    def push(self, task: Task, branch: str, *, force_from: str | None = None) -> str:
        """Push and read back: the commit that the remote now has. `force_from`: replace exactly this commit."""
        force = [f"--force-with-lease=refs/heads/{branch}:{force_from}"] if force_from is not None else []
        wanted = self.local_ref(f"refs/heads/{branch}")
        self._git.run("push", "--progress", *force, "origin", f"refs/heads/{branch}:refs/heads/{branch}", task=task, phase="push")
        confirmed = self.remote_heads(task).get(branch)
        if confirmed is None or confirmed != wanted:
            raise SidecarError("remoteBusy", "The remote did not keep what was pushed.", detail=f"{branch}: {confirmed}", remedy="The next cycle pushes again.")
        return confirmed

    # --- objects --------------------------------------------------------------------------------------------------
    def tree(self, commit: str, path: str = "") -> list[TreeEntry]:
        output = self._git.run("ls-tree", "-r", "-z", "--full-tree", commit, *(["--", path] if path else []))
        entries = []
        for item in output.split(b"\0"):
            if item:
                head, _, name = item.partition(b"\t")
                mode, _, sha = head.decode().split(" ")
                entries.append(TreeEntry(name.decode("utf-8", "surrogateescape"), int(mode, 8), sha))
        return entries

    def new_files(self, old: str | None, new: str, prefix: str) -> list[TreeEntry]:
        """Files under `prefix` that `new` has and `old` has not, or has with other content."""
        if old is None or not self.has(old):
            return self.tree(new, prefix)
        output = self._git.run("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=AMT", old, new, "--", prefix).split(b"\0")
        entries = []
        for head, name in zip(output[0::2], output[1::2], strict=False):
            _, mode, _, sha, _ = head.decode().lstrip(":").split(" ")
            entries.append(TreeEntry(name.decode("utf-8", "surrogateescape"), int(mode, 8), sha))
        return entries

    def read_blob(self, sha: str, *, limit: int) -> bytes:
        """A blob's bytes, through one persistent `git cat-file`. Raises segmentCorrupt."""
        if self._repo is None:
            from git import Repo
            from git.db import GitCmdObjectDB

            self._repo = Repo(self.path, odbt=GitCmdObjectDB)
            self._repo.git.update_environment(**self._git.env)
        try:
            _, kind, size, stream = self._repo.git.stream_object_data(sha)
            data: bytes = stream.read() if size <= limit and kind in (b"blob", "blob") else b""
            if size > limit or len(data) != size:
                self.close()
        except Exception as error:  # noqa: BLE001 - GitPython raises ValueError and others for a missing object
            self.close()
            raise _damaged(sha, str(error)) from None
        if size > limit or kind not in (b"blob", "blob"):
            raise _damaged(sha, f"{kind!r} of {size} bytes")
        return data

    def read_file(self, commit: str, path: str, *, limit: int) -> bytes | None:
        entry = next((e for e in self.tree(commit, path) if e.path == path), None)
        if entry is None:
            return None
        if entry.mode not in (0o100644, 0o100755):
            raise _damaged(path, f"mode {entry.mode:o}")
        return self.read_blob(entry.sha, limit=limit)

    def commit(self, ref: str, parent: str | None, files: Mapping[str, bytes], message: str, at: int) -> str:
        """Add these files on top of `parent` (None: no history) and move `ref` there. One process; durable on return."""

        def stream() -> Iterator[bytes]:
            yield f"feature done\ncommit {ref}\n".encode()
            yield b"committer " + IDENTITY + f" {at} +0000\n".encode()
            text = message.encode()
            yield f"data {len(text)}\n".encode() + text + b"\n"
            if parent:
                yield f"from {parent}\n".encode()
            for path, data in files.items():
                yield f"M 100644 inline {path}\ndata {len(data)}\n".encode()
                yield data
                yield b"\n"
            yield b"done\n"

        if parent is None and self.local_ref(ref) is not None:
            raise SidecarError("internal", "A branch exists already that was to be new.", detail=ref)
        self._git.run("-c", "core.fsync=committed", "-c", "fastimport.unpackLimit=10", "fast-import", "--quiet", "--done", feed=stream())
        sha = self.local_ref(ref)
        if sha is None:
            raise SidecarError("internal", "git did not make the commit.", detail=ref)
        return sha

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


def _damaged(what: str, why: str) -> SidecarError:
    return SidecarError(
        "segmentCorrupt",
        "The vault's repository lacks an object or holds a damaged one.",
        detail=f"{what}: {why}",
        remedy="Nothing of it was used; the other devices keep syncing.",
    )
