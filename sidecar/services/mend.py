"""This device's own log when our copy of it is lost.

What the remote has of it is held against what the shadow and the journal know. The remote may have less, or another log under our name,
or none: then what is missing is made again, the log gets a greater generation (to every reader it is one that was compacted), and no
position that anybody may have seen is used for something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.records import Mention, Mentions, Place, Record, VersionVector
from sidecar.domain.state import APPLIED, NEW, SegmentFile
from sidecar.domain.task import Task
from sidecar.services.heads import MAX_SEQUENCE, mark_of, new_head, own_generation, read_head, written_head
from sidecar.services.publish import was_ours
from sidecar.services.receive import index_log, is_segment_path, open_segment, read_log, sha256_of
from sidecar.services.remade import Remade
from sidecar.services.standing import UNUSABLE
from sidecar.services.workspace import Workspace

if TYPE_CHECKING:
    from sidecar.adapters.git import TreeEntry
    from sidecar.adapters.git.fastimport import Content

NEW_REF = "refs/mended/own"
MAX_AHEAD = 1_000_000
"""By how many segments somebody else's word may say that this log went further than it is known here: nobody shall use up the numbers."""
_FETCHED = "fetched this device's log, which was not here"
_MORE = (
    "the remote's log of this device has something that this device does not remember: it is taken in with the next sync. "
    "If this state was copied from another machine, run `opencode-sidecar link REMOTE --new-device` here"
)

Said = tuple[Place, Mention, list[Record]]
"""What a log says of one session in one segment."""


@dataclass(frozen=True)
class Mended:
    """Where the own branch belongs (None: nowhere yet). `rebuild`: the shadow must be made anew first."""

    commit: str | None
    actions: list[str]
    rebuild: bool = False


def is_lost(ws: Workspace, commit: str | None, known: str | None) -> bool:
    """Whether our copy of the vault has not what this device published. `commit`: where its branch is, `known`: where the shadow saw it."""
    if commit is None:
        return known is not None or ws.journal.position(ws.identity.device_id)[0] > 0
    return known is not None and known != commit and not ws.repo.has(known)


def mend_own(ws: Workspace, task: Task, there: str | None) -> Mended:
    """The own log is not here any more. `there`: where the remote has it, fetched; None when it has none.

    Changes the shadow, and leaves it to the caller to move the branch. Without a shadow that knows the log, the remote is believed; `fill`
    follows when the shadow was made anew.
    """
    own = ws.identity.device_id
    head, top = ws.shadow.head_of(own)
    fetched = Mended(there, [_FETCHED] if there is not None else [])
    if ws.shadow.get("device") != own or head is None or there == head:
        return fetched
    found, generation = _Found.look(ws, task, there), own_generation(ws)
    if there is not None and found.is_whole:
        if not found.strange and found.top == top and found.generation >= generation:
            with ws.shadow.writing():
                ws.shadow.put_device(own, read_head(ws, own, there), there, top)
            return fetched
        if found.generation > generation and found.sequence >= top:
            return Mended(there, [_MORE], rebuild=True)
        if found.strange and found.top == top and found.generation == generation:
            index_log(ws, task, own, there, state=NEW)
            return Mended(there, [_MORE])
    return _mend(ws, task, found, top)


def fill(ws: Workspace, task: Task) -> list[str]:
    """With a shadow that was made anew from the logs: pass over what this device had published beyond what is left of its log."""
    own, last = ws.identity.device_id, 0
    files = ws.shadow.segments(own, 0)
    if files:
        last = files[-1].sequence
    sequence, generation = ws.journal.position(own)
    used = max(sequence, min(ws.shadow.seen_of(own), last + MAX_AHEAD))
    if used <= last and generation <= own_generation(ws):
        return []
    with ws.repo.spool() as folder:
        writing = _Writing(ws, task, folder, list(files))
        if used > last:
            writing.segment(used, ())
        commit = writing.commit(ws.repo.local_ref(ws.identity.ref), (), generation)
    with ws.shadow.writing():
        for file in writing.files[len(files) :]:
            ws.shadow.add_segment(own, file, {}, state=APPLIED)
        ws.shadow.put_device(own, read_head(ws, own, commit), commit, used if used > last else last)
    ws.repo.adopt_ref(ws.identity.ref, commit)
    ws.repo.forget_ref(NEW_REF)
    if used <= last:
        return []
    text = f"segments {last + 1} to {used} of this device's log are lost, and the shadow with them: what the database has is published again"
    return [f"{text}; deletions that were in them are undone here, and on the other machines where `verify` names them, by `repair`"]


@dataclass(frozen=True)
class _Found:
    """What the remote has of the own log. `base`: files from the first on that are what this device wrote, and what they say."""

    commit: str | None = None
    base: list[SegmentFile] = field(default_factory=list)
    strange: list[SegmentFile] = field(default_factory=list)
    """Files that this device does not know."""
    left: list[str] = field(default_factory=list)
    """Paths of what is no part of `base`."""
    mentions: Mentions = field(default_factory=dict)
    sequence: int = 0
    generation: int = 0
    is_whole: bool = False

    @property
    def top(self) -> int:
        return self.base[-1].sequence if self.base else 0

    @classmethod
    def look(cls, ws: Workspace, task: Task, commit: str | None) -> _Found:
        if commit is None:
            return cls()
        own, files, whole = ws.identity.device_id, list[SegmentFile](), True
        info: Mapping[str, Any] = {"sequence": 0, "generation": 0}
        mentions: Mentions = {}
        try:
            info = read_head(ws, own, commit)
            files, mentions = read_log(ws, task, own, commit, info)
        except SidecarError as error:
            if error.kind not in UNUSABLE:
                raise
            whole = False
        if whole and was_ours(ws, commit):
            return cls(commit, files, [], [], mentions, info["sequence"], info["generation"], True)
        known, entries = ws.shadow.segments(own, 0), sorted(ws.repo.tree(commit, "seg/"), key=lambda entry: entry.path)
        there = {(entry.path, entry.sha) for entry in entries}
        base: list[SegmentFile] = []
        for file in known:
            if (file.path, file.blob) not in there:
                break
            base.append(file)
        ours = {(file.path, file.blob) for file in known}
        kept = {file.path for file in base}
        strange = [_file(entry) for entry in entries if (entry.path, entry.sha) not in ours and is_segment_path(entry.path)]
        left = [entry.path for entry in entries if entry.path not in kept]
        return cls(commit, base, strange, left, {}, info["sequence"], info["generation"], whole)


def _file(entry: TreeEntry) -> SegmentFile:
    sequence = int(entry.path[-26:-17])
    return SegmentFile(sequence, sequence, entry.sha, entry.path)


def _mend(ws: Workspace, task: Task, found: _Found, top: int) -> Mended:
    """A new state of the log: what the remote has of it, what a stranger wrote under our name behind everything, and what is missing."""
    own, shadow = ws.identity.device_id, ws.shadow
    lost = [file for file in shadow.segments(own, 0) if file.sequence > found.top]
    remade = Remade(ws, task, found.top)
    with ws.repo.spool() as folder:
        writing = _Writing(ws, task, folder, list(found.base))
        strange, bad = _usable(ws, found, top)
        past = max([top, *(file.sequence for file in strange)]) if strange else found.top
        for file, groups in strange.items():
            writing.segment(file.sequence - found.top + past, _moved(own, groups, found.top, past - found.top))
        shift = writing.top - found.top
        for file in lost:
            task.report("mend", file.sequence - found.top, top - found.top)
            is_there = file.path in found.left
            writing.segment(file.sequence + shift, _moved(own, _stored(ws, file, found.top) if is_there else remade.groups(file), found.top, shift))
        commit = writing.commit(found.commit, found.left, found.generation)
    actions = [_said(found, top, len(strange), bad)]
    if strange:
        ws.journal.note_position(own, writing.top, int(read_head(ws, own, commit)["generation"]))
        return Mended(commit, actions, rebuild=True)
    with shadow.writing():
        for session, keys in remade.left_out.items():
            shadow.drop_rows(session, keys)
            shadow.forget_scan(session)
        shadow.replace_log(own, writing.files, found.mentions | shadow.mentions(own), state=APPLIED)
        shadow.put_device(own, read_head(ws, own, commit), commit, top)
    return Mended(commit, actions)


def _said(found: _Found, top: int, strange: int, bad: int) -> str:
    if found.commit is None:
        text = f"the remote has lost this device's log: its {top} segments were made again from what is known here"
    elif strange or bad:
        text = f"the remote has another log under this device's name from segment {found.top + 1} on"
        text += ": what it says is taken in, and what this device had written is put behind it" if strange else ", which cannot be read: it was replaced"
    elif found.top < top:
        text = f"the remote's log of this device was rolled back or cut to segment {found.top} of {top}: the rest was made again from what is known here"
    else:
        text = "the remote's log of this device was put back to an earlier state: it was brought up again"
    return text + ", and goes out with the next sync"


def _usable(ws: Workspace, found: _Found, top: int) -> tuple[dict[SegmentFile, list[Said]], int]:
    """What can be read of the files that this device does not know, by file, in order; how many cannot be."""
    usable: dict[SegmentFile, list[Said]] = {}
    bad, last = 0, found.top
    for file in found.strange:
        try:
            if file.sequence > top + MAX_AHEAD or file.sequence <= last:
                raise SidecarError("segmentCorrupt", "No log goes on like that.")
            usable[file] = list(_stored(ws, file, found.top))
            last = file.sequence
        except SidecarError as error:
            if error.kind not in UNUSABLE:
                raise
            bad += 1
    return usable, bad


def _stored(ws: Workspace, file: SegmentFile, after: int) -> Iterator[Said]:
    reader = open_segment(ws, ws.identity.device_id, file)
    mentions = reader.mentions()
    for group in reader.groups():
        place = (group.session_id, group.sequence)
        if place[1] > after:
            yield place, mentions.pop(place), group.records
    yield from ((place, mention, []) for place, mention in mentions.items() if place[1] > after)


def _moved(own: str, groups: Iterable[Said], after: int, by: int) -> Iterator[Said]:
    """The same `by` places later, with what they say themselves of places past `after`."""

    def vector(seen: VersionVector | None) -> VersionVector | None:
        return seen if seen is None or seen.get(own, 0) <= after else {**seen, own: seen[own] + by}

    for (session, sequence), mention, records in groups:
        for record in records:
            record.seen = vector(record.seen)
        yield (session, sequence + by), Mention(mention.puts, vector(mention.context)), records


@dataclass
class _Writing:
    """The log in the making: `files`, those that stay and those that were made."""

    ws: Workspace
    task: Task
    folder: Path
    files: list[SegmentFile]
    _content: dict[str, Content] = field(default_factory=dict)
    _sha256: str = ""

    @property
    def top(self) -> int:
        return self.files[-1].sequence if self.files else 0

    def segment(self, sequence: int, groups: Iterable[Said]) -> None:
        """What stands for all from the last one on up to `sequence`."""
        if sequence > MAX_SEQUENCE:
            raise SidecarError("internal", "A log cannot have so many segments.", remedy="Run `opencode-sidecar link REMOTE --new-device`.")
        ws = self.ws
        previous = mark_of(self.files[-1].path) if self.files else None
        writer = ws.tools.segment_writer(ws.identity.device_id, sequence, sealer=ws.sealer, previous=previous, first=self.top + 1)
        for place, mention, records in groups:
            self.task.check()
            writer.mention(place, mention)
            for record in records:
                writer.add(record, place[1])
                self._put(writer.take_blobs())
        made = writer.finish()
        self._put({made.path: made.data})
        self.files.append(SegmentFile(self.top + 1, sequence, ws.repo.blob_name(made.data), made.path))
        self._sha256 = made.sha256

    def _put(self, made: dict[str, bytes]) -> None:
        for path, data in made.items():
            if path in self._content:
                continue  # a large value that was met before
            spooled = self.folder / f"{len(self._content):08d}"
            spooled.write_bytes(data)
            self._content[path] = spooled

    def commit(self, parent: str | None, without: Iterable[str], generation: int) -> str:
        """On top of `parent`, whose files `without` go. `generation`: one that is known; the new one is greater than it and our own."""
        ws = self.ws
        last, digest = self.files[-1] if self.files else None, self._sha256
        if last is not None and not digest:
            digest = sha256_of(ws, last)
        segment = {"path": last.path, "sha256": digest} if last is not None else None
        generation = max(generation + 1, own_generation(ws) + 1, ws.clock.wall())
        ws.repo.forget_ref(NEW_REF)
        if parent is not None:
            ws.repo.adopt_ref(NEW_REF, parent)
        files: dict[str, Content] = {**dict.fromkeys(without), **self._content}
        files |= written_head(ws, new_head(ws, self.top, segment, parent, generation))
        return ws.repo.commit(NEW_REF, parent, files, f"mended to segment {self.top}", ws.clock.wall() // 1000, task=self.task)
