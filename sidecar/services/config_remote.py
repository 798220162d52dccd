"""Configuration in the vault: plain files in opencode-synced's layout, or sealed when the vault is encrypted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.domain.config_names import clashes, problem_with_name
from sidecar.domain.config_plan import may_travel
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.setup import DEFAULT_BRANCH
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.adapters.git import TreeEntry

SEALED_BRANCH, INDEX = "config", "index"
MAX_FILES = 20_000
MAX_FILE = 8 << 20
MAX_INDEX = 16 << 20
_BLOB = re.compile(r"^[0-9a-f]{64}\Z")
_RAW = 1 << 26


@dataclass(slots=True)
class RemoteConfig:
    """One state of the configuration in the vault. `files`: path -> a name of its content. `problems`: (path, why it is not used)."""

    commit: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Of a sealed one: content -> what it is called in the vault."""
    executable: set[str] = field(default_factory=set)
    generation: int = 0
    absent: bool = False
    """The vault has none (yet, or any more): that is no deletion of what is here."""
    reseal: bool = False
    adopted: bool = False
    """Plain files that are to be sealed."""
    onto: str | None = None
    """What the branch is at, when what counts is an older commit."""


class ConfigVault:
    """Reads and writes it. All devices write this branch: whoever comes second merges again."""

    def __init__(self, ws: Workspace, heads: Mapping[str, str]) -> None:
        self.ws = ws
        self.sealed = ws.identity.encryption != "none"
        others = sorted(name for name in heads if not name.startswith(("sessions/", "forgotten/")) and name != SEALED_BRANCH)
        self._ordinary = next((name for name in (DEFAULT_BRANCH, "master", *others) if name in heads), DEFAULT_BRANCH)
        self.branch = SEALED_BRANCH if self.sealed else self._ordinary

    def fetch(self, task: Task, heads: Mapping[str, str]) -> RemoteConfig:
        """What the remote has. Raises segmentCorrupt, wrongKey, newerFormat."""
        commit = heads.get(self.branch)
        if commit is not None:
            commit = self._fetched(task, self.branch, commit)
            return self._counted(commit) if self.sealed else self._plain(commit)
        if self.sealed and self._ordinary in heads:  # nothing sealed yet: begin with what opencode-synced left there, if anything
            found = self._plain(self._fetched(task, self._ordinary, heads[self._ordinary]))
            return RemoteConfig(files=found.files, problems=found.problems, executable=found.executable, absent=True, reseal=bool(found.files), adopted=True)
        return RemoteConfig(absent=True)

    def _fetched(self, task: Task, branch: str, commit: str) -> str:
        if self.ws.repo.has(commit):
            return commit
        self.ws.repo.fetch(task, [branch])
        return self.ws.repo.local_ref(f"refs/remotes/origin/{branch}") or commit

    def read(self, remote: RemoteConfig, path: str) -> bytes:
        """Raises segmentCorrupt."""
        name = remote.files[path]
        if not self.sealed or remote.adopted:
            return self.ws.repo.read_blob(name, limit=MAX_FILE)
        assert self.ws.sealer is not None
        assert remote.commit is not None
        stored = self.ws.repo.read_file(remote.commit, f"blob/{remote.names[name]}", limit=MAX_FILE + (1 << 20))
        try:
            data = self.ws.tools.decompress(self.ws.sealer.open_whole(stored or b"", "config", name), _RAW)
        except ValueError:
            raise _damaged(path) from None
        if hashlib.sha256(data).hexdigest() != name or len(data) > MAX_FILE:
            raise _damaged(path)
        return data

    def push(self, task: Task, remote: RemoteConfig, changed: Mapping[str, bytes | None], message: str, executable: Set[str]) -> RemoteConfig:
        """Put these files (None: remove) on top of what was fetched. Raises remoteBusy when somebody was faster.

        `executable`: which of them are programs.
        """
        repo, ref = self.ws.repo, f"refs/heads/{self.branch}"
        new = self._next(remote, changed)
        new.executable = {path for path in remote.executable if path not in changed} | (executable & new.files.keys())
        files = self._stored(remote, new, changed)
        parent = remote.onto or remote.commit
        if parent is not None:
            repo.adopt_ref(ref, parent)
        else:
            repo.forget_ref(ref)
        text = "config" if self.sealed else message
        new.commit = repo.commit(ref, parent, files, text, self.ws.clock.wall() // 1000, () if self.sealed else new.executable)
        task.report("push")
        repo.push(task, self.branch)
        return new

    def _next(self, remote: RemoteConfig, changed: Mapping[str, bytes | None]) -> RemoteConfig:
        new = RemoteConfig(files=dict(remote.files), problems=remote.problems, names=dict(remote.names), generation=remote.generation + 1)
        for path, data in changed.items():
            if data is None:
                new.files.pop(path, None)
            else:
                new.files[path] = hashlib.sha256(data).hexdigest() if self.sealed else self.ws.repo.blob_name(data)
        return new

    # --- plain ----------------------------------------------------------------------------------------------------
    def _plain(self, commit: str) -> RemoteConfig:
        found = RemoteConfig(commit)
        entries: dict[str, TreeEntry] = {}
        for entry in self.ws.repo.tree(commit):
            if may_travel(entry.path):
                entries[entry.path] = entry
        if len(entries) > MAX_FILES:
            raise SidecarError(
                "segmentCorrupt", f"The configuration in the vault has more than {MAX_FILES} files.", remedy="Nothing of it was used. Remove what is too much."
            )
        twice = clashes(entries)
        for path, entry in entries.items():
            why = problem_with_name(path)
            if why is None and entry.mode not in (0o100644, 0o100755):
                why = "it is a link or a submodule in the vault"
            if why is None and path in twice:
                why = f"it is the same as {twice[path]} on some systems"
            if why is None:
                found.files[path] = entry.sha
                if entry.mode == 0o100755:
                    found.executable.add(path)
            else:
                found.problems.append((path, why))
        return found

    def _counted(self, commit: str) -> RemoteConfig:
        """What is sealed with a key that was replaced counts as it stood then: whoever kept that key can still write with it."""
        sealer, stored = self.ws.sealer, self.ws.repo.read_file(commit, INDEX, limit=MAX_INDEX)
        assert sealer is not None
        ring = sealer.ring
        replaced = stored is not None and any(stored.startswith(key.id) for key in ring.retired)
        if not replaced or ring.bounds is None or ring.config == commit:
            return self._sealed(commit)
        if ring.config is None or not self.ws.repo.has(ring.config):
            return RemoteConfig(commit, absent=True)
        found = self._sealed(ring.config)
        found.onto = commit
        return found

    # --- sealed ---------------------------------------------------------------------------------------------------
    def _sealed(self, commit: str) -> RemoteConfig:
        """One sealed index that names everything; contents beside it under names that say nothing."""
        sealer = self.ws.sealer
        assert sealer is not None
        stored = self.ws.repo.read_file(commit, INDEX, limit=MAX_INDEX)
        if stored is None:
            raise _damaged("index")
        try:
            index: Any = self.ws.tools.unpack(self.ws.tools.decompress(sealer.open_whole(stored, "config-index"), _RAW))
            found = RemoteConfig(commit, generation=int(index["generation"]), reseal=not stored.startswith(sealer.ring.current.id))
            for path, (digest, name, *more) in index["files"].items():
                if not isinstance(path, str) or _BLOB.match(digest) is None or _BLOB.match(name) is None:
                    raise TypeError
                why = problem_with_name(path)
                if why is not None:
                    found.problems.append((path, why))
                    continue
                found.files[path], found.names[digest] = digest, name
                if more and more[0]:
                    found.executable.add(path)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise _damaged("index") from None
        for path, other in clashes(found.files).items():
            del found.files[path]
            found.problems.append((path, f"it is the same as {other} on some systems"))
        return found

    def _stored(self, remote: RemoteConfig, new: RemoteConfig, changed: Mapping[str, bytes | None]) -> dict[str, bytes | Path | None]:
        if not self.sealed:
            return dict(changed)
        sealer, tools = self.ws.sealer, self.ws.tools
        assert sealer is not None
        contents = {hashlib.sha256(data).hexdigest(): data for data in changed.values() if data is not None}
        for path in remote.files if remote.reseal else ():  # the key was changed: whoever has the old one alone reads nothing from now on
            if path not in changed:
                data = self.read(remote, path)
                new.files[path] = hashlib.sha256(data).hexdigest()
                contents[new.files[path]] = data
        used = set(new.files.values())
        files: dict[str, bytes | Path | None] = {}
        for digest, data in contents.items():
            name = sealer.names_of(bytes.fromhex(digest))[0]
            if remote.names.get(digest) != name:
                files[f"blob/{name}"] = sealer.seal_whole(tools.compress(data), "config", digest)
            new.names[digest] = name
        kept = {new.names[digest] for digest in used}
        files |= {f"blob/{name}": None for name in set(remote.names.values()) - kept}
        new.names = {digest: name for digest, name in new.names.items() if digest in used}
        listed = {path: [digest, new.names[digest], *([1] if path in new.executable else [])] for path, digest in sorted(new.files.items())}
        index = {"generation": new.generation, "files": listed}
        files[INDEX] = sealer.seal_whole(tools.compress(tools.pack(index)), "config-index")
        return files


def _damaged(path: str) -> SidecarError:
    return SidecarError("segmentCorrupt", "The configuration in the vault is damaged.", detail=path, remedy="Nothing of it was used; nothing here was changed.")
