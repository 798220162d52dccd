"""The recovery key: a person who mistypes it is told where; nobody is let in by a near miss."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.adapters.crypto import recovery
from sidecar.domain.errors import SidecarError

keys = st.binary(min_size=32, max_size=32)
LENGTH = recovery.GROUPS * (recovery.DATA_DIGITS + 1)


@given(keys)
def test_every_key_can_be_written_down_and_read_again(key: bytes) -> None:
    text = recovery.encode(key)
    assert recovery.decode(text) == key
    assert [len(group) for group in text.split("-")] == [5] * 13


@given(keys, st.data())
def test_how_a_person_writes_does_not_matter(key: bytes, data: st.DataObject) -> None:
    text = recovery.encode(key)
    swaps = {"0": "oO0", "1": "iIlL1"}
    written = "".join(data.draw(st.sampled_from(swaps.get(char, char + char.lower()))) for char in text)
    separator = data.draw(st.sampled_from(["-", " ", "", "\n", " - "]))
    assert recovery.decode(f" {written.replace('-', separator)}\n") == key, "a key copied by hand with other spacing or case is refused"


@given(keys, st.integers(0, LENGTH - 1), st.sampled_from(recovery.DIGITS))
def test_one_wrong_character_is_noticed_and_its_group_is_named(key: bytes, place: int, digit: str) -> None:
    digits = recovery.encode(key).replace("-", "")
    assume(digits[place] != digit)
    with pytest.raises(SidecarError, match=f"group {place // 5 + 1} of 13") as caught:
        recovery.decode(digits[:place] + digit + digits[place + 1 :])
    assert digits not in str(caught.value)
    assert digits[:5] not in f"{caught.value.message} {caught.value.detail} {caught.value.remedy}"


@given(keys, st.integers(0, 12), st.integers(0, 12))
def test_groups_that_changed_places_are_noticed(key: bytes, one: int, other: int) -> None:
    groups = recovery.encode(key).split("-")
    assume(groups[one][:4] != groups[other][:4])
    groups[one], groups[other] = groups[other], groups[one]
    with pytest.raises(SidecarError):
        recovery.decode("-".join(groups))


@given(keys, st.integers(0, 12), st.integers(0, 4), st.integers(0, 4))
def test_characters_of_a_group_that_changed_places_are_noticed(key: bytes, group: int, one: int, other: int) -> None:
    digits = list(recovery.encode(key).replace("-", ""))
    one, other = group * 5 + one, group * 5 + other
    assume(digits[one] != digits[other])
    digits[one], digits[other] = digits[other], digits[one]
    with pytest.raises(SidecarError, match=f"group {group + 1} of 13"):
        recovery.decode("".join(digits))


@pytest.mark.parametrize("text", ["", "0", "U" * 65, "0" * 64, "0" * 66, "é" * 65, "\0" * 65])
def test_what_is_no_key_is_refused_in_words(text: str) -> None:
    with pytest.raises(SidecarError, match="mistyped") as caught:
        recovery.decode(text)
    assert caught.value.kind == "wrongKey"
    assert caught.value.remedy
