"""What compaction leaves of a log means the same as the whole log, whatever the other logs hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.compaction import Survey
from sidecar.domain.records import MESSAGE, PART, SESSION, STANDARD_COLUMNS, Mention, Place, Record, Version, any_unseen, covers, diverged, join

OWN, OTHERS = "a", ("b", "c")
SESSIONS, ROWS = ("s1", "s2"), ("r1", "r2")
Log = dict[Place, tuple[Mention, list[Record]]]


def meaning(logs: dict[str, Log]) -> dict[str, Any]:
    """Every session that lives, with the winning value of each cell: docs/format.md, word for word, and nothing of the product's code for it."""
    found: dict[str, Any] = {}
    for session in SESSIONS:
        groups = [(device, place[1], mention, records) for device, log in logs.items() for place, (mention, records) in log.items() if place[0] == session]
        dots = [(device, sequence) for device, sequence, mention, _ in groups if mention.puts]
        buried: dict[tuple[str, str], dict[str, int]] = {}
        for _, _, _, records in groups:
            for record in records:
                if record.is_tombstone:
                    buried[record.table, record.key] = join(buried.get((record.table, record.key), {}), record.seen or {})
        whole = buried.get((SESSION, session))
        if whole is not None and not any_unseen(whole, dots):
            continue
        cells: dict[tuple[str, str, str], tuple[Version, Any]] = {}
        for device, sequence, _, records in groups:
            for record in records:
                seen = buried.get((record.table, record.key)) if record.table != SESSION else None
                if record.columns is None or (seen is not None and covers(seen, device, sequence)):
                    continue
                for name, value in record.columns.items():
                    cell = (record.table, record.key, name)
                    if cell not in cells or cells[cell][0] < record.version:
                        cells[cell] = (record.version, value)
        contexts = [(device, sequence, mention.context) for device, sequence, mention, _ in groups if mention.context is not None]
        writers = {device for device, _ in dots}
        found[session] = (cells, writers, diverged(contexts), {device: max(s for d, s in dots if d == device) for device in writers})
    return found


def compacted(log: Log) -> Log:
    survey = Survey(OWN)
    for place in sorted(log, key=lambda place: -place[1]):
        survey.group(place, *log[place])
    kept = survey.kept
    return {
        place: (mention, [record for number, record in enumerate(records) if number not in kept.dropped.get(place, ())])
        for place, (mention, records) in log.items()
        if place not in kept.gone
    }


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Log]:
    """Logs of three devices. What they have seen of each other grows, but for those that lose their shadow now and then."""
    logs: dict[str, Log] = {}
    for device in (OWN, *OTHERS):
        log: Log = {}
        seen: dict[str, dict[str, int]] = {session: {} for session in SESSIONS}
        clock, forgetful = 0, draw(st.booleans())
        for sequence in range(1, draw(st.integers(0, 7)) + 1):
            for session in draw(st.sets(st.sampled_from(SESSIONS))):
                for other in (OWN, *OTHERS):
                    most = sequence - 1 if other == device else 7
                    low = 0 if forgetful else most if other == device else seen[session].get(other, 0)
                    seen[session][other] = draw(st.integers(low, most))
                records = []
                for _ in range(draw(st.integers(1, 3))):
                    table = draw(st.sampled_from((SESSION, MESSAGE, PART)))
                    key = session if table == SESSION else draw(st.sampled_from(ROWS)) + session
                    clock += draw(st.integers(0, 2))
                    version = Version(clock, draw(st.integers(0, 1)), device)
                    names = sorted(STANDARD_COLUMNS[table]) if table != SESSION else draw(st.sampled_from((["title"], ["title", "time"], ["time"])))
                    if table == SESSION and draw(st.booleans()):
                        names = ["project_id", "time", "title"]
                    put = draw(st.integers(0, 3)) > 0
                    columns = {name: f"{device}{sequence}{len(records)}" for name in names} if put else None
                    records.append(Record(table, key, session, version, columns, None if put else dict(seen[session])))
                adds = any(record.table == MESSAGE and not record.is_tombstone for record in records)
                mention = Mention(any(not record.is_tombstone for record in records), dict(seen[session]) if adds else None)
                log[session, sequence] = (mention, records)
        logs[device] = log
    return logs


@settings(max_examples=400)
@given(histories())
def test_a_compacted_log_means_what_the_log_meant(logs: dict[str, Log]) -> None:
    assert meaning(logs | {OWN: compacted(logs[OWN])}) == meaning(logs), "a person would see something else than without compaction"


@settings(max_examples=150)
@given(histories())
def test_it_does_not_matter_which_state_of_a_log_was_compacted(logs: dict[str, Log]) -> None:
    """Somebody who has read the log up to some point, and then goes on with the compacted one, knows no more and no less."""
    whole = logs[OWN]
    for upto in range(8):
        part = {place: group for place, group in whole.items() if place[1] <= upto}
        later = {place: group for place, group in whole.items() if place[1] > upto}
        assert meaning(logs | {OWN: compacted(part) | later}) == meaning(logs)
        assert meaning(logs | {OWN: compacted(compacted(part) | later)}) == meaning(logs)


@settings(max_examples=150)
@given(histories())
def test_compacting_again_takes_nothing_more(logs: dict[str, Log]) -> None:
    once = compacted(logs[OWN])
    assert compacted(once) == once


def _log(*groups: tuple[int, list[Record]]) -> Log:
    return {("s1", sequence): (Mention(any(not r.is_tombstone for r in records), None), records) for sequence, records in groups}


def _put(sequence: int, text: str = "x", key: str = "r1") -> tuple[int, list[Record]]:
    return sequence, [Record(MESSAGE, key, "s1", Version(sequence, 0, OWN), {"data": text, "time_created": 1, "time_updated": 1})]


def _kept(log: Log) -> list[int]:
    return sorted(place[1] for place, (_, records) in compacted(log).items() if records)


def test_of_fifty_edits_one_is_left() -> None:
    assert _kept(_log(*(_put(n) for n in range(1, 51)))) == [50]


def test_what_a_deleted_session_holds_stays_for_somebody_who_went_on_with_it() -> None:
    log = _log(_put(1), (2, [Record(SESSION, "s1", "s1", Version(9, 0, OWN), None, {OWN: 1})]))
    assert _kept(log) == [1, 2]


def test_a_put_that_its_own_tombstone_covers_goes_and_the_session_lives_on_for_it() -> None:
    """Somebody deletes the session having seen segment 1 alone: what was written in 2 keeps it, also when the row itself is gone since."""
    log = _log(_put(1, key="r0"), _put(2), (3, [Record(MESSAGE, "r1", "s1", Version(9, 0, OWN), None, {OWN: 2})]))
    left = compacted(log)
    assert left["s1", 2] == (Mention(True, None), [])
    other: Iterable[tuple[int, list[Record]]] = [(1, [Record(SESSION, "s1", "s1", Version(20, 0, "b"), None, {OWN: 1})])]
    assert "s1" in meaning({OWN: left, "b": _log(*other)})
