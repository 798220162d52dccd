"""Checks of this device's part of the vault, and of the remote."""

from __future__ import annotations

import os
import stat
import tempfile
from typing import TYPE_CHECKING, Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.secrets import WARN
from sidecar.examination import REPAIR, Examination

if TYPE_CHECKING:
    from sidecar.services.workspace import Workspace

MAX_BRANCHES = 1_000
MAX_FILE_BYTES = 100 << 20
"""Git hosts refuse larger files."""
MAX_LOG_BYTES = 4 << 30
"""Git hosts warn of repositories from about here on."""
CLOCK_TOLERANCE_MS = 5 * 60_000
_LINK = "Run `opencode-sidecar link REMOTE --key-file FILE` with what `show-key` prints on another machine."


class VaultChecks(Examination):
    """Part of `Doctor`."""

    def device(self) -> None:
        if self.identity is None:
            there = (self.settings.own_state / "device.json").exists()
            detail = "the file that says which device this is cannot be read" if there else "not part of a vault"
            remedy = "`opencode-sidecar link REMOTE --new-device`." if there else "`opencode-sidecar init [REMOTE]` or `opencode-sidecar link REMOTE`."
            self.say("device", False, detail, remedy)
        else:
            self.say("device", True, f"{self.identity.device_name} ({self.identity.device_id[:8]}) in vault {self.identity.vault_id[:8]}")

    def key(self) -> None:
        assert self.identity is not None
        with self.workspace() as ws:
            sealer = ws.sealer
        if sealer is None:
            self.say("key", True, "the vault is not encrypted")
            return
        where = "a file" if self.identity.key_store == "file" else "the system's keyring"
        self.say("key", True, f"key {sealer.ring.current.id.hex()} is here in {where}, with {len(sealer.ring.retired)} older ones")
        path = self.settings.own_state / "keys.json"
        if self.identity.key_store == "file" and os.name == "posix":
            mode = stat.S_IMODE(path.stat().st_mode)
            self.say("key file", not mode & 0o077, f"{path} has mode {mode:03o}", f"Run `chmod 600 '{path}'`; if others use this machine, `rotate-key`.")

    def vault_copy(self) -> None:
        with self.workspace() as ws:
            problem = ws.repo.problem(self.task)
            self.say("vault copy", problem is None, problem or "sound", REPAIR)
            own = ws.repo.local_ref(ws.identity.ref)
            if problem is None and own is not None:
                sizes = [entry.size for entry in ws.repo.tree(own, sizes=True)]
                total, largest = sum(sizes), max(sizes, default=0)
                detail = f"{total >> 20} MB in this device's log, {largest >> 20} MB its largest file"
                remedy = "Hosts may refuse it: use one that takes more, or shrink the log with `opencode-sidecar compact`."
                self.say("log size", total <= MAX_LOG_BYTES and largest <= MAX_FILE_BYTES, detail, remedy)

    def inside(self) -> None:
        from sidecar.services.report import status

        with self.workspace() as ws:
            seen, ahead, disk = status(ws, running=False), ws.clock.ahead_ms(), self._disk_clock(ws)
        self.say("clock", ahead < CLOCK_TOLERANCE_MS, f"{ahead / 1000:.0f} s behind what was recorded here", "Set this machine's clock.")
        apart = abs(disk) < CLOCK_TOLERANCE_MS
        self.say("clock of the disk", apart, f"{disk / 1000:+.0f} s against this machine's", "Set this machine's clock, or that of the server with the files.")
        wrong = [f"{device.name} by {device.clock_ahead_ms // 1000} s" for device in seen.devices if device.clock_ahead_ms > CLOCK_TOLERANCE_MS]
        self.say("clocks elsewhere", not wrong, "ahead: " + ", ".join(wrong) if wrong else "none ahead", "Set the clock of these machines.")
        remedy = "`opencode-sidecar quarantine` says what; update opencode and opencode-sidecar here, then `quarantine --retry`."
        self.say("quarantine", not seen.quarantined, f"{seen.quarantined} kept aside", remedy)
        self.say(
            "guard",
            not seen.guarded,
            f"{seen.guarded} sessions lost rows in a suspicious way",
            "`opencode-sidecar sync --deletions publish` if that was meant, `--deletions restore` brings them back.",
        )
        failed = seen.last_error.message if seen.last_error else ""
        self.say("last cycle", not failed, failed or "succeeded", "See `opencode-sidecar status`.")

    def _disk_clock(self, ws: Workspace) -> int:
        """How far the file system's clock is ahead of ours, milliseconds: another machine's, where the folder is shared."""
        with tempfile.NamedTemporaryFile(dir=self.settings.own_state, prefix=".clock.") as file:
            return os.stat(file.fileno()).st_mtime_ns // 1_000_000 - ws.clock.wall()

    def secrets(self) -> None:
        assert self.identity is not None
        with self.workspace() as ws:
            decisions = ws.tools.secrets.load(False)
            held = len(ws.shadow.held_sessions())
        policy = decisions.policy_for(self.identity.encryption)
        exposed = policy == WARN and self.identity.encryption == "none"
        detail = f"policy {policy}, {held} sessions held back"
        self.say("secrets", not exposed, detail + (", and the vault is not encrypted" if exposed else ""), "`opencode-sidecar secrets policy hold`.")

    # --- the remote -----------------------------------------------------------------------------------------------
    def privacy(self) -> None:
        assert self.identity is not None
        self.say("remote privacy", *self.who_can_read(self.identity, self.task))

    def remote(self) -> None:
        """Asked while nobody syncs: two gits in one repository disturb each other."""
        try:
            with self.lock(self.task):
                self._ask_remote()
        except SidecarError as error:
            if error.kind == "authFailed":
                self.say("credentials", False, f"{error.message} {error.detail}".strip(), error.remedy)
            elif error.kind != "locked":
                raise
            else:
                self.say("remote", True, "not asked: a sync is running")

    def _ask_remote(self) -> None:
        from sidecar.services import setup

        identity = self.identity
        assert identity is not None
        with self.workspace() as ws:
            heads = ws.repo.remote_heads(self.task)
            self.say("credentials", True, "the remote asked nothing that had to be typed")
            manifest = setup.read_vault(ws.repo, self.task)
            same = manifest["vault"] == identity.vault_id
            self.say("remote", same, f"reached; {len(heads)} branches", "It holds another vault: give the right address with `link`.")
            if same:
                self._key_of_remote(ws, manifest)
            self.say("branches", len(heads) <= MAX_BRANCHES, f"{len(heads)} branches", "Remove those of devices that are gone.")
            ours = ws.repo.local_ref(identity.ref)
            rights = ws.repo.may_push(identity.branch, self.task) if ours is not None else True
            self.say("rights", rights, "may push" if ours is not None else "nothing to push yet")
            behind = ours is not None and heads.get(identity.branch) != ours
            detail = "the remote lacks what was recorded last" if behind else "the remote has all of it"
            self.say("published", not behind, detail, "Run `opencode-sidecar sync`.")

    def _key_of_remote(self, ws: Workspace, manifest: dict[str, Any]) -> None:
        """Whether what is sealed here can be opened by those who have the vault's key now."""
        said = manifest.get("key")
        if ws.sealer is None or not isinstance(said, dict):
            if (ws.sealer is None) != (said is None):
                self.say("key of the vault", False, "the remote and this device disagree about whether the vault is encrypted", _LINK)
            return
        current = ws.sealer.ring.current
        fits = said.get("id") == current.id.hex() and said.get("check") == current.check(ws.identity.vault_id)
        self.say("key of the vault", fits, "the key here is the vault's" if fits else f"the vault has key {str(said.get('id'))[:16]} now", _LINK)
