"""Fetch and index: what other devices published becomes entries in the shadow, verified, not yet applied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.records import Mentions, Place
from sidecar.domain.state import NEW, SegmentFile
from sidecar.domain.task import Task
from sidecar.services.heads import mark_of, read_head
from sidecar.services.standing import KEPT_REFS, REMOTE_REFS, UNUSABLE, counted, held_back, hold_back, pin, vouched
from sidecar.services.workspace import Identity, Workspace

if TYPE_CHECKING:
    from sidecar.adapters.git import VaultRepo
    from sidecar.adapters.segments import SegmentReader

Counts = Callable[[bytes, str], bool]
MAX_SEGMENT_BYTES = 96 << 20
_BRANCH = re.compile(r"^sessions/([0-9a-z-]{8,64})\Z")
_SEGMENT = re.compile(r"^seg/\d{7}/(\d{9})-([0-9a-f]{16})\Z", re.ASCII)


def is_log_branch(branch: str) -> bool:
    return _BRANCH.match(branch) is not None


def is_segment_path(path: str) -> bool:
    return _SEGMENT.match(path) is not None


def fetch_others(ws: Workspace, task: Task, heads: dict[str, str]) -> list[str]:
    """Fetch what moved and index it. Returns warnings: one device's damage never stops the others."""
    wanted, warnings = {}, []
    for branch, sha in heads.items():
        found = _BRANCH.match(branch)
        if found is None or found[1] == ws.identity.device_id:
            continue
        info, (known, sequence) = ws.shadow.info_of(found[1]), ws.shadow.head_of(found[1])
        if sha == known and "refused" in info:  # what was wrong with it is right again
            with ws.shadow.writing():
                ws.shadow.put_device(found[1], {name: value for name, value in info.items() if name not in ("refused", "problem")}, known, sequence)
        if sha in (known, info.get("refused")):
            continue
        if held_back(ws, found[1], sha):
            warnings += [f"{info.get('name') or found[1]}: {info['problem']}"] if info.get("problem") else []
        else:
            wanted[branch] = sha
    if not wanted:
        return warnings
    warnings += _index_forgotten(ws, task, heads, wanted)
    if wanted:
        task.report("fetch", 0, len(wanted))
        warnings += _fetch(ws, task, wanted)
    for branch in sorted(wanted):
        device = branch.removeprefix("sessions/")
        head = ws.repo.local_ref(f"refs/remotes/origin/{branch}")
        if head is None:
            continue
        warnings += index_fetched(ws, task, device, head)
    return warnings


def _fetch(ws: Workspace, task: Task, wanted: dict[str, str]) -> list[str]:
    """All at once; when something in them is damaged, one by one: `wanted` loses those that cannot be had."""
    warnings = []
    try:
        ws.repo.fetch(task, sorted(wanted))
    except SidecarError as error:
        if error.kind != "segmentCorrupt":
            raise
        for branch in sorted(wanted):
            try:
                ws.repo.fetch(task, [branch])
            except SidecarError as damage:
                if damage.kind != "segmentCorrupt":
                    raise
                del wanted[branch]
                warnings.append(f"{branch.removeprefix('sessions/')}: {damage.message} {damage.remedy}")
    return warnings


def _index_forgotten(ws: Workspace, task: Task, heads: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Logs of devices that were forgotten are taken as they were then, from where they were kept; `wanted` loses them."""
    warnings = []
    for device, commit in ws.sealer.ring.forgotten if ws.sealer is not None else ():
        kept, known = f"forgotten/{device}", ws.shadow.head_of(device)[0]
        wanted.pop(f"sessions/{device}", None)
        if ws.shadow.info_of(device).get("refused") == commit or (known is not None and ws.repo.is_ancestor(commit, known)):
            continue  # what is here of it goes as far, or further
        if heads.get(kept) == commit:
            ws.repo.fetch(task, [kept])
            ws.repo.adopt_ref(f"{REMOTE_REFS}{device}", commit)
            warnings += index_fetched(ws, task, device, commit)
        else:
            warnings.append(f"{device}: it was forgotten, and what it had written before is not in the repository any more.")
    return warnings


def index_fetched(ws: Workspace, task: Task, device: str, head: str) -> list[str]:
    """`index_log` of another device, whose damage is a warning."""
    try:
        return index_log(ws, task, device, head)
    except SidecarError as error:
        if error.kind not in UNUSABLE:
            raise
        with ws.shadow.writing():
            before, sequence = ws.shadow.head_of(device)
            info = {"name": device} | ws.shadow.info_of(device) | {"problem": error.message}
            if error.kind == "segmentCorrupt":
                info["refused"] = head
            keep(ws, device, before)
            ws.shadow.put_device(device, info, before, sequence)
            if error.kind == "wrongKey":
                hold_back(ws, device, head)
        return [f"{device}: {error.message} {error.remedy}"]


def keep(ws: Workspace, device: str, before: str | None) -> None:
    """What was fetched before stays, whatever the remote has now: with it a shadow that is made anew knows whose the rows are."""
    if before is not None and ws.repo.has(before) and ws.repo.local_ref(f"{KEPT_REFS}{device}") is None:
        ws.repo.adopt_ref(f"{KEPT_REFS}{device}", before)


def keep_own(repo: VaultRepo, identity: Identity, commit: str) -> None:
    """A former state of our own log stays, beside the one that takes its place."""
    repo.adopt_ref(f"{KEPT_REFS}{identity.device_id}-{commit[:12]}", commit)


def keep_others(ws: Workspace, heads: Mapping[str, str]) -> None:
    """Before all `heads` are fetched, and nobody has looked at them: `keep` what is here of the logs that moved."""
    for ref, fetched in ws.repo.refs(REMOTE_REFS).items():
        device = ref.removeprefix(REMOTE_REFS)
        before = ws.shadow.head_of(device)[0] or fetched
        if device != ws.identity.device_id and heads.get(f"sessions/{device}") not in (None, before):
            keep(ws, device, before)


def _keep_what_is_lost(ws: Workspace, device: str, before: str | None, head: str) -> None:
    """Keep `before` when `head` lacks something of it; let go of what is kept once all of it is in the log again."""
    if before is not None and ws.repo.has(before) and ws.repo.new_files(head, before, "seg/"):
        keep(ws, device, before)
    kept = ws.repo.local_ref(f"{KEPT_REFS}{device}")
    if kept not in (None, head) and not ws.repo.new_files(head, kept or head, "seg/"):  # it may be `head` while a shadow is made anew, and must outlast that
        ws.repo.forget_ref(f"{KEPT_REFS}{device}")


def index_kept(ws: Workspace, task: Task) -> None:
    """Enter what was kept of the others' logs into a shadow that knows nothing of them; what is wrong with them now is said where they are read."""
    for ref, commit in ws.repo.refs(KEPT_REFS).items():
        device = ref.removeprefix(KEPT_REFS)
        if ws.repo.local_ref(f"{REMOTE_REFS}{device}") is not None:
            index_fetched(ws, task, device, commit)


def index_log(ws: Workspace, task: Task, device: str, head: str, *, state: int = NEW) -> list[str]:
    """Enter a log's new segments into the shadow, their records in `state`."""
    remote, head = head, counted(ws, device, head)
    info = read_head(ws, device, head)
    before, sequence = ws.shadow.head_of(device)
    generation = int(ws.shadow.info_of(device).get("generation", 0))
    if before is not None and (info["sequence"] < sequence or info["generation"] < generation):
        raise _gone_back(info["name"], sequence, info["sequence"])
    warnings = pin(ws, device, info)
    counts = vouched(ws, device, head, info["previous"])
    if before is not None and info["generation"] > generation:
        files, mentions = read_log(ws, task, device, head, info, counts)
        with ws.shadow.writing():
            ws.shadow.replace_log(device, files, mentions, state=state)
            ws.shadow.put_device(device, info, head, info["sequence"])
            if head != remote:
                hold_back(ws, device, remote)
        ws.repo.forget_ref(f"{KEPT_REFS}{device}")  # all of the new log could be used
        return warnings
    if device != ws.identity.device_id:
        _keep_what_is_lost(ws, device, before, head)
    known_problems = {(d, s) for d, s, _ in ws.shadow.problems()}
    # What could not be used may fit now, although it did not change.
    troubled = any(d == device for d, _ in known_problems) or "problem" in ws.shadow.info_of(device)
    entries = ws.repo.new_files(None if troubled else before, head, "seg/")
    for index, entry in enumerate(sorted(entries, key=lambda e: e.path)):
        task.report("index", index, len(entries))
        found = _SEGMENT.match(entry.path)
        if found is None or entry.mode not in (0o100644, 0o100755):
            warnings.append(f"{device}: unexpected file {entry.path[:80]!r} was ignored.")
            continue
        number = int(found[1])
        present = ws.shadow.segment(device, number)
        if present is not None and (device, number) not in known_problems and present.blob == entry.sha:
            continue
        file = SegmentFile(number, number, entry.sha, entry.path)
        try:
            reader = open_segment(ws, device, file, counts)
            file = file._replace(first=reader.first)
            _check_state(ws, device, info["name"], file)
            check_chain(ws, device, file, reader.previous)
            with ws.shadow.writing():
                ws.shadow.add_segment(device, file, reader.mentions(), state=state)
            sequence = max(sequence, number)
        except SidecarError as error:
            if isinstance(error, _OtherState) or error.kind not in UNUSABLE:
                raise
            warnings.append(f"{info['name']}: {error.message} ({entry.path})")
            if present is None or (device, number) in known_problems:
                with ws.shadow.writing():
                    ws.shadow.add_segment(device, file, {}, state=NEW, problem=error.message)
    last = ws.shadow.segment(device, info["sequence"])
    if (mark_of(last.path) if last is not None else None) != info["segment"]:
        warnings.append(f"{info['name']}: the end of its log is missing, or is not what it wrote.")
    with ws.shadow.writing():
        if troubled:
            _drop_strangers(ws, device, {entry.path for entry in entries})
        ws.shadow.put_device(device, info, head, sequence)
        if head != remote:
            hold_back(ws, device, remote)
    return warnings


def _drop_strangers(ws: Workspace, device: str, paths: set[str]) -> None:
    """Segments of which nothing could be used, and which the log has not any more, were never part of it."""
    for owner, sequence, _ in ws.shadow.problems():
        file = ws.shadow.segment(owner, sequence)
        if owner == device and file is not None and file.path not in paths and not ws.shadow.mentioned(device, sequence):
            ws.shadow.drop_segment(device, sequence)


def open_segment(ws: Workspace, device: str, file: SegmentFile, counts: Counts | None = None) -> SegmentReader:
    """`counts`: whether it is to be used at all, see `standing.vouched`. Raises segmentCorrupt, newerFormat, wrongKey."""
    data = ws.repo.read_blob(file.blob, limit=MAX_SEGMENT_BYTES)
    if counts is not None and not counts(data, file.blob):
        raise SidecarError("wrongKey", "A segment was sealed with a key that was replaced, and nobody vouches for it.", remedy="It was ignored.")
    return ws.tools.segment_reader(data, file.path, device=device, sequence=file.sequence, sealer=ws.sealer)


def sha256_of(ws: Workspace, file: SegmentFile) -> str:
    """Of a segment that is here, as a head names it."""
    return str(ws.tools.sha256(ws.repo.read_blob(file.blob, limit=MAX_SEGMENT_BYTES)).hex())


def by_file(ws: Workspace, wanted: Iterable[tuple[str, Place]]) -> Iterable[tuple[str, set[Place]]]:
    """(device, places that are in one file), so that each file is read once."""
    found: dict[tuple[str, SegmentFile | None], set[Place]] = {}
    file_of = cache(ws.shadow.segment)
    for device, place in wanted:
        found.setdefault((device, file_of(device, place[1])), set()).add(place)
    return ((device, places) for (device, _), places in found.items())


def read_log(ws: Workspace, task: Task, device: str, commit: str, info: Mapping[str, Any], counts: Counts | None = None) -> tuple[list[SegmentFile], Mentions]:
    """A whole log from its first segment to the one that its head names; all of it or nothing. Raises segmentCorrupt, newerFormat, wrongKey."""
    files: list[SegmentFile] = []
    mentions: Mentions = {}
    entries = sorted(ws.repo.tree(commit, "seg/"), key=lambda entry: entry.path)
    for index, entry in enumerate(entries):
        task.report("index", index, len(entries))
        found = _SEGMENT.match(entry.path)
        number, last = int(found[1]) if found else 0, files[-1] if files else None
        file = SegmentFile(number, number, entry.sha, entry.path)
        reader = open_segment(ws, device, file, counts)
        if reader.first != (last.sequence + 1 if last else 1) or reader.previous != (mark_of(last.path) if last else None):
            raise _broken(info["name"], f"{entry.path[:80]} does not follow what is before it")
        files.append(file._replace(first=reader.first))
        mentions |= reader.mentions()
    if (files[-1].sequence if files else 0) != info["sequence"] or (mark_of(files[-1].path) if files else None) != info["segment"]:
        raise _broken(info["name"], "its end is missing, or is not what it wrote")
    return files, mentions


class _OtherState(SidecarError):
    """A log is put together from before and after a compaction: nothing of it is used."""


def _check_state(ws: Workspace, device: str, name: str, file: SegmentFile) -> None:
    for there in ws.shadow.segments(device, file.first - 1, limit=1):
        if there.first <= file.sequence and (there.first, there.sequence) != (file.first, file.sequence):
            text = f"The log of {name} has segments of before and after it was compacted."
            raise _OtherState("segmentCorrupt", text, detail=file.path, remedy="Nothing new of it was used; that machine's next sync mends it.")


def check_chain(ws: Workspace, device: str, file: SegmentFile, previous: str | None) -> None:
    """Each segment names the one before it: none can be left out, put in, or taken from an earlier state of the log."""
    before = ws.shadow.segment(device, file.first - 1)
    if before is not None and previous is not None and mark_of(before.path) != previous:
        raise SidecarError("segmentCorrupt", f"Segment {file.sequence} does not follow the one that is here", remedy="Nothing of it was used.")
    if file.first > 1 and (before is None or previous is None) and ws.sealer is not None:
        raise SidecarError("segmentCorrupt", f"Segment {file.sequence} does not follow anything that is here", remedy="Nothing of it was used.")


def _broken(name: str, why: str) -> SidecarError:
    return SidecarError("segmentCorrupt", f"The compacted log of {name} is damaged: {why}.", remedy="What was here of it before stays in use.")


def _gone_back(name: str, known: int, found: int) -> SidecarError:
    return SidecarError(
        "segmentCorrupt",
        f"The log of {name} went back from segment {known} to {found}: the remote was restored from a backup, or somebody tampers with it.",
        remedy="Nothing that is here was lost; that machine's next sync mends it.",
    )
