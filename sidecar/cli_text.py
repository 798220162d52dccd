"""What the commands tell people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from protocol.sync import CycleResult, InitResult, PreviewResult, StatusResult, VerifyResult
from sidecar import cli_config, cli_keys, cli_link, cli_secrets, cli_trust


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"


def init(result: InitResult) -> list[str]:
    lines = [f"🚀 New vault {result.vault_id[:8]} at {result.remote}"]
    if result.recovery_key is not None:
        lines += ["🔑 Its recovery key. Write it down: without it nobody can read the vault, and the other machine needs it.", f"   {result.recovery_key}"]
    return [*lines, "   Run `opencode-sidecar sync`, then `opencode-sidecar link` on the other machine."]


def cycle(result: CycleResult) -> list[str]:
    lines = ["✅ Up to date." if result.up_to_date else f"✅ {_sessions(result.applied.sessions)} in, {result.published.sessions} out."]
    lines += cli_config.cycle_lines(result.config) + _attention(result) + [f"🔑 {notice}" for notice in result.notices]
    return lines + [f"⚠️ {warning}" for warning in result.warnings]


def preview(result: PreviewResult) -> list[str]:
    signs = {"in": "📥", "out": "📤", "both": "🔄", "deleteIn": "🗑 here", "deleteOut": "🗑 there"}
    lines = [f"{signs.get(change.change, change.change)} {change.title or change.id}" for change in result.sessions]
    lines += cli_config.preview_lines(result.files)
    return (lines or ["✅ Nothing to do."]) + _attention(result) + [f"⚠️ {warning}" for warning in result.warnings]


def _attention(result: CycleResult | PreviewResult | StatusResult) -> list[str]:
    texts = {
        "held": "held here until their time comes or their parent arrives",
        "unplaced": "waiting for their project to be opened on this machine",
        "diverged": "continued on two machines; all turns are kept, in time order",
        "quarantined": "kept aside, since they could not be read here; see `opencode-sidecar quarantine`",
        "pending": "being written right now; they go out when they are quiet",
        "secrets": "held back here: something in them looks like a secret; see `opencode-sidecar secrets`",
        "guarded": "gone, or lost something, in a suspicious way; nothing was deleted elsewhere. Did you delete them? "
        "`sync --deletions publish` deletes them on all machines, `sync --deletions restore` brings them back",
    }
    return [f"⚠️ {_sessions(getattr(result, name))} {text}" for name, text in texts.items() if getattr(result, name)]


def status(result: StatusResult) -> list[str]:
    if not result.configured:
        return ["Not part of a vault yet: `opencode-sidecar init [REMOTE]` or `opencode-sidecar link REMOTE`."]
    lines = [f"Vault {(result.vault_id or '')[:8]} at {result.remote}", f"Database {result.database}: {result.sessions} sessions, {result.rows} rows recorded"]
    for device in result.devices:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(device.last_published / 1000)) if device.last_published else "never"
        mine = " (this device)" if device.this_device else f", {device.behind} segments waiting here" if device.behind else ""
        lines.append(f"  {device.name} [{device.platform}] last published {when}{mine}")
    if result.key_changed is not None:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(result.key_changed.at / 1000))
        lines.append(f"🔑 {result.key_changed.by} changed the vault's key; taken over here {when}")
    lines += _attention(result)
    lines += [f"   {entry.reason}: {entry.title or entry.session_id} {entry.detail}" for entry in result.attention[:20]]
    if result.last_error is not None:
        lines.append(f"❌ Last cycle failed: {result.last_error.message}")
    return lines


def verify(result: VerifyResult) -> list[str]:
    what = f"{result.rows_compared} rows, {result.records_checked} records in {result.segments_checked} segments"
    notes = [f"ℹ️ {note}" for note in result.notes]
    if result.ok:
        return [f"✅ {what}: no difference.", *notes]
    real = [d for d in result.differences if d.kind not in ("missing", "extra", "changed")]
    lines = [f"❌ {len(real)} differences; compared {what}:"] if real else []
    lines += [f"   {d.kind} {d.table} {d.key} {f'{d.device[:8]} segment {d.sequence}' if d.device else ''}: {d.meaning} → {d.remedy}" for d in real[:50]]
    edited = [d for d in result.differences if d not in real]
    if result.unsynced:
        lines.append(f"⚠️ {result.unsynced} rows were edited here and are not synced yet:")
    return lines + [f"   {d.kind} {d.table} {d.key}: {d.meaning}" for d in edited[:20]] + notes


TEXTS: dict[str, Callable[[Any], list[str]]] = {
    "init": init,
    "link": cli_link.link_text,
    "sync": cycle,
    "pull": cycle,
    "push": cycle,
    "preview": preview,
    "status": status,
    "verify": verify,
    **cli_trust.TEXTS,
    **cli_keys.TEXTS,
    **cli_config.TEXTS,
    **cli_secrets.TEXTS,
}
