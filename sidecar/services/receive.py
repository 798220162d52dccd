"""Fetch and index: what other devices published becomes entries in the shadow, verified, not yet applied."""

from __future__ import annotations

import re

from sidecar.domain.errors import SidecarError
from sidecar.domain.state import NEW
from sidecar.domain.task import Task
from sidecar.services.heads import mark_of, read_head
from sidecar.services.standing import counted, held_back, hold_back, pin, vouched
from sidecar.services.workspace import Workspace

MAX_SEGMENT_BYTES = 96 << 20
REMOTE_REFS = "refs/remotes/origin/sessions/"
_BRANCH = re.compile(r"^sessions/([0-9a-z-]{8,64})$")
_SEGMENT = re.compile(r"^seg/\d{7}/(\d{9})-([0-9a-f]{16})$")


def is_log_branch(branch: str) -> bool:
    return _BRANCH.match(branch) is not None


def fetch_others(ws: Workspace, task: Task, heads: dict[str, str]) -> list[str]:
    """Fetch what moved and index it. Returns warnings: one device's damage never stops the others."""
    wanted, warnings = {}, []
    for branch, sha in heads.items():
        found = _BRANCH.match(branch)
        if found is None or found[1] == ws.identity.device_id or ws.shadow.head_of(found[1])[0] == sha:
            continue
        if held_back(ws, found[1], sha):
            info = ws.shadow.info_of(found[1])
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
        if known is not None and ws.repo.is_ancestor(commit, known):
            continue
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
        if error.kind not in ("segmentCorrupt", "newerFormat", "wrongKey"):
            raise
        with ws.shadow.writing():
            before, sequence = ws.shadow.head_of(device)
            info = {"name": device} | ws.shadow.info_of(device)
            if error.kind == "segmentCorrupt":
                if before is not None and info.get("refused") != before:
                    ws.repo.adopt_ref(f"refs/kept/{device}", before)  # what was fetched before stays, whatever the remote has now
                info["refused"] = before = head
            ws.shadow.put_device(device, info | {"problem": error.message}, before, sequence)
            if error.kind == "wrongKey":
                hold_back(ws, device, head)
        return [f"{device}: {error.message} {error.remedy}"]


def index_log(ws: Workspace, task: Task, device: str, head: str, *, state: int = NEW) -> list[str]:
    """Enter a log's new segments into the shadow, their records in `state`."""
    remote, head = head, counted(ws, device, head)
    info = read_head(ws, device, head)
    before, sequence = ws.shadow.head_of(device)
    if before is not None and info["sequence"] < sequence:
        raise _gone_back(info["name"], sequence, info["sequence"])
    warnings = pin(ws, device, info)
    counts = vouched(ws, device, head, info["previous"])
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
        if present is not None and (device, number) not in known_problems and present[0] == entry.sha:
            continue
        try:
            data = ws.repo.read_blob(entry.sha, limit=MAX_SEGMENT_BYTES)
            if not counts(data, entry.sha):
                raise SidecarError("wrongKey", "A segment was sealed with a key that was replaced, and nobody vouches for it.", remedy="It was ignored.")
            reader = ws.tools.segment_reader(data, entry.path, device=device, sequence=number, sealer=ws.sealer)
            check_chain(ws, device, number, reader.previous)
            with ws.shadow.writing():
                ws.shadow.add_segment(device, number, entry.sha, entry.path, reader.sessions(), state=state)
            sequence = max(sequence, number)
        except SidecarError as error:
            if error.kind not in ("segmentCorrupt", "newerFormat", "wrongKey"):
                raise
            warnings.append(f"{info['name']}: {error.message} ({entry.path})")
            if present is None or (device, number) in known_problems:
                with ws.shadow.writing():
                    ws.shadow.add_segment(device, number, entry.sha, entry.path, {}, state=NEW, problem=error.message)
    last = ws.shadow.segment(device, info["sequence"])
    if (mark_of(last[1]) if last is not None else None) != info["segment"]:
        warnings.append(f"{info['name']}: the end of its log is missing, or is not what it wrote.")
    with ws.shadow.writing():
        ws.shadow.put_device(device, info, head, sequence)
        if head != remote:
            hold_back(ws, device, remote)
    return warnings


def check_chain(ws: Workspace, device: str, sequence: int, previous: str | None) -> None:
    """Each segment names the one before it: none can be left out, put in, or taken from an earlier state of the log."""
    before = ws.shadow.segment(device, sequence - 1)
    if before is not None and previous is not None and mark_of(before[1]) != previous:
        raise SidecarError("segmentCorrupt", f"Segment {sequence} does not follow the one that is here", remedy="Nothing of it was used.")
    if sequence > 1 and (before is None or previous is None) and ws.sealer is not None:
        raise SidecarError("segmentCorrupt", f"Segment {sequence} does not follow anything that is here", remedy="Nothing of it was used.")


def _gone_back(name: str, known: int, found: int) -> SidecarError:
    return SidecarError(
        "segmentCorrupt",
        f"The log of {name} went back from segment {known} to {found}: the remote was restored from a backup, or somebody tampers with it.",
        remedy="Nothing that is here was lost; that machine's next sync mends it.",
    )
