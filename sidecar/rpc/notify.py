"""What host and user are told of one operation: toast, log, progress and status in one place, so that they never disagree."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from protocol.keys import RotateKeyResult
from protocol.sync import CycleResult, DidApply, InitResult, LinkResult, PreviewResult, StatusChanged, VerifyResult
from protocol.trust import DoctorResult, QuarantineResult, RepairResult, RestoreResult
from sidecar.domain.errors import SidecarError
from sidecar.domain.task import Progress
from sidecar.rpc.progress import ProgressReporter

TOAST_AFTER = 0.5
ERROR, WARNING, INFO = 1, 2, 3
TITLES = {
    "sync/init": "🚀 Setting up the vault",
    "sync/link": "🔗 Joining the vault",
    "sync/run": "🔄 Syncing sessions",
    "sync/pull": "📥 Pulling sessions",
    "sync/push": "📤 Pushing sessions",
    "sync/preview": "🔄 Planning",
    "sync/verify": "🔄 Verifying",
    "sync/status": "🔄 Status",
    "sync/restore": "↩️ Restoring",
    "sync/doctor": "🩺 Examining",
    "sync/rotateKey": "🔑 Changing the key",
    "sync/forgetDevice": "🔑 Forgetting a device",
    "sync/repair": "🔧 Repairing",
    "sync/quarantine": "🔧 Trying again what was kept aside",
    "sync/compact": "🧹 Compacting",
}
log = logging.getLogger(__name__)
Notify = Callable[[str, Any], None]


class Operation:
    """One call of a method, as the host sees it. `announce`: it deserves toasts and a change of status.

    Safe from any thread; nothing is said after the end.
    """

    def __init__(self, name: str, notify: Notify, *, token: str | int | None, announce: bool, wait: Callable[[], object]) -> None:
        self._name, self._notify, self._announce = name, notify, announce
        self._title = TITLES.get(name, name)
        self._lock = threading.Lock()
        self._ended = self._toasted = False
        self._progress: ProgressReporter | None = None
        if token is not None:
            self._progress = ProgressReporter(self._title, lambda value: notify("$/progress", {"token": token, "value": value}), wait)
        self._timer = threading.Timer(TOAST_AFTER, self._slow)
        self._timer.daemon = True
        if announce:
            self._status("running", self._title)
            self._timer.start()

    def report(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress.report(progress)

    def done(self, result: Any) -> None:
        """It succeeded: what came and went, then what needs the user."""
        text, news = _outcome(result)
        with self._ending():
            if isinstance(result, CycleResult | RestoreResult | QuarantineResult) and result.session_ids:
                self._notify("sync/didApply", DidApply(result.session_ids, result.refreshable))
            self._say(INFO, text, toast=news or self._toasted)
            for notice in result.notices if isinstance(result, CycleResult) else ():
                self._say(INFO, f"🔑 {notice}", toast=True)
            for warning in _attention(result):
                self._say(WARNING, warning, toast=True)
            self._finish("idle", text)

    def failed(self, error: BaseException) -> None:
        """It did not. A cancelled operation is no failure."""
        with self._ending():
            if isinstance(error, SidecarError) and error.kind == "cancelled":
                self._say(INFO, "⚠️ Cancelled; nothing was left half-done.", toast=self._toasted)
                self._finish("idle", "cancelled")
                return
            text = "❌ Something unexpected happened; the log has the details."
            if isinstance(error, SidecarError):
                text = f"❌ {error.message} {error.remedy}".strip()
            self._say(ERROR, text, toast=True)
            self._finish("failed", text)

    def _slow(self) -> None:
        with self._lock:
            if not self._ended:
                self._toasted = True
                self._say(INFO, f"{self._title}…", toast=True)

    def _ending(self) -> threading.Lock:
        self._timer.cancel()
        return self._lock

    def _finish(self, state: str, text: str) -> None:
        self._ended = True
        if self._progress is not None:
            self._progress.end(text)
        if self._announce:
            self._status(state, text)

    def _say(self, kind: int, message: str, *, toast: bool) -> None:
        if not self._announce:
            return
        log.log({ERROR: logging.ERROR, WARNING: logging.WARNING}.get(kind, logging.INFO), "%s: %s", self._name, message)
        self._notify("window/logMessage", {"type": kind, "message": message})
        if toast:
            self._notify("window/showMessage", {"type": kind, "message": message})

    def _status(self, state: str, message: str) -> None:
        self._notify("sync/didChangeStatus", StatusChanged(state, message))


def _outcome(result: Any) -> tuple[str, bool]:
    """(text, whether it is news)."""
    if isinstance(result, CycleResult):
        if result.up_to_date:
            return "✅ Up to date.", False
        files = f", configuration {result.config['in']} in, {result.config['out']} out" if result.config.get("in") or result.config.get("out") else ""
        return f"✅ Ready: {_sessions(result.applied.sessions)} in, {result.published.sessions} out{files}.", True
    if isinstance(result, InitResult):
        return f"🚀 The vault is at {result.remote}.", True
    if isinstance(result, LinkResult):
        return f"🔗 Linked to the vault at {result.remote}.", True
    if isinstance(result, RestoreResult):
        return f"✅ {_sessions(result.restored.sessions)} restored.", True
    if isinstance(result, DoctorResult):
        return "✅ Everything is in order." if result.ok else f"⚠️ {sum(not check.ok for check in result.checks)} findings.", True
    if isinstance(result, RotateKeyResult):
        return f"🔑 The vault has a new key; {_devices(len(result.given_to))} will take it over.", True
    if isinstance(result, RepairResult):
        return "✅ Repaired.", True
    if isinstance(result, VerifyResult):
        return f"✅ {result.rows_compared} rows compared." if result.ok else f"⚠️ {len(result.differences)} differences.", True
    return ("✅ Planned." if isinstance(result, PreviewResult) else "✅ Ready."), True


def _devices(count: int) -> str:
    return f"{count} other device" if count == 1 else f"{count} other devices"


def _sessions(count: int) -> str:
    return f"{count} session" if count == 1 else f"{count} sessions"


def _attention(result: Any) -> list[str]:
    if isinstance(result, RestoreResult):
        return [f"⚠️ {entry.title or entry.session_id}: {entry.detail}" for entry in result.skipped if entry.reason != "kept"][:5]
    if isinstance(result, RotateKeyResult):
        texts = [f"⚠️ {name} needs the new key: `link` there." for name in result.left_out]
        return texts + (["⚠️ The passphrase does not open the vault any more."] if result.passphrase_gone else [])
    if not isinstance(result, CycleResult):
        return []
    texts = [f"⚠️ {warning}" for warning in result.warnings]
    if result.guarded:
        texts.append(f"⚠️ {_sessions(result.guarded)} lost rows here; nothing is deleted elsewhere until you allow it.")
    return texts
