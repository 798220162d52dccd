"""What is wrong with a person's own files or disk is named, once and clearly; nothing is half-written, and the rest still syncs."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, InitParams, LinkParams
from sidecar.adapters.config import files
from sidecar.domain.config_names import Refused
from sidecar.domain.task import Task
from tests.support.machines import Machine

Make = Callable[..., Machine]
Pair = tuple[Machine, Machine]
MANY = int(os.environ.get("SIDECAR_FILES", "20000"))
"""Files in one folder; 100000 takes 10 s longer."""


def folder(machine: Machine) -> Path:
    return machine.root / "config/opencode"


@pytest.fixture
def pair(machine: Make, remote: Path) -> Pair:
    """Two machines with configuration on and a file that must keep travelling."""
    a, b = machine("a"), machine("b")
    for one in (a, b):
        folder(one).mkdir(parents=True)
        (folder(one) / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    (folder(a) / "AGENTS.md").write_text("rules\n")
    (folder(a) / "opencode.json").write_text('{"theme": "x"}')
    sync(a)
    b.sidecar.link(LinkParams(str(remote)), Task())
    sync(b)
    return a, b


def sync(machine: Machine) -> str:
    """What it says."""
    return "\n".join(machine.sidecar.run(CycleParams(), Task()).warnings)


def told(machine: Machine) -> str:
    """What a sync says, as a person reads it; it ends by itself, without a traceback."""
    done = machine.run("sync", timeout=60)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return done.stdout + done.stderr


def rest_travels(a: Machine, b: Machine) -> None:
    (folder(a) / "agents").mkdir(exist_ok=True)
    (folder(a) / "agents/rest.md").write_text(f"{time.monotonic()}\n")
    sync(a)
    sync(b)
    assert (folder(b) / "agents/rest.md").read_bytes() == (folder(a) / "agents/rest.md").read_bytes(), "one bad file stopped the others"


def test_pipes_sockets_and_devices_hang_nothing(pair: Pair) -> None:
    a, b = pair
    (folder(a) / "skills/s").mkdir(parents=True)
    os.mkfifo(folder(a) / "skills/s/pipe.md")
    os.mkfifo(folder(a) / "opencode.jsonc")
    os.mkfifo(folder(a) / "tui.json")
    with socket.socket(socket.AF_UNIX) as server:
        where = os.getcwd()
        os.chdir(folder(a) / "skills/s")  # the name of a socket has 100 characters at most
        server.bind("socket.md")
        os.chdir(where)
        (folder(a) / "skills/s/null.md").symlink_to("/dev/null")
        text = told(a)
        for name in ("skills/s/pipe.md", "skills/s/socket.md", "skills/s/null.md", "opencode.jsonc", "tui.json"):
            assert name in text, text
        rest_travels(a, b)


def test_a_pipe_in_the_place_of_settings_hangs_nothing(pair: Pair) -> None:
    a, b = pair
    settings = (folder(a) / "opencode-sidecar.jsonc").read_bytes()
    for name in ("opencode-sidecar.overrides.jsonc", "opencode-synced.jsonc", "opencode-sidecar.jsonc"):
        (folder(a) / name).unlink(missing_ok=True)
        os.mkfifo(folder(a) / name)
        text = told(a)
        assert name in text
        assert "not a regular file" in text
        (folder(a) / name).unlink()
    (folder(a) / "opencode-sidecar.jsonc").write_bytes(settings)
    rest_travels(a, b)


def test_names_that_no_other_system_takes(pair: Pair) -> None:
    a, b = pair
    (folder(a) / "agents").mkdir()
    for name in (b"new\nline.md", b"not-utf8-\xff.md", "invisible\u200b.md".encode(), b"tab\t.md", b"A.md", b"a.md"):
        Path(os.fsdecode(bytes(folder(a) / "agents") + b"/" + name)).write_bytes(name)
    text = told(a)
    assert text.count("config/agents/") >= 5, text
    assert a.cli("status")["attention"], "only the cycle that found it said so"
    rest_travels(a, b)
    assert {path.name for path in (folder(b) / "agents").iterdir()} == {"A.md", "rest.md"}


def test_a_folder_that_is_a_git_repository_of_its_own(pair: Pair) -> None:
    a, b = pair
    env = {"PATH": os.environ["PATH"], "HOME": str(a.root)}
    for where in (folder(a), folder(a) / "skills/own"):
        where.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "-q", str(where)], env=env, check=True)
    (folder(a) / "skills/own/SKILL.md").write_text("own\n")
    (folder(a) / ".gitignore").write_text("*\n")
    before = sorted(path.relative_to(folder(a)) for path in folder(a).rglob(".git/**/*"))
    rest_travels(a, b)
    assert (folder(b) / "skills/own/SKILL.md").read_text() == "own\n", "a person's own .gitignore decided what travels"
    assert not list(folder(b).rglob(".git")), "a repository's insides travelled"
    assert sorted(path.relative_to(folder(a)) for path in folder(a).rglob(".git/**/*")) == before, "the person's own repository was written to"


def test_a_read_only_disk(pair: Pair) -> None:
    a, b = pair
    (folder(b) / "opencode.json").write_text('{"theme": "from b"}')
    (folder(b) / "agents").mkdir()
    (folder(b) / "agents/new.md").write_text("new\n")
    (b.root / "home/.agents").mkdir()
    (b.root / "home/.agents/x.md").write_text("elsewhere\n")
    sync(b)
    (folder(a) / "opencode.jsonc").write_text('{"mcp": {"m": {"headers": {"TOKEN": "stays-at-home"}}}}')
    where = str(folder(a))
    script = f'mount --bind "{where}" "{where}" && mount -o remount,ro,bind "{where}" && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "sidecar", "sync"],
        env=a.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"NOT RUN: no mount namespace here: {done.stderr}")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for words in (
        "config/opencode.json: it cannot be written: Read-only file system",
        "config/agents/new.md: it cannot be written",
        "config/opencode.jsonc: what shall stay",
    ):
        assert words in done.stdout + done.stderr, done.stdout + done.stderr
    assert (a.root / "home/.agents/x.md").read_text() == "elsewhere\n", "what is on another disk waits for no reason"
    assert (folder(a) / "opencode.json").read_text() == '{"theme": "x"}'
    assert not list(folder(a).glob(".opencode-sidecar-*")), "something half-written is left"
    sync(a)
    assert json.loads((folder(a) / "opencode.json").read_text())["theme"] == "from b", "what waited for the disk never came"
    assert (folder(a) / "agents/new.md").read_text() == "new\n"
    sync(b)
    assert "{env:TOKEN}" in (folder(b) / "opencode.jsonc").read_text()
    assert "stays-at-home" in (folder(a) / "opencode-sidecar.overrides.jsonc").read_text()


def test_files_without_end_are_one_finding(pair: Pair) -> None:
    a, b = pair
    for place in (folder(a) / "skills", folder(a) / "tools/deep/er"):
        place.mkdir(parents=True)
    for number in range(MANY):
        os.mknod(folder(a) / f"skills/{number}", 0o644)
    for number in range(5_001):
        os.mknod(folder(a) / f"tools/deep/er/{number}", 0o644)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    text = told(a)
    assert "config/skills: it has more than 5000 files" in text, text
    assert "config/tools: it has more than 5000 files" in text, text
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 400_000), "memory grows with what is not even synced"
    rest_travels(a, b)


UNREADABLE = {
    b'{"theme": "y", "deep": ' + b"[" * 200_000: "nested too deeply",
    b'{"theme": "y",\n "x": "\0"}': "line 2, column",
    b'{"theme": "y"\n "x": 1}': "line 2, column 2",
    b'\xff\xfe{"theme": "y"}': "not UTF-8",
    b"": "it is empty",
    b" \n": "it is empty",
    b'["theme"]': "it is no object",
    b'{"theme": NaN}': "NaN",
    b'{"theme": "' + b"x" * (3 << 20) + b'"}': "larger than 2 MB",
}


def test_an_unreadable_opencode_json_changes_nothing_elsewhere(pair: Pair) -> None:
    a, b = pair
    for data, words in UNREADABLE.items():
        (folder(a) / "opencode.json").write_bytes(data)
        text = sync(a)
        assert "config/opencode.json: it cannot be merged, here: " in text, text
        assert words in text, text
        assert (folder(a) / "opencode.json").read_bytes() == data
        rest_travels(a, b)
        assert (folder(b) / "opencode.json").read_text() == '{"theme": "x"}', "a broken file on one machine took a setting from the other"


def test_a_mark_at_the_start_and_nul_bytes_are_kept(pair: Pair) -> None:
    a, b = pair
    (folder(a) / "opencode.json").write_bytes(b'\xef\xbb\xbf{"theme": "y"}\r\n')
    (folder(a) / "AGENTS.md").write_bytes(b"rules\0 and \0 more\n")
    assert "AGENTS" not in sync(a)
    sync(b)
    assert (folder(b) / "opencode.json").read_bytes() == b'\xef\xbb\xbf{"theme": "y"}\r\n'
    assert (folder(b) / "AGENTS.md").read_bytes() == b"rules\0 and \0 more\n"
    (folder(a) / "AGENTS.md").write_bytes(b"mine\0\n")
    (folder(b) / "AGENTS.md").write_bytes(b"theirs\0\n")
    sync(a)
    assert "resolve" in sync(b), "one of two versions was dropped"
    assert (folder(b) / "AGENTS.md").read_bytes() == b"theirs\0\n"


def test_a_file_that_is_being_written_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    path, stop = tmp_path / "x", threading.Event()
    path.write_bytes(b"0" * 300_000)

    def write() -> None:
        for number in range(10**6):
            if stop.is_set():
                return
            with path.open("r+b", buffering=0) as file:
                for start in range(0, 300_000, 10_000):
                    file.seek(start)
                    file.write(b"%d" % (number % 10) * 10_000)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(40):
            try:
                assert len(files.read(path)) == 300_000
            except Refused:
                break
    finally:
        stop.set()
        writer.join()
    assert len(set(files.read(path))) == 1


def test_a_file_that_never_stops_growing_is_left_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"start")
    real = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        with path.open("ab") as file:
            file.write(b"more")
        return real(descriptor)

    monkeypatch.setattr(files.os, "fstat", grow)
    monkeypatch.setattr(files, "PAUSE", 0)
    with pytest.raises(Refused, match="somebody is writing it"):
        files.read(path)
