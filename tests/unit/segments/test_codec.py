"""Segments: what goes in comes out, in one piece per conversation, and damage is noticed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.segments import SegmentReader, SegmentWriter
from sidecar.adapters.segments import writer as writer_module
from sidecar.adapters.segments.bounded import decompress
from sidecar.adapters.segments.values import LARGE_VALUE_BYTES, MAX_CONTAINERS, pack, packed_in_pieces, unpack
from sidecar.domain.errors import SidecarError
from sidecar.domain.records import MESSAGE, PART, SESSION, TABLES, Mention, Record, Version

DEVICE = "d" * 32

texts = st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))  # what SQLite holds as text need not be UTF-8
values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts | st.binary()
versions = st.builds(Version, st.integers(0, 2**53), st.integers(0, 2**31), st.just(DEVICE))
vectors = st.dictionaries(st.sampled_from(["a" * 32, "b" * 32, DEVICE]), st.integers(1, 1000), max_size=3)
sessions = st.sampled_from(["ses_1", "ses_2", "ses_3"])
puts = st.builds(Record, st.sampled_from(TABLES), st.text(max_size=8), sessions, versions, st.dictionaries(st.text(max_size=6), values, max_size=4))
deletes = st.builds(lambda t, k, s, v, seen: Record(t, k, s, v, None, seen), st.sampled_from(TABLES), st.text(max_size=8), sessions, versions, vectors)
logs = st.lists(puts | deletes, min_size=1, max_size=30)


def write(records: list[Record], sequence: int = 1) -> tuple[bytes, str, dict[str, bytes]]:
    writer = SegmentWriter(DEVICE, sequence)
    for record in records:
        writer.add(record)
    segment = writer.finish()
    return segment.data, segment.path, segment.blobs


def read(data: bytes, path: str, only: frozenset[str] | None = None, sequence: int = 1) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for group in SegmentReader(data, path, device=DEVICE, sequence=sequence).groups(only):
        assert group.session_id not in found, "a conversation came in two pieces: what one of them waits for, the other would tick off"
        found[group.session_id] = group.records
    return found


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


@given(logs, st.integers(1, 400))
def test_every_record_survives_the_trip_exactly(records: list[Record], frame: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "FRAME_BYTES", frame)
        data, path, _ = write(records)
    found = read(data, path)
    expected: dict[str, list[Record]] = {}
    for record in records:
        expected.setdefault(record.session_id, []).append(record)
    assert found.keys() == expected.keys()
    for session, rows in expected.items():
        for before, after in zip(rows, found[session], strict=True):
            assert (before.table, before.key, before.version, before.columns is None) == (after.table, after.key, after.version, after.columns is None)
            if before.columns is not None and after.columns is not None:
                assert before.columns.keys() == after.columns.keys()
                assert all(same(before.columns[name], after.columns[name]) for name in before.columns), "a value changed on its way"
            else:
                assert before.seen == after.seen


@given(logs, st.integers(1, 400), st.frozensets(sessions))
def test_reading_some_sessions_gives_all_of_them_and_nothing_else(records: list[Record], frame: int, only: frozenset[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "FRAME_BYTES", frame)
        data, path, _ = write(records)
    assert read(data, path, only) == {session: rows for session, rows in read(data, path).items() if session in only}


@given(st.lists(st.tuples(st.integers(3, 9), logs), min_size=1, max_size=5, unique_by=lambda group: group[0]), st.integers(1, 400))
def test_a_compacted_segment_gives_every_group_back_with_the_sequence_it_had(groups: list[tuple[int, list[Record]]], frame: int) -> None:
    expected: dict[tuple[str, int], list[Record]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "FRAME_BYTES", frame)
        writer = SegmentWriter(DEVICE, 9, first=3)
        writer.mention(("ses_gone", 4), Mention(True, {DEVICE: 3}))
        for sequence, records in groups:
            for record in records:
                writer.add(record, sequence)
                expected.setdefault((record.session_id, sequence), []).append(record)
        segment = writer.finish()
    reader = SegmentReader(segment.data, segment.path, device=DEVICE, sequence=9)
    found = {(group.session_id, group.sequence): group.records for group in reader.groups()}
    assert reader.first == 3
    assert found.pop(("ses_gone", 4)) == []
    assert {place: [(r.table, r.key, r.version) for r in rows] for place, rows in found.items()} == {
        place: [(r.table, r.key, r.version) for r in rows] for place, rows in expected.items()
    }
    assert reader.mentions()["ses_gone", 4] == Mention(True, {DEVICE: 3})
    assert reader.mentions().keys() == segment.mentions.keys()
    one = next(iter(expected))
    assert [(group.session_id, group.sequence) for group in reader.groups(exactly={one})] == [one]


@pytest.mark.parametrize("flag", [4, 128])
def test_a_flag_that_is_not_known_is_of_a_newer_version(flag: int) -> None:
    raw, path, _ = write([Record(PART, "prt_1", "ses_1", Version(1, 0, DEVICE), {"data": "x"})])
    changed = bytearray(raw)
    changed[5] |= flag
    with pytest.raises(SidecarError) as caught:
        read(bytes(changed), path)
    assert caught.value.kind == "newerFormat"


@given(logs)
def test_the_directory_tells_what_the_records_say(records: list[Record]) -> None:
    data, path, _ = write(records)
    mentions = SegmentReader(data, path, device=DEVICE, sequence=1).mentions()
    assert mentions.keys() == {(record.session_id, 1) for record in records}
    for (session, _), mention in mentions.items():
        assert mention.puts == any(not r.is_tombstone for r in records if r.session_id == session)


def test_a_conversation_whose_deletions_come_last_is_one_group() -> None:
    """Deletions are written after everything else; taken apart, a group that must wait would be ticked off by its other half."""
    version = Version(1, 0, DEVICE)
    records = [
        Record(SESSION, "ses_1", "ses_1", version, {"title": "a"}),
        Record(SESSION, "ses_2", "ses_2", version, {"title": "b"}),
        Record(MESSAGE, "msg_1", "ses_1", version, None, {DEVICE: 1}),
    ]
    data, path, _ = write(records)
    assert [len(rows) for rows in read(data, path).values()] == [2, 1]


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    raw, path, _ = write([Record(PART, "prt_1", "ses_1", Version(1, 0, DEVICE), {"data": "x" * 100})])
    position, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(raw)
    damaged[position] ^= 1 << bit
    with pytest.raises(SidecarError) as caught:
        read(bytes(damaged), path)
    assert caught.value.kind in ("segmentCorrupt", "newerFormat", "wrongKey")


@given(st.data())
def test_any_cut_is_noticed(data: st.DataObject) -> None:
    raw, path, _ = write([Record(PART, "prt_1", "ses_1", Version(1, 0, DEVICE), {"data": "x" * 100})])
    with pytest.raises(SidecarError, match="damaged"):
        read(raw[: data.draw(st.integers(0, len(raw) - 1))], path)


@given(st.binary(max_size=400))
def test_garbage_is_refused_in_words(garbage: bytes) -> None:
    with pytest.raises(SidecarError):
        SegmentReader(garbage, "seg/0000000/000000001-0", device=DEVICE, sequence=1)


def test_a_segment_cannot_take_another_place_in_a_log() -> None:
    data, path, _ = write([Record(PART, "prt_1", "ses_1", Version(1, 0, DEVICE), {"data": "x"})], sequence=7)
    with pytest.raises(SidecarError, match="damaged") as caught:
        read(data, path, sequence=8)
    assert caught.value.kind == "segmentCorrupt"


def test_a_large_value_is_stored_once_beside_the_records() -> None:
    text = "long " * 300_000
    version = Version(1, 0, DEVICE)
    data, _, blobs = write([Record(PART, f"prt_{n}", "ses_1", version, {"data": text}) for n in range(3)])
    assert len(blobs) == 1, "the same value travels once"
    assert len(data) < 2_000


def test_a_value_of_an_unexpected_type_travels_like_any_other() -> None:
    records = [Record(PART, "prt_1", "ses_1", Version(1, 0, DEVICE), {"data": 7})]
    data, path, _ = write(records)
    assert read(data, path)["ses_1"][0].columns == {"data": 7}


def test_six_kilobytes_do_not_become_gigabytes() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(100 << 20))
    assert len(bomb) < 10_000
    with pytest.raises(ValueError, match="more than"):
        decompress(bomb, 1000)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100 << 20))
    with pytest.raises(ValueError, match="size"):
        decompress(unsized, 1000)


@pytest.mark.parametrize("empty", [b"\x80", b"\x90"], ids=["maps", "lists"])
def test_megabytes_of_nothing_do_not_become_gigabytes(empty: bytes) -> None:
    """An empty list is a byte in a file, which compresses well, and seventy in memory."""
    count = MAX_CONTAINERS * 5
    with pytest.raises(ValueError, match="lists and maps"):
        unpack(b"\xdd" + count.to_bytes(4, "big") + empty * count)


def test_frames_that_are_small_one_by_one_do_not_become_gigabytes_together() -> None:
    frame = bytearray(60 << 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "_compress", lambda *_: zstandard.ZstdCompressor().compress(frame))
        writer = SegmentWriter(DEVICE, 1)
        for _ in range(20):
            writer.add(Record(PART, "prt_1", "ses_1", Version(1, 0, DEVICE), {"data": "x"}))
            writer._close_frame()
            assert writer._pending is not None
            writer._pending = (writer._pending[0], len(frame), writer._pending[2])
        segment = writer.finish()
    with pytest.raises(SidecarError, match="directory"):
        read(segment.data, segment.path)


def test_a_segment_ends_however_well_it_is_compressed() -> None:
    writer = SegmentWriter(DEVICE, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "RAW_BYTES", 10 << 20)
        for number in range(20):
            writer.add(Record(PART, f"prt_{number}", "ses_1", Version(1, 0, DEVICE), {"data": "x" * 1_000_000}))
        assert writer.full, "a reader would refuse it for its size"


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_bytes_that_are_no_frame_are_a_value_error(data: bytes, limit: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        decompress(data, limit)


@pytest.mark.parametrize(
    "large", ["x" * (3 << 20), "é\udc80\U0001f600" * (1 << 20), b"\0\xff" * (1 << 20), "x" * LARGE_VALUE_BYTES, "x" * (LARGE_VALUE_BYTES + 1)], ids=len
)
def test_a_row_in_pieces_is_the_same_row(large: str | bytes) -> None:
    """Else every large row would count as edited after an update of this program."""
    row = {"a": 1, "data": large, "é": "small", "n": 1.5, "z": [1, None]}
    assert b"".join(packed_in_pieces(row)) == pack(row)
