"""What opencode does to its database, as SQL on any schema version."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

DAY = 86_400_000


def insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """Insert what the schema knows; NOT NULL columns nobody gave get their type's empty value."""
    for _, name, kind, not_null, default, _ in db.execute(f"PRAGMA table_info({table})").fetchall():
        if not_null and default is None and name not in row:
            row[name] = 0 if "int" in kind.lower() else ""
    known = {info[1] for info in db.execute(f"PRAGMA table_info({table})")}
    names = [name for name in row if name in known]
    db.execute(f"INSERT INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})", [row[name] for name in names])


def new_session(db: sqlite3.Connection, session: str, now: int, *, title: str = "", parent: str | None = None, project: str | None = None) -> None:
    project_id, worktree = db.execute("SELECT id, worktree FROM project WHERE id=coalesce(?, id) ORDER BY time_created LIMIT 1", (project,)).fetchone()
    row = {
        "id": session, "project_id": project_id, "parent_id": parent, "slug": session, "directory": worktree, "path": "", "title": title or session,
        "version": "1.18.33", "time_created": now, "time_updated": now, "agent": "build", "model": json.dumps({"id": "m", "providerID": "p"}),
        "cost": 0.0, "tokens_input": 0, "tokens_output": 0, "tokens_reasoning": 0, "tokens_cache_read": 0, "tokens_cache_write": 0,
    }  # fmt: skip
    insert(db, "session", row)


def add_turn(db: sqlite3.Connection, session: str, tag: str, now: int, text: str = "hello") -> tuple[str, str]:
    """A finished turn: a user message, its answer, a part each, and the session's totals. Returns the message ids."""
    user, answer = f"msg_{tag}u", f"msg_{tag}a"
    tokens = {"input": 10, "output": 3, "reasoning": 0, "cache": {"read": 1, "write": 2}}
    asked = {"role": "user", "time": {"created": now}, "agent": "build", "model": {"providerID": "p", "modelID": "m"}}
    said = {
        "role": "assistant", "parentID": user, "modelID": "m", "providerID": "p", "mode": "build", "path": {"cwd": "/", "root": "/"}, "cost": 0.25,
        "tokens": tokens, "finish": "stop", "time": {"created": now + 1, "completed": now + 2},
    }  # fmt: skip
    for message, data, at in ((user, asked, now), (answer, said, now + 1)):
        insert(db, "message", {"id": message, "session_id": session, "time_created": at, "time_updated": at, "data": json.dumps(data)})
        part = {"type": "text", "text": f"{text} {tag}"}
        insert(
            db, "part", {"id": f"prt_{message}", "message_id": message, "session_id": session, "time_created": at, "time_updated": at, "data": json.dumps(part)}
        )
    names = {row[1] for row in db.execute("PRAGMA table_info(session)")}
    if "cost" in names:
        db.execute(
            "UPDATE session SET cost=cost+0.25, tokens_input=tokens_input+10, tokens_output=tokens_output+3, tokens_cache_read=tokens_cache_read+1,"
            " tokens_cache_write=tokens_cache_write+2 WHERE id=?",
            (session,),
        )
    db.execute("UPDATE session SET time_updated=? WHERE id=?", (now + 2, session))
    return user, answer


def edit_part(db: sqlite3.Connection, part: str, text: str, now: int) -> None:
    db.execute("UPDATE part SET data=?, time_updated=? WHERE id=?", (json.dumps({"type": "text", "text": text}), now, part))


def delete_message(db: sqlite3.Connection, message: str) -> None:
    """The session's time does not move, as in opencode."""
    db.execute("DELETE FROM message WHERE id=?", (message,))


def delete_session(db: sqlite3.Connection, session: str) -> None:
    db.execute("DELETE FROM session WHERE id=?", (session,))


def set_todos(db: sqlite3.Connection, session: str, items: list[str], now: int) -> None:
    """opencode rewrites the whole list each time."""
    db.execute("DELETE FROM todo WHERE session_id=?", (session,))
    for position, content in enumerate(items):
        row = {"session_id": session, "content": content, "status": "pending", "priority": "high", "position": position}
        insert(db, "todo", {**row, "time_created": now, "time_updated": now})
