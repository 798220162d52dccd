"""Making a vault, joining one, and the file that says which device this is."""

from __future__ import annotations

import json
import platform
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Task
from sidecar.services.workspace import FORMAT, VAULT_FILE, Identity

if TYPE_CHECKING:
    from sidecar.adapters.git import RemoteUrl, VaultRepo

DEFAULT_BRANCH = "main"
ENCRYPTIONS = ("none", "aes-256-gcm")
_MAX_VAULT_BYTES = 1 << 20


def read_identity(path: Path) -> Identity | None:
    """The device's identity, or None when it has none yet."""
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
    except (ValueError, KeyError, TypeError, OSError) as error:
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


def require_private(url: RemoteUrl, *, acknowledged: bool) -> None:
    """Without encryption, transcripts go only where someone said that strangers cannot read."""
    if url.kind == "file" or acknowledged:
        return
    raise SidecarError(
        "remoteNotPrivate",
        "This vault is not encrypted, and nothing shows that the remote is private.",
        detail=url.display,
        remedy="Check that only you can read this repository, then run the command again with --acknowledge-private; or make an encrypted vault.",
    )


def new_vault_id() -> str:
    return uuid.uuid4().hex


def make_vault(repo: VaultRepo, task: Task, vault_id: str, encryption: Callable[[str, int], dict[str, Any]] | None, *, adopt: bool = False) -> None:
    """Write the manifest to an empty remote, or (`adopt`) to one of opencode-synced. Raises remoteNotEmpty.

    `encryption`: what the manifest says of the keys, for a vault's id and the time of its making; None for a plain vault.
    """
    task.report("connect")
    heads = repo.remote_heads(task)
    branch, parent = _adopted(repo, task, heads) if adopt and heads else (DEFAULT_BRANCH, None)
    if heads and parent is None:
        raise SidecarError(
            "remoteNotEmpty",
            "The remote is not empty.",
            detail=", ".join(sorted(heads)[:5]),
            remedy="To join a vault that is there already, use `opencode-sidecar link`. For a new one, give an empty repository, or with --adopt "
            "one that opencode-synced made.",
        )
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


def _adopted(repo: VaultRepo, task: Task, heads: dict[str, str]) -> tuple[str, str | None]:
    """The branch and commit of a repository in opencode-synced's layout; no commit when it is something else."""
    branch = repo.remote_head_branch(task) or next((name for name in (DEFAULT_BRANCH, "master") if name in heads), DEFAULT_BRANCH)
    if branch not in heads or any(name.startswith("sessions/") for name in heads):
        return branch, None
    repo.fetch(task, [branch])
    commit = repo.local_ref(f"refs/remotes/origin/{branch}")
    known = {entry.path for entry in repo.tree(commit)} if commit else set()
    marks = ("config/opencode.json", "config/opencode.jsonc", "config/opencode-synced.jsonc", "config/AGENTS.md")
    return branch, commit if VAULT_FILE not in known and any(mark in known for mark in marks) else None


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


def read_vault(repo: VaultRepo, task: Task, heads: dict[str, str] | None = None) -> dict[str, Any]:
    """The remote's manifest, its branch in `branch`. `heads`: its branches, when they are known. Raises remoteNotVault, newerFormat."""
    task.report("connect")
    heads = repo.remote_heads(task) if heads is None else heads
    branches = [name for name in (DEFAULT_BRANCH, "master") if name in heads]
    branches += [name for name in sorted(heads) if name not in branches and not name.startswith("sessions/")]
    for branch in branches[:8]:
        repo.fetch(task, [branch])
        head = repo.local_ref(f"refs/remotes/origin/{branch}")
        data = repo.read_file(head, VAULT_FILE, limit=_MAX_VAULT_BYTES) if head else None
        if data is not None:
            return _check_manifest(data) | {"branch": branch}
    raise SidecarError(
        "remoteNotVault",
        "There is no vault in this repository." if heads else "The remote is empty.",
        remedy="Make one with `opencode-sidecar init REMOTE` (an empty repository), or give the address that the other machine uses.",
    )


def _check_manifest(data: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(data)
        version, vault = manifest["format"], manifest["vault"]
        if not isinstance(version, int) or not isinstance(vault, str):
            raise TypeError
    except (ValueError, KeyError, TypeError):
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
        for path in state.glob(f"{name}*"):
            rename(path, path.with_name(f"replaced-{stamp}-{path.name}"))
