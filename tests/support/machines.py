"""Isolated machines: own home and roots, a real database, a real repository."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from sidecar.app import Sidecar
from sidecar.domain.clock import wall_clock_ms
from sidecar.settings import Settings
from tests.support.command import SIDECAR

FIXTURES = Path(__file__).parent.parent / "fixtures"
SYNCED = ("session", "message", "part", "todo")


@dataclass
class Machine:
    """`wall` is this machine's clock, Unix milliseconds."""

    root: Path
    wall: Callable[[], int] = field(default=wall_clock_ms)

    def __post_init__(self) -> None:
        for name in ("home", "data/opencode", "config", "state"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "XDG_DATA_HOME": str(self.root / "data"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "XDG_STATE_HOME": str(self.root / "state"),
            "PYTHONPATH": str(FIXTURES.parent.parent),
            "PYTHONIOENCODING": "utf-8",
            "LANG": "C.UTF-8",
        }

    @property
    def db(self) -> Path:
        return self.root / "data/opencode/opencode.db"

    @property
    def own_state(self) -> Path:
        return self.root / "state/opencode/opencode-sidecar"

    @property
    def device_id(self) -> str:
        return str(json.loads((self.own_state / "device.json").read_bytes())["deviceId"])

    @property
    def settings(self) -> Settings:
        return Settings.from_environ(self.environ)

    @property
    def sidecar(self) -> Sidecar:
        return Sidecar(self.settings, self.wall)

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.db, timeout=10, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def sql(self, query: str, *parameters: Any) -> list[Any]:
        connection = self.connect()
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()

    def run(self, *arguments: str, timeout: float = 120, **extra: str) -> subprocess.CompletedProcess[str]:
        """The real command in a process of its own."""
        return subprocess.run(
            [*SIDECAR, *arguments],
            env=self.environ | extra,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def cli(self, *arguments: str, expect: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """The command with --json; its result."""
        done = self.run("--json", *arguments)
        assert done.returncode in expect, f"{arguments} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def content(self) -> dict[str, dict[str, Any]]:
        """Everything that must be equal on all machines, table by table, without what is local to a machine."""
        local = {"session": {"project_id", "directory", "path", "workspace_id", "share_url"}}
        connection = self.connect()
        try:
            found: dict[str, dict[str, Any]] = {}
            for table in SYNCED:
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] not in local.get(table, ())]
                rows = connection.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
                keyed = [dict(zip(names, row, strict=True)) for row in rows]
                found[table] = {str(row["id"]) if "id" in row else f"{row['session_id']}/{row['position']}": row for row in keyed}
            return found
        finally:
            connection.close()

    def check_integrity(self) -> None:
        assert self.sql("PRAGMA integrity_check") == [("ok",)], "the user's database is damaged"
        assert self.sql("PRAGMA foreign_key_check") == [], "rows without their parents: opencode would lose them"


def unpack_fixture(name: str, target: Path) -> None:
    data = zstandard.ZstdDecompressor().stream_reader((FIXTURES / f"{name}.db.zst").read_bytes()).read()
    target.write_bytes(data)


def from_fixture(root: Path, name: str, wall: Callable[[], int] = wall_clock_ms) -> Machine:
    machine = Machine(root, wall)
    unpack_fixture(name, machine.db)
    return machine


def from_schema(root: Path, version: str = "1.18.33", wall: Callable[[], int] = wall_clock_ms, project: str = "p" * 40) -> Machine:
    """An empty database of that version with one project whose folder exists."""
    machine = Machine(root, wall)
    folder = root / "home/app"
    connection = machine.connect()
    connection.executescript(schema_of(version))
    connection.close()
    open_project(machine, project, folder)
    return machine


def schema_of(version: str) -> str:
    return (FIXTURES / f"schemas/schema-{version}.sql").read_text()


def edit(machine: Machine, change: Callable[[sqlite3.Connection], object]) -> None:
    """As opencode does: through a connection of its own, which is closed then."""
    connection = machine.connect()
    try:
        change(connection)
    finally:
        connection.close()


def open_project(machine: Machine, project: str, folder: Path) -> None:
    """What opencode notes when it is first started in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    machine.sql("INSERT OR IGNORE INTO project (id, worktree, time_created, time_updated, sandboxes) VALUES (?,?,1,1,'[]')", project, str(folder))


def bare_remote(path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True, env={"PATH": os.environ["PATH"], "HOME": str(path.parent)})
    return path
