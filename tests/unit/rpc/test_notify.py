"""Toast, log, progress and status say the same, in order, and nothing after the end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from protocol.sync import Applied, CycleResult, Published
from sidecar.domain.errors import Cancelled, SidecarError
from sidecar.domain.task import Progress
from sidecar.rpc import notify
from sidecar.rpc.notify import Operation
from sidecar.rpc.progress import ProgressReporter
from tests.support.patience import until


class Host:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def __call__(self, method: str, params: Any) -> None:
        self.sent.append((method, params))

    def toasts(self) -> list[str]:
        return [params["message"] for method, params in self.sent if method == "window/showMessage"]


def operation(host: Host, name: str = "sync/run", *, announce: bool = True, token: str | None = "t") -> Operation:
    return Operation(name, host, token=token, announce=announce, wait=lambda: None)


def test_a_quick_cycle_with_nothing_to_do_shows_no_toast() -> None:
    host = Host()
    operation(host).done(CycleResult("c", up_to_date=True))
    assert host.toasts() == []
    assert host.sent[-1][1].state == "idle"


def test_news_are_told_after_the_sessions_that_changed() -> None:
    host = Host()
    counts = {"applied": Applied(sessions=3), "published": Published(sessions=1), "guarded": 1}
    operation(host).done(CycleResult("c", up_to_date=False, session_ids=["ses_1"], warnings=["look"], **counts))  # type: ignore[arg-type]
    assert host.toasts()[0] == "✅ Ready: 3 sessions in, 1 out."
    assert all(text.startswith("⚠️") for text in host.toasts()[1:])
    assert len(host.toasts()) == 3
    methods = [method for method, _ in host.sent]
    assert methods.index("sync/didApply") < methods.index("window/showMessage")


def test_a_slow_operation_is_announced_once_and_never_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "TOAST_AFTER", 0.02)
    host = Host()
    slow = operation(host, "sync/push")
    assert until(host.toasts)
    assert host.toasts() == ["📤 Pushing sessions…"]
    slow.done(CycleResult("c", up_to_date=True))
    quick = operation(host)
    quick.failed(Cancelled())
    time.sleep(0.1)
    assert host.toasts() == ["📤 Pushing sessions…", "✅ Up to date."]


def test_an_error_is_told_with_its_remedy() -> None:
    host = Host()
    operation(host).failed(SidecarError("locked", "Busy.", remedy="Wait."))
    assert host.toasts() == ["❌ Busy. Wait."]
    assert host.sent[-1][1].state == "failed"


def test_an_unexpected_error_tells_nothing_of_itself() -> None:
    host = Host()
    operation(host).failed(ValueError("/home/ada secret"))
    assert "secret" not in str(host.sent)


def test_what_only_looks_is_not_announced() -> None:
    host = Host()
    operation(host, "sync/status", announce=False, token=None).done(object())
    assert host.sent == []


def test_reports_are_limited_and_stop_at_the_end() -> None:
    values: list[dict[str, Any]] = []
    reporter = ProgressReporter("x", values.append)
    began = time.monotonic()
    while time.monotonic() - began < 0.35:
        reporter.report(Progress(str(time.monotonic()), 1, 4))
    reporter.end("done")
    taken = time.monotonic() - began
    reporter.end("again")
    reporter.report(Progress("late"))
    kinds = [value["kind"] for value in values]
    assert (kinds[0], kinds[-1], kinds.count("end")) == ("begin", "end", 1)
    assert 2 <= kinds.count("report") <= taken * 10 + 2
    assert values[1]["percentage"] == 25


def test_the_last_report_of_a_burst_is_not_lost() -> None:
    """A remote that hangs right after a phase began: nothing more comes that could correct what is shown."""
    values: list[dict[str, Any]] = []
    reporter = ProgressReporter("x", values.append)
    for phase in ("scan", "connect", "push"):
        reporter.report(Progress(phase))
    assert until(lambda: values[-1].get("phase") == "push")
    assert [value["phase"] for value in values[1:]] == ["scan", "push"]


@pytest.mark.parametrize(("done", "total", "percentage"), [(0, None, None), (5, 0, None), (7, 5, 100), (1, 3, 33)])
def test_percentages_are_given_where_known(done: int, total: int | None, percentage: int | None) -> None:
    values: list[dict[str, Any]] = []
    reporter = ProgressReporter("x", values.append)
    reporter.report(Progress("scan", done, total))
    assert values[1].get("percentage") == percentage
