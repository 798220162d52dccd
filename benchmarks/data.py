"""Databases of a chosen size over a real schema: shapes of real transcripts, heavy-tailed tool output. Deterministic for a seed."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

from tests.support.edits import insert, wrote

SCHEMA = Path(__file__).parent.parent / "tests/fixtures/schemas/schema-1.18.33.sql"
START_MS = 1_760_000_000_000
WORDS = [
    "def",
    "return",
    "import",
    "self",
    "class",
    "async",
    "await",
    "const",
    "let",
    "function",
    "if",
    "else",
    "for",
    "while",
    "try",
    "except",
    "raise",
    "error",
    "result",
    "value",
    "index",
    "path",
    "config",
    "session",
    "message",
    "token",
    "stream",
    "buffer",
    "read",
    "write",
    "open",
    "close",
    "sync",
    "merge",
    "push",
    "pull",
    "commit",
    "branch",
    "remote",
    "local",
    "update",
    "delete",
    "insert",
    "select",
    "from",
    "where",
    "join",
    "test",
    "assert",
    "equal",
    "true",
    "false",
    "null",
    "none",
    "list",
    "dict",
    "map",
    "set",
    "tuple",
    "string",
    "number",
    "object",
    "array",
]
COUNTERS = {"input": 100, "output": 10, "reasoning": 0, "cache": {"read": 1, "write": 2}}


def make(path: Path, home: Path, *, sessions: int, projects: int, messages: int = 40, seed: int = 1) -> int:
    """Returns the size in bytes. Projects lie below `home`; their ids depend on the seed alone, so that two machines share them."""
    rng = random.Random(seed)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=OFF")
    db.executescript(SCHEMA.read_text())
    db.execute("BEGIN")
    places = _projects(db, rng, home, projects)
    at = START_MS
    for number in range(sessions):
        at = _session(db, rng, number, *rng.choice(places), at + rng.randint(60_000, 3_600_000), messages)
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = int(db.execute("SELECT page_count*page_size FROM pragma_page_count, pragma_page_size").fetchone()[0])
    db.close()
    return size


def add_turn(path: Path, rows: int = 20) -> None:
    """A finished turn of `rows` rows in one session, some seconds ago."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA foreign_keys=ON")
    session, newest = db.execute("SELECT session_id, max(time_created) FROM message").fetchone()
    tag, at = random.randrange(16**8), newest + 60_000
    db.execute("BEGIN IMMEDIATE")
    user, answer = f"msg_{tag:08x}u", f"msg_{tag:08x}a"
    _message(db, session, user, at, _asked(at))
    _message(db, session, answer, at + 1, _answered(at + 1, user, "/"))
    for number in range(rows - 3):
        _part(db, session, answer if number else user, f"prt_{tag:08x}{number:03d}", at + 2 + number, {"type": "text", "text": f"line {number} of {tag}"})
    db.execute("UPDATE session SET time_updated=? WHERE id=?", (at + rows, session))
    wrote(db, session)
    db.execute("COMMIT")
    db.close()


def _projects(db: sqlite3.Connection, rng: random.Random, home: Path, count: int) -> list[tuple[str, str]]:
    made = []
    for number in range(count):
        folder = home / f"code/repo{number}"
        folder.mkdir(parents=True, exist_ok=True)
        made.append((f"{rng.getrandbits(160):040x}", str(folder)))
        row = {"id": made[-1][0], "worktree": str(folder), "vcs": "git", "name": f"repo{number}", "sandboxes": "[]"}
        insert(db, "project", {**row, "time_created": START_MS, "time_updated": START_MS})
    return made


def _session(db: sqlite3.Connection, rng: random.Random, number: int, project: str, folder: str, at: int, messages: int) -> int:
    session = f"ses_{number:06d}{rng.getrandbits(60):015x}"
    row = {"id": session, "project_id": project, "slug": f"slug-{number}", "directory": folder, "title": prose(rng, 40).replace("\n", " ")}
    row |= {"version": "1.18.33", "agent": "build", "model": json.dumps({"id": "m", "providerID": "p"})}
    insert(db, "session", {**row, "time_created": at, "time_updated": at})
    user = ""
    for index in range(max(2, int(rng.expovariate(1 / messages)))):
        at += rng.randint(500, 30_000)
        message = f"msg_{number:06d}{index:06d}{rng.getrandbits(40):010x}"
        asks = index % 4 == 0
        if asks:
            user = message
        _message(db, session, message, at, _asked(at) if asks else _answered(at, user, folder))
        for position in range(1 if asks else rng.randint(2, 6)):
            at += 1
            _part(db, session, message, f"prt_{number:06d}{index:06d}{position:03d}{rng.getrandbits(28):07x}", at, _content(rng, at, folder, text=asks))
    items = [(prose(rng, 50), rng.choice(("pending", "completed"))) for _ in range(rng.randint(0, 5))]
    for position, (content, status) in enumerate(items):
        todo = {"session_id": session, "content": content, "status": status, "priority": "medium", "position": position}
        insert(db, "todo", {**todo, "time_created": at, "time_updated": at})
    db.execute("UPDATE session SET time_updated=? WHERE id=?", (at, session))
    wrote(db, session)
    return at


def _asked(at: int) -> dict[str, Any]:
    return {"role": "user", "time": {"created": at}, "agent": "build", "model": {"providerID": "p", "modelID": "m"}}


def _answered(at: int, user: str, folder: str) -> dict[str, Any]:
    said = {"role": "assistant", "time": {"created": at, "completed": at + 1}, "parentID": user, "modelID": "m", "providerID": "p", "mode": "build"}
    return {**said, "agent": "build", "path": {"cwd": folder, "root": folder}, "cost": 0.05, "tokens": COUNTERS, "finish": "stop"}


def _content(rng: random.Random, at: int, folder: str, *, text: bool) -> dict[str, Any]:
    kind = "text" if text or rng.random() < 0.35 else rng.choice(("tool", "tool", "reasoning", "step-start", "step-finish"))
    if kind in ("text", "reasoning"):
        return {"type": kind, "text": prose(rng, min(20_000, int(rng.lognormvariate(5.5, 1.1)))), "time": {"start": at, "end": at}}
    if kind == "tool":
        given = {"filePath": f"{folder}/src/f{rng.randint(0, 200)}.ts"}
        output = prose(rng, min(400_000, int(rng.lognormvariate(7.2, 1.6))))
        state = {"status": "completed", "input": given, "output": output, "title": "x", "metadata": {}, "time": {"start": at, "end": at + 5}}
        return {"type": kind, "callID": f"call_{rng.randint(0, 10**9)}", "tool": rng.choice(("bash", "read", "edit", "grep")), "state": state}
    return {"type": kind, "reason": "stop", "cost": 0.01, "tokens": COUNTERS} if kind == "step-finish" else {"type": kind}


def prose(rng: random.Random, size: int) -> str:
    """Text like source code, `size` characters."""
    out, length = [], 0
    while length < size:
        word = rng.choice(WORDS)
        if rng.random() < 0.15:
            word = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 12)))
        if rng.random() < 0.08:
            word = str(rng.randint(0, 10**6))
        if rng.random() < 0.1:
            word += "\n    "
        out.append(word)
        length += len(word) + 1
    return " ".join(out)[:size]


def _message(db: sqlite3.Connection, session: str, key: str, at: int, data: dict[str, Any]) -> None:
    db.execute("INSERT INTO message VALUES (?,?,?,?,?)", (key, session, at, at, json.dumps(data, separators=(",", ":"))))


def _part(db: sqlite3.Connection, session: str, message: str, key: str, at: int, data: dict[str, Any]) -> None:
    query = "INSERT INTO part (id, message_id, session_id, time_created, time_updated, data) VALUES (?,?,?,?,?,?)"
    db.execute(query, (key, message, session, at, at, json.dumps(data, separators=(",", ":"))))
