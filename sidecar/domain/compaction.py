"""What of a device's own log still matters: a pure function of that log, right whatever the other logs hold now or later.

Nothing moves to another place: what is left keeps its sequence, since tombstones, contexts and every device's shadow speak of
sequences. A record may go only when no set of other records could make it count:

- a put that a later put of the same log replaces: whoever has seen the later one has seen both, so a tombstone that removes the
  later one removes both, and one that does not lets the later one win;
- a put of a row, other than a session's own, that a tombstone of the same log covers: tombstones stay, so it is dead for good;
- a tombstone that a later one of the same row and log includes.

What a deleted session holds stays: somebody who went on with it unseen brings it back whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sidecar.domain.records import SESSION, Mention, Place, Record, Version, VersionVector, covers

_BEGINNING = "project_id"
"""A session's put with this column can make the session where it is not known."""


@dataclass(slots=True)
class _Row:
    """What later records of the log say of one row."""

    puts: list[tuple[Version, frozenset[str]]] = field(default_factory=list)
    newest: dict[str, Version] = field(default_factory=dict)
    seen: list[VersionVector] = field(default_factory=list)


@dataclass(slots=True)
class Kept:
    """The plan. `dropped`: place -> the records of its group, by number, that go; `gone`: places of which nothing stays, not even a mention."""

    dropped: dict[Place, frozenset[int]] = field(default_factory=dict)
    gone: set[Place] = field(default_factory=set)
    records: int = 0
    dropped_records: int = 0


class Survey:
    """Walks a log from its end to its beginning. `device`: whose log it is."""

    def __init__(self, device: str) -> None:
        self.kept = Kept()
        self._device = device
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self._names: dict[frozenset[str], frozenset[str]] = {}
        self._with_puts: set[str] = set()
        self._contexts: dict[str, list[VersionVector]] = {}

    def group(self, place: Place, mention: Mention, records: Collection[Record]) -> None:
        """One session's records of one sequence; to be called for the later sequences first. Of the columns only the names are looked at."""
        numbered = list(enumerate(records))
        dropped = frozenset(number for number, record in reversed(numbered) if not self._stays(place[1], record))
        self.kept.records += len(numbered)
        self.kept.dropped_records += len(dropped)
        if dropped:
            self.kept.dropped[place] = dropped
        if not self._mention_stays(place[0], mention) and len(dropped) == len(numbered):
            self.kept.gone.add(place)

    def _mention_stays(self, session: str, mention: Mention) -> bool:
        """The last put decides whether a session was seen by its tombstone, and a context whether it was continued on two machines."""
        last = mention.puts and session not in self._with_puts
        if mention.puts:
            self._with_puts.add(session)
        if mention.context is None:
            return last
        later = self._contexts.setdefault(session, [])
        if _included(mention.context, later):
            return last
        later.append(mention.context)
        return True

    def _stays(self, sequence: int, record: Record) -> bool:
        row = self._rows.setdefault((record.session_id, record.table, record.key), _Row())
        if record.is_tombstone:
            seen = record.seen or {}
            if _included(seen, row.seen):
                return False
            row.seen.append(seen)
            return True
        if record.table != SESSION and any(covers(seen, self._device, sequence) for seen in row.seen):
            return False
        names = frozenset(record.columns or ())
        names = self._names.setdefault(names, names)
        if any(version > record.version and others >= names for version, others in row.puts):
            return False
        patch = record.table == SESSION and _BEGINNING not in names
        if patch and names and all(name in row.newest and row.newest[name] > record.version for name in names):
            return False
        row.puts.append((record.version, names))
        if record.table == SESSION:
            row.newest |= {name: max(record.version, row.newest.get(name, record.version)) for name in names}
        return True


def _included(vector: VersionVector, others: Iterable[VersionVector]) -> bool:
    return any(all(covers(other, device, sequence) for device, sequence in vector.items()) for other in others)
