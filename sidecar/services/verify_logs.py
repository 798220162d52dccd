"""The logs themselves: every stored object against its name, every segment against its place, what the remote has against what we know."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.sync import Difference
from sidecar.domain.errors import SidecarError
from sidecar.domain.state import SegmentFile
from sidecar.domain.task import Task
from sidecar.services.heads import mark_of, read_head
from sidecar.services.publish import was_ours
from sidecar.services.receive import MAX_SEGMENT_BYTES, check_chain, keep
from sidecar.services.standing import UNUSABLE
from sidecar.services.workspace import Workspace

OURS, THEIRS = "Run `opencode-sidecar repair`.", "The machine that wrote it mends it with its next sync, or a restored remote does."
SYNC = "Run `opencode-sidecar sync`."


class LogCheck:
    """`segments`: how many were read."""

    def __init__(self, ws: Workspace, task: Task) -> None:
        self.ws, self.task, self.segments = ws, task, 0

    def run(self) -> Iterator[Difference]:
        devices = self.ws.shadow.devices()
        for device, info, head, sequence in devices:
            if head is None:
                continue
            if info.get("problem"):
                yield _of(device, 0, "logDamaged", str(info["problem"]), THEIRS)
            yield from self._log(device, head, sequence)

    def _log(self, device: str, head: str, sequence: int) -> Iterator[Difference]:
        try:
            entries = sorted(self.ws.repo.tree(head), key=lambda entry: entry.path)
        except SidecarError as error:
            if error.kind == "cancelled":
                raise
            yield _of(device, 0, "logDamaged", "The commit that ends this log is not in our copy of the vault.", OURS)
            return
        known = {file.path: file for file in self.ws.shadow.segments(device, 0)}
        there = {entry.path for entry in entries}
        for index, entry in enumerate(entries):
            self.task.report("verify logs", index, len(entries))
            if entry.path.startswith("seg/"):
                yield from self._segment(device, entry.path, entry.sha, known.get(entry.path))
            else:
                problem = self._stored(entry.sha)
                if problem:
                    yield _of(device, 0, "valueDamaged" if entry.path.startswith("blob/") else "logDamaged", f"{entry.path}: {problem}", OURS)
        for path, file in known.items():
            if path not in there:
                yield from self._absent(device, file.sequence, path, file.blob)
        yield from self._end(device, head, sequence)

    def _segment(self, device: str, path: str, sha: str, known: SegmentFile | None) -> Iterator[Difference]:
        self.segments += 1
        sequence = known.sequence if known is not None else int(path[-26:-17]) if path[-26:-17].isdigit() else 0
        try:
            data = self.ws.repo.read_blob(sha, limit=MAX_SEGMENT_BYTES)
            if self.ws.repo.blob_name(data) != sha:
                yield _of(device, sequence, "segmentDamaged", "What is stored is not what was fetched.", OURS)
                return
            reader = self.ws.tools.segment_reader(data, path, device=device, sequence=sequence, sealer=self.ws.sealer)
            check_chain(self.ws, device, SegmentFile(reader.first, sequence, sha, path), reader.previous)
            mentioned = {place: mention.puts for place, mention in reader.mentions().items()}
        except SidecarError as error:
            if error.kind not in UNUSABLE:
                raise
            missing = not self.ws.repo.has(sha)
            yield _of(device, sequence, "segmentMissing" if missing else "segmentDamaged", error.message, OURS if missing else f"{OURS} {THEIRS}")
            return
        if known is None or known.blob != sha:
            yield _of(device, sequence, "segmentUnknown", "The log has a segment that was never read here.", OURS)
            return
        noted = self.ws.shadow.noted_puts(device, reader.first, sequence)
        for session in sorted({session for session, _ in mentioned.keys() - noted.keys()}):
            meaning = "The segment has records of this session that were never read here."
            yield Difference("", "", session, "segmentUnknown", device=device, sequence=sequence, meaning=meaning, remedy=OURS)
        for session in sorted({place[0] for place, puts in noted.items() if mentioned.get(place, puts) != puts}):
            meaning = "The shadow does not know whether the segment has more than deletions of this session."
            yield Difference("", "", session, "shadowWrong", device=device, sequence=sequence, meaning=meaning, remedy=OURS)

    def _absent(self, device: str, sequence: int, path: str, blob: str) -> Iterator[Difference]:
        if self._stored(blob):
            yield _of(device, sequence, "segmentMissing", f"{path} is neither in the log nor in our copy of the vault.", THEIRS)
        else:
            yield _of(device, sequence, "segmentMissing", f"{path} is not in the log any more; our copy of it is kept.", THEIRS)

    def _stored(self, sha: str) -> str:
        """What is wrong with a stored object."""
        try:
            return "" if self.ws.repo.blob_name(self.ws.repo.read_blob(sha, limit=MAX_SEGMENT_BYTES)) == sha else "what is stored is not what was fetched"
        except SidecarError as error:
            if error.kind not in UNUSABLE:
                raise
            return error.message

    def _end(self, device: str, head: str, sequence: int) -> Iterator[Difference]:
        try:
            said = read_head(self.ws, device, head)
        except SidecarError as error:
            if error.kind not in UNUSABLE:
                raise
            yield _of(device, 0, "logDamaged", error.message, THEIRS)
            return
        own = device == self.ws.identity.device_id
        if sequence > said["sequence"] or (own and sequence != said["sequence"]):
            yield _of(device, sequence, "shadowWrong", f"The shadow says that this log has {sequence} segments; it has {said['sequence']}.", OURS)
        last = self.ws.shadow.segment(device, said["sequence"])
        if (mark_of(last.path) if last is not None else None) != said["segment"]:
            yield _of(device, said["sequence"], "segmentMissing", "The log's head names a last segment that is not there.", THEIRS)

    # --- the remote -----------------------------------------------------------------------------------------------
    def remote(self, notes: list[str]) -> Iterator[Difference]:
        """Compare what the remote has now with what was confirmed and fetched; fetches what moved, into our own repository alone."""
        ws, repo = self.ws, self.ws.repo
        heads = repo.remote_heads(self.task)
        forgotten = {device for device, _ in ws.sealer.ring.forgotten} if ws.sealer is not None else set()
        yield from self._own(heads.get(ws.identity.branch), notes)
        for device, info, head, sequence in ws.shadow.devices():
            if device == ws.identity.device_id or device in forgotten or head is None:
                continue
            there = heads.get(f"sessions/{device}")
            if there is None:
                yield _of(device, sequence, "remoteMissing", "The remote has lost this log; what was fetched of it is here.", THEIRS)
            elif there != head:
                yield from self._moved(device, str(info.get("name") or device), head, there, sequence, notes)

    def _own(self, there: str | None, notes: list[str]) -> Iterator[Difference]:
        ws, repo, device = self.ws, self.ws.repo, self.ws.identity.device_id
        mine, confirmed = repo.local_ref(ws.identity.ref), ws.shadow.get("confirmed")
        if there == mine:
            return
        if there is not None and (mine is None or not (repo.is_ancestor(there, mine) or was_ours(ws, there))):
            yield _of(device, 0, "remoteOther", "The remote's log of this device has something that this device did not write.", f"{SYNC} It says what to do.")
        elif confirmed is None or there == confirmed:
            notes.append(f"Something that was recorded here has not been pushed yet. {SYNC}")
        elif there is None:
            yield _of(device, 0, "remoteMissing", "The remote has lost this device's log.", f"{SYNC} It publishes it again.")
        else:
            yield _of(device, 0, "remoteBehind", "The remote's log of this device went back.", f"{SYNC} It publishes the rest again.")

    def _moved(self, device: str, name: str, head: str, there: str, sequence: int, notes: list[str]) -> Iterator[Difference]:
        repo = self.ws.repo
        if repo.is_ancestor(there, head):
            yield _of(device, sequence, "remoteBehind", "The remote's copy of this log went back; what was fetched of it is here.", THEIRS)
            return
        try:
            keep(self.ws, device, head)  # until the next cycle has looked at what it is now
            repo.fetch(self.task, [f"sessions/{device}"])
            said = read_head(self.ws, device, there)
            marks = {mark_of(entry.path) for entry in repo.tree(there, "seg/")}
        except SidecarError as error:
            if error.kind not in (*UNUSABLE, "internal"):
                raise
            yield _of(device, sequence, "remoteOther", f"The remote's copy of this log cannot be read: {error.message}", THEIRS)
            return
        generation = int(self.ws.shadow.info_of(device).get("generation", 0))
        if said["sequence"] < sequence or said["generation"] < generation or said["segment"] not in {*marks, None}:
            yield _of(device, sequence, "remoteBehind", "The remote's copy of this log was cut; what was fetched of it is here.", THEIRS)
        else:
            notes.append(f"{name} has published something since the last sync. {SYNC}")


def _of(device: str, sequence: int, kind: str, meaning: str, remedy: str) -> Difference:
    return Difference("", "", "", kind, device=device, sequence=sequence, meaning=meaning, remedy=remedy)
