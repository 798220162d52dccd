"""Groups of this device's own log, made again from the shadow and the database: what a compaction would have left of them.

Every group keeps its place. A put is here if the database has still the content that was published; else it was edited or deleted since,
and the next scan publishes that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sidecar.domain.records import SESSION, Mention, Place, Record, Version
from sidecar.domain.state import SegmentFile, SessionRows
from sidecar.domain.task import Task
from sidecar.services.scan import Change, Scanner, SessionScan, ShadowRows
from sidecar.services.secrets import Guard
from sidecar.services.workspace import Workspace


class Remade:
    """Of places past `after`. `left_out`: rows by session that must not be published any more, of which the shadow should not think they were."""

    def __init__(self, ws: Workspace, task: Task, after: int) -> None:
        self.ws, self.task, self._after = ws, task, after
        self._own = ws.identity.device_id
        self._scanner = Scanner(self._own, ws.clock, ws.tools.hash_row, ws.portable_session)
        self._guard = Guard(ws, task, dry=False)
        self._mentions = {place: mention for place, mention in ws.shadow.mentions(self._own).items() if place[1] > after}
        self._last: dict[str, int] = {}
        self._puts_at: dict[str, list[int]] = defaultdict(list)
        for (session, sequence), mention in self._mentions.items():
            self._last[session] = max(sequence, self._last.get(session, 0))
            if mention.puts:
                self._puts_at[session].append(sequence)
        self.left_out: dict[str, list[tuple[str, str]]] = {}

    def groups(self, file: SegmentFile) -> Iterator[tuple[Place, Mention, list[Record]]]:
        """What this file of the log had."""
        places = [place for place in self._mentions if file.first <= place[1] <= file.sequence]
        sessions: dict[str, list[int]] = defaultdict(list)
        for session, sequence in places:
            sessions[session].append(sequence)
        for session, sequences in sessions.items():
            self.task.check()
            records = self._records(session, set(sequences))
            for sequence in sorted(sequences):
                yield (session, sequence), self._mentions[session, sequence], records[sequence]

    def _records(self, session: str, sequences: set[int]) -> dict[int, list[Record]]:
        found: dict[int, list[Record]] = defaultdict(list)
        known, rows = self.ws.shadow.rows(session), self.ws.db.fit_session(session)
        if rows is not None:
            scan = SessionScan(session, "")
            at: dict[int, int] = {}
            for sequence, change in self._puts(rows, known, sequences):
                scan.changes.append(change)
                at[id(change)] = sequence
            whole = list(scan.changes)
            self._guard.examine(scan, rows)
            for change in scan.changes:
                found[at[id(change)]].append(change.record)
            kept = {id(change) for change in scan.changes}
            gone = [(c.record.table, c.record.key) for c in whole if id(c) not in kept and c.record.table != SESSION]
            if gone:
                self.left_out.setdefault(session, []).extend(gone)
        if self._last[session] in sequences:
            found[self._last[session]] += self._tombstones(session)
        return found

    def _puts(self, rows: SessionRows, known: ShadowRows, sequences: set[int]) -> Iterator[tuple[int, Change]]:
        for change in self._scanner.everything(rows):
            record, row = change.record, known.get((change.record.table, change.record.key))
            if row is None:
                continue
            if record.table == SESSION:
                yield from ((sequence, put) for sequence, put in self._session_puts(change, row.cells or {}) if sequence in sequences)
            elif row.version.device == self._own and row.sequence in sequences and change.shadow is not None and change.shadow.hash == row.hash:
                record.version = row.version
                yield row.sequence, change

    def _session_puts(self, change: Change, cells: dict[str, list[Any]]) -> Iterator[tuple[int, Change]]:
        """With their places, the latest last: one for each version of a column that is ours, as many as can have been in what is lost.

        The oldest has every column, so that the session can be made from it. Where in the log they were is not known for sure; a tombstone
        of a session that does not cover its last put covers none.
        """
        record, columns = change.record, change.record.columns or {}
        versions = {name: Version(*cell[:3]) for name, cell in cells.items() if name in columns}
        current = change.shadow.cells or {} if change.shadow is not None else {}
        places = self._puts_at[record.session_id]
        own = sorted({version for version in versions.values() if version.device == self._own})[-len(places) :] if places else []
        for index, (sequence, version) in enumerate(zip(places[-len(own) :], own, strict=True) if own else ()):
            if index == 0:
                names = [name for name, other in versions.items() if other >= version]
            else:
                names = [name for name, other in versions.items() if other == version and cells[name][3] == current[name][3]]
            if names:
                yield sequence, Change(Record(SESSION, record.key, record.session_id, version, {name: columns[name] for name in names}), change.shadow)

    def _tombstones(self, session: str) -> Iterator[Record]:
        """All that are in force here; of which time they were is not known, so they are older than anything."""
        for (table, key), seen in self.ws.shadow.tombstones(session).items():
            yield Record(table, key, session, Version(0, 0, self._own), None, seen)
