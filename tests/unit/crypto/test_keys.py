"""Keys and what the vault says of them: the right one opens, a wrong one is told, and nobody edits the manifest unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.crypto import KeyRing, VaultKey
from sidecar.adapters.crypto import keys as module
from sidecar.domain.errors import SidecarError

secrets = st.binary(min_size=32, max_size=32)
rings = st.builds(
    lambda all_keys, forgotten: KeyRing(all_keys[0], tuple(all_keys[1:]), tuple(forgotten)),
    st.lists(secrets.map(VaultKey), min_size=1, max_size=4, unique_by=lambda key: key.secret),
    st.lists(st.tuples(st.text("0123456789abcdef", min_size=32, max_size=32), st.just("c" * 40)), max_size=3),
)
VAULT = "f" * 32


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for name, part in value.items() for leaf in leaves(part, (*path, name))]
    if isinstance(value, list) and value:
        return [leaf for index, part in enumerate(value) for leaf in leaves(part, (*path, index))]
    return [path]


def changed(manifest: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(manifest))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    old = place[path[-1]]
    place[path[-1]] = old + 1 if isinstance(old, int) else f"{old}x" if isinstance(old, str) else ["0" * 32] if old == [] else "x"
    return copy


@given(rings)
def test_the_key_alone_finds_everything_again(ring: KeyRing) -> None:
    manifest = json.loads(json.dumps(ring.manifest(VAULT, 1, kept={"format": 1})))
    assert KeyRing.from_manifest(manifest, ring.current.secret) == ring
    assert KeyRing.from_json(ring.to_json()) == ring
    pending = replace(ring, pending=VaultKey.new())
    assert KeyRing.from_json(pending.to_json()) == pending


@given(rings, st.data())
def test_no_member_of_the_manifest_can_be_changed_unseen(ring: KeyRing, data: st.DataObject) -> None:
    manifest = json.loads(json.dumps(ring.manifest(VAULT, 1, kept={"format": 1})))
    path = data.draw(st.sampled_from(leaves(manifest)))
    with pytest.raises(SidecarError) as caught:
        KeyRing.from_manifest(changed(manifest, path), ring.current.secret)
    assert caught.value.kind in ("wrongKey", "remoteNotVault"), "somebody without the key put a device among the forgotten ones, or a key among ours"


@given(rings, secrets)
def test_another_key_is_told_before_anything_else(ring: KeyRing, other: bytes) -> None:
    if other == ring.current.secret:
        return
    with pytest.raises(SidecarError) as caught:
        KeyRing.from_manifest(ring.manifest(VAULT, 1), other)
    assert caught.value.kind == "wrongKey"


@given(rings)
def test_nothing_that_is_printed_or_stored_in_the_vault_holds_a_secret(ring: KeyRing) -> None:
    said = repr(ring) + str(ring) + json.dumps(ring.manifest(VAULT, 1))
    for key in (ring.current, *ring.retired):
        assert key.secret.hex() not in said
        assert repr(key.secret) not in said


@settings(max_examples=3)
@given(rings, st.text(min_size=12, max_size=30))
def test_a_passphrase_opens_and_another_does_not(ring: KeyRing, passphrase: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.SCRYPT, "n", 1 << 10)
        manifest = ring.manifest(VAULT, 1, passphrase)
    assert module.secret_of_passphrase(manifest, passphrase) == ring.current.secret
    with pytest.raises(SidecarError) as caught:
        module.secret_of_passphrase(manifest, passphrase + "x")
    assert caught.value.kind == "wrongKey"


def test_a_letter_typed_as_one_character_or_as_two_is_the_same_letter() -> None:
    """macOS and Linux differ in that."""
    composed, apart = "\u00fcber alle Berge", "u\u0308ber alle Berge"
    ring = KeyRing(VaultKey.new())
    for made, given_ in ((composed, apart), (apart, composed)):
        assert module.secret_of_passphrase(ring.manifest(VAULT, 1, made), given_) == ring.current.secret, "the vault is locked on the other system"


@pytest.mark.parametrize("change", [{"n": 1 << 20, "r": 16}, {"n": 1 << 20, "p": 4}, {"n": 1 << 18, "p": 3}, {"n": float("inf")}, {"n": 0}, {"r": 1.5}])
def test_nobody_without_the_key_says_how_hard_we_work(change: dict[str, Any]) -> None:
    """Before anything is computed: what it says is checked afterwards only."""
    manifest = KeyRing(VaultKey.new()).manifest(VAULT, 1, "a long passphrase")
    manifest["passphrase"] = {**manifest["passphrase"], **change}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_stretch", lambda *_: pytest.fail("minutes and gigabytes are spent on what anybody wrote"))
        with pytest.raises(SidecarError) as caught:
            module.secret_of_passphrase(manifest, "a long passphrase")
    assert caught.value.kind == "remoteNotVault"


@pytest.mark.parametrize("change", [{"n": 1 << 30}, {"r": 1 << 20}, {"p": 1 << 20}, {"n": -1}, {"n": "x"}, {"kdf": "md5"}, {"salt": 7}, {"wrapped": "!"}])
def test_a_manifest_cannot_make_us_work_for_hours_or_fail_without_words(change: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.SCRYPT, "n", 1 << 10)
        manifest = KeyRing(VaultKey.new()).manifest(VAULT, 1, "a long passphrase")
    manifest["passphrase"] = {**manifest["passphrase"], **change}
    with pytest.raises(SidecarError):
        module.secret_of_passphrase(manifest, "a long passphrase")


def test_a_vault_without_a_passphrase_says_so() -> None:
    with pytest.raises(SidecarError, match="no passphrase"):
        module.secret_of_passphrase(KeyRing(VaultKey.new()).manifest(VAULT, 1), "a long passphrase")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"keys": [], "forgotten": []}', '{"keys": ["AAAA"], "forgotten": []}', '{"keys": "x"}'])
def test_a_damaged_file_of_keys_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        KeyRing.from_json(text)
