"""Words in every place, then everything that the command and the server do: what leaves the machine, what is written down, for whom it is readable."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import edits, tamper
from tests.support.canary import Canary
from tests.support.machines import Machine, bare_remote
from tests.support.planted import ZSTD_MAGIC, _frames
from tests.support.rawclient import RawClient

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and programs in PATH are POSIX")
Make = Callable[..., Machine]
SECRETS = ("text", "large", "account", "credential", "permission", "share", "auth", "environment", "url", "passphrase", "apiKey", "broken", "history")
"""What no output, log or argument may show either. Titles, folders and names of devices may stand on the screen."""
FAILING = "import sidecar.services.scan as s\ndef fail(*a, **k):\n    raise RuntimeError('made to fail')\ns.Scanner.session = fail\n"
WRAPPER = '#!/bin/sh\n{{ for a in "$@"; do printf "%s\\n" "$a"; done; }} >> {log}\nexec {git} "$@"\n'


class World:
    """Two machines whose every git is written down, whose temporary files have a place of their own, under the most careless umask."""

    def __init__(self, root: Path, machine: Make) -> None:
        self.root, self.canary, self.said = root, Canary(), b""
        self.a, self.b = machine("a"), machine("b")
        self.remote = bare_remote(root / "remote.git")
        self.log, self.tmp = root / "argv", root / "tmp"
        self.tmp.mkdir()
        self.log.touch()
        (root / "bin").mkdir()
        git = root / "bin/git"
        git.write_text(WRAPPER.format(log=self.log, git=shutil.which("git")))
        git.chmod(0o755)
        (root / "failing").mkdir()
        (root / "failing/sitecustomize.py").write_text(FAILING)

    @property
    def extra(self) -> dict[str, str]:
        return {"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(self.tmp), "SOME_TOKEN": self.canary.word("environment")}

    def run(self, machine: Machine, *arguments: str, quiet: bool = False, **extra: str) -> subprocess.CompletedProcess[str]:
        done = machine.run(*arguments, **(self.extra | extra))
        assert "Traceback" not in done.stderr
        if not quiet:
            self.said += (done.stdout + done.stderr).encode("utf-8", "surrogateescape")
        return done

    def plant(self) -> None:
        word, a = self.canary.word, self.a
        folder = a.root / "home" / word("folder")
        folder.mkdir()
        db, at = a.connect(), int(time.time() * 1000) - 3_600_000
        db.execute("UPDATE project SET worktree=?, name=?", (str(folder), word("project")))
        session = f"ses_{self.canary.plain('id')}"
        edits.new_session(db, session, at, title=word("title"))
        edits.add_turn(db, session, self.canary.plain("message id"), at, word("text"))
        edits.set_todos(db, session, [word("todo")], at)
        edits.new_session(db, "ses_large", at)
        edits.add_turn(db, "ses_large", "l", at, f"{word('large')} " * 100_000)
        for table, place in (("account", "account"), ("credential", "credential"), ("permission", "permission"), ("session_share", "share")):
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[2].lower() == "text"]
            edits.insert(
                db, table, {**{name: word(place) for name in names}, "session_id": session, "project_id": "p" * 40, "time_created": 1, "time_updated": 1}
            )
        db.close()
        (a.root / "data/opencode/auth.json").write_text(json.dumps({"x": {"key": word("auth")}}))
        (a.root / "state/opencode").mkdir(parents=True, exist_ok=True)
        (a.root / "state/opencode/prompt-history.jsonl").write_text(json.dumps({"input": word("history")}) + "\n")
        config = a.root / "config/opencode"
        config.mkdir(parents=True, mode=0o755)
        (config / "opencode-sidecar.jsonc").write_text('{"includeConfig": true}')
        (config / "opencode.json").write_text(json.dumps({"model": word("model"), "provider": {"p": {"options": {"apiKey": word("apiKey")}}}}))
        (config / "AGENTS.md").write_text(f"{word('agents')}\n")
        (config / "tui.json").write_text(f'{{"theme": "{word("broken")}" "x"}}')
        for path in config.iterdir():
            path.chmod(0o644)

    def work(self, *options: str) -> None:
        """Every command, and every way to fail that leaves something in an error."""
        word, a, b, run = self.canary.word, self.a, self.b, self.run
        secret = self.root / "passphrase"
        secret.write_text(word("passphrase") + "\n")
        name = ("--device-name", word("device"))
        run(a, "init", f"https://user:{self.canary.plain('url')}@127.0.0.1:1/x.git", *options, *name)
        run(a, "init", "--upload-pack=x")
        sealed = ("--passphrase-file", str(secret)) if not options else ()
        done = run(a, "init", str(self.remote), *options, *name, *sealed, quiet=True)
        assert done.returncode == 0, done.stderr
        assert not self.canary.found_in(done.stdout.encode(), "passphrase")
        for command in ("preview", "-v sync", "status", "--json status", "history", "doctor", "verify", "secrets", "config", "resolve"):
            run(a, *command.split())
        if options:
            assert run(b, "link", str(self.remote)).returncode == 0
            run(b, "sync")
            run(a, "sync")
            return
        wrong = self.root / "wrong"
        wrong.write_text(word("passphrase") + "x\n")
        run(b, "link", str(self.remote), "--passphrase-file", str(wrong))
        assert run(b, "link", str(self.remote), *sealed).returncode == 0
        for one in (b, a, b):
            run(one, "-v", "sync")
        db = a.connect()
        edits.delete_session(db, "ses_large")
        db.close()
        run(a, "sync", "--allow-deletions")
        cycle = json.loads(run(b, "--json", "sync").stdout)["cycleId"]
        for command in (f"restore {cycle}", "repair", "history", "verify", "sync"):
            run(b, *command.split())
        run(a, "rotate-key", quiet=True)
        run(b, "sync")
        self.fail()
        client = RawClient(a.environ | self.extra)
        try:
            client.initialize()
            for method in ("sync/run", "sync/status", "sync/preview", "sync/verify", "sync/history", "sync/doctor", "sync/secrets", "config/get"):
                self.said += json.dumps(client.call(method, {}, timeout=60), ensure_ascii=False).encode()
            self.said += json.dumps(client.call("sync/link", {"remote": f"https://u:{self.canary.plain('url')}@127.0.0.1:1/x"}), ensure_ascii=False).encode()
            client.end()
            self.said += json.dumps(client.notifications, ensure_ascii=False).encode() + client.stderr
        finally:
            client.kill()

    def fail(self) -> None:
        a = self.a
        moved = self.root / "away.git"
        self.remote.rename(moved)
        self.run(a, "sync")
        moved.rename(self.remote)
        db = a.connect()
        edits.add_turn(db, next(row[0] for row in db.execute("SELECT id FROM session")), "f", int(time.time() * 1000) - 1_800_000, self.canary.word("text"))
        db.close()
        path = f"{self.root / 'failing'}:{a.environ['PYTHONPATH']}"
        assert "internal" in self.run(a, "--json", "sync", PYTHONPATH=path).stdout
        assert list((a.own_state / "logs").glob("incident-*")), "nothing was forced to fail: this test shows little"
        good = a.db.read_bytes()
        a.db.write_bytes(good[:100] + self.canary.word("text").encode() * 100 + good[4096:])
        self.run(a, "sync")
        self.run(a, "doctor", "--offline")
        a.db.write_bytes(good)
        self.run(a, "sync")

    def logs(self) -> bytes:
        return b"".join(path.read_bytes() for one in (self.a, self.b) for path in (one.own_state / "logs").rglob("*") if path.is_file())


def every_form(remote: Path) -> bytes:
    """All objects and refs, messages of commits, and whatever of it can be decompressed."""
    data = tamper.every_byte(remote)
    data += tamper.git(remote, "log", "--all", "--format=%H %an %ae %cn %ce %B").encode()
    return data + (b"".join(_frames(data)) if ZSTD_MAGIC in data else b"")


def modes(machine: Machine) -> Iterator[tuple[Path, int]]:
    for path in (machine.own_state, *machine.own_state.rglob("*")):
        if not path.is_symlink():
            yield path, stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def careless() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_nothing_planted_leaves_is_written_down_or_is_open_to_others(machine: Make, tmp_path: Path, careless: None) -> None:
    world = World(tmp_path, machine)
    world.plant()
    theirs = {path: path.stat().st_mode for path in (world.a.root / "data").rglob("*")} | {p: p.stat().st_mode for p in (world.a.root / "config").rglob("*")}
    world.work()
    key = world.run(world.a, "show-key", "--yes", quiet=True).stdout.strip()
    assert len(key) > 60
    canary = world.canary
    remote = every_form(world.remote)
    assert canary.found_in(remote) == [], "the remote can read it"
    for form in (key, key.replace("-", "")):
        assert form.encode() not in remote + world.said + world.logs() + world.log.read_bytes(), "the key is where it should not be"
    assert canary.found_in(world.said, *SECRETS) == [], "a secret was shown"
    assert canary.found_in(world.logs(), *SECRETS, "todo", "agents") == [], "a secret was logged"
    assert canary.found_in(world.log.read_bytes(), *SECRETS, "title", "todo", "device") == [], "every user of the machine sees the arguments of a process"
    assert canary.found_in(world.said, "title", "device"), "the outputs were not looked at"
    assert world.log.read_bytes().count(b"ls-remote") > 5, "no git was seen"
    assert [path.name for path in world.tmp.iterdir()] == [], "files were left behind"
    for one in (world.a, world.b):
        for path, mode in modes(one):
            assert mode & 0o077 == 0, f"{path.relative_to(one.own_state)} is open to others: {mode:o}"
    for path, mode in theirs.items():
        if path.exists():
            assert path.stat().st_mode == mode, f"{path.name} of opencode's has another mode"


def test_without_encryption_only_what_policy_allows_leaves(machine: Make, tmp_path: Path) -> None:
    world = World(tmp_path, machine)
    world.plant()
    world.work("--encryption", "none")
    kept = [place for place in SECRETS if place not in ("text", "large")]
    assert world.canary.found_in(every_form(world.remote), *kept) == [], "it leaves whatever the settings say"
    assert world.canary.found_in(every_form(world.remote), "text"), "the search finds nothing: this test shows nothing"
    assert world.canary.found_in(world.said + world.logs(), *kept) == []
