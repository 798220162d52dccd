"""A made-up machine: its own home, opencode folders and database, git checkouts, and a stand-in for opencode."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from sidecar.demo import data, screen

PROJECTS = {"code/app": "git.example/team/app", "code/lib": "git.example/team/lib"}
_KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "NO_COLOR", "COLUMNS", "PYTHONPATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")


class Stopped(Exception):
    """The person asked to stop."""


class Failed(Exception):
    """A step did not do what the demo promises."""


class Machine:
    def __init__(self, name: str, root: Path, cancelled: threading.Event) -> None:
        self.name, self.root, self._cancelled = name, root, cancelled
        self.home, self.db = root / "home", root / "data/opencode/opencode.db"
        self.environ = {name: os.environ[name] for name in _KEPT if name in os.environ} | {
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(root / "data"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "XDG_STATE_HOME": str(root / "state"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONIOENCODING": "utf-8",
        }
        self._host: subprocess.Popen[str] | None = None

    def make(self, person: str, upstream: Path, *, newest_ago_ms: int) -> None:
        """`person`: whose recorded database this machine starts with."""
        self.db.parent.mkdir(parents=True)
        (self.home / "code/plain").mkdir(parents=True)
        for folder, origin in PROJECTS.items():
            checkout = self.home / folder
            self.git("clone", "-q", str(upstream / Path(folder).name), str(checkout))
            self.git("-C", str(checkout), "remote", "set-url", "origin", f"https://{origin}.git")
            (checkout / ".git/opencode").write_text(data.project_id(origin))
        self.git("-C", str(self.home / "code/app"), "worktree", "add", "-q", str(self.home / "code/app-wt"), "-b", "side")
        data.unpack(person, self.db)
        ids = {folder: data.project_id(origin) for folder, origin in PROJECTS.items()}
        data.settle_in(self.db, self.home, ids, newest_ago_ms=newest_ago_ms)

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=demo", "-c", "user.email=demo@localhost", *arguments], env=self.environ, check=True, stdin=subprocess.DEVNULL)

    # --- the real command -----------------------------------------------------------------------------------------
    def sidecar(self, *arguments: str) -> None:
        """Run it as a person does; its progress is live. Raises Failed unless it exits with 0."""
        screen.command(self.name, f"opencode-sidecar {' '.join(arguments)}")
        terminal = sys.stderr.isatty()
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", *arguments, *([] if terminal else ["-v"])],
            env=self.environ,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stderr=None if terminal else subprocess.STDOUT,  # in the order in which things happen
        )
        status = self._wait(process)
        if status == 130 or self._cancelled.is_set():
            raise Stopped
        if status != 0:
            raise Failed(f"`opencode-sidecar {arguments[0]}` on the {self.name} ended with status {status}")

    def keep_key(self, folder: Path) -> Path:
        """Carry the recovery key to another machine's folder, as a person does with a note."""
        shown = subprocess.run(
            [sys.executable, "-m", "sidecar", "show-key", "--yes"], env=self.environ, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
        path = folder / "recovery-key.txt"
        path.write_bytes(shown.stdout)
        path.chmod(0o600)
        return path

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        told = False
        while True:
            try:
                return process.wait(0.1)
            except subprocess.TimeoutExpired:
                if self._cancelled.is_set() and not told:
                    process.send_signal(signal.SIGTERM)
                    told = True

    # --- opencode's stand-in --------------------------------------------------------------------------------------
    def open_host(self) -> None:
        command = [sys.executable, "-m", "sidecar.demo.host", str(self.db)]
        # A group of its own: Ctrl-C is for the command under it, and this one is closed in order.
        self._host = subprocess.Popen(
            command, env=self.environ, cwd=self.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
        )

    def host(self, do: str, *arguments: str) -> dict[str, Any]:
        process = self._host
        if process is None or process.stdin is None or process.stdout is None:
            raise Failed(f"nothing stands for opencode on the {self.name}")
        process.stdin.write(json.dumps({"do": do, "with": arguments}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise Failed(f"what stands for opencode on the {self.name} ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close_host(self) -> None:
        if self._host is not None:
            self._host.communicate()
            self._host = None


def make_upstream(folder: Path, git: Machine) -> None:
    """The projects' own repositories, from which both machines clone."""
    for name in ("app", "lib"):
        checkout = folder / name
        (checkout / "src").mkdir(parents=True)
        (checkout / "src/main.txt").write_text(f"{name}\n")
        git.git("init", "-q", "-b", "main", str(checkout))
        git.git("-C", str(checkout), "add", ".")
        git.git("-C", str(checkout), "commit", "-q", "-m", f"Start {name}")
