"""Sealed objects: nothing can be read, changed, cut, or put in another place without the key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.adapters.crypto import KeyRing, Sealer, VaultKey
from sidecar.adapters.segments import SegmentReader, SegmentWriter
from sidecar.adapters.segments import writer as writer_module
from sidecar.domain.errors import SidecarError
from sidecar.domain.records import MESSAGE, PART, SESSION, Record, Version

RING = KeyRing(VaultKey(bytes(range(32))), (VaultKey(bytes(32)),))
SEALER = Sealer(RING, "f" * 32)
DEVICE, OTHER = "d" * 32, "e" * 32
places = st.lists(st.sampled_from(["segment", "blob", "head", DEVICE, OTHER, "1"]) | st.integers(0, 3), max_size=4).map(tuple)
REFUSED = ("segmentCorrupt", "wrongKey", "newerFormat")


@given(st.binary(max_size=300), places, places)
def test_an_object_opens_in_its_own_place_only(data: bytes, place: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    sealed = SEALER.seal_whole(data, *place)
    assert SEALER.open_whole(sealed, *place) == data
    assume(place != other)
    with pytest.raises(ValueError, match="another place"):
        SEALER.open_whole(sealed, *other)
    with pytest.raises(ValueError, match="another place"):
        Sealer(RING, "0" * 32).open_whole(sealed, *place)


@given(st.binary(max_size=100), st.data())
def test_no_byte_of_it_can_be_changed_or_cut(data: bytes, draw: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal_whole(data, "head"))
    position = draw.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises((ValueError, SidecarError)):
        SEALER.open_whole(bytes(sealed[:position]), "head")
    sealed[position] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises((ValueError, SidecarError)):
        SEALER.open_whole(bytes(sealed), "head")


def test_the_same_data_never_looks_the_same_twice() -> None:
    assert len({SEALER.seal_whole(b"x", "head") for _ in range(50)}) == 50


def test_names_of_large_values_differ_by_key_and_say_nothing() -> None:
    digest = bytes(32)
    names = SEALER.names_of(digest)
    assert len(set(names)) == 2
    assert digest.hex() not in names


def segment(sequence: int = 1, sealer: Sealer | None = SEALER, *, device: str = DEVICE) -> tuple[bytes, str]:
    writer = SegmentWriter(device, sequence, sealer=sealer, previous="0" * 16)
    version = Version(1, 0, device)
    writer.add(Record(SESSION, "ses_secret", "ses_secret", version, {"title": "the secret title"}))
    for number in range(8):
        writer.add(Record(MESSAGE, f"msg_{number}", "ses_secret", version, {"data": f"secret text {number} " * 40}))
        writer.add(Record(PART, f"prt_{number}", "ses_secret", version, {"data": f"secret part {number} " * 40}))
    made = writer.finish()
    return made.data, made.path


def read(data: bytes, path: str, *, sealer: Sealer | None = SEALER, sequence: int = 1, device: str = DEVICE) -> int:
    return sum(len(group.records) for group in SegmentReader(data, path, device=device, sequence=sequence, sealer=sealer).groups())


@pytest.fixture
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "FRAME_BYTES", 1000)


@pytest.mark.usefixtures("small_frames")
def test_a_sealed_segment_reads_with_the_key_and_shows_nothing_without() -> None:
    data, path = segment()
    assert read(data, path) == 17
    for text in (b"secret", b"msg_", b"title", DEVICE.encode(), b"\x28\xb5\x2f\xfd"):
        assert text not in data, f"a segment shows {text!r} to whoever can read the remote"
    assert read(data, path, sealer=Sealer(KeyRing(VaultKey.new(), (RING.current,)), "f" * 32)) == 17, "after a rotation the old segments are lost"


@pytest.mark.usefixtures("small_frames")
@pytest.mark.parametrize(
    "wrong", [{"sequence": 2}, {"device": OTHER}, {"sealer": Sealer(RING, "0" * 32)}, {"sealer": Sealer(KeyRing(VaultKey.new()), "f" * 32)}]
)
def test_a_segment_cannot_move_to_another_place_device_or_vault(wrong: dict[str, Any]) -> None:
    with pytest.raises(SidecarError) as caught:
        read(*segment(), **wrong)
    assert caught.value.kind in REFUSED


@pytest.mark.usefixtures("small_frames")
def test_sealed_and_plain_vaults_do_not_take_each_others_segments() -> None:
    for data, reader in ((segment(), None), (segment(sealer=None), SEALER)):
        with pytest.raises(SidecarError) as caught:
            read(*data, sealer=reader)
        assert caught.value.kind in REFUSED, "whoever writes to the remote could take the encryption off"


@pytest.mark.usefixtures("small_frames")
@given(draw=st.data())
def test_frames_that_were_swapped_or_changed_are_refused_also_with_a_right_checksum(draw: st.DataObject) -> None:
    """The checksum at the end is no secret: whoever changes a segment can write a new one."""
    import hashlib

    data, path = segment()
    body = bytearray(data[:-32])
    kind = draw.draw(st.sampled_from(["flip", "cut", "swap"]))
    if kind == "flip":
        body[draw.draw(st.integers(12, len(body) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    elif kind == "cut":
        body = body[: draw.draw(st.integers(12, len(body) - 1))]
    else:
        start = draw.draw(st.integers(36, len(body) - 40))
        body[start : start + 16], body[start + 16 : start + 32] = body[start + 16 : start + 32], body[start : start + 16]
    assume(bytes(body) != data[:-32])
    with pytest.raises(SidecarError) as caught:
        read(bytes(body) + hashlib.sha256(body).digest(), path)
    assert caught.value.kind in REFUSED
