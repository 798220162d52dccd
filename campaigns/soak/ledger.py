"""What a compaction did to a log, judged by docs/format.md alone: none of the product's code that decides about it is used here."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from campaigns.soak.oracle import Digest, digest
from sidecar.domain.records import Mention, Place, Record, Version, VersionVector
from sidecar.services.heads import read_head
from sidecar.services.receive import MAX_SEGMENT_BYTES
from sidecar.services.rows import load_value
from sidecar.services.workspace import Workspace
from tests.support.machines import Machine

DATA = {"session": "title", "message": "data", "part": "data"}


class Said(NamedTuple):
    """A record. `content`: a hash of its values, large ones included; `versions`: what of it a scan may have seen."""

    table: str
    key: str
    version: Version
    names: frozenset[str]
    seen: tuple[tuple[str, int], ...] | None
    content: bytes
    versions: tuple[Digest, ...]


@dataclass
class Log:
    """One device's log, group by group."""

    device: str
    generation: int = 0
    groups: dict[Place, tuple[Mention, list[Said]]] = field(default_factory=dict)


def own_log(machine: Machine) -> Log:
    """As it is in that device's own copy of the vault."""
    with machine.sidecar._workspace(remote=False) as ws:
        commit = ws.repo.local_ref(ws.identity.ref)
        log = Log(ws.identity.device_id)
        if commit is None:
            return log
        log.generation = read_head(ws, log.device, commit)["generation"]
        for mentions, groups in _segments(ws, log.device, commit):
            for place, records in groups:
                log.groups[place] = mentions[place], [_said(ws, log.device, record, commit) for record in records]
        return log


def versions_of(ws: Workspace, device: str, commit: str) -> Iterator[Digest]:
    """Everything that a log holds of what a scan may have seen."""
    for _, groups in _segments(ws, device, commit):
        for _, records in groups:
            for record in records:
                yield from digests(record.table, record.key, _values(ws, device, record, commit))


def digests(table: str, key: str, columns: Any) -> Iterator[Digest]:
    """Of what an image or a record says of a row."""
    if table == "todo" and "items" in columns:
        yield digest(table, key, tuple(item["content"] for item in columns["items"]))
    elif table in DATA and DATA[table] in columns:
        yield digest(table, key, columns[DATA[table]])


def _segments(ws: Workspace, device: str, commit: str) -> Iterator[tuple[Mapping[Place, Mention], list[tuple[Place, list[Record]]]]]:
    for entry in ws.repo.tree(commit, "seg/"):
        data = ws.repo.read_blob(entry.sha, limit=MAX_SEGMENT_BYTES)
        sequence = int(entry.path.rpartition("/")[2].partition("-")[0])
        reader = ws.tools.segment_reader(data, entry.path, device=device, sequence=sequence, sealer=ws.sealer)
        yield reader.mentions(), [((group.session_id, group.sequence), group.records) for group in reader.groups(None)]


def _values(ws: Workspace, device: str, record: Record, commit: str) -> dict[str, Any]:
    return {name: load_value(ws, value, device, commit) for name, value in (record.columns or {}).items()}


def _said(ws: Workspace, device: str, record: Record, commit: str) -> Said:
    values = _values(ws, device, record, commit)
    seen = tuple(sorted((record.seen or {}).items())) if record.is_tombstone else None
    content = hashlib.sha256(ws.tools.pack([record.is_tombstone, sorted(values.items())])).digest()
    return Said(record.table, record.key, record.version, frozenset(values), seen, content, tuple(digests(record.table, record.key, values)))


# --- the judgement --------------------------------------------------------------------------------------------------
def left_out(old: Log, new: Log) -> set[Digest]:
    """The versions that are in `old` and not in `new`, each left out by right. Raises AssertionError."""
    assert not new.groups.keys() - old.groups.keys(), f"a compaction made up {sorted(new.groups.keys() - old.groups.keys())[:5]}"
    kept = _Kept(new)
    dropped: set[Digest] = set()
    last = {session: max(place[1] for place in old.groups if place[0] == session and old.groups[place][0].puts) for session in _with_puts(old)}
    for place, (mention, records) in old.groups.items():
        mention_now, records_now = new.groups.get(place, (None, []))
        gone = Counter(records)
        gone.subtract(records_now)
        assert min(gone.values(), default=0) >= 0, f"a compaction changed a record of {place}"
        for said in gone.elements():
            assert kept.excuses(place, said), f"I2: a compaction left out {said.table} {said.key} of {place}, and nothing in its log stands for it"
            dropped.update(said.versions)
        if mention_now is not None:
            assert mention_now == mention, f"a compaction changed what is said of {place}: {mention} -> {mention_now}"
            continue
        assert not (mention.puts and last[place[0]] == place[1]), f"a compaction left out the last group with puts of a session: {place}"
        assert mention.context is None or kept.includes(place, mention.context), f"a compaction left out what had been seen at {place}"
    return dropped - {version for _, records in new.groups.values() for said in records for version in said.versions}


def _with_puts(log: Log) -> set[str]:
    return {session for (session, _), (mention, _) in log.groups.items() if mention.puts}


class _Kept:
    """What the new log has, by row and by session."""

    def __init__(self, log: Log) -> None:
        self._device = log.device
        self._rows: dict[tuple[str, str, str], list[tuple[int, Said]]] = defaultdict(list)
        self._contexts: dict[str, list[tuple[int, VersionVector]]] = defaultdict(list)
        for (session, sequence), (mention, records) in log.groups.items():
            for said in records:
                self._rows[session, said.table, said.key].append((sequence, said))
            if mention.context is not None:
                self._contexts[session].append((sequence, mention.context))

    def excuses(self, place: Place, said: Said) -> bool:
        """Whether docs/format.md lets this one be left out beside what is here."""
        session, sequence = place
        row = self._rows[session, said.table, said.key]
        tombstones = [(at, dict(other.seen)) for at, other in row if other.seen is not None]
        if said.seen is not None:
            return any(at >= sequence and _within(said.seen, seen) for at, seen in tombstones)
        if said.table != "session" and any(seen.get(self._device, 0) >= sequence for _, seen in tombstones):
            return True
        later = [other for at, other in row if other.seen is None and at >= sequence and other.version > said.version]
        if any(other.names >= said.names for other in later):
            return True
        return said.table == "session" and "project_id" not in said.names and all(any(name in other.names for other in later) for name in said.names)

    def includes(self, place: Place, context: VersionVector) -> bool:
        return any(at > place[1] and _within(tuple(context.items()), other) for at, other in self._contexts[place[0]])


def _within(vector: Sequence[tuple[str, int]], other: Mapping[str, int]) -> bool:
    return all(other.get(device, 0) >= sequence for device, sequence in vector)
