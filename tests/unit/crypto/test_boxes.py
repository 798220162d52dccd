"""A new key in a box: the device it is for opens it, nobody else, and nobody else can have sealed it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.crypto import DeviceKey, KeyRing, VaultKey
from sidecar.adapters.crypto.boxes import open_box, seal_box
from sidecar.adapters.crypto.succession import settle
from sidecar.domain.errors import SidecarError
from tests.unit.crypto.test_keys import changed, leaves

VAULT, A, B, C = "f" * 32, "a" * 32, "b" * 32, "c" * 32
SENDER, RECIPIENT, OTHER = DeviceKey.new(), DeviceKey.new(), DeviceKey.new()
PLACE = (VAULT, "key", B, A, "0" * 16)
SECRET = bytes(range(32))


def test_a_box_opens_for_whom_and_from_whom_it_is() -> None:
    box = seal_box(SECRET, SENDER, RECIPIENT.public, *PLACE)
    assert open_box(box, RECIPIENT, SENDER.public, *PLACE) == SECRET
    assert SECRET not in base64.b64decode(box)
    assert box != seal_box(SECRET, SENDER, RECIPIENT.public, *PLACE)
    for recipient, sender in ((OTHER, SENDER.public), (RECIPIENT, OTHER.public), (SENDER, RECIPIENT.public), (RECIPIENT, RECIPIENT.public)):
        with pytest.raises(ValueError, match=r"."):
            open_box(box, recipient, sender, *PLACE)


@given(st.integers(0, len(PLACE) - 1), st.text("0123456789abcdef", max_size=16))
def test_a_box_is_for_one_place(index: int, other: str) -> None:
    box = seal_box(SECRET, SENDER, RECIPIENT.public, *PLACE)
    place = [*PLACE[:index], other, *PLACE[index + 1 :]]
    if tuple(place) != PLACE:
        with pytest.raises(ValueError, match=r"."):
            open_box(box, RECIPIENT, SENDER.public, *place)


@given(st.data())
def test_no_byte_of_a_box_can_be_changed_or_cut(data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(seal_box(SECRET, SENDER, RECIPIENT.public, *PLACE)))
    at = data.draw(st.integers(0, len(raw) - 1))
    for other in (raw[:at], raw[:at] + bytes([raw[at] ^ 1 << data.draw(st.integers(0, 6))]) + raw[at + 1 :]):
        with pytest.raises(ValueError, match=r"."):
            open_box(base64.b64encode(other).decode(), RECIPIENT, SENDER.public, *PLACE)


@pytest.mark.parametrize("public", ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f"])
def test_a_public_key_that_agrees_with_everybody_is_refused(public: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        seal_box(SECRET, SENDER, public, *PLACE)


class Vault:
    """Three devices that know each other, and the manifest after `a` changed the key and forgot `c`."""

    def __init__(self) -> None:
        keys = {device: DeviceKey.new() for device in (A, B, C)}
        self.old = VaultKey.new()
        self.rings = {
            device: KeyRing(self.old, private=key, pins=tuple((other, keys[other].public) for other in keys if other != device)) for device, key in keys.items()
        }
        self.new = self.rings[A].rotated([(A, "1" * 40), (B, "2" * 40)], ((C, "3" * 40),), "4" * 40)
        self.manifest: dict[str, Any] = json.loads(json.dumps(self.new.manifest(VAULT, 1, kept={"format": 1}, by=A)))

    def signed(self, **changes: Any) -> dict[str, Any]:
        """With a changed member, by somebody who has both keys."""
        manifest: dict[str, Any] = json.loads(json.dumps(self.manifest | changes))
        for entry in manifest["retired"]:
            entry["proof"] = self.old.proof(manifest)
        return manifest | {"mac": self.new.current.mac(manifest)}


def test_the_one_that_stays_takes_the_key_and_remembers_who_is_gone() -> None:
    vault = Vault()
    ring = settle(vault.rings[B], vault.manifest, B)
    assert ring.current == vault.new.current
    assert vault.old in ring.retired
    assert dict(ring.forgotten) == {C: "3" * 40}
    assert dict(ring.bounds or ()) == {A: "1" * 40, B: "2" * 40}
    assert ring.config == "4" * 40
    assert C not in dict(ring.pins)
    assert ring.private == vault.rings[B].private
    assert KeyRing.from_json(ring.to_json()) == ring
    assert settle(ring, vault.manifest, B) == ring, "looking again changes something"
    once_more = ring.rotated([(A, "5" * 40), (B, "6" * 40)], ring.forgotten, None)
    assert settle(vault.rings[A], once_more.manifest(VAULT, 1, by=B), A).current == once_more.current, "one change that was missed is one too many"


def test_the_forgotten_one_is_told_and_gets_nothing() -> None:
    vault = Vault()
    with pytest.raises(SidecarError, match="forgotten") as caught:
        settle(vault.rings[C], vault.manifest, C)
    assert caught.value.kind == "wrongKey"
    for entry in vault.manifest["members"]:
        if entry["box"] is not None:
            with pytest.raises(ValueError, match=r"."):
                open_box(entry["box"], vault.rings[C].private or OTHER, vault.rings[A].private.public, VAULT, "key", B, A, vault.new.current.id.hex())  # type: ignore[union-attr]


def test_an_older_manifest_is_refused() -> None:
    vault = Vault()
    before = vault.rings[A].manifest(VAULT, 1)
    with pytest.raises(SidecarError, match="went back"):
        settle(vault.new, before, A)
    interrupted = replace(vault.rings[A], pending=vault.new.current)
    assert settle(interrupted, vault.manifest, A).current == vault.new.current
    kept = settle(interrupted, before, A)
    assert kept.current == vault.old
    assert settle(kept, vault.manifest, A).current == vault.new.current, "a push that arrived late locks the one that made it out"


@settings(max_examples=60)
@given(st.data())
def test_no_member_can_be_changed_by_who_has_no_key(data: st.DataObject) -> None:
    vault = Vault()
    path = data.draw(st.sampled_from(leaves(vault.manifest)))
    with pytest.raises(SidecarError) as caught:
        settle(vault.rings[B], changed(vault.manifest, path), B)
    assert caught.value.kind in ("remoteNotVault", "wrongKey")


def test_whoever_has_the_old_key_alone_cannot_change_who_changed_it() -> None:
    """`c` makes a change of its own, and says that it was `a`; or that it is itself, after it was forgotten."""
    vault = Vault()
    forged = vault.rings[C].rotated([(B, "2" * 40), (A, "1" * 40), (C, "3" * 40)], (), None)
    for said in (A, B):
        manifest = forged.manifest(VAULT, 1, by=said)
        with pytest.raises(SidecarError) as caught:
            settle(vault.rings[B], manifest, B)
        assert caught.value.kind in ("remoteNotVault", "wrongKey")
    after = settle(vault.rings[B], vault.manifest, B)
    with pytest.raises(SidecarError, match="does not follow"):
        settle(after, forged.manifest(VAULT, 1, by=C), B)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"by": None}, "remoteNotVault"),
        ({"by": C}, "remoteNotVault"),
        ({"by": 7}, "remoteNotVault"),
        ({"members": []}, "wrongKey"),
        ({"members": None}, "remoteNotVault"),
        ({"members": [{}]}, "remoteNotVault"),
        ({"config": "x"}, "remoteNotVault"),
        ({"config": 7}, "remoteNotVault"),
        ({"forgotten": [{"device": C, "commit": "-x"}]}, "remoteNotVault"),
        ({"forgotten": 7}, "remoteNotVault"),
    ],
)
def test_nonsense_of_a_linked_device_is_refused_in_words(change: dict[str, Any], kind: str) -> None:
    vault = Vault()
    with pytest.raises(SidecarError) as caught:
        settle(vault.rings[B], vault.signed(**change), B)
    assert caught.value.kind == kind


def test_a_first_sight_counts_for_more_than_what_a_manifest_says() -> None:
    vault = Vault()
    mine = replace(vault.rings[B], pins=((A, vault.rings[A].pins[0][1]),))
    with pytest.raises(SidecarError, match="under the name"):
        settle(mine, vault.manifest, B)
    lost = replace(vault.rings[B], private=OTHER)
    with pytest.raises(SidecarError) as caught:
        settle(lost, vault.manifest, B)
    assert caught.value.kind == "wrongKey"


def test_nothing_that_is_printed_shows_a_private_key() -> None:
    assert SENDER.secret.hex() not in repr(SENDER)
    assert repr(SENDER.secret) not in repr(KeyRing(VaultKey.new(), private=SENDER))
