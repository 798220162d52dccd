"""Taking over a new key that another device handed to this one in the vault's manifest."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from sidecar.adapters.crypto.boxes import open_box
from sidecar.adapters.crypto.keys import KeyRing, tampered, went_back
from sidecar.domain.errors import SidecarError


def settle(ring: KeyRing, manifest: Mapping[str, Any], device: str) -> KeyRing:
    """The keys as a manifest of the remote says: ours, one that we made and did not see arrive, or one that another device handed to us.

    Raises wrongKey; remoteNotVault when the manifest is false, or older than what is here.
    """
    said = manifest.get("key")
    known = next((key for key in ring.keys if isinstance(said, dict) and said.get("id") == key.id.hex()), None)
    if known is None:
        return succeed(ring, manifest, device)
    there = KeyRing.from_manifest(manifest, known.secret)
    if there.precedes(ring):
        raise went_back()
    return there.joined(ring)


def succeed(ring: KeyRing, manifest: Mapping[str, Any], device: str) -> KeyRing:
    """The ring as the manifest says. Everything is checked before anything of it is used.

    Raises remoteNotVault when it was not made by somebody who has our current key, or who says to be another device; wrongKey when it was,
    and holds nothing that this device can open.
    """
    try:
        vault, by, key_id = str(manifest["vault"]), manifest["by"], str(manifest["key"]["id"])
        mine = next((entry for entry in manifest["retired"] if entry["id"] == ring.current.id.hex()), None)
        if mine is None:
            raise _no_successor()
        if "proof" not in mine:
            raise _not_given("The vault's key was changed by a version of this program that does not hand it to the other devices.")
        if not hmac.compare_digest(str(mine["proof"]), ring.current.proof(manifest)):
            raise tampered()
        members = {str(entry["device"]): entry for entry in manifest["members"]}
        if any(entry["device"] == device for entry in manifest["forgotten"]):
            raise _forgotten()
        if device not in members:
            raise _not_given("The vault's key was changed by a device that did not know of this one.")
        own, sender = members[device], members[str(by)]
        if by in dict(ring.forgotten) or dict(ring.pins).get(str(by), sender["publicKey"]) != sender["publicKey"]:
            raise _impostor(str(by))
        if ring.private is None or own["box"] is None or own["publicKey"] != ring.private.public:
            raise _not_given("The vault's key was changed, and what it was sealed with for this device is not here any more.")
        try:
            secret = open_box(str(own["box"]), ring.private, str(sender["publicKey"]), vault, "key", device, str(by), key_id)
        except ValueError:
            raise _impostor(str(by)) from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise tampered() from None
    there = KeyRing.from_manifest(manifest, secret)
    if there.current.id.hex() != key_id or there.find(ring.current.id) is None:
        raise tampered()
    return there.joined(ring)


def _not_given(why: str) -> SidecarError:
    return SidecarError(
        "wrongKey",
        why,
        remedy="Run `opencode-sidecar link REMOTE --key-file FILE` with what `show-key` prints on another machine. What was recorded here is kept, and goes out then.",
    )


def _forgotten() -> SidecarError:
    return SidecarError(
        "wrongKey",
        "This device was forgotten: the vault has a new key, and this device is not to have it.",
        remedy="If that was a mistake, run `opencode-sidecar link REMOTE --new-device --key-file FILE` with what `show-key` prints on another machine.",
    )


def _no_successor() -> SidecarError:
    return SidecarError(
        "remoteNotVault",
        "The vault's manifest names a key that does not follow the one that is here: somebody else put it there.",
        detail=".opencode-sidecar/vault.json",
        remedy="It was ignored, and this device goes on with its key. Find out who can write to the repository, then run `opencode-sidecar rotate-key`.",
    )


def _impostor(device: str) -> SidecarError:
    return SidecarError(
        "remoteNotVault",
        f"Somebody changed the vault's key under the name of device {device}.",
        detail=".opencode-sidecar/vault.json",
        remedy="It was ignored. Find out who has had the vault's key and can write to the repository, then run `opencode-sidecar rotate-key`.",
    )
