"""The vault's bare repository: refs and objects, never a working tree."""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sidecar.adapters.files.private import private_folder
from sidecar.adapters.git import layout
from sidecar.adapters.git.catfile import CatFile
from sidecar.adapters.git.credentials import helper_for
from sidecar.adapters.git.env import DEFAULT_SSH, configure
from sidecar.adapters.git.errors import MINIMUM, damaged, git_too_old
from sidecar.adapters.git.fastimport import IDENTITY, Content, commit_stream
from sidecar.adapters.git.refs import is_branch_name, is_sha, read_ref, read_refs
from sidecar.adapters.git.run import Git
from sidecar.adapters.git.trees import TreeEntry, changed
from sidecar.adapters.git.urls import check_remote_url
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task

ASK_SECONDS = 90.0
"""How long a remote may take to list its branches. A login that waits for a human being must not hold a cycle for ever."""
QUIET_SECONDS = 600.0
"""How long a transfer may say nothing at all."""
MAX_PACKS = 40
MAX_LOOSE_FOLDERS = 200
_SPECS_PER_FETCH = 100
_MAX_NAMES = 1 << 30
"""Bytes of a list of all objects: each is there once, and has 41."""


def git_version(environ: Mapping[str, str]) -> tuple[int, ...]:
    """(major, minor, patch). Raises gitMissing. Asked once for each PATH."""
    return _version(tuple(sorted((k, v) for k, v in environ.items() if k in ("PATH", "GIT_EXEC_PATH"))))


@functools.lru_cache(maxsize=4)
def _version(environ: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
    text = Git(Path.cwd(), dict(environ)).run("version").decode("utf-8", "replace")
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    version = tuple(int(part or 0) for part in found.groups()) if found else (0,)
    if version < MINIMUM:
        raise git_too_old(".".join(map(str, version)))
    return version


class VaultRepo:
    """One bare repository with the remote `origin`. All calls block; one thread at a time."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self._environ = environ
        self._git = Git(path, environ, bare=True)
        self._objects = CatFile(self._git)
        self._ready_for_network = False

    @classmethod
    def create(cls, path: Path, environ: Mapping[str, str]) -> VaultRepo:
        """Make it if it is not there. Safe to repeat after a crash: a half-made repository is completed."""
        git_version(environ)
        repo = cls(path, environ)
        if not layout.is_whole(path):
            layout.prepare(path)
            repo._git.run("init", "--quiet", "--bare", "--shared=0600", "--template=", "--initial-branch=main", "--object-format=sha1", "--", str(path))
            layout.finish(path)
        return repo

    def close(self) -> None:
        self._objects.close()

    def clear_locks(self) -> list[str]:
        """Remove what a killed git left; its names. Call only while holding the data directory's lock: nobody else works here."""
        return layout.clear_leftovers(self.path)

    # --- refs -----------------------------------------------------------------------------------------------------
    def set_remote(self, url: str) -> None:
        layout.write_remote(self.path, check_remote_url(url).url)
        self._ready_for_network = False

    def remote_heads(self, task: Task) -> dict[str, str]:
        """Branch -> commit, as the remote has them now. One round trip."""
        return self._heads(task)

    def remote_head_branch(self, task: Task) -> str | None:
        """The remote's default branch; None when it is empty."""
        output = self._network("ls-remote", "--symref", "--quiet", "origin", "HEAD", task=task, quiet_seconds=ASK_SECONDS).decode("utf-8", "replace")
        found = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", output, re.MULTILINE)
        return found[1] if found and is_branch_name(found[1]) else None

    def local_ref(self, ref: str) -> str | None:
        """Commit of a full ref name, read from git's files."""
        return read_ref(self.path, ref)

    def refs(self, prefix: str) -> dict[str, str]:
        """Full ref name -> commit, of all that begin with `prefix`."""
        return read_refs(self.path, prefix)

    def forget_ref(self, ref: str) -> None:
        """Delete a local ref, if it is there."""
        if self.local_ref(ref) is not None:
            self._git.run("update-ref", "-d", ref)

    def forget_fetched(self) -> None:
        """Forget what was fetched of any branch of a remote: it may have been another vault's."""
        for ref in self.refs("refs/remotes/origin/"):
            self.forget_ref(ref)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """False, too, when one of them is not here."""
        if older == newer:
            return self.has(older)
        return self._git.run("merge-base", "--end-of-options", _sha(older), _sha(newer), ok=(0, 1, 128)).decode().strip() == older

    def has(self, sha: str) -> bool:
        return is_sha(sha) and self._git.run("cat-file", "-t", sha, ok=(0, 1, 128)).strip() != b""

    # --- network --------------------------------------------------------------------------------------------------
    def fetch(self, task: Task, branches: Sequence[str]) -> None:
        """Bring the remote's branches to `refs/remotes/origin/`. A rewritten one is taken as it is."""
        specs = [f"+refs/heads/{_branch(branch)}:refs/remotes/origin/{branch}" for branch in branches]
        flags = ("--progress", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-auto-gc", "--refmap=")
        for start in range(0, len(specs), _SPECS_PER_FETCH):
            part = specs[start : start + _SPECS_PER_FETCH]
            self._network("fetch", *flags, "--", "origin", *part, task=task, phase="fetch", quiet_seconds=QUIET_SECONDS)

    def push(self, task: Task, branch: str, *, force_from: str | None = None) -> str:
        """Push and read back: the commit that the remote now has. `force_from`: replace exactly this commit ("": none)."""
        ref = f"refs/heads/{_branch(branch)}"
        wanted = self.local_ref(ref)
        force = [f"--force-with-lease={ref}:{force_from}"] if force_from is not None else []
        failed: SidecarError | None = None
        try:
            flags = ("--progress", "--no-verify", "--no-follow-tags")
            self._push_patiently(ref, ("push", *flags, *force, "--", "origin", f"{ref}:{ref}"), task)
        except SidecarError as error:
            if error.kind != "remoteUnreachable":
                raise
            failed = error  # the line went dead: the remote may have taken it all the same
        try:
            confirmed = self._heads(task, ref).get(branch)
        except SidecarError as error:
            raise (error if failed is None or error.kind == "cancelled" else failed) from None
        if confirmed is not None and confirmed == wanted:
            return confirmed
        if failed is not None:
            raise failed
        raise SidecarError("remoteBusy", "The remote did not keep what was pushed.", detail=f"{branch}: {confirmed}", remedy="The next cycle pushes again.")

    def _push_patiently(self, ref: str, command: Sequence[str], task: Task) -> None:
        """Again when the remote's ref is locked: by our own push that a crash left running, or that it took down with it."""
        for pause in (0.2, 0.8, None):
            try:
                self._network(*command, task=task, phase="push", quiet_seconds=QUIET_SECONDS)
                return
            except SidecarError as error:
                if error.kind != "remoteBusy" or error.detail == "nonFastForward" or pause is None:
                    raise
            layout.clear_remote_lock(self.path, ref)
            task.wait(pause)

    def _heads(self, task: Task, *patterns: str) -> dict[str, str]:
        output = self._network("ls-remote", "--heads", "--quiet", "--", "origin", *patterns, task=task, quiet_seconds=ASK_SECONDS)
        heads = {}
        for line in output.decode("utf-8", "replace").splitlines():
            sha, _, ref = line.partition("\t")
            branch = ref.removeprefix("refs/heads/")
            if is_sha(sha) and sha.strip("0") and branch != ref and is_branch_name(branch):
                heads[branch] = sha
        return heads

    def _network(self, *arguments: str, task: Task, phase: str = "", quiet_seconds: float) -> bytes:
        if not self._ready_for_network:
            self._prepare_network()
        return self._git.run(*arguments, task=task, phase=phase, network=True, quiet_seconds=quiet_seconds)

    def _prepare_network(self) -> None:
        """What depends on the remote: plain http only to this machine, gh's login for GitHub, and an ssh that never asks unless the user chose one."""
        url = layout.remote_url(self.path) or ""
        env = self._git.env
        env["GIT_ALLOW_PROTOCOL"] = "https:ssh:file:http" if url.startswith("http://") else "https:ssh:file"
        configure(env, helper_for(url, self._environ))
        is_ssh = bool(url) and check_remote_url(url).kind == "ssh"
        chosen = "GIT_SSH_COMMAND" in env or "GIT_SSH" in env
        if is_ssh and not chosen and not self._git.run("config", "--get", "core.sshCommand", ok=(0, 1)).strip():
            env["GIT_SSH_COMMAND"] = DEFAULT_SSH
        self._ready_for_network = True

    # --- objects --------------------------------------------------------------------------------------------------
    def tree(self, commit: str, path: str = "", *, sizes: bool = False) -> list[TreeEntry]:
        output = self._git.run("ls-tree", "-r", "-z", "--full-tree", *(["-l"] if sizes else []), _sha(commit), *(["--", path] if path else []))
        entries = []
        for item in output.split(b"\0"):
            if item:
                head, _, name = item.partition(b"\t")
                mode, _, sha, *size = head.decode().split()
                entries.append(TreeEntry(name.decode("utf-8", "surrogateescape"), int(mode, 8), sha, int(size[0]) if size and size[0].isdigit() else 0))
        return entries

    def count_commits(self, commit: str) -> int:
        """How many commits this one's history has, itself included."""
        return int(self._git.run("rev-list", "--count", _sha(commit)))

    def history(self, commit: str) -> list[str]:
        return self._git.run("rev-list", _sha(commit)).decode().split()

    def new_files(self, old: str | None, new: str, prefix: str) -> list[TreeEntry]:
        """Files in a folder (`prefix`, with its slash) that `new` has and `old` has not, or has with other content. Raises segmentCorrupt."""
        if old is None or not self.has(old):
            return self.tree(new, prefix)
        return changed(self._objects, old, _sha(new), prefix)

    @staticmethod
    def blob_name(data: bytes) -> str:
        """The name that git gives a blob of these bytes."""
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()

    def read_blob(self, sha: str, *, limit: int) -> bytes:
        """A blob's bytes, through one persistent `git cat-file`. Raises segmentCorrupt."""
        data = self._objects.read(sha, limit=limit) if is_sha(sha) else None
        if data is None:
            raise damaged(sha, "it is not in the repository")
        return data

    def read_file(self, commit: str, path: str, *, limit: int) -> bytes | None:
        """A file of a commit; None when there is none. Raises segmentCorrupt."""
        return self._objects.read(f"{_sha(commit)}:{path}", limit=limit)

    def commit(
        self,
        ref: str,
        parent: str | None,
        files: Mapping[str, Content],
        message: str,
        at: int,
        executable: Container[str] = (),
        *,
        task: Task | None = None,
    ) -> str:
        """Add these files (None: remove) on top of `parent` (None: no history) and move `ref` there. One process; durable on return.

        Raises conflict when `ref` is somewhere else than at `parent`.
        """
        if not ref.startswith("refs/") or not is_branch_name(ref):
            raise ValueError(f"not a ref: {ref!r}")
        if self.local_ref(ref) not in (parent, None):
            raise _moved(ref)
        stream = commit_stream(ref, _sha(parent) if parent else None, files, message, at, executable)
        try:
            made = self._git.run("fast-import", "--quiet", "--done", "--depth=0", feed=stream, task=task).decode().strip()
        except BaseException as error:
            layout.clear_leftovers(self.path)  # its crash report repeats what it was fed
            if isinstance(error, SidecarError) and "Not updating" in error.detail:
                raise _moved(ref) from None
            raise
        if not is_sha(made) or self.local_ref(ref) != made:
            raise SidecarError("internal", "git did not make the commit.", detail=ref)
        layout.sync_to_disk(self.path / "objects" / "pack", self.path / ref, (self.path / ref).parent)
        return made

    # --- another history for a branch -------------------------------------------------------------------------------
    @contextmanager
    def spool(self) -> Iterator[Path]:
        """An empty private folder for files that a commit is to be made of; gone afterwards, also after a crash, with the next `clear_locks`."""
        path = self.path / "spool"
        shutil.rmtree(path, ignore_errors=True)
        private_folder(path)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def replace(self, ref: str, old: str, new: str, *, kept: str) -> None:
        """Point `ref` at a commit that need not follow `old`, which `kept` holds from before that moment on. Raises conflict when it moved."""
        self.adopt_ref(kept, old)
        try:
            self._git.run("update-ref", ref, _sha(new), _sha(old))
        except SidecarError:
            raise _moved(ref) from None
        layout.sync_to_disk(self.path / ref, (self.path / ref).parent)

    def put_behind(self, ref: str, parent: str) -> str:
        """Give what `ref` has the parent `parent` alone, so that a remote takes it which lets no branch be replaced. The new commit."""
        name, _, mail = IDENTITY.rstrip(">").partition(" <")
        said = ("-c", f"user.name={name}", "-c", f"user.email={mail}", "commit-tree", "-m", "compacted", "-p", _sha(parent))
        commit = self._git.run(*said, f"{_sha(self.local_ref(ref) or '')}^{{tree}}").decode().strip()
        self.adopt_ref(ref, commit)
        return commit

    def prune(self, task: Task, needed: Collection[str]) -> int | None:
        """Delete what no ref reaches. Bytes that came free; None when one of the objects that are `needed` would have gone: then nothing does."""
        reachable = set(self._git.run("rev-list", "--objects", "--no-object-names", "--all", task=task, limit=_MAX_NAMES).decode().split())
        if not reachable.issuperset(needed):
            return None
        before = self.size_bytes()
        self._objects.close()
        self._git.run("pack-refs", "--all")
        self._git.run("repack", "-q", "-a", "-d", task=task)
        self._git.run("prune", "--expire=now", task=task)
        return max(0, before - self.size_bytes())

    # --- upkeep ---------------------------------------------------------------------------------------------------
    def problem(self, task: Task) -> str | None:
        """What git's own check finds first, or None when all objects that the refs need are there and sound."""
        try:
            self._git.run("fsck", "--no-progress", "--no-dangling", "--no-reflogs", task=task)
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            return error.detail.splitlines()[0] if error.detail else error.message
        return None

    def adopt_ref(self, ref: str, commit: str) -> None:
        """Set a local ref to a commit that was fetched."""
        self._git.run("update-ref", ref, _sha(commit))

    def push_known(self, task: Task, first: str, there: Collection[str]) -> None:
        """Push every branch that was fetched and those that are ours, but for those that are `there`; `first` before the others."""
        origin = "refs/remotes/origin/"
        known = {ref.removeprefix(origin): commit for ref, commit in self.refs(origin).items()}
        for branch, commit in known.items():
            mine = self.local_ref(f"refs/heads/{branch}")
            if mine is None or not self.is_ancestor(commit, mine):
                self.adopt_ref(f"refs/heads/{branch}", commit)
        branches = {ref.removeprefix("refs/heads/") for ref in self.refs("refs/heads/")} - set(there)
        for branch in sorted(branches, key=lambda name: (name != first, name)):
            self.push(task, branch)

    def may_push(self, branch: str, task: Task) -> bool:
        """Ask the remote whether it would take our branch; raises what it says against that."""
        ref = f"refs/heads/{_branch(branch)}"
        if self.local_ref(ref) is None:
            return False
        self._network("push", "--dry-run", "--quiet", "--no-verify", "--no-follow-tags", "--", "origin", f"{ref}:{ref}", task=task, quiet_seconds=ASK_SECONDS)
        return True

    def size_bytes(self) -> int:
        return layout.size_of(self.path)

    def maintain(self) -> bool:
        """Pack together what many cycles left in many small packs; true when there was enough. Deletes no object."""
        objects = self.path / "objects"
        packs = sum(1 for _ in objects.glob("pack/*.pack"))
        if packs <= MAX_PACKS and sum(1 for _ in objects.glob("[0-9a-f][0-9a-f]")) <= MAX_LOOSE_FOLDERS:
            return False
        self._objects.close()
        geometric = git_version(self._environ) >= (2, 32)
        self._git.run("repack", "-q", "-d", *(["--geometric=2"] if geometric else ["-A"]))
        self._git.run("pack-refs", "--all")
        return True


def _sha(text: str) -> str:
    if not is_sha(text):
        raise damaged(text, "not the name of an object")
    return text


def _branch(name: str) -> str:
    if not is_branch_name(name):
        raise SidecarError("segmentCorrupt", "The remote has a branch whose name git does not allow.", detail=repr(name)[:200])
    return name


def _moved(ref: str) -> SidecarError:
    return SidecarError("conflict", "The branch moved while a commit was made for it.", detail=ref, remedy="Run the cycle again; nothing was overwritten.")
