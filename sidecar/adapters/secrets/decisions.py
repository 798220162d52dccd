"""The file with what the user decided about secrets. It stays on this device, and only its owner can read it."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from sidecar.adapters.files.atomic import write_private
from sidecar.domain.errors import SidecarError
from sidecar.domain.secrets import POLICIES, Decisions

KEY_BYTES = 32


def load(path: Path, *, keep: bool) -> Decisions:
    """What was decided; a new key when nothing was, which is kept if wanted. Raises when the file is damaged: guessing would
    publish what was to be held.
    """
    try:
        value = json.loads(path.read_bytes())
        key, policy = bytes.fromhex(value["key"]), value.get("policy")
        if len(key) != KEY_BYTES or policy not in (None, *POLICIES):
            raise ValueError
        return Decisions(key, policy, set(value["fingerprints"]), set(value["rules"]), set(value["sessions"]))
    except FileNotFoundError:
        fresh = Decisions(secrets.token_bytes(KEY_BYTES))
        if keep:
            save(path, fresh)
        return fresh
    except (ValueError, KeyError, TypeError):
        raise SidecarError(
            "internal",
            "The file with the decisions about secrets is damaged.",
            detail=str(path),
            remedy="Remove it: the policy is then the default one, and nothing is allowed.",
        ) from None


def save(path: Path, decisions: Decisions) -> None:
    value = {
        "key": decisions.key.hex(),
        "policy": decisions.policy,
        "fingerprints": sorted(decisions.fingerprints),
        "rules": sorted(decisions.rules),
        "sessions": sorted(decisions.sessions),
    }
    write_private(path, json.dumps(value, indent=1).encode())
