"""Making a vault, joining one, and the file that says which device this is."""

from __future__ import annotations

import json
import platform
import re
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import FORMAT, VAULT_FILE, Identity

if TYPE_CHECKING:
    from sidecar.adapters.git import VaultRepo

DEFAULT_BRANCH = "main"
ENCRYPTIONS = ("none", "aes-256-gcm")
_MAX_VAULT_BYTES = 1 << 20
_NOTHING, _STARTER, _SYNCED, _VAULT, _OTHER = "nothing", "starter", "synced", "vault", "other"
_STARTER_FILE = re.compile(r"(readme|licen[cs]e|copying)(\.\w+)?|\.git(ignore|attributes|keep)", re.IGNORECASE)
"""What git hosts offer to begin a repository with."""
_SYNCEDS_MARKS = ("config/opencode.json", "config/opencode.jsonc", "config/opencode-synced.jsonc", "config/AGENTS.md")


def read_identity(path: Path) -> Identity | None:
    """The device's identity, or None when it has none yet. Raises OSError when the disk refuses: that is no reason for a new one."""
    try:
        value = json.loads(path.read_bytes())
        return Identity(
            value["vaultId"],
            value["deviceId"],
            value["deviceName"],
            value["platform"],
            value["remote"],
            bool(value.get("embedded", False)),
            str(value.get("encryption", "none")),
            str(value.get("keyStore", "file")),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SidecarError(
            "internal",
            "The file that says which device this is cannot be read.",
            detail=f"{path}: {type(error).__name__}",
            remedy="Restore it from a backup, or run `opencode-sidecar link REMOTE --new-device`.",
        ) from None


def identity_bytes(identity: Identity) -> bytes:
    value = {
        "vaultId": identity.vault_id,
        "deviceId": identity.device_id,
        "deviceName": identity.device_name,
        "platform": identity.platform,
        "remote": identity.remote,
        "embedded": identity.embedded,
        "encryption": identity.encryption,
        "keyStore": identity.key_store,
    }
    return json.dumps(value, indent=1).encode()


def new_identity(vault_id: str, remote: str, name: str | None, *, embedded: bool = False, encryption: str = "none", key_store: str = "file") -> Identity:
    system = {"Darwin": "macos", "Windows": "windows"}.get(platform.system(), platform.system().lower() or "unknown")
    return Identity(vault_id, uuid.uuid4().hex, (name or socket.gethostname() or "device")[:80], system, remote, embedded, encryption, key_store)


def new_vault_id() -> str:
    return uuid.uuid4().hex


def make_vault(repo: VaultRepo, task: Task, vault_id: str, encryption: Callable[[str, int], dict[str, Any]] | None, *, adopt: bool = False) -> None:
    """Write the manifest to an empty remote, to one with no more than what a git host begins a repository with, or (`adopt`) to one of
    opencode-synced; their files stay. Raises remoteNotEmpty.

    `encryption`: what the manifest says of the keys, for a vault's id and the time of its making; None for a plain vault.
    """
    task.report("connect")
    heads = repo.remote_heads(task)
    holds, branch, parent = _look_at(repo, task, heads)
    if holds not in (_NOTHING, _SYNCED if adopt else _STARTER):
        raise _not_empty(holds, heads)
    created = int(time.time() * 1000)
    manifest = {"format": FORMAT, "vault": vault_id, "encryption": "none", "created": created}
    if encryption is not None:
        manifest |= encryption(vault_id, created)
    ref = f"refs/heads/{branch}"
    repo.forget_ref(ref)  # of an earlier attempt that did not get through
    if parent is not None:
        repo.adopt_ref(ref, parent)
    repo.commit(ref, parent, {VAULT_FILE: manifest_bytes(manifest)}, "Create the vault", int(time.time()))
    task.report("push")
    repo.push(task, branch)


def _look_at(repo: VaultRepo, task: Task, heads: Mapping[str, str]) -> tuple[str, str, str | None]:
    """What a repository holds, its main branch, and the commit there to build on."""
    if not heads:
        return _NOTHING, DEFAULT_BRANCH, None
    branch = repo.remote_head_branch(task) or next((name for name in (DEFAULT_BRANCH, "master") if name in heads), DEFAULT_BRANCH)
    if branch not in heads or any(name.startswith("sessions/") for name in heads):
        return _VAULT if any(name.startswith("sessions/") for name in heads) else _OTHER, branch, None
    repo.fetch(task, [branch])
    commit = repo.local_ref(f"refs/remotes/origin/{branch}")
    known = {entry.path for entry in repo.tree(commit)} if commit else set()
    if VAULT_FILE in known:
        return _VAULT, branch, commit
    if any(mark in known for mark in _SYNCEDS_MARKS):
        return _SYNCED, branch, commit
    starter = len(heads) == 1 and bool(known) and all(_STARTER_FILE.fullmatch(path) for path in known)
    return _STARTER if starter else _OTHER, branch, commit


def _not_empty(holds: str, heads: dict[str, str]) -> SidecarError:
    message, remedy = {
        _VAULT: ("There is a vault in this repository already.", "Join it with `opencode-sidecar link REMOTE`; for a new one, give an empty repository."),
        _SYNCED: (
            "This is a repository of opencode-synced.",
            "`opencode-sidecar init REMOTE --adopt` makes it a vault and leaves its files where they are; or give an empty repository.",
        ),
        _STARTER: (
            "There is nothing of opencode-synced in this repository.",
            "Give another address, or leave out --adopt: then its files stay beside a new vault.",
        ),
    }.get(holds, ("The remote is not empty, and holds something else.", "Give an empty repository, or one with no more than a README."))
    return SidecarError("remoteNotEmpty", message, detail=", ".join(sorted(heads)[:5]), remedy=remedy)


def manifest_bytes(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1).encode() + b"\n"


def replace_manifest(repo: VaultRepo, task: Task, manifest: dict[str, Any], branch: str, message: str) -> None:
    """Commit another manifest on top of what the remote has, and push it. Raises remoteBusy when it moved meanwhile."""
    parent = repo.local_ref(f"refs/remotes/origin/{branch}")
    ref = f"refs/heads/{branch}"
    if parent is not None:
        repo.adopt_ref(ref, parent)
    repo.commit(ref, parent, {VAULT_FILE: manifest_bytes(manifest)}, message, int(time.time()))
    task.report("push")
    repo.push(task, branch)


def pin_log(repo: VaultRepo, task: Task, device: str) -> str:
    """Keep a log as it is now on a branch of its own, for machines that join later. Its commit. Raises invalidParams."""
    branch, kept = f"sessions/{device}", f"forgotten/{device}"
    heads = repo.remote_heads(task)
    if branch not in heads:
        raise SidecarError("invalidParams", "There is no such device in the vault.", detail=device, remedy="See `opencode-sidecar status --json`.")
    repo.fetch(task, [branch])
    commit = repo.local_ref(f"refs/remotes/origin/{branch}") or heads[branch]
    repo.adopt_ref(f"refs/heads/{kept}", commit)
    repo.push(task, kept, force_from=heads.get(kept, ""))
    return commit


def read_vault(repo: VaultRepo, task: Task, heads: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The remote's manifest, its branch in `branch`. `heads`: its branches when they are known. Raises remoteNotVault, newerFormat."""
    if heads is None:
        task.report("connect")
        heads = repo.remote_heads(task)
    branches = [name for name in (DEFAULT_BRANCH, "master") if name in heads]
    branches += [name for name in sorted(heads) if name not in branches and not name.startswith(("sessions/", "forgotten/"))]
    for branch in branches[:8]:
        repo.fetch(task, [branch])
        head = repo.local_ref(f"refs/remotes/origin/{branch}")
        data = repo.read_file(head, VAULT_FILE, limit=_MAX_VAULT_BYTES) if head else None
        if data is not None:
            return _check_manifest(data) | {"branch": branch}
    holds, _, _ = _look_at(repo, task, heads)
    what = {_NOTHING: "The remote is empty.", _SYNCED: "This is a repository of opencode-synced, and no vault yet."}
    adopt = "`opencode-sidecar init REMOTE --adopt` makes it one and leaves its files where they are; then link the other machines."
    make = "Make one with `opencode-sidecar init REMOTE` (an empty repository), or give the address that the other machine uses."
    raise SidecarError("remoteNotVault", what.get(holds, "There is no vault in this repository."), remedy=adopt if holds == _SYNCED else make)


def _check_manifest(data: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(data)
        version, vault = manifest["format"], manifest["vault"]
        if not isinstance(version, int) or not isinstance(vault, str):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SidecarError("remoteNotVault", "The vault's manifest is damaged.", detail=VAULT_FILE, remedy="Restore it from the remote's history.") from None
    if version > FORMAT:
        raise SidecarError(
            "newerFormat",
            f"The vault has format {version}, newer than the {FORMAT} that this program knows.",
            detail=VAULT_FILE,
            remedy="Update opencode-sidecar on this machine.",
        )
    if manifest.get("encryption", "none") not in ENCRYPTIONS:
        raise SidecarError("unsupported", "The vault is encrypted in a way that this version cannot read.", remedy="Update opencode-sidecar on this machine.")
    return manifest


def set_aside(state: Path, names: tuple[str, ...], rename: Callable[[Path, Path], object] = Path.rename) -> None:
    """Keep the files of an earlier identity under another name: nothing that was recorded is deleted."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in names:
        for path in sorted(state.glob(f"{name}*")):
            with suppress(FileNotFoundError):  # who looked at it has closed it since: SQLite removed what was beside it
                rename(path, path.with_name(f"replaced-{stamp}-{path.name}"))
