"""What a cycle works with. Built by `sidecar.app`; the services import adapters for their types only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sidecar.domain.clock import HybridClock
from sidecar.domain.identity import GLOBAL, LocalProject, ProjectIdentity, resolve
from sidecar.domain.paths import session_path, to_local, to_portable
from sidecar.domain.records import LOCAL_SESSION_COLUMNS
from sidecar.domain.secrets import Decisions, Span
from sidecar.domain.state import ProjectRow, Row
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.adapters.crypto import KeyRing
    from sidecar.adapters.crypto.sealing import Sealer
    from sidecar.adapters.git import VaultRepo
    from sidecar.adapters.git.fastimport import Stored
    from sidecar.adapters.git.project import Checkout
    from sidecar.adapters.segments import SegmentReader, SegmentWriter
    from sidecar.adapters.sqlite.journal import Journal
    from sidecar.adapters.sqlite.opencode_db import OpencodeDb
    from sidecar.adapters.sqlite.schema import Schema
    from sidecar.adapters.sqlite.shadow import Shadow
    from sidecar.adapters.sqlite.writer import RowWriter

FORMAT = 1
"""Version of the vault's layout; a reader refuses a newer one."""
MANIFEST = "manifest"
"""In the shadow: the manifest's `branch` and `commit` that were looked at, with which `key`, and what was wrong (`problem`)."""
CLONED = "cloned"
"""In the shadow: whether another machine published under this identity, until a cycle publishes again. Other errors come and go meanwhile."""
PRESENTED = "presented"
"""In the shadow: the key under which the own log was last brought."""
VAULT_FILE = ".opencode-sidecar/vault.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this device is. `device_id` is random and kept outside anything that is synced."""

    vault_id: str
    device_id: str
    device_name: str
    platform: str
    remote: str
    embedded: bool = False
    encryption: str = "none"
    key_store: str = "file"

    @property
    def branch(self) -> str:
        return f"sessions/{self.device_id}"

    @property
    def ref(self) -> str:
        return f"refs/heads/{self.branch}"


@dataclass(frozen=True, slots=True)
class SecretTools:
    """`look`: whether `find` may find anything, cheaply. `load`: the decisions, made and kept if wanted; `save` them."""

    look: Callable[[str, Callable[[], None]], bool]
    find: Callable[[str], list[Span]]
    load: Callable[[bool], Decisions]
    save: Callable[[Decisions], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """Functions of the adapters that the services use."""

    hash_row: Callable[[Row], bytes]
    segment_writer: Callable[..., SegmentWriter]
    segment_reader: Callable[..., SegmentReader]
    key_of_segment: Callable[[bytes], bytes]
    reseal_segment: Callable[[bytes, str, Sealer, str, int, str | None], tuple[bytes, str, str]]
    reseal_value: Callable[[Sequence[bytes], str, Sealer, str], dict[str, bytes]]
    row_writer: Callable[[Schema], RowWriter]
    snapshot: Callable[[Task], bool]
    problem_with: Callable[[str, Row], str | None]
    role_of: Callable[[str], str]
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]
    sha256: Callable[[bytes], bytes]
    stored_blob: Callable[[str], Stored]
    checkout: Callable[[str], Checkout | None]
    checkout_stamp: Callable[[str], str]
    exists: Callable[[str], bool]
    secrets: SecretTools


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the vault's keys come from and are kept. `settle`: the keys as a manifest says, see adapters/crypto/succession.py."""

    load: Callable[[], Sealer | None]
    store: Callable[[KeyRing], Sealer]
    settle: Callable[[KeyRing, Mapping[str, Any]], KeyRing]


@dataclass
class Workspace:
    """One device's parts, open for one operation. `home` is in this machine's own path flavour."""

    identity: Identity
    home: str
    db: OpencodeDb
    shadow: Shadow
    journal: Journal
    repo: VaultRepo
    clock: HybridClock
    tools: Tools
    keys: Keys
    notices: list[str] = field(default_factory=list)
    """One-line texts for people about what needs nobody."""
    heads: dict[str, str] | None = None
    """Branches of the remote as this operation saw them last."""
    _projects: dict[str, LocalProject] | None = field(default=None, repr=False)

    @cached_property
    def sealer(self) -> Sealer | None:
        """Seals and opens what is in the vault; None when it is not encrypted. Raises wrongKey. Loaded when first needed."""
        return self.keys.load()

    @property
    def ring(self) -> KeyRing | None:
        """The vault's keys; None when it is not encrypted. Raises wrongKey."""
        return self.sealer.ring if self.sealer is not None else None

    @property
    def key_id(self) -> str | None:
        """Of the current key, in hex; without loading it where a cycle has looked at the manifest before."""
        if "sealer" not in self.__dict__:
            known: Mapping[str, Any] | None = self.shadow.get(MANIFEST)
            if known is not None:
                return str(known["key"]) if known["key"] is not None else None
        return self.ring.current.id.hex() if self.ring is not None else None

    def look_again(self) -> None:
        """The keys were given anew: nothing that was noted about them holds."""
        with self.shadow.writing():
            self.shadow.put(MANIFEST, None)
            self.shadow.put(PRESENTED, None)

    def use_keys(self, ring: KeyRing) -> None:
        """Keep these keys, then seal and open with them."""
        self.__dict__["sealer"] = self.keys.store(ring)

    # --- projects -------------------------------------------------------------------------------------------------
    def projects(self) -> dict[str, LocalProject]:
        """Local projects by id, the one that a checkout says it is now before those it was once."""
        if self._projects is None:
            found = sorted((self._describe(row) for row in self.db.projects()), key=lambda pair: not pair[1])
            self._projects = {project.id: project for project, _ in found}
        return self._projects

    def _describe(self, row: ProjectRow) -> tuple[LocalProject, bool]:
        """A project and whether its id is the one that its checkout has now."""
        if row.id == GLOBAL:
            return LocalProject(row.id, "/", ProjectIdentity((GLOBAL,))), True
        key, stamp = f"project:{row.worktree}", self.tools.checkout_stamp(row.worktree)
        cached: Mapping[str, Any] = self.shadow.get(key, {})
        if not stamp:
            known = [row.id, *(i for i in cached.get("ids", ()) if i != row.id)]
            return LocalProject(row.id, row.worktree, ProjectIdentity(tuple(known), cached.get("origin"), tuple(cached.get("roots", ())), row.name)), False
        if cached.get("stamp") != stamp:
            checkout = self.tools.checkout(row.worktree)
            ids = list(dict.fromkeys([*([checkout.cached_id] if checkout and checkout.cached_id else []), *cached.get("ids", ()), row.id]))
            cached = {"stamp": stamp, "ids": ids, "origin": checkout.origin if checkout else None, "roots": list(checkout.roots) if checkout else []}
            cached["current"] = checkout.cached_id if checkout else None
            with self.shadow.writing():
                self.shadow.put(key, cached)
        ids = list(dict.fromkeys([*cached["ids"], row.id]))
        identity = ProjectIdentity(tuple(ids), cached["origin"], tuple(cached["roots"]), row.name)
        return LocalProject(row.id, row.worktree, identity), cached.get("current") == row.id

    def forget_projects(self) -> None:
        self._projects = None

    def projects_fingerprint(self) -> str:
        """Moves when a session that waits for its project may have found it."""
        return json.dumps(sorted((p.id, p.worktree, p.identity.origin or "", list(p.identity.ids)) for p in self.projects().values()))

    # --- session rows ---------------------------------------------------------------------------------------------
    def portable_session(self, row: Row) -> Row:
        """A session row as it travels: project identity and path token in place of local ids and folders."""
        portable = {name: value for name, value in row.items() if name not in LOCAL_SESSION_COLUMNS}
        project = self.projects().get(row["project_id"])
        identity = project.identity if project else ProjectIdentity((row["project_id"],))
        portable["project_id"] = identity.as_value()
        portable["directory"] = dict(to_portable(row["directory"] or "", project.worktree if project else "", self.home))
        return portable

    def localise_session(self, columns: Row, is_new: bool) -> Row | None:
        """The reverse for the columns given; None when the project is not on this machine."""
        local = {name: value for name, value in columns.items() if name not in ("project_id", "directory")}
        value = columns.get("project_id")
        if isinstance(value, Mapping):
            project = resolve(ProjectIdentity.from_value(value), self.projects().values())
            if project is None:
                return None
            local["project_id"] = project.id
            directory = columns.get("directory")
            if isinstance(directory, Mapping) or is_new:
                said = directory if isinstance(directory, Mapping) else {"base": "project"}
                token: Any = {"base": str(said.get("base")), "rest": str(said.get("rest", "")), "os": str(said.get("os", "posix"))}
                local["directory"] = to_local(token, project.worktree, self.home, self.tools.exists)
                local["path"] = session_path(local["directory"], project.worktree)
        elif is_new:
            return None
        return local
