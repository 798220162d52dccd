"""This device's own log as the others must find it: its public key in the head, and nothing that is pushed under a key that was replaced."""

from __future__ import annotations

import itertools
import re

from sidecar.domain.state import APPLIED
from sidecar.domain.task import Task
from sidecar.services.heads import mark_of, new_head, read_head, written_head
from sidecar.services.publish import note_own_log
from sidecar.services.receive import MAX_SEGMENT_BYTES, index_log, sha256_of
from sidecar.services.standing import key_of_head
from sidecar.services.workspace import PRESENTED, Workspace

MAX_CHUNK_BYTES = 64 << 20
_NEW_LOG = "refs/resealed/own"
_SEQUENCE = re.compile(r"/(\d{9})-[0-9a-f]{16}$")


def present_own(ws: Workspace, task: Task, heads: dict[str, str]) -> None:
    """Once for each key: seal again what was recorded under another key and has not been pushed, and put a head under the current one on top.

    So a device that has nothing to say is known to the others, too: the next key reaches it.
    """
    if ws.shadow.get(PRESENTED) == ws.key_id:
        return
    sealer, identity = ws.sealer, ws.identity
    if sealer is None or sealer.ring.private is None:
        return
    local, base = ws.repo.local_ref(identity.ref), heads.get(identity.branch)
    if base is not None and (local is None or not ws.repo.is_ancestor(base, local)):
        return  # the push says what is wrong
    if local is not None:
        local = _reseal(ws, task, base, local)
    public = sealer.ring.private.public
    if local is None or key_of_head(ws, local) != sealer.ring.current.id or read_head(ws, identity.device_id, local)["publicKey"] != public:
        _put_head(ws, local)
    with ws.shadow.writing():
        ws.shadow.put(PRESENTED, sealer.ring.current.id.hex())


def _put_head(ws: Workspace, parent: str | None) -> None:
    """A head alone, on top of the log as it is."""
    identity = ws.identity
    _, sequence = ws.shadow.head_of(identity.device_id)
    last = ws.shadow.segment(identity.device_id, sequence)
    segment = None
    if last is not None:
        segment = {"path": last.path, "sha256": sha256_of(ws, last)}
    files = written_head(ws, new_head(ws, sequence, segment, parent))
    commit = ws.repo.commit(identity.ref, parent, files, "head", ws.clock.wall() // 1000)
    with ws.shadow.writing():
        note_own_log(ws, commit, sequence)


def _reseal(ws: Workspace, task: Task, base: str | None, local: str) -> str:
    """The log with everything past `base` under the current key. The old commits stay in our repository until it is made anew."""
    sealer, own, repo = ws.sealer, ws.identity.device_id, ws.repo
    assert sealer is not None
    current = sealer.ring.current.id
    entries = sorted(repo.new_files(base, local, "seg/"), key=lambda entry: entry.path)
    if all(ws.tools.key_of_segment(repo.read_blob(entry.sha, limit=MAX_SEGMENT_BYTES)) == current for entry in entries):
        return local
    repo.forget_ref(_NEW_LOG)
    tip, at = base, ws.clock.wall() // 1000
    if base is not None:
        repo.adopt_ref(_NEW_LOG, base)
    values = sorted(repo.new_files(base, local, "blob/"), key=lambda entry: entry.path)
    for name, group in itertools.groupby(values, key=lambda entry: entry.path.removeprefix("blob/").partition(".")[0]):
        chunks = [repo.read_blob(entry.sha, limit=MAX_CHUNK_BYTES) for entry in group]
        tip = repo.commit(_NEW_LOG, tip, ws.tools.reseal_value(chunks, name, sealer, own), "value", at)
    previous = None
    for index, entry in enumerate(entries):
        task.report("record", index, len(entries), message="under the vault's new key")
        found = _SEQUENCE.search(entry.path)
        assert found is not None, "a path of our own"
        sequence = int(found[1])
        if index == 0:
            file = ws.shadow.segment(own, sequence)
            before = ws.shadow.segment(own, (file.first if file is not None else sequence) - 1)
            previous = mark_of(before.path) if before is not None else None
        data = repo.read_blob(entry.sha, limit=MAX_SEGMENT_BYTES)
        data, path, digest = ws.tools.reseal_segment(data, entry.path, sealer, own, sequence, previous)
        head = written_head(ws, new_head(ws, sequence, {"path": path, "sha256": digest}, tip))
        tip, previous = repo.commit(_NEW_LOG, tip, {path: data, **head}, f"segment {sequence}", at), mark_of(path)
    assert tip is not None
    repo.adopt_ref(ws.identity.ref, tip)
    index_log(ws, task, own, tip, state=APPLIED)
    repo.forget_ref(_NEW_LOG)
    return tip
