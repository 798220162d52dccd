"""What the sidecar asks is answered in the panel, also by somebody who opens it when the question has been there for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import questions
from tests.support.browser import CHROMIUM, MISSING, Browser, Window
from tests.support.host import Host, install_host
from tests.support.machines import Machine
from tests.support.questions import COPY, COUNT, PUBLISH, RESTORE, SAME, copied, sessions, set_back, vanish, with_many_sessions
from tests.support.tamper import logs

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.skipif(os.name != "posix", reason="uses signals")]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_host(tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    assert found.do("troubles") == [], "the panel does not work under a strict content security policy"
    found.close()


class Desk:
    """A machine with the app, whose window is opened when the test says so."""

    def __init__(self, app: Path, machine: Machine, browser: Browser, name: str) -> None:
        self.machine, self.host, self.window = machine, Host(app, machine), Window(browser, name)

    def open(self) -> None:
        self.window.do("open", url=self.host.url)

    def reload(self) -> None:
        """A page that knows nothing of what was before."""
        self.window.do("goto", url=self.host.url.partition("#")[0])

    def asks(self, number: int) -> None:
        """So many questions are shown."""
        eventually(f"{number} questions", lambda: self.window.do("count", role="region", name="A question") == number)


def eventually(what: str, test: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not test():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_sessions_that_vanished(app: Path, browser: Browser, remote: Path, tmp_path: Path) -> None:
    machine = with_many_sessions(tmp_path / "a", remote)
    desk = Desk(app, machine, browser, "vanished")
    try:
        desk.open()
        desk.window.shows("In sync")
        vanish(machine)
        desk.window.click("Sync now")
        desk.window.shows("Did you delete them?")
        if os.environ.get("SIDECAR_SHOTS"):
            desk.window.shot(Path(os.environ["SIDECAR_SHOTS"]) / "asked.png")
        desk.window.click(PUBLISH)
        desk.window.do("seen", role="dialog")
        desk.window.do("press", key="Escape")
        desk.window.click("Later")
        desk.asks(0)
        desk.reload()
        desk.asks(1)  # a page that is opened later shows what waits
        assert (len(sessions(machine)), machine.cli("status")["guarded"]) == (0, COUNT), "Escape or Later was taken for an answer"
        desk.window.click(RESTORE)
        desk.asks(0)
        eventually("they are back", lambda: len(sessions(machine)) == COUNT)
        desk.window.shows("22 sessions")
    finally:
        desk.host.stop()


def test_which_of_two_machines_this_is(app: Path, browser: Browser, remote: Path, tmp_path: Path) -> None:
    """The copy answers at the top, the original in the list of what waits, after it had put the question off."""
    original = questions.original(tmp_path / "a", remote)
    clone = copied(original, tmp_path / "b")
    before = logs(remote)
    desk = Desk(app, clone, browser, "copy")
    try:
        desk.open()
        desk.window.click("Sync now")
        desk.window.click(COPY)
        desk.asks(0)
        eventually("the copy has a log of its own", lambda: len(logs(remote)) == len(before) + 1)
        eventually("and all sessions", lambda: sessions(clone) == {"ses_first", "ses_mine", "ses_its"})
    finally:
        desk.host.stop()
    original.cli("sync")
    set_back(original, tmp_path / "backup")
    before = logs(remote)
    desk = Desk(app, original, browser, "original")
    try:
        desk.open()
        desk.window.click("Sync now")
        desk.window.click("Later")
        desk.asks(0)
        assert "Two machines use one identity" in desk.window.tab("Attention")
        desk.window.click(SAME)
        everything = {"ses_first", "ses_mine", "ses_its", "ses_published", "ses_since"}
        eventually("what it had published is back", lambda: sessions(original) == everything)
        eventually("what it wrote since goes out", lambda: logs(remote) != before)
        assert logs(remote).keys() == before.keys()
    finally:
        desk.host.stop()
