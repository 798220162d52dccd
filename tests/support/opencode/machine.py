"""An isolated machine with a real opencode: own home and XDG folders, a git project, a server, and the product's command."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
ORIGIN = "https://git.example.invalid/lab/app.git"
# Not loopback's name: nothing here may leave the machine, whatever the user's settings are.
_OFFLINE = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
}
_LISTENING = re.compile(rb"listening on (http://127\.0\.0\.1:\d+)")
Json = Any


class ApiError(Exception):
    """opencode's server answered with an HTTP error."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path} -> {status} {body[:1500]}")
        self.status = status


class Machine:
    """`folder`: where this machine keeps the project, below its home; different on each machine, as in real life."""

    def __init__(self, root: Path, binary: Path, provider_url: str, *, folder: str = "work/app") -> None:
        self.root, self.binary, self.provider_url = root, binary, provider_url
        self.app = root / "home" / folder
        self.url = ""
        self.extra_environ: dict[str, str] = {}
        self._server: subprocess.Popen[bytes] | None = None
        for name in ("home", "data", "config/opencode", "cache", "state"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "config/opencode/opencode.json").write_text(json.dumps(_config(provider_url)))

    # ---- the machine
    @property
    def db(self) -> Path:
        return self.root / "data/opencode/opencode.db"

    @property
    def environ(self) -> dict[str, str]:
        roots = {f"XDG_{name.upper()}_HOME": str(self.root / name) for name in ("data", "config", "cache", "state")}
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in (("NAME", "lab"), ("EMAIL", "lab@example.invalid"))}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            **roots,
            **_OFFLINE,
            **who,
            **self.extra_environ,
        }

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(["git", *arguments], cwd=cwd or self.app, env=self.environ, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def configure(self, **members: Json) -> None:
        """Add members to opencode.json; read at the next start."""
        path = self.root / "config/opencode/opencode.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | members))

    @property
    def server_pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def make_project(self, folder: Path | None = None, origin: str = ORIGIN) -> None:
        """A repository with one commit. `origin` decides the project's id in newer versions; it is never contacted."""
        folder = folder or self.app
        (folder / "src").mkdir(parents=True)
        (folder / "src/main.py").write_text(f"print({folder.name!r})\n")
        self.git("init", "-q", "-b", "main", cwd=folder)
        self.git("add", "-A", cwd=folder)
        self.git("commit", "-q", "-m", "root", cwd=folder)
        self.git("remote", "add", "origin", origin, cwd=folder)

    def clone_project(self, source: Path, folder: Path | None = None, origin: str = ORIGIN) -> None:
        """The same project in a folder of this machine."""
        folder = folder or self.app
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.git("clone", "-q", str(source), str(folder), cwd=self.root)
        self.git("remote", "set-url", "origin", origin, cwd=folder)

    def sidecar(self, *arguments: str, expect: tuple[int, ...] = (0,)) -> dict[str, Json]:
        """The product's command with --json on this machine's roots; its result."""
        done = subprocess.run(
            [sys.executable, "-m", "sidecar", "--json", *arguments],
            env=self.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in expect, f"opencode-sidecar {' '.join(arguments)} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        result: dict[str, Json] = json.loads(done.stdout)
        return result

    # ---- opencode
    def opencode(self, *arguments: str) -> str:
        """One run of opencode's command line in the project's folder."""
        done = subprocess.run(
            [self.binary, *arguments],
            cwd=self.app,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"opencode {' '.join(arguments)} -> {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        return done.stdout

    def start(self) -> None:
        """`opencode serve` in the project's folder, and the project opened as the app does."""
        with (self.root / "serve.log").open("ab") as log:
            start = log.tell()
            command = [str(self.binary), "serve", "--port", "0", "--hostname", "127.0.0.1"]
            self._server = subprocess.Popen(command, cwd=self.app, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while not (found := _LISTENING.search((self.root / "serve.log").read_bytes(), start)):
            assert self._server.poll() is None, "opencode serve ended: " + self._log()
            assert time.monotonic() < deadline, "opencode serve does not listen: " + self._log()
            time.sleep(0.05)
        self.url = found[1].decode()
        while True:  # a request sent the moment it listens can hang: short timeouts, and again
            try:
                self.api("GET", "/session", timeout=3)
                return
            except OSError:
                assert time.monotonic() < deadline, "opencode serve does not answer: " + self._log()

    def stop(self) -> None:
        """Ends the server. A first SIGTERM can be lost while opencode installs its plugin package: it is repeated."""
        server, self._server = self._server, None
        if server is None:
            return
        for _ in range(4):
            server.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(2)
                return
        server.kill()
        server.wait(10)

    def _log(self) -> str:
        return (self.root / "serve.log").read_text(errors="replace")[-2000:]

    def api(self, method: str, path: str, body: Json = None, *, at: Path | None = None, timeout: float = 60) -> Json:
        """One request, as for a window that shows the folder `at` (the project's by default)."""
        request = urllib.request.Request(self.url + path, method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        request.add_header("x-opencode-directory", str(at or self.app))
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                raw = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ApiError(method, path, error.code, error.read().decode(errors="replace")) from None
        return json.loads(raw) if raw else None

    # ---- sessions, as a person sees them
    def started(self, prompt: str, *, at: Path | None = None) -> str:
        """A new session with one turn."""
        session: str = self.api("POST", "/session", {}, at=at)["id"]
        self.ask(session, prompt, at=at)
        return session

    def ask(self, session: str, prompt: str, *, at: Path | None = None) -> str:
        """Send a prompt and wait for the turn's end; the answer's text, which must not be empty. Returns it."""
        answer = self.api("POST", f"/session/{session}/message", {"parts": [{"type": "text", "text": prompt}]}, at=at)
        text = "".join(part.get("text", "") for part in answer["parts"])
        assert answer["info"]["role"] == "assistant", f"{self.root.name}: the prompt was not answered: {answer}"
        assert text, f"{self.root.name}: the prompt was not answered: {answer}"
        return text

    def asked(self, session: str, prompt: str) -> str:
        """The id of the user message that has this text."""
        for message in self.messages(session):
            if any(prompt in part.get("text", "") for part in message["parts"]) and message["info"]["role"] == "user":
                return str(message["info"]["id"])
        raise AssertionError(f"{self.root.name}: no prompt {prompt!r} in {session}")

    def show(self, session: str) -> Json:
        return self.api("GET", f"/session/{session}")

    def messages(self, session: str) -> list[Json]:
        found: list[Json] = self.api("GET", f"/session/{session}/message")
        return found

    def text(self, session: str) -> str:
        return "\n".join(part.get("text", "") for message in self.messages(session) for part in message["parts"])

    def todos(self, session: str) -> list[Json]:
        found: list[Json] = self.api("GET", f"/session/{session}/todo")
        return found

    def children(self, session: str) -> list[str]:
        return [child["id"] for child in self.api("GET", f"/session/{session}/children")]

    def listed(self, at: Path | None = None) -> dict[str, Json]:
        """What the app lists for this machine's own folder."""
        return {session["id"]: session for session in self.api("GET", f"/session?directory={at or self.app}", at=at)}

    def rename(self, session: str, title: str) -> None:
        self.api("PATCH", f"/session/{session}", {"title": title})

    def archive(self, session: str) -> None:
        self.api("PATCH", f"/session/{session}", {"time": {"archived": int(time.time() * 1000)}})

    def delete(self, session: str) -> None:
        self.api("DELETE", f"/session/{session}")

    def revert(self, session: str, message: str) -> None:
        """Undo this message and what followed; the next prompt makes it final."""
        self.api("POST", f"/session/{session}/revert", {"messageID": message})

    # ---- the database
    @contextlib.contextmanager
    def connect(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        mode = "rw" if write else "ro"
        connection = sqlite3.connect(f"file:{self.db}?mode={mode}", uri=True, timeout=10, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def sql(self, query: str, *parameters: Json, write: bool = False) -> list[tuple[Json, ...]]:
        with self.connect(write=write) as connection:
            return connection.execute(query, parameters).fetchall()

    def check_database(self) -> None:
        assert self.sql("PRAGMA integrity_check") == [("ok",)], f"{self.root.name}: the user's database is damaged"
        assert self.sql("PRAGMA foreign_key_check") == [], f"{self.root.name}: rows without their parents, which opencode loses"


def _config(provider_url: str) -> Json:
    model = {
        "name": "Mock 1",
        "tool_call": True,
        "reasoning": False,
        "cost": {"input": 3, "output": 15},
        "limit": {"context": 200_000, "output": 8192},
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Mock",
        "options": {"baseURL": provider_url, "apiKey": "not-a-secret"},
        "models": {"mock-1": model},
    }
    return {
        "share": "disabled",
        "autoupdate": False,
        "model": "mock/mock-1",
        "small_model": "mock/mock-1",
        "permission": "allow",
        "lsp": False,
        "formatter": False,
        "provider": {"mock": provider},
    }
