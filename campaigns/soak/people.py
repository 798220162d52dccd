"""What people do to one device's database in one sitting: a burst of edits to a few conversations, in one transaction."""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import dataclass, field

from campaigns.soak.oracle import Oracle
from tests.support import edits

KINDS = {
    "edit_part": 34, "append": 22, "edit_message": 8, "rename": 6, "todos": 6, "remove_part": 4, "remove_message": 4, "create": 5, "archive": 2,
    "revert": 3, "fork": 1, "child": 1.5, "move": 2, "remove_session": 1.2, "strange": 0.3, "large": 0.02,
}  # fmt: skip
WORDS = ("merge", "union", "ledger", "überprüfung", "同期", "данные", "emoji🙂", "naïve", "'; --", "\\u0000", "")
MOST_MESSAGES = 60
"""Of a session that is still written to: opencode's users compact long ones, and every scan reads a session whole."""


@dataclass
class _Open:
    """A conversation somebody is at."""

    id: str
    messages: list[str] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)


class Sitting:
    """`device`: its number; `now`: its clock, ms; `tag`: makes ids that nobody else has."""

    def __init__(self, db: sqlite3.Connection, chance: random.Random, oracle: Oracle, device: int, now: int, tag: str) -> None:
        self.db, self.chance, self.oracle, self.device, self.now, self.tag = db, chance, oracle, device, now, tag
        self._made = 0
        self._columns = {row[1] for row in db.execute("PRAGMA table_info(session)")}
        self._counted = bool(db.execute("SELECT 1 FROM sqlite_master WHERE name='migration'").fetchone())
        self._open: list[_Open] = []

    def work(self, count: int) -> None:
        """`count` operations on two or three conversations."""
        sessions = [row[0] for row in self.db.execute("SELECT id FROM session ORDER BY id")]
        if sessions:
            self._open = [self._load(session) for session in self.chance.sample(sessions, min(len(sessions), self.chance.randint(1, 3)))]
        kinds = self.chance.choices(list(KINDS), weights=list(KINDS.values()), k=count)
        self.db.execute("BEGIN IMMEDIATE")
        for kind in kinds:
            self.now += 1
            if kind == "create" or not self._open:
                self._create(None)
            else:
                getattr(self, "_" + kind)(self.chance.choice(self._open))
        self.db.execute("COMMIT")

    def _load(self, session: str) -> _Open:
        messages = [row[0] for row in self.db.execute("SELECT id FROM message WHERE session_id=? ORDER BY time_created, id", (session,))]
        parts = dict(self.db.execute("SELECT id, message_id FROM part WHERE session_id=? ORDER BY id", (session,)).fetchall())
        return _Open(session, messages, parts)

    def _name(self) -> str:
        self._made += 1
        return f"{self.tag}{self._made:03d}"

    def _text(self) -> str:
        return f"{self.chance.choice(WORDS)} {self.chance.randrange(1 << 30)}"

    # --- conversations ------------------------------------------------------------------------------------------------
    def _create(self, parent: str | None) -> None:
        session = f"ses_{self._name()}"
        edits.new_session(self.db, session, self.now, title=self._text(), parent=parent, project=self._project())
        self.oracle.born(session)
        self._note_session(session)
        self._open = [*self._open[-2:], _Open(session)]
        if self.chance.random() < 0.9:  # else opened, and nothing asked yet
            self._append(self._open[-1])

    def _child(self, of: _Open) -> None:
        self._create(of.id)

    def _project(self) -> str:
        return str(self.chance.choice([row[0] for row in self.db.execute("SELECT id FROM project ORDER BY id")]))

    def _append(self, to: _Open) -> None:
        swept = edits.drop_reverted(self.db, to.id)
        for message in swept:
            self._gone(to, message)
        self.oracle.swept(self.device, to.id, swept)
        if len(to.messages) >= MOST_MESSAGES:
            self._edit_part(to)
            return
        for message in edits.add_turn(self.db, to.id, self._name(), self.now, self._text()):
            to.messages.append(message)
            to.parts[f"prt_{message}"] = message
            self.oracle.born(message, to.id)
            self.oracle.born(f"prt_{message}", message, to.id)
            self._note("message", message, to.id)
            self._note("part", f"prt_{message}", to.id)
        self._note_session(to.id)

    def _fork(self, of: _Open) -> None:
        copy, tag = f"ses_{self._name()}", self._name()
        self.oracle.born(copy)
        copied = edits.fork(self.db, of.id, copy, tag, self.now)
        for message, new in copied.items():
            self.oracle.born(new, copy, *([message] if message in self.oracle.strange else []))
        made = self._load(copy)
        for part, message in made.parts.items():
            self.oracle.born(part, message, copy)
            self._note("part", part, copy)
        for part, kind in self.db.execute("SELECT id, json_extract(data, '$.type') FROM part WHERE session_id=?", (copy,)):
            if kind not in ("text", "file"):
                self.oracle.strange.add(part)
        self._note_session(copy)
        self._open = [*self._open[-2:], made]

    def _move(self, session: _Open) -> None:
        edits.move(self.db, session.id, self._project())
        self._note_session(session.id)

    def _rename(self, session: _Open) -> None:
        edits.rename(self.db, session.id, self._text())
        self._note_session(session.id)

    def _archive(self, session: _Open) -> None:
        edits.archive(self.db, session.id, self.now)
        self._note_session(session.id)

    def _revert(self, session: _Open) -> None:
        edits.revert(self.db, session.id, self.chance.choice([*session.messages[-6:], None]))
        self.oracle.undone(self.device, session.id, self._load(session.id).messages)
        self._note_session(session.id)

    def _remove_session(self, session: _Open) -> None:
        for (child,) in self.db.execute("SELECT id FROM session WHERE parent_id=?", (session.id,)).fetchall():
            self._remove_session(self._load(child))  # opencode deletes them first
        edits.delete_session(self.db, session.id)
        self._open = [one for one in self._open if one.id != session.id]
        self.oracle.deleted(self.device, session.id, [*session.messages, *session.parts])

    def _todos(self, session: _Open) -> None:
        items = [self._text() for _ in range(self.chance.randrange(4))]
        edits.set_todos(self.db, session.id, items, self.now)
        self.oracle.wrote(self.device, "todo", session.id, tuple(items), session.id)

    # --- messages and parts -------------------------------------------------------------------------------------------
    def _edit_part(self, session: _Open) -> None:
        self._write_part(session, self._text())

    def _large(self, session: _Open) -> None:
        self._write_part(session, "large " * 200_000 + self._text())

    def _write_part(self, session: _Open, text: str) -> None:
        if not session.parts:
            return
        part = self.chance.choice(list(session.parts))
        if self._counted and self.chance.random() < 0.3:  # a write that moves no time: only the count shows it
            (at,) = self.db.execute("SELECT time_updated FROM part WHERE id=?", (part,)).fetchone()
        else:
            at = self.now
        edits.edit_part(self.db, part, text, at)
        self._note("part", part, session.id)

    def _edit_message(self, session: _Open) -> None:
        if session.messages:
            message = self.chance.choice(session.messages)
            edits.edit_message(self.db, message, self._text(), self.now)
            self._note("message", message, session.id)

    def _strange(self, session: _Open) -> None:
        """A newer opencode's kind of part."""
        if session.parts:
            part = self.chance.choice(list(session.parts))
            data = json.dumps({"type": "hologram", "text": self._text()})
            self.db.execute("UPDATE part SET data=?, time_updated=? WHERE id=?", (data, self.now, part))
            edits.wrote(self.db, session.id)
            self.oracle.strange.add(part)
            self._note("part", part, session.id)

    def _remove_part(self, session: _Open) -> None:
        if session.parts:
            part = self.chance.choice(list(session.parts))
            edits.delete_part(self.db, part)
            del session.parts[part]
            self.oracle.deleted(self.device, part)

    def _remove_message(self, session: _Open) -> None:
        if session.messages:
            message = self.chance.choice(session.messages)
            edits.delete_message(self.db, message)
            self._gone(session, message)

    def _gone(self, session: _Open, message: str) -> None:
        session.messages.remove(message)
        parts = [part for part, owner in session.parts.items() if owner == message]
        for part in parts:
            del session.parts[part]
        self.oracle.deleted(self.device, message, parts)

    # --- what was written ----------------------------------------------------------------------------------------------
    def _note(self, table: str, key: str, session: str) -> None:
        (data,) = self.db.execute(f"SELECT data FROM {table} WHERE id=?", (key,)).fetchone()
        self.oracle.wrote(self.device, table, key, data, session)

    def _note_session(self, session: str) -> None:
        (title,) = self.db.execute("SELECT title FROM session WHERE id=?", (session,)).fetchone()
        self.oracle.wrote(self.device, "session", session, title)
