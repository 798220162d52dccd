"""The recovery key: 32 bytes as text that a person can copy by hand, with a check in every group.

Thirteen groups of five of Crockford's base 32 digits: four digits of the key, then a check digit over them and the group's
place. Case, spaces and hyphens do not count; O reads as 0, I and L as 1. A wrong digit, two digits of a group that changed
places and groups that changed places are noticed, and the group is named.
"""

from __future__ import annotations

from sidecar.domain.errors import SidecarError

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUPS, DATA_DIGITS, KEY_BYTES = 13, 4, 32
_READS_AS = str.maketrans("OIL", "011", " -\t\r\n")


def encode(key: bytes) -> str:
    """The text of a key of 32 bytes."""
    number = int.from_bytes(key, "big") << (GROUPS * DATA_DIGITS * 5 - KEY_BYTES * 8)
    digits = "".join(DIGITS[number >> (5 * place) & 31] for place in reversed(range(GROUPS * DATA_DIGITS)))
    groups = [digits[start : start + DATA_DIGITS] for start in range(0, len(digits), DATA_DIGITS)]
    return "-".join(group + _check(group, place) for place, group in enumerate(groups))


def decode(text: str) -> bytes:
    """The key of a text. Raises wrongKey, naming the group that is mistyped, never showing it."""
    digits = text.upper().translate(_READS_AS)
    strange = next((place for place, digit in enumerate(digits) if digit not in DIGITS), None)
    size = DATA_DIGITS + 1
    if strange is not None:
        raise _mistyped(f"group {strange // size + 1} has a character that no key has")
    if len(digits) != GROUPS * size:
        raise _mistyped(f"it has {len(digits)} characters instead of {GROUPS * size}")
    data = ""
    for place in range(GROUPS):
        group = digits[place * size : (place + 1) * size]
        if _check(group[:DATA_DIGITS], place) != group[-1]:
            raise _mistyped(f"group {place + 1} of {GROUPS} is not right")
        data += group[:DATA_DIGITS]
    number = 0
    for digit in data:
        number = number << 5 | DIGITS.index(digit)
    spare = GROUPS * DATA_DIGITS * 5 - KEY_BYTES * 8
    if number & ((1 << spare) - 1):
        raise _mistyped(f"group {GROUPS} of {GROUPS} is not right")
    return (number >> spare).to_bytes(KEY_BYTES, "big")


def _check(group: str, place: int) -> str:
    """A polynomial over GF(32), x^5 + x^2 + 1: unlike a sum modulo 32, it tells apart all digits and all their places."""
    value = 0
    for digit in group:
        value = (value ^ DIGITS.index(digit)) << 1
        value ^= 0b100101 if value & 32 else 0
    return DIGITS[value ^ place]


def _mistyped(why: str) -> SidecarError:
    return SidecarError(
        "wrongKey", f"The recovery key is mistyped: {why}.", remedy="Compare it with what `init` printed; `show-key` on another machine prints it again."
    )
