"""Stands for opencode: keeps the database open all the while, reads it many times a second, and writes when told to.

`python -m sidecar.demo.host DATABASE`: one JSON request a line on stdin, one JSON answer a line on stdout.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.02


def connect(path: str) -> sqlite3.Connection:
    """With the settings opencode uses."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class Reader(threading.Thread):
    """Lists sessions over and over, as an open window does, and remembers the longest wait."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self._path, self.reads, self.longest = path, 0, 0.0

    def run(self) -> None:
        connection = connect(self._path)
        while True:
            began = time.perf_counter()
            connection.execute("SELECT id, title FROM session ORDER BY time_updated DESC LIMIT 100").fetchall()
            self.longest, self.reads = max(self.longest, time.perf_counter() - began), self.reads + 1
            time.sleep(POLL_SECONDS)


def rename(db: sqlite3.Connection, session: str, title: str) -> None:
    """As opencode: no time moves."""
    db.execute("UPDATE session SET title=? WHERE id=?", (title, session))


def delete(db: sqlite3.Connection, session: str) -> None:
    db.execute("DELETE FROM session WHERE id=?", (session,))


def continue_session(db: sqlite3.Connection, session: str, text: str) -> None:
    """A new turn: the last one again, under new ids, now, with another question."""
    db.row_factory = sqlite3.Row
    rows = [dict(row) for row in db.execute("SELECT * FROM message WHERE session_id=? ORDER BY time_created, id", (session,))]
    asked = [row for row in rows if json.loads(row["data"])["role"] == "user"][-1]
    turn = [asked, *(row for row in rows if json.loads(row["data"]).get("parentID") == asked["id"])]
    by = int(time.time() * 1000) - max(row["time_updated"] for row in turn)
    db.execute("BEGIN IMMEDIATE")
    new_question = _new_id(asked["id"])
    for row in turn:
        new = new_question if row is asked else _new_id(row["id"])
        parts = [dict(part) for part in db.execute("SELECT * FROM part WHERE message_id=?", (row["id"],))]
        data = json.loads(row["data"])
        data["time"] = {name: at + by for name, at in data["time"].items()}
        if row is asked:
            data.pop("summary", None)
        else:
            data["parentID"] = new_question
            _add_up(db, session, data)
        _insert(db, "message", {**row, "id": new, "data": json.dumps(data, ensure_ascii=False)}, by)
        for part in parts:
            content = json.loads(part["data"])
            if row is asked and content["type"] == "text":
                content["text"] = text
            _insert(db, "part", {**part, "id": _new_id(part["id"]), "message_id": new, "data": json.dumps(content, ensure_ascii=False)}, by)
    db.execute("UPDATE session SET time_updated=? WHERE id=?", (int(time.time() * 1000), session))
    db.execute("COMMIT")


def _add_up(db: sqlite3.Connection, session: str, data: dict[str, Any]) -> None:
    """opencode keeps a session's totals in its row."""
    tokens = data["tokens"]
    db.execute(
        "UPDATE session SET cost=cost+?, tokens_input=tokens_input+?, tokens_output=tokens_output+?, tokens_reasoning=tokens_reasoning+?,"
        " tokens_cache_read=tokens_cache_read+?, tokens_cache_write=tokens_cache_write+? WHERE id=?",
        (data["cost"], tokens["input"], tokens["output"], tokens["reasoning"], tokens["cache"]["read"], tokens["cache"]["write"], session),
    )


def _new_id(old: str) -> str:
    return old[:4] + secrets.token_hex(len(old))[: len(old) - 4]


def _insert(db: sqlite3.Connection, table: str, row: dict[str, Any], by: int) -> None:
    row = {**row, "time_created": row["time_created"] + by, "time_updated": row["time_updated"] + by}
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def main(path: str) -> None:
    db, reader = connect(path), Reader(path)
    reader.start()
    does: dict[str, Callable[..., None]] = {"rename": rename, "delete": delete, "continue": continue_session}
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if request["do"] == "measure":
            answer = {"reads": reader.reads, "longest_ms": round(reader.longest * 1000, 1)}
        else:
            does[request["do"]](db, *request["with"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
