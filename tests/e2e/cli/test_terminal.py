"""What people and scripts see: streams, progress, interruption, and text that comes from other machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.support import edits
from tests.support.machines import Machine
from tests.support.patience import seconds, soonest

Make = Callable[..., Machine]
COMMAND = [sys.executable, "-m", "sidecar"]
ROOT = Path(__file__).parents[3]
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and terminals")


@pytest.fixture
def a(machine: Make, remote: Path) -> Machine:
    made = machine("a", "ada-1.18.33")
    made.cli("init", str(remote), "--encryption", "none")
    return made


def busy(machine: Machine, session: str = "ses_busy") -> None:
    """A session that was written to just now: a cycle waits for it to go quiet."""
    connection = machine.connect()
    now = int(time.time() * 1000)
    edits.new_session(connection, session, now)
    edits.add_turn(connection, session, session.removeprefix("ses_"), now - 10)
    connection.close()


def until_settling(process: subprocess.Popen[str]) -> None:
    """Wait for the command to say that it waits."""
    assert process.stderr is not None
    for line in process.stderr:
        if "quiet" in line:
            return
    pytest.fail("the command never waited for the busy session")


# --- streams ---------------------------------------------------------------------------------------------------------
def test_without_a_terminal_success_is_silent_on_stderr(a: Machine) -> None:
    done = a.run("sync")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("✅")


def test_quiet_prints_nothing_but_errors(a: Machine, remote: Path) -> None:
    done = a.run("--quiet", "sync")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    remote.rename(remote.with_name("away"))
    failed = a.run("sync", "--quiet")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("❌")
    assert len(failed.stderr.splitlines()) == 1


def test_verbose_reports_on_stderr_and_keeps_stdout_for_the_result(a: Machine) -> None:
    done = a.run("-v", "sync", "--json")
    assert json.loads(done.stdout)["published"]["sessions"] == 25
    assert all(line.startswith("…") for line in done.stderr.splitlines())
    assert len(done.stderr.splitlines()) > 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["sync", "--nope"],
        ["link"],
        [],
        ["--quiet", "-v", "status"],
        ["link", "x", "--key", "a", "--key-file", "b"],
        ["init", "x", "--move-to", "y"],
        ["init", "--move-to", "x", "--move-to-github"],
        ["init", "x", "--github", "y"],
        ["link", "x", "--github"],
        ["sync", "--js"],
    ],
)
def test_usage_errors_are_one_line_and_an_object_with_json(machine: Make, arguments: list[str]) -> None:
    a = machine("a")
    plain = a.run(*arguments)
    assert (plain.returncode, plain.stdout, len(plain.stderr.splitlines())) == (2, "", 1)
    done = a.run("--json", *arguments)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["kind"], error["code"]) == (2, "invalidParams", -32602)
    assert error["remedy"]


def test_a_misplaced_serve_says_where_it_goes(machine: Make) -> None:
    done = machine("a").run("--quiet", "serve")
    assert done.returncode == 2
    assert "serve --stdio" in done.stderr


@pytest.mark.parametrize("content", [None, b"\xff\xfe not text"])
def test_a_key_file_that_cannot_be_read(machine: Make, remote: Path, tmp_path: Path, content: bytes | None) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
    error = machine("a").cli("link", str(remote), "--key-file", str(key), expect=(1,))["error"]
    assert (error["kind"], error["detail"]) == ("invalidParams", str(key))


def test_what_this_version_lacks_is_said(machine: Make, remote: Path) -> None:
    error = machine("a", "ada-1.18.33").cli("init", str(remote), "--encryption", "age", expect=(1,))["error"]
    assert error["kind"] == "unsupported"
    assert "none" in error["remedy"]


@posix
def test_a_reader_that_leaves_causes_no_traceback(a: Machine) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, "status"], env=a.environ, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert done.stderr == ""


def test_a_terminal_cannot_be_steered_by_a_title(a: Machine, machine: Make, remote: Path) -> None:
    a.sql("UPDATE session SET title=? WHERE title='Title: Plan A1'", "\x1b]0;owned\x07\x1b[2Jhello\r\u202egnp")
    a.cli("sync")
    b = machine("b", "bob-1.18.33")
    b.cli("link", str(remote))
    shown = b.run("preview").stdout
    assert "hello" in shown
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_any_title_prints_on_any_terminal(a: Machine, encoding: str) -> None:
    a.sql("UPDATE session SET title=? WHERE title='Title: Plan A1'", "日本語 🙂")
    environ = a.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([*COMMAND, "preview"], env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    named = subprocess.run([*COMMAND, "--json", "preview"], env=environ, capture_output=True, timeout=60, check=False)
    titles = {change["title"] for change in json.loads(named.stdout.decode("ascii"))["sessions"]}
    assert "日本語 🙂" in titles, "JSON is exact on every terminal"


@posix
def test_bars_on_a_terminal_leave_the_result_alone(a: Machine) -> None:
    import pty

    terminal, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "--json", "sync"], env=a.environ | {"TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux: the last writer closed it
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["published"]["sessions"] == 25
    assert b"pushing" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l"), "the cursor stays hidden"


# --- interruption ----------------------------------------------------------------------------------------------------
@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_T41_interruption_is_130_an_object_and_harmless(a: Machine, number: signal.Signals) -> None:  # noqa: N802
    sessions = (f"ses_busy{n}" for n in count())

    def attempt(times: int, form: list[str]) -> float:
        busy(a, next(sessions))
        process = subprocess.Popen([*COMMAND, "-v", *form, "sync"], env=a.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until_settling(process)
        began = time.monotonic()
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.02)
        out, err = process.communicate(timeout=60)
        taken = time.monotonic() - began
        assert process.returncode == 130, err
        if form:
            assert (json.loads(out)["error"]["kind"], json.loads(out)["error"]["code"]) == ("cancelled", -32800)
        assert "Traceback" not in err
        return taken

    for times, form in ((1, ["--json"]), (3, [])):
        assert soonest(partial(attempt, times, form), 1.0) < 1.0, "it went on waiting for the session"
    time.sleep(3)
    a.cli("sync")
    assert a.cli("sync")["upToDate"]
    a.check_integrity()


@posix
def test_a_signal_that_the_parent_ignores_stays_ignored(a: Machine) -> None:
    busy(a)
    ignoring = "import os,signal,sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", ignoring, *COMMAND, "-v", "sync"]
    process = subprocess.Popen(command, env=a.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until_settling(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0, "nohup and shell scripts that run us in the background rely on it"


@posix
@pytest.mark.slow
def test_T41_interruption_at_any_moment_loses_nothing(machine: Make, remote: Path) -> None:  # noqa: N802
    a, b = machine("a", "ada-1.18.33"), machine("b", "bob-1.18.33")
    a.cli("init", str(remote), "--encryption", "none")
    b.cli("link", str(remote))
    statuses = set()
    whole = seconds(lambda: a.run("preview"))  # much of what a cycle does, and it leaves all there is to do
    for who, delay in ((who, whole * n / 8) for n in range(1, 9) for who in (a, b)):
        process = subprocess.Popen([*COMMAND, "--json", "sync"], env=who.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        statuses.add(process.returncode)
        if process.returncode != -signal.SIGINT or f"{ROOT}{os.sep}sidecar" in err:  # Python itself was starting: no line of ours had run
            assert process.returncode in (0, 130), (out, err)
            assert "Traceback" not in err
        who.check_integrity()
    for who in (a, b, a):
        who.cli("sync")
    assert a.content() == b.content()
    assert len(a.content()["session"]) == 47
    assert 130 in statuses, "no cycle was ever interrupted"


# --- start-up --------------------------------------------------------------------------------------------------------
def test_the_command_line_needs_none_of_the_servers_libraries(a: Machine) -> None:
    code = "import sys; from sidecar.cli import main; main(['--quiet', 'sync']); print(sorted({'pygls', 'lsprotocol', 'cattrs', 'rich', 'asyncio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], env=a.environ, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
