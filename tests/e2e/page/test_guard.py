"""The deletion guard's question is answered with no in the panel."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import edits
from tests.support.browser import CHROMIUM, MISSING, Browser, Window
from tests.support.host import Host, install_host
from tests.support.machines import Machine

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.skipif(os.name != "posix", reason="uses signals")]


def test_what_vanished_is_listed_and_brought_back(machine: Callable[..., Machine], remote: Path, tmp_path: Path) -> None:
    a = machine("a")
    db = a.connect()
    for number in range(22):
        edits.new_session(db, f"ses_{number:02}", int(time.time() * 1000) - 60_000, title=f"talk {number:02}")
    db.close()
    a.cli("init", str(remote), "--encryption", "none")
    a.cli("sync")
    before = a.content()
    a.sql("DELETE FROM session")
    a.cli("sync", expect=(3,))
    host, browser = Host(install_host(tmp_path / "app"), a), Browser()
    try:
        window = Window(browser, "a")
        window.do("open", url=host.url)
        shown = window.tab("Attention")
        assert "A question about deletions" in shown
        assert "talk 07" in shown
        assert "--deletions" not in shown, "a person in a panel is told to type commands"
        window.do("click", role="button", name="No, bring them back", exact=False)
        window.shows("22 sessions in")
        assert a.content() == before
        assert browser.do("troubles") == []
    finally:
        browser.close()
        host.stop()
