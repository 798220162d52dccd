"""Two isolated machines, a local bare remote: link, sync, edit both at once, sync, compare the databases ourselves."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import zstandard

LOCAL = {"project_id", "directory", "path", "workspace_id", "share_url"}
TABLES = ("session", "message", "part", "todo")


class Machine:
    """An own home and roots with a database made by a real opencode."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self.root = name, root / name
        self.db = self.root / "data/opencode/opencode.db"
        self.db.parent.mkdir(parents=True)
        (self.root / "home").mkdir()
        packed = (Path(__file__).parent / f"{name}.db.zst").read_bytes()
        self.db.write_bytes(zstandard.ZstdDecompressor().stream_reader(packed).read())
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "OPENCODE_"))}
        self.env |= {"HOME": str(self.root / "home"), "XDG_DATA_HOME": str(self.root / "data")}
        self.env |= {"XDG_CONFIG_HOME": str(self.root / "config"), "XDG_STATE_HOME": str(self.root / "state")}

    def run(self, *arguments: str) -> None:
        print(f"\n{self.name}$ opencode-sidecar {' '.join(arguments)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "sidecar", *arguments], env=self.env, check=False)
        if done.returncode:
            sys.exit(f"the demo failed: status {done.returncode}")

    def query(self, text: str, *values: Any) -> list[Any]:
        connection = sqlite3.connect(self.db, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            return connection.execute(text, values).fetchall()
        finally:
            connection.close()

    def content(self) -> dict[str, list[str]]:
        """Every synced row, without what is local to a machine."""
        found = {}
        for table in TABLES:
            names = [row[1] for row in self.query(f"PRAGMA table_info({table})") if table != "session" or row[1] not in LOCAL]
            found[table] = sorted(json.dumps(row) for row in self.query(f"SELECT {', '.join(sorted(names))} FROM {table}"))
        return found


def add_turn(machine: Machine, session: str, text: str) -> None:
    """A finished turn as opencode writes it: a copy of the session's last question and answer, with new ids and words."""
    at = machine.query("SELECT max(time_created) FROM message WHERE session_id=?", session)[0][0] + 60_000
    for role in ("user", "assistant"):
        query = "SELECT id, data FROM message WHERE session_id=? AND json_extract(data, '$.role')=? ORDER BY time_created DESC LIMIT 1"
        _, data = machine.query(query, session, role)[0]
        message = json.loads(data)
        if role == "assistant":
            message["parentID"] = f"msg_demo_{machine.name}_user"
        key = f"msg_demo_{machine.name}_{role}"
        machine.query("INSERT INTO message VALUES (?,?,?,?,?)", key, session, at, at, json.dumps(message))
        part = json.dumps({"type": "text", "text": text if role == "user" else f"Answer on {machine.name}"})
        columns = "(id, message_id, session_id, time_created, time_updated, data)"
        machine.query(f"INSERT INTO part {columns} VALUES (?,?,?,?,?,?)", key.replace("msg", "prt"), key, session, at, at, part)
        at += 1


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="opencode-sidecar-demo-") as folder:
        root = Path(folder)
        remote = root / "remote.git"
        subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
        ada, bob = Machine(root, "ada"), Machine(root, "bob")
        print(f"ada has {len(ada.content()['session'])} sessions, bob {len(bob.content()['session'])}.")
        ada.run("init", str(remote))
        ada.run("sync")
        bob.run("link", str(remote))
        bob.run("sync")
        ada.run("sync")
        print("\nNow on both machines:")
        for (title,) in bob.query("SELECT title FROM session ORDER BY time_created"):
            print("  ", title)
        session = ada.query("SELECT id FROM session WHERE title LIKE 'Multi turn A%'")[0][0]
        print("\nBoth at once, while another process holds the database open: ada renames a session and adds a turn, bob adds one too.")
        holder = sqlite3.connect(bob.db)
        holder.execute("SELECT count(*) FROM session").fetchone()
        ada.query("UPDATE session SET title='Renamed on ada' WHERE id=?", session)
        add_turn(ada, session, "Asked on ada")
        add_turn(bob, session, "Asked on bob")
        for machine in (ada, bob, ada):
            machine.run("sync")
        holder.close()
        print("\nThe session, as bob has it now:", bob.query("SELECT title FROM session WHERE id=?", session)[0][0])
        query = "SELECT json_extract(data, '$.text') FROM part WHERE session_id=? AND json_extract(data, '$.type')='text' ORDER BY time_created, id"
        for (text,) in bob.query(query, session):
            print("  ", text[:70])
        ada.run("verify")
        equal = ada.content() == bob.content()
        rows = sum(len(rows) for rows in ada.content().values())
        print(f"\n{'✅' if equal else '❌'} {rows} rows compared by plain SQL: the two databases are {'equal' if equal else 'DIFFERENT'}.")
        return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
