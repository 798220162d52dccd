"""The panel in real Chromium, in the example host with the packed package: two machines with recorded databases, one remote."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.machine import Machine, make_upstream
from tests.support import edits
from tests.support.browser import CHROMIUM, MISSING, Browser, Window
from tests.support.host import Host, alive, install_host

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.skipif(os.name != "posix", reason="uses signals and /proc")]
HOSTILE = '<img src=x onerror="window.stolen=true"> & <b>bold</b>'
QUIET = 3.2
"""Seconds until what was written is published."""


@dataclass
class Desk:
    """A person's machine: opencode's database, the app, its window."""

    machine: Machine
    host: Host
    window: Window

    def sql(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        connection = sqlite3.connect(self.machine.db, timeout=10, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            return work(connection)
        finally:
            connection.close()

    def sync(self, told: str = "Synced:") -> None:
        self.window.click("Sync now")
        self.window.shows(told)

    def title(self, session: str) -> str | None:
        row = self.sql(lambda db: db.execute("SELECT title FROM session WHERE id=?", (session,)).fetchone())
        return row[0] if row else None


@dataclass
class Story:
    """What happened before the tests look: both joined by the page, then b renamed two sessions of theirs and deleted one."""

    a: Desk
    b: Desk
    browser: Browser
    app: Path
    remote: Path
    shots: Path
    key: str
    renamed: dict[str, str]
    deleted: str


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    root = tmp_path_factory.mktemp("page")
    app = install_host(root / "app")
    machines = [Machine(name, root / name, threading.Event()) for name in ("laptop", "desktop")]
    make_upstream(root / "upstream", machines[0])
    for machine, person, hours in zip(machines, ("ada", "bob"), (2, 1), strict=True):
        machine.make(person, root / "upstream", newest_ago_ms=hours * 3_600_000)
    remote = root / "vault.git"
    machines[0].git("init", "-q", "--bare", str(remote))
    shots = Path(os.environ.get("SIDECAR_SHOTS") or root / "shots")
    shots.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    hosts = [Host(app, machine) for machine in machines]
    try:
        a, b = (Desk(machine, host, Window(browser, machine.name)) for machine, host in zip(machines, hosts, strict=True))
        yield _told(Story(a, b, browser, app, remote, shots, "", {}, ""))
    finally:
        browser.close()
        for host in hosts:
            host.stop()


def _told(story: Story) -> Story:
    a, b, shots = story.a, story.b, story.shots
    for desk in (a, b):
        desk.window.do("open", url=desk.host.url)
        desk.window.shows("is not set up")
    a.window.shot(shots / "setup.png")
    a.window.do("fill", role="textbox", name="Repository", exact=False, text=str(story.remote))
    a.window.do("fill", role="textbox", name="Name of this machine", exact=False, text="laptop")
    a.window.click("Make a vault")
    a.window.shows("Keep this recovery key")
    a.window.shot(shots / "key.png")
    story.key = next(line for line in a.window.do("text").splitlines() if line.count("-") > 6)
    a.window.click("I have stored it")
    a.sync("Synced: 25 sessions out")
    b.window.do("fill", role="textbox", name="Repository", exact=False, nth=1, text=str(story.remote))
    b.window.do("fill", role="textbox", name="Name of this machine", exact=False, nth=1, text="desktop")
    b.window.do("fill", role="textbox", name="Recovery key", text=story.key)
    b.window.click("Join")
    b.window.shows("The first sync brings 25 sessions in.")
    b.window.tab("Sessions")
    b.window.click("Look")
    b.window.do("seen", role="list", name="Next sync")
    b.window.shot(shots / "sessions.png")
    b.sync("Synced: 25 sessions in, 22 sessions out")
    a.sync()
    _work_on_b(story)
    b.sync()
    a.sync("Synced: 3 sessions in")
    return story


def _work_on_b(story: Story) -> None:
    def work(db: sqlite3.Connection) -> None:
        first, second, third = (row[0] for row in db.execute("SELECT id FROM session WHERE parent_id IS NULL ORDER BY time_updated DESC LIMIT 3"))
        story.renamed, story.deleted = {first: HOSTILE, second: "Release plan, renamed on the desktop"}, third
        for session, title in story.renamed.items():
            edits.rename(db, session, title)
        edits.delete_session(db, third)

    story.b.sql(work)
    time.sleep(QUIET)


def test_sessions_travel_by_the_page_alone(story: Story) -> None:
    for session, title in story.renamed.items():
        assert story.a.title(session) == title
    assert story.a.title(story.deleted) is None
    shown = story.a.window.tab("Devices")
    assert "laptop this machine" in shown.replace("\n", " ")
    assert "desktop" in shown
    assert "46 sessions" in shown
    story.a.window.shot(story.shots / "devices.png")


def test_a_hostile_title_stays_text(story: Story) -> None:
    for view in ("Sessions", "History"):
        shown = story.a.window.tab(view)
        if view == "History":
            story.a.window.do("unfold")
            shown = story.a.window.do("view")
        assert HOSTILE in shown, f"{view}: the title is not what was written"
        assert story.a.window.do("smuggled") == {"elements": 0, "ran": False}, f"{view}: another machine runs code in this window"
    story.a.window.shot(story.shots / "history.png")


def test_one_click_in_the_history_brings_back_what_was_deleted(story: Story) -> None:
    a = story.a
    a.window.tab("History")
    a.window.do("click", role="button", name="Undo the sync of", exact=False, nth=0)
    a.window.do("seen", role="dialog")
    a.window.shot(story.shots / "question.png")
    a.window.do("press", key="Escape")
    assert a.window.do("count", role="dialog") == 0
    assert a.title(story.deleted) is None, "Escape was taken for a yes"
    a.window.do("click", role="button", name="Undo the sync of", exact=False, nth=0)
    a.window.click("Undo")
    a.window.shows("as before")
    assert a.title(story.deleted), "undo brought nothing back"
    assert all(a.title(session) != title for session, title in story.renamed.items())
    assert "Undid changes in 3 sessions" in a.window.tab("History")
    a.window.shot(story.shots / "undone.png")


def test_doctor_says_what_is_wrong_and_what_to_do(story: Story) -> None:
    a = story.a
    (a.machine.root / "state/opencode/opencode-sidecar").chmod(0o755)
    try:
        a.window.tab("Health")
        a.window.click("Examine")
        a.window.do("seen", role="list", name="Findings")
        shown = a.window.do("view")
        assert "1 finding" in shown
        assert "chmod 700" in shown, "a finding without its remedy"
        a.window.shot(story.shots / "health.png")
    finally:
        (a.machine.root / "state/opencode/opencode-sidecar").chmod(0o700)


def test_an_error_comes_with_its_remedy_and_another_try(story: Story) -> None:
    away = story.remote.with_name("away.git")
    story.remote.rename(away)
    try:
        story.b.sync("There is no git repository")
        story.b.window.shows("Create an empty repository there")
        story.b.window.shows("The last sync failed")
        story.b.window.do("look", width=420)
        story.b.window.shot(story.shots / "error-narrow.png")
        story.b.window.do("look", width=900)
    finally:
        away.rename(story.remote)
    story.b.window.click("Try again")
    story.b.window.shows("In sync")


def test_what_was_written_on_two_machines_is_shown(story: Story) -> None:
    a, b = story.a, story.b
    (session,) = a.sql(lambda db: db.execute("SELECT id FROM session WHERE title='Multi turn A1'").fetchone())
    for desk in (a, b):
        now = int(time.time() * 1000) - 10_000
        desk.sql(lambda db, desk=desk, now=now: edits.add_turn(db, session, desk.machine.name, now))
    time.sleep(QUIET)
    b.sync()
    a.sync()
    b.sync()
    shown = b.window.tab("Attention")
    assert "Continued on two machines" in shown
    assert "Multi turn A1" in shown
    b.window.do("look", scheme="dark")
    b.window.shot(story.shots / "attention-dark.png")
    b.window.do("look", scheme="light")


@contextlib.contextmanager
def hanging(remote: Path) -> Iterator[None]:
    """A remote that does not get anywhere, as on a bad network."""
    hook = remote / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nsleep 20\n")
    hook.chmod(0o755)
    try:
        yield
    finally:
        hook.unlink()


def rename_something(desk: Desk, title: str) -> None:
    desk.sql(lambda db: edits.rename(db, db.execute("SELECT id FROM session ORDER BY id LIMIT 1").fetchone()[0], title))
    time.sleep(QUIET)


def test_a_sync_shows_its_progress_and_can_be_cancelled(story: Story) -> None:
    b = story.b
    rename_something(b, "Renamed while the network hangs")
    with hanging(story.remote):
        b.window.click("Sync now")
        b.window.shows("Publishing")
        assert b.window.do("count", role="progressbar") == 1
        assert b.window.do("disabled", role="button", name="Sync now")
        b.window.shot(story.shots / "progress.png")
        b.window.click("Cancel")
        b.window.shows("Nothing was left half-done.")
    b.sync()


def test_the_death_of_the_sidecar_is_told_and_mended(story: Story) -> None:
    a = story.a
    (pid,) = a.host.sidecars()
    os.kill(pid, signal.SIGKILL)
    a.window.shows("Nothing was lost.")
    assert a.host.sidecars() not in ([], [pid])
    rename_something(a, "Renamed before the sidecar was killed")
    (pid,) = a.host.sidecars()
    with hanging(story.remote):
        a.window.click("Sync now")
        a.window.shows("Publishing")
        os.kill(pid, signal.SIGKILL)
        a.window.shows("What was running was interrupted")
        a.window.shot(story.shots / "runs-again.png")
    a.window.click("Try again")
    a.window.shows("Synced:")
    assert "In sync" in a.window.do("text")


def test_the_keyboard_is_enough(story: Story) -> None:
    window = story.a.window
    window.tab("Devices")
    window.do("press", key="ArrowRight")
    assert window.do("focused").startswith("Sessions")
    window.do("press", key="End")
    assert window.do("focused").startswith("Health")
    window.do("press", key="ArrowRight")
    assert window.do("focused").startswith("Devices"), "the tabs do not go round"
    tree = window.do("tree")
    for named in ('region "Sync between machines"', 'tablist "Views"', 'tab "Devices" [selected]', 'tabpanel "Devices"', 'list "Devices"', 'button "Sync now"'):
        assert named in tree, f"a screen reader does not find {named}"


def test_a_page_may_ask_for_what_the_panel_needs_and_nothing_else(story: Story) -> None:
    window = story.a.window
    assert window.do("ask", method="sync/status")["body"]["result"]["configured"]
    for method in ("shell/exec", "sync/showKey", "sync/repair", "shutdown", "__proto__", ["sync/status"]):
        answer = window.do("ask", method=method)
        assert answer["body"]["error"]["kind"] == "methodNotFound", f"{method}: a script that got into the page could use it"
    for method, params in (("sync/init", {"moveTo": "/elsewhere"}), ("sync/link", {"remote": "x", "newDevice": True}), ("sync/run", {"__proto__x": 1})):
        assert window.do("ask", method=method, params=params)["body"]["error"]["message"] == "A page may not say this."
    assert window.do("ask", method="sync/status", params=[])["body"]["error"]["kind"] == "invalidParams"
    assert window.do("ask", method="sync/status", token=False)["status"] == 401
    assert "#" not in window.do("address"), "the token stays in the address bar"


@pytest.mark.parametrize(
    ("headers", "status"), [({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403), ({}, 401), ({"Authorization": "Bearer x"}, 401)]
)
def test_the_host_answers_its_own_page_alone(story: Story, headers: dict[str, str], status: int) -> None:
    base = story.a.host.url.partition("#")[0]
    request = urllib.request.Request(base + "call", data=b'{"method": "sync/status", "params": {}}', headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == status
    caught.value.close()


def test_the_address_is_good_once(story: Story) -> None:
    """It stands in the browser's command line, where other users of the machine can read it."""
    base, _, code = story.a.host.url.partition("#")
    request = urllib.request.Request(base + "start", data=json.dumps({"code": code}).encode())
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    assert caught.value.code == 401
    caught.value.close()
    second = Window(story.browser, "second")
    second.do("open", url=story.a.host.url)
    second.shows("open the page from the app again")


def test_a_missing_sidecar_is_told_with_what_to_do(story: Story) -> None:
    host = Host(story.app, story.b.machine, ["/nonexistent/opencode-sidecar"])
    try:
        window = Window(story.browser, "missing")
        window.do("open", url=host.url)
        window.shows("opencode-sidecar is not installed, or cannot be started.")
        window.shows("uv tool install opencode-sidecar")
        window.shot(story.shots / "missing.png")
    finally:
        host.stop()


def test_nothing_was_forbidden_or_thrown_in_the_page(story: Story) -> None:
    assert story.browser.do("troubles") == [], "the panel does not work under a strict content security policy"


def test_the_end_of_the_app_takes_the_sidecar_along(story: Story) -> None:
    (pid,) = story.b.host.sidecars()
    assert story.b.host.stop() == 0
    assert not alive(pid)
    done = subprocess.run(["git", f"--git-dir={story.remote}", "fsck"], capture_output=True, check=False)
    assert done.returncode == 0
