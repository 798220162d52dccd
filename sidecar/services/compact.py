"""Compaction: this device's log again, in few files, with what still matters of it, sealed with the current key.

The new log is built beside the old one and read back before anything moves. Then the local branch moves, the shadow follows, and the
remote's branch is replaced if it still is what it was; the old log stays here until the remote is known to have the new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.compact import CompactResult, LogSize
from sidecar.domain.compaction import Kept, Survey
from sidecar.domain.errors import SidecarError
from sidecar.domain.records import Mention, Mentions, Place, Record
from sidecar.domain.state import APPLIED, SegmentFile
from sidecar.domain.task import Task
from sidecar.services.heads import mark_of, new_head, read_head, written_head
from sidecar.services.manifest import follow_manifest
from sidecar.services.present import present_own
from sidecar.services.publish import REPLACED_REF, push_own
from sidecar.services.receive import open_segment, read_log
from sidecar.services.recover import recover
from sidecar.services.rows import load_value
from sidecar.services.standing import KEPT_REFS, REMOTE_REFS
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.adapters.git import TreeEntry
    from sidecar.adapters.git.fastimport import Content
    from sidecar.adapters.segments import Segment, SegmentWriter

NEW_REF = "refs/compact/new"
SEGMENT_BYTES, RAW_BYTES, SOURCE_BYTES, DIRECTORY_BYTES = 8 << 20, 256 << 20, 48 << 20, 2 << 20
"""Where a compacted segment ends: by what it will have (estimated), compressed and not, by what it is made from, and by the size of its directory."""
MAX_REPLACED = 50_000
"""Former commits of the own branch that are remembered, so that a remote that was put back to one of them is recognised."""


def compact(ws: Workspace, task: Task, *, dry: bool = False, share: float = 1.0) -> CompactResult:
    """Rewrite this device's own log. Done when the remote has confirmed it. The caller holds the lock.

    `dry`: only say what it would save. `share`: only if less than this share of its bytes is left, or something is under a former key.
    Raises segmentCorrupt when the own log cannot be read whole, and what a push raises.
    """
    if recover(ws, task)[0]:
        with ws.shadow.writing():
            ws.shadow.put("file_state", None)  # the next cycle scans, as it would have
    task.report("connect")
    heads: dict[str, str] = {}
    if not dry:
        heads = ws.repo.remote_heads(task)
        follow_manifest(ws, task, heads)  # the others take nothing that is sealed with a key that was replaced
        present_own(ws, task, heads)
        push_own(ws, task, heads)
    commit = ws.repo.local_ref(ws.identity.ref)
    if commit is None or not ws.shadow.segments(ws.identity.device_id, 0, limit=1):
        return CompactResult(done=False, before=LogSize(), after=LogSize())
    old = _Log.read(ws, task, commit)
    with ws.repo.spool() as folder:
        rewrite = _Rewrite(ws, task, old, folder)
        rewrite.run()
        result = rewrite.result()
        if dry or not rewrite.is_worth(share):
            return result
        new, files = rewrite.commit()
    _switch(ws, old.commit, new, files, rewrite.mentions)
    heads[ws.identity.branch] = old.commit
    push_own(ws, task, heads)
    freed = None
    with suppress(SidecarError):  # it is done, whatever becomes of what is left here
        freed = tidy(ws, task)
    return _finished(ws, result, new, freed)


def _finished(ws: Workspace, result: CompactResult, new: str, freed: int | None) -> CompactResult:
    from attrs import evolve

    warnings = [] if freed is not None else ["The copy of the vault on this machine could not be cleared up; the next compaction tries again."]
    if ws.repo.local_ref(ws.identity.ref) != new:
        warnings.append("The remote lets no branch be replaced: it has the compacted log, and keeps the old one behind it.")
    return evolve(result, done=True, freed_here=freed or 0, warnings=warnings)


def _switch(ws: Workspace, old: str, new: str, files: list[SegmentFile], mentions: Mentions) -> None:
    """From here on the log is the new one. A crash on the way is met by `recover` and by `push_own`."""
    own, shadow = ws.identity.device_id, ws.shadow
    info = read_head(ws, own, new)
    with shadow.writing():
        shadow.put("replaced", (shadow.get("replaced", []) + [commit[:16] for commit in reversed(ws.repo.history(old))])[-MAX_REPLACED:])
    ws.repo.forget_ref(f"refs/remotes/origin/{ws.identity.branch}")
    ws.repo.replace(ws.identity.ref, old, new, kept=REPLACED_REF)
    ws.repo.forget_ref(NEW_REF)
    with shadow.writing():
        shadow.replace_log(own, files, mentions, state=APPLIED)
        shadow.put_device(own, info, new, info["sequence"])


def tidy(ws: Workspace, task: Task) -> int | None:
    """Delete from the local repository what no log needs that is known here. Bytes that came free, or None when it was left as it is."""
    task.report("tidy")
    repo, needed = ws.repo, set()
    for device, _, head, _ in ws.shadow.devices():
        needed |= {file.blob for file in ws.shadow.segments(device, 0)} | ({head} if head else set())
        if device == ws.identity.device_id or head is None:
            continue
        kept = f"{KEPT_REFS}{device}"
        if repo.local_ref(f"{REMOTE_REFS}{device}") == head:
            repo.forget_ref(kept)
        elif repo.local_ref(kept) != head and repo.has(head):
            repo.adopt_ref(kept, head)
    return repo.prune(task, needed)


@dataclass(frozen=True)
class _Log:
    """The own log as it is: verified from its first segment to its end."""

    commit: str
    info: Mapping[str, Any]
    files: list[SegmentFile]
    tree: dict[str, TreeEntry]
    commits: int

    @classmethod
    def read(cls, ws: Workspace, task: Task, commit: str) -> _Log:
        own = ws.identity.device_id
        info = read_head(ws, own, commit)
        files, _ = read_log(ws, task, own, commit, info)
        return cls(commit, info, files, {entry.path: entry for entry in ws.repo.tree(commit, sizes=True)}, ws.repo.count_commits(commit))

    @property
    def size(self) -> LogSize:
        return LogSize(_content_bytes((path, entry.size) for path, entry in self.tree.items()), len(self.files), self.commits)


@dataclass
class _Source:
    """A file of the old log. `weight`: about so many bytes will be left of it; `raw`: before they are compressed."""

    file: SegmentFile
    size: int
    weight: int = 0
    raw: int = 0
    directory: int = 0


@dataclass
class _Rewrite:
    """The new log in the making, in files of `folder`."""

    ws: Workspace
    task: Task
    old: _Log
    folder: Path
    mentions: Mentions = field(default_factory=dict)
    _kept: Kept = field(default_factory=Kept)
    _files: dict[str, Content] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _segments: list[Segment] = field(default_factory=list)
    _digests: dict[Place, bytes] = field(default_factory=dict)
    _values: set[bytes] = field(default_factory=set)
    _stale: bool = False

    # --- what it comes to ---------------------------------------------------------------------------------------------
    def run(self) -> None:
        sources = self._survey()
        for index, part in enumerate(parts := list(_parts(sources))):
            self.task.report("compact", index, len(parts))
            self._segment(part)

    def is_worth(self, share: float) -> bool:
        """Whether it saves as much, or takes something out of the reach of a former key."""
        result = self.result()
        less = result.dropped or result.dropped_values or result.after.segments < result.before.segments
        return self._stale or bool(less and result.after.bytes < result.before.bytes * share)

    def result(self) -> CompactResult:
        after = LogSize(_content_bytes(self._sizes.items()), len(self._segments), 1)
        values = len({path for path in self.old.tree if path.startswith("blob/")}) - len({path for path in self._sizes if path.startswith("blob/")})
        kept = self._kept
        return CompactResult(False, self.old.size, after, kept.records - kept.dropped_records, kept.dropped_records, max(0, values), resealed=self._stale)

    # --- first pass: what stays ---------------------------------------------------------------------------------------
    def _survey(self) -> list[_Source]:
        own, survey, sources = self.ws.identity.device_id, Survey(self.ws.identity.device_id), []
        sealer = self.ws.sealer
        for index, file in enumerate(reversed(self.old.files)):
            self.task.report("survey", index, len(self.old.files))
            source = _Source(file, self.old.tree[file.path].size)
            reader = open_segment(self.ws, own, file)
            self._stale |= sealer is not None and reader.key_id != sealer.ring.current.id
            mentions = reader.mentions()
            groups = [((g.session_id, g.sequence), [_outline(r) for r in g.records], [_weight(r) for r in g.records]) for g in reader.groups()]
            if reader.skipped:
                raise SidecarError(
                    "newerFormat", "A newer version of this program wrote a part of this log.", detail=file.path, remedy="Update opencode-sidecar here."
                )
            if len(groups) != len(mentions):
                raise SidecarError("segmentCorrupt", "A segment lacks what its directory names.", detail=file.path, remedy="Nothing was changed.")
            raw = sum(sum(weights) for *_, weights in groups) or 1
            kept = 0
            for place, records, weights in sorted(groups, key=lambda entry: -entry[0][1]):
                survey.group(place, mentions[place], records)
                dropped = survey.kept.dropped.get(place, frozenset())
                kept += sum(weight for number, weight in enumerate(weights) if number not in dropped)
                source.directory += 24 + len(place[0]) + 40 * len(mentions[place].context or ())
            source.weight, source.raw = source.size * kept // raw, kept
            sources.append(source)
        self._kept = survey.kept
        return sources[::-1]

    # --- second pass: writing it ----------------------------------------------------------------------------------------
    def _segment(self, sources: Sequence[_Source]) -> None:
        ws, last = self.ws, self._segments[-1] if self._segments else None
        first, sequence = sources[0].file.first, sources[-1].file.sequence
        previous = mark_of(last.path) if last else None
        writer = ws.tools.segment_writer(ws.identity.device_id, sequence, sealer=ws.sealer, previous=previous, first=first)
        for source in sources:
            reader = open_segment(ws, ws.identity.device_id, source.file)
            mentions = reader.mentions()
            for group in reader.groups():
                place = (group.session_id, group.sequence)
                if place not in self._kept.gone:
                    dropped = self._kept.dropped.get(place, frozenset())
                    self._group(writer, place, mentions[place], [r for number, r in enumerate(group.records) if number not in dropped])
        segment = writer.finish()
        self.mentions |= segment.mentions
        self._put(segment.path, segment.data)
        self._segments.append(segment)

    def _group(self, writer: SegmentWriter, place: Place, mention: Mention, records: list[Record]) -> None:
        writer.mention(place, mention)
        self._digests[place] = self._digest(records)
        for record in records:
            self.task.check()
            if record.columns is not None:
                record.columns = {name: self._value(value) for name, value in record.columns.items()}
            writer.add(record, place[1])
            for path, data in writer.take_blobs().items():
                self._put(path, data)

    def _value(self, value: Any) -> Any:
        """A large value under the current key stays where it is; another one is loaded, and so sealed again."""
        if getattr(value, "sha256", None) is None or value.sha256 in self._values:
            return value
        self._values.add(value.sha256)
        paths = self._paths(value)
        if not all(path in self.old.tree for path in paths):
            return load_value(self.ws, value, self.ws.identity.device_id)
        for path in paths:
            entry = self.old.tree[path]
            self._files[path], self._sizes[path] = self.ws.tools.stored_blob(entry.sha), entry.size
        return value

    def _paths(self, value: Any) -> list[str]:
        name = self.ws.sealer.names_of(value.sha256)[0] if self.ws.sealer is not None else None
        return list(value.chunks(name))

    def _put(self, path: str, data: bytes) -> None:
        spooled = self.folder / f"{len(self._files):08d}"
        spooled.write_bytes(data)
        self._files[path], self._sizes[path] = spooled, len(data)

    def _digest(self, records: Sequence[Record]) -> bytes:
        found = hashlib.blake2b(digest_size=16)
        for record in records:
            found.update(self.ws.tools.pack([record.table, record.key, list(record.version), record.seen, record.columns]))
        return found.digest()

    # --- the commit, and whether it holds what it should ----------------------------------------------------------------
    def commit(self) -> tuple[str, list[SegmentFile]]:
        """The new log as a commit without history, read back; and its files. Raises internal: then nothing was changed."""
        ws, last = self.ws, self._segments[-1]
        generation = max(int(self.old.info["generation"]) + 1, ws.clock.wall())
        head = new_head(ws, last.sequence, {"path": last.path, "sha256": last.sha256}, None, generation)
        ws.repo.forget_ref(NEW_REF)
        files = {**self._files, **written_head(ws, head)}
        new = ws.repo.commit(NEW_REF, None, files, f"compacted to segment {last.sequence}", ws.clock.wall() // 1000, task=self.task)
        return new, self._read_back(new)

    def _read_back(self, new: str) -> list[SegmentFile]:
        ws, own = self.ws, self.ws.identity.device_id
        files, mentions = read_log(ws, self.task, own, new, read_head(ws, own, new))
        there, found = {entry.path for entry in ws.repo.tree(new)}, {}
        for index, file in enumerate(files):
            self.task.report("verify", index, len(files))
            for group in open_segment(ws, own, file).groups():
                found[group.session_id, group.sequence] = self._digest(group.records)
                values = (value for record in group.records for value in (record.columns or {}).values() if getattr(value, "sha256", None) is not None)
                if any(path not in there for value in values for path in self._paths(value)):
                    raise _not_the_same(file.path)
        if found != self._digests or mentions != self.mentions:
            raise _not_the_same(new)
        return files


def _parts(sources: Sequence[_Source]) -> Iterator[list[_Source]]:
    """Which files of the old log become one of the new."""
    part: list[_Source] = []
    for source in sources:
        part.append(source)
        full = sum(s.weight for s in part) >= SEGMENT_BYTES or sum(s.raw for s in part) >= RAW_BYTES
        if full or sum(s.size for s in part) >= SOURCE_BYTES or sum(s.directory for s in part) >= DIRECTORY_BYTES:
            yield part
            part = []
    if part:
        yield part


def _outline(record: Record) -> Record:
    return Record(record.table, record.key, record.session_id, record.version, None if record.columns is None else dict.fromkeys(record.columns), record.seen)


def _weight(record: Record) -> int:
    return 64 + sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in (record.columns or {}).values())


def _content_bytes(sizes: Iterable[tuple[str, int]]) -> int:
    """Of segments and large values; a head is as long as a name is."""
    return sum(size for path, size in sizes if path.startswith(("seg/", "blob/")))


def _not_the_same(what: str) -> SidecarError:
    return SidecarError(
        "internal", "The compacted log is not what it should be, and was not used.", detail=what, remedy="Nothing was changed. Please report it."
    )
