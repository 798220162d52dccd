"""What a Desktop user is told outside the window: a recording notify-send stands where the operating system begins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import edits, questions
from tests.support.gitremote import bare
from tests.support.machines import Machine, from_schema
from tests.support.npm import install_packed
from tests.support.patience import until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stands in for notify-send")
CAME_IN = "📥 1 session changed here by a sync."


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notify")
    install_packed(folder)
    return folder


class Desk:
    """A desktop whose notifications are written down."""

    def __init__(self, package: Path, folder: Path) -> None:
        self._package, self.log = package, folder / "shown"
        self.log.mkdir(parents=True)
        bin_ = folder / "bin"
        bin_.mkdir()
        program = bin_ / "notify-send"
        program.write_text(
            f"#!{sys.executable}\nimport json, os, sys, time\nname = f'{self.log}/{{time.time_ns()}}'\nopen(name + '.part', 'w').write(json.dumps(sys.argv[1:]))\nos.rename(name + '.part', name)\n"
        )
        program.chmod(0o755)
        self.path = os.pathsep.join([str(bin_), os.environ["PATH"]])

    def browser(self) -> Path:
        """What opens addresses here; the address will be in this file."""
        opened = self.log.with_name("opened")
        program = self.log.with_name("bin") / "xdg-open"
        program.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
        program.chmod(0o755)
        return opened

    def run(self, environ: dict[str, str], *arguments: str) -> Any:
        command = [shutil.which("node") or "node", str(Path(__file__).parent / "notify.mjs"), *arguments]
        done = subprocess.run(
            command, cwd=self._package, env=environ | {"PATH": self.path}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    @property
    def shown(self) -> list[list[str]]:
        return [json.loads(path.read_text()) for path in sorted(self.log.iterdir()) if path.suffix == ""]

    @property
    def bodies(self) -> list[str]:
        """What was shown in the end: the program may still be starting when the host has gone on."""
        until(lambda: self.shown, 20)
        return [arguments[-1] for arguments in self.shown]


@pytest.fixture
def desk(package: Path, tmp_path: Path) -> Desk:
    return Desk(package, tmp_path / "desk")


def test_words_are_words_whatever_they_look_like(desk: Desk) -> None:
    seen = desk.run({"HOME": "/nonexistent"}, "words")
    first, long, *burst = desk.shown
    assert first[:-2] == ["--app-name=opencode", "--expire-time=8000", "--"], "a message that begins with a dash would be an option"
    assert first[-2:] == ["opencode sync", "--hint=x `touch /tmp/owned` $(id) &lt;img src=x onerror=alert(1)&gt; &amp; \"quotes\" 'too' end"]
    assert len(long[-1]) == 300
    assert [arguments[-1] for arguments in burst] == ["burst 0", "burst 17", "burst 18", "burst 19"], "a flood of old news"
    for platform in ("darwin", "win32"):
        plain, evil = seen["commands"][platform]
        script = [argument for argument in plain["args"] if argument not in ("one", "t")]
        assert [argument for argument in evil["args"] if argument not in ("\"; evil 'x' $(id)", "t")] == script, f"{platform}: the message is part of a script"
        assert "\"; evil 'x' $(id)" in (evil["args"] if platform == "darwin" else evil["env"].values())
    assert seen["commands"]["aix"] == [None, None]


@pytest.fixture
def receiver(tmp_path: Path) -> Machine:
    """A machine to which another one has just published a session."""
    remote = bare(tmp_path / "vault.git")
    a, b = from_schema(tmp_path / "a"), from_schema(tmp_path / "b")
    a.cli("init", str(remote), "--encryption", "none")
    b.cli("link", str(remote))
    db = a.connect()
    edits.new_session(db, "ses_1", 1_700_000_000_000, title="Made on a")
    edits.add_turn(db, "ses_1", "one", 1_700_000_000_000)
    db.close()
    a.cli("sync")
    return b


def start(desk: Desk, machine: Machine, options: dict[str, Any], **environ: str) -> Any:
    command = json.dumps([sys.executable, "-m", "sidecar"])
    base = {**machine.environ, "PYTHONPATH": str(ROOT), "OPENCODE_SIDECAR_COMMAND": command, "OPENCODE_CLIENT": "desktop"}
    return desk.run(base | environ, "plugin", json.dumps({"manual": True, **options}))


def test_on_desktop_a_session_that_came_in_is_told(desk: Desk, receiver: Machine) -> None:
    seen = start(desk, receiver, {})
    assert seen["first"].startswith("✅ 1 sessions in")
    assert desk.bodies == [CAME_IN], "a Desktop user is told nothing: the window shows no toasts"
    assert seen["toasts"], "toasts stay, for hosts that show them"
    assert start(desk, receiver, {})["first"] == "✅ Up to date."
    assert desk.bodies == [CAME_IN], "a notification about nothing"


def test_trouble_is_told_with_its_remedy(desk: Desk, receiver: Machine, tmp_path: Path) -> None:
    (tmp_path / "vault.git").rename(tmp_path / "elsewhere.git")
    assert start(desk, receiver, {})["first"].startswith("❌")
    (body,) = desk.bodies
    assert body.startswith("❌ There is no git repository")
    assert "Create an empty repository there" in body


@pytest.mark.parametrize(
    ("kind", "commands"),
    [("deletionGuard", "`opencode-sidecar sync --deletions restore`"), ("identityCloned", "`opencode-sidecar link REMOTE --same-device` or `--new-device`.")],
)
def test_a_question_is_told_with_where_to_answer_it(desk: Desk, tmp_path: Path, kind: str, commands: str) -> None:
    """opencode shows no buttons of a plugin; nothing waits for the answer."""
    remote = bare(tmp_path / "asked.git")
    if kind == "deletionGuard":
        machine = questions.with_many_sessions(tmp_path / "a", remote)
        questions.vanish(machine)
    else:
        machine = questions.copied(questions.original(tmp_path / "a", remote), tmp_path / "b")
    seen = start(desk, machine, {}, SHOWN=str(desk.log))
    asked = [text for text in seen["toasts"] if text.startswith("❓")]
    assert len(asked) == 1
    assert "/sync-page" in asked[0]
    assert commands in asked[0]
    assert [body for body in desk.bodies if body.startswith("❓")] == asked, "on Desktop it is cut off, or not shown"
    assert questions.sessions(machine) == (set() if kind == "deletionGuard" else {"ses_first", "ses_its"})


@pytest.mark.parametrize(
    ("options", "environ", "shown"),
    [
        ({"notifications": False}, {}, False),
        ({"quiet": True, "notifications": True}, {}, False),
        ({}, {"OPENCODE_CLIENT": "cli"}, False),
        ({"notifications": True}, {"OPENCODE_CLIENT": "cli"}, True),
    ],
)
def test_the_settings_decide(desk: Desk, receiver: Machine, options: dict[str, Any], environ: dict[str, str], shown: bool) -> None:
    start(desk, receiver, options, **environ)
    assert (desk.bodies if shown else desk.shown) == ([CAME_IN] if shown else [])


def test_a_desktop_user_gets_the_page_in_their_browser(desk: Desk, receiver: Machine) -> None:
    environ = {**receiver.environ, "PYTHONPATH": str(ROOT), "OPENCODE_SIDECAR_COMMAND": json.dumps([sys.executable, "-m", "sidecar"])}
    seen = desk.run(environ, "page", str(desk.browser()))
    assert seen["answer"].startswith("✅")
    assert seen["url"].startswith("http://127.0.0.1:")
    assert "127.0.0.1" not in seen["answer"], "the address went to the model's provider"
    assert seen["status"]["result"]["configured"]
    assert seen["after"] == "gone", "the page outlives the plugin"


def test_without_a_browser_the_answer_says_so(desk: Desk, receiver: Machine, tmp_path: Path) -> None:
    environ = {**receiver.environ, "PYTHONPATH": str(ROOT), "OPENCODE_SIDECAR_COMMAND": json.dumps([sys.executable, "-m", "sidecar"])}
    program = desk.browser().with_name("bin") / "xdg-open"
    program.write_text("#!/bin/sh\nexit 3\n")
    assert desk.run(environ, "page")["answer"].startswith("❌")
