"""What opencode does to its database, as SQL on any schema version. From 1.17 on it counts each write in `event_sequence`."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

DAY = 86_400_000


def insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """Insert what the schema knows; NOT NULL columns nobody gave get their type's empty value."""
    known = db.execute(f"PRAGMA table_info({table})").fetchall()
    for _, name, kind, not_null, default, _ in known:
        if not_null and default is None and name not in row:
            row[name] = 0 if "int" in kind.lower() else ""
    names = [info[1] for info in known if info[1] in row]
    db.execute(f"INSERT INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})", [row[name] for name in names])


def wrote(db: sqlite3.Connection, session: str | None) -> None:
    """opencode's own count of writes to a session (facts (c2)); older versions have none, or an empty table."""
    if session is not None and db.execute("SELECT 1 FROM sqlite_master WHERE name='migration'").fetchone():
        query = "INSERT INTO event_sequence (aggregate_id, seq) VALUES (?, 0) ON CONFLICT (aggregate_id) DO UPDATE SET seq=seq+1"
        db.execute(query, (session,))


def new_session(db: sqlite3.Connection, session: str, now: int, *, title: str = "", parent: str | None = None, project: str | None = None) -> None:
    project_id, worktree = db.execute("SELECT id, worktree FROM project WHERE id=coalesce(?, id) ORDER BY time_created LIMIT 1", (project,)).fetchone()
    row = {
        "id": session, "project_id": project_id, "parent_id": parent, "slug": session, "directory": worktree, "path": "", "title": title or session,
        "version": "1.18.33", "time_created": now, "time_updated": now, "agent": "build", "model": json.dumps({"id": "m", "providerID": "p"}),
        "cost": 0.0, "tokens_input": 0, "tokens_output": 0, "tokens_reasoning": 0, "tokens_cache_read": 0, "tokens_cache_write": 0,
    }  # fmt: skip
    insert(db, "session", row)
    wrote(db, session)


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
    wrote(db, session)
    return user, answer


def edit_part(db: sqlite3.Connection, part: str, text: str, now: int) -> None:
    db.execute("UPDATE part SET data=?, time_updated=? WHERE id=?", (json.dumps({"type": "text", "text": text}), now, part))
    wrote(db, _session_of(db, "part", part))


def edit_message(db: sqlite3.Connection, message: str, text: str, now: int) -> None:
    """opencode writes a summary into a question when its turn is over."""
    (data,) = db.execute("SELECT data FROM message WHERE id=?", (message,)).fetchone()
    changed = json.dumps(json.loads(data) | {"summary": {"title": text, "diffs": []}})
    db.execute("UPDATE message SET data=?, time_updated=? WHERE id=?", (changed, now, message))
    wrote(db, _session_of(db, "message", message))


def rename(db: sqlite3.Connection, session: str, title: str) -> None:
    """No time moves."""
    db.execute("UPDATE session SET title=? WHERE id=?", (title, session))
    wrote(db, session)


def archive(db: sqlite3.Connection, session: str, now: int) -> None:
    db.execute("UPDATE session SET time_archived=? WHERE id=?", (now, session))
    wrote(db, session)


def delete_message(db: sqlite3.Connection, message: str) -> None:
    """The session's time does not move, as in opencode."""
    session = _session_of(db, "message", message)
    db.execute("DELETE FROM message WHERE id=?", (message,))
    wrote(db, session)


def delete_part(db: sqlite3.Connection, part: str) -> None:
    session = _session_of(db, "part", part)
    db.execute("DELETE FROM part WHERE id=?", (part,))
    wrote(db, session)


def delete_session(db: sqlite3.Connection, session: str) -> None:
    db.execute("DELETE FROM session WHERE id=?", (session,))
    if db.execute("SELECT 1 FROM sqlite_master WHERE name='event_sequence'").fetchone():
        db.execute("DELETE FROM event_sequence WHERE aggregate_id=?", (session,))


def _session_of(db: sqlite3.Connection, table: str, key: str) -> str | None:
    row = db.execute(f"SELECT session_id FROM {table} WHERE id=?", (key,)).fetchone()
    return row[0] if row else None


def set_todos(db: sqlite3.Connection, session: str, items: list[str], now: int) -> None:
    """opencode rewrites the whole list each time."""
    db.execute("DELETE FROM todo WHERE session_id=?", (session,))
    for position, content in enumerate(items):
        row = {"session_id": session, "content": content, "status": "pending", "priority": "high", "position": position}
        insert(db, "todo", {**row, "time_created": now, "time_updated": now})


def revert(db: sqlite3.Connection, session: str, message: str | None) -> None:
    """Undo from this message on, or (None) undo that: opencode only notes it, and deletes at the next prompt, see `drop_reverted`."""
    db.execute("UPDATE session SET revert=? WHERE id=?", (None if message is None else json.dumps({"messageID": message}), session))
    wrote(db, session)


def drop_reverted(db: sqlite3.Connection, session: str) -> list[str]:
    """What the next prompt does to turns that were undone; the ids of the messages that are gone."""
    (noted,) = db.execute("SELECT revert FROM session WHERE id=?", (session,)).fetchone()
    if not noted:
        return []
    first = json.loads(noted)["messageID"]
    messages = [row[0] for row in db.execute("SELECT id FROM message WHERE session_id=? ORDER BY time_created, id", (session,))]
    gone = messages[messages.index(first) :] if first in messages else []
    db.executemany("DELETE FROM message WHERE id=?", [(message,) for message in gone])
    revert(db, session, None)
    return gone


def fork(db: sqlite3.Connection, session: str, copy: str, tag: str, now: int) -> dict[str, str]:
    """A session of its own with a copy of every message and part under new ids. Returns copied message id -> new id."""
    _copy_rows(db, "session", "id=?", (session,), {"id": copy, "slug": copy, "title": f"fork {tag}", "time_created": now, "time_updated": now, "revert": None})
    messages = [row[0] for row in db.execute("SELECT id FROM message WHERE session_id=? ORDER BY time_created, id", (session,))]
    copied = {message: f"msg_{tag}f{index:03d}" for index, message in enumerate(messages)}
    for message, new in copied.items():
        _copy_rows(db, "message", "id=?", (message,), {"id": new, "session_id": copy})
        for index, (part,) in enumerate(db.execute("SELECT id FROM part WHERE message_id=? ORDER BY id", (message,)).fetchall()):
            _copy_rows(db, "part", "id=?", (part,), {"id": f"prt_{new}{index}", "message_id": new, "session_id": copy})
    wrote(db, copy)
    return copied


def _copy_rows(db: sqlite3.Connection, table: str, where: str, parameters: tuple[Any, ...], changed: dict[str, Any]) -> None:
    names = [info[1] for info in db.execute(f"PRAGMA table_info({table})")]
    chosen = ",".join("?" if name in changed else name for name in names)
    given = [changed[name] for name in names if name in changed]
    db.execute(f"INSERT INTO {table} ({','.join(names)}) SELECT {chosen} FROM {table} WHERE {where}", (*given, *parameters))


def move(db: sqlite3.Connection, session: str, project: str) -> None:
    """Into another project of this machine, as `opencode` does when a folder becomes part of one."""
    (worktree,) = db.execute("SELECT worktree FROM project WHERE id=?", (project,)).fetchone()
    db.execute("UPDATE session SET project_id=?, directory=? WHERE id=?", (project, worktree, session))
    wrote(db, session)
