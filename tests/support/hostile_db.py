"""Databases as no opencode writes them. Each case changes the session `ses_bad` or the schema of an otherwise healthy database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from tests.support import edits

Change = Callable[[sqlite3.Connection], object]
BAD, GOOD, LATER = "ses_bad", "ses_good", "ses_later"
NESTED = "[" * 100_000 + "]" * 100_000
_PART = "UPDATE part SET data={} WHERE id='prt_msg_badu'"
_MESSAGE = "UPDATE message SET data={} WHERE id='msg_badu'"


def fill(db: sqlite3.Connection, at: int) -> None:
    """Two sessions with a turn and a todo list each; `at`: Unix milliseconds."""
    for session, tag in ((GOOD, "good"), (BAD, "bad")):
        edits.new_session(db, session, at)
        edits.add_turn(db, session, tag, at)
        edits.set_todos(db, session, ["one", "two"], at)


def apply(db: sqlite3.Connection, case: str) -> None:
    """As somebody does it who knows SQLite well: no check is on."""
    db.executescript("PRAGMA foreign_keys=OFF; PRAGMA ignore_check_constraints=ON; PRAGMA legacy_alter_table=ON;")
    CASES[case](db)
    if "seq" in {row[1] for row in db.execute("PRAGMA table_info(event_sequence)")} and not case.startswith("the change counter"):
        db.execute("UPDATE event_sequence SET seq=seq+1")


def _sql(*statements: str) -> Change:
    def change(db: sqlite3.Connection) -> None:
        for statement in statements:
            db.execute(statement)

    return change


def _renamed(table: str, key: str, new: str) -> Change:
    """Give a row another id, its children too."""
    children = {"session": (("message", "session_id"), ("part", "session_id"), ("todo", "session_id")), "message": (("part", "message_id"),), "part": ()}
    statements = [f"UPDATE {table} SET id={new} WHERE id='{key}'"]
    statements += [f"UPDATE {child} SET {column}={new} WHERE {column}='{key}'" for child, column in children[table]]
    return _sql(*statements)


def _rebuilt(table: str, ending: str, extra: str = "") -> Change:
    """The same table with another end of its definition, or columns more."""

    def change(db: sqlite3.Connection) -> None:
        columns = [row[1:] for row in db.execute(f"PRAGMA table_info({table})")]
        body = ", ".join(
            f'"{name}" {kind}{" NOT NULL" if strict else ""}{f" DEFAULT {default}" if default else ""}' for name, kind, strict, default, _ in columns
        )
        key = ", ".join(column[0] for column in columns if column[4])
        names = ", ".join(f'"{column[0]}"' for column in columns)
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        db.execute(f"CREATE TABLE {table} ({body}{extra}, PRIMARY KEY ({key})){ending}")
        db.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM old_{table}")
        db.execute(f"DROP TABLE old_{table}")

    return change


def parts(count: int) -> Change:
    def change(db: sqlite3.Connection) -> None:
        data = json.dumps({"type": "text", "text": "x"})
        db.execute("BEGIN")
        rows = ((f"prt_{number:08d}", "msg_badu", BAD, number, number, data) for number in range(count))
        db.executemany("INSERT INTO part (id, message_id, session_id, time_created, time_updated, data) VALUES (?,?,?,?,?,?)", rows)
        db.execute("COMMIT")

    return change


def large(megabytes: int, table: str = "part", column: str = "data") -> Change:
    """A value that takes no time to make and that is all there when it is read."""
    return _sql(f"UPDATE {table} SET {column}=zeroblob({megabytes << 20}) WHERE {'id' if table == 'session' else 'session_id'}='{BAD}'")


CASES: dict[str, Change] = {
    # values that do not fit their columns
    "a time that is text": _sql("UPDATE message SET time_updated='soon' WHERE id='msg_badu'"),
    "a time that is a blob": _sql("UPDATE part SET time_created=x'00ff' WHERE session_id='ses_bad'"),
    "a session's time that is text": _sql("UPDATE session SET time_updated='soon', time_created='then' WHERE id='ses_bad'"),
    "a time that is a fraction": _sql("UPDATE message SET time_updated=1.5 WHERE id='msg_badu'"),
    "a time that is infinite": _sql("UPDATE message SET time_created=9e999, time_updated=-9e999 WHERE session_id='ses_bad'"),
    "times of two types in one list": _sql("UPDATE todo SET time_updated='x' WHERE session_id='ses_bad' AND position=0"),
    "positions that are text": _sql("UPDATE todo SET position='first' WHERE session_id='ses_bad' AND position=0"),
    "negative times": _sql("UPDATE message SET time_created=-9223372036854775808, time_updated=-1 WHERE session_id='ses_bad'"),
    "huge times": _sql(
        "UPDATE message SET time_created=9223372036854775807, time_updated=9223372036854775807 WHERE session_id='ses_bad'",
        "UPDATE part SET time_created=9223372036854775807, time_updated=9223372036854775807 WHERE session_id='ses_bad'",
        "UPDATE todo SET time_updated=9223372036854775807 WHERE session_id='ses_bad'",
        "UPDATE session SET time_updated=9223372036854775807 WHERE id='ses_bad'",
    ),
    "a title that is a blob": _sql("UPDATE session SET title=x'fffe00' WHERE id='ses_bad'"),
    "other texts that are blobs": _sql("UPDATE session SET slug=x'01', version=x'02' WHERE id='ses_bad'"),
    "a folder that is a blob": _sql("UPDATE session SET directory=x'2f00ff' WHERE id='ses_bad'"),
    "a folder with NUL": _sql("UPDATE session SET directory='/tmp/' || char(0) || 'x' WHERE id='ses_bad'"),
    "a folder that is not UTF-8": _sql("UPDATE session SET directory=CAST(x'2f746d702fff' AS TEXT) WHERE id='ses_bad'"),
    "a project that is a blob": _sql("UPDATE session SET project_id=x'ff' WHERE id='ses_bad'"),
    "a project that is not there": _sql("UPDATE session SET project_id='nowhere' WHERE id='ses_bad'"),
    "a parent that is a blob": _sql("UPDATE session SET parent_id=x'ff' WHERE id='ses_bad'"),
    "costs that are text": _sql("UPDATE session SET cost='much', tokens_input=x'00' WHERE id='ses_bad'"),
    "data that is a blob": _sql(_PART.format("x'ff00'"), _MESSAGE.format("x'00'")),
    "data that is a number": _sql(_PART.format("17"), _MESSAGE.format("1.5")),
    # text
    "text that is not UTF-8": _sql(_PART.format("CAST(x'7b2274797065223a2274657874222c2274657874223a22ff227d' AS TEXT)"), "UPDATE session SET title=CAST(x'ff' AS TEXT) WHERE id='ses_bad'"),
    "half of a pair": _sql(_PART.format("CAST(x'edA080' AS TEXT)"), "UPDATE session SET title=CAST(x'eda080' AS TEXT), slug=CAST(x'eda080' AS TEXT) WHERE id='ses_bad'"),
    "NUL in text": _sql("UPDATE session SET title='a' || char(0) || 'b' WHERE id='ses_bad'", _PART.format("'{\"type\":\"text\",\"text\":\"a' || char(0) || '\"}'")),
    "JSON nested without end": lambda db: db.execute("UPDATE part SET data=? WHERE session_id='ses_bad'", (NESTED,)),
    "JSON nested without end in a message": lambda db: db.execute("UPDATE message SET data=? WHERE session_id='ses_bad'", (NESTED,)),
    "JSON nested without end in the session": lambda db: db.execute("UPDATE session SET summary_diffs=?, metadata=? WHERE id='ses_bad'", (NESTED, NESTED)),
    "JSON of another shape": _sql(_MESSAGE.format("'[1]'"), _PART.format("'null'"), "UPDATE message SET data='{\"role\":5,\"time\":7,\"tokens\":\"x\",\"cost\":{}}' WHERE id='msg_bada'"),
    "totals of another shape": _sql("UPDATE message SET data='{\"role\":\"assistant\",\"cost\":1e999,\"tokens\":{\"input\":-1e308,\"cache\":[]},\"finish\":\"stop\"}' WHERE id='msg_bada'"),
    # ids
    "an id that is NULL": _sql("UPDATE part SET id=NULL WHERE id='prt_msg_badu'"),
    "a message id that is NULL": _sql("UPDATE message SET id=NULL WHERE id='msg_badu'"),
    "a session id that is NULL": _sql("UPDATE session SET id=NULL WHERE id='ses_bad'"),
    "an id that is a blob": _renamed("message", "msg_badu", "x'ff00'"),
    "a session id that is a blob": _renamed("session", BAD, "x'ff00'"),
    "an id that is not UTF-8": _renamed("message", "msg_badu", "CAST(x'6d7367ff' AS TEXT)"),
    "a session id that is not UTF-8": _renamed("session", BAD, "CAST(x'736573ff' AS TEXT)"),
    "an id with NUL": _renamed("part", "prt_msg_badu", "'prt' || char(0) || 'x'"),
    "a session id with NUL": _renamed("session", BAD, "'ses' || char(0) || 'x'"),
    "an empty id": _renamed("message", "msg_badu", "''"),
    "an empty session id": _renamed("session", BAD, "''"),
    "an id of a megabyte": _renamed("message", "msg_badu", f"'{'x' * (1 << 20)}'"),
    "a session id of a megabyte": _renamed("session", BAD, f"'{'x' * (1 << 20)}'"),
    "ids that look like options and paths": _renamed("session", BAD, "'--upload-pack=x/../../../../etc'"),
    # relations
    "a cycle of parents": _sql("UPDATE session SET parent_id=id WHERE id='ses_bad'"),
    "a cycle of two parents": lambda db: (
        db.execute("UPDATE session SET parent_id='ses_bad2' WHERE id='ses_bad'"),
        edits.new_session(db, "ses_bad2", 1_700_000_000_000, parent=BAD),
    ),
    "messages of another session": _sql("UPDATE part SET session_id='ses_bad' WHERE message_id='msg_goodu'", "UPDATE part SET message_id='msg_goodu' WHERE id='prt_msg_badu'"),
    "orphans": _sql("DELETE FROM session WHERE id='ses_bad'"),
    "parts without a message": _sql("DELETE FROM message WHERE session_id='ses_bad'"),
    "a session id that is a blob in one message": _sql("UPDATE message SET session_id=x'7365735f626164' WHERE id='msg_badu'"),
    # the schema
    "triggers on everything": _sql(
        "CREATE TRIGGER t1 AFTER INSERT ON session BEGIN UPDATE session SET title=title || '!' WHERE id=new.id; END",
        "CREATE TRIGGER t2 AFTER UPDATE ON session BEGIN UPDATE session SET title=title || '?' WHERE id=new.id AND length(title) < 100; END",
        "CREATE TRIGGER t3 AFTER INSERT ON part BEGIN UPDATE part SET time_updated=time_updated+1 WHERE id=new.id; END",
    ),
    "a trigger that deletes": _sql("CREATE TRIGGER t AFTER INSERT ON part BEGIN DELETE FROM part WHERE id=new.id; END"),
    "a trigger that deletes others": _sql("CREATE TRIGGER t AFTER INSERT ON session BEGIN DELETE FROM message WHERE session_id='ses_mine'; END"),
    "a trigger that refuses": _sql("CREATE TRIGGER t BEFORE INSERT ON message WHEN new.session_id='ses_bad' BEGIN SELECT RAISE(ABORT, 'no'); END"),
    "a trigger that ignores": _sql("CREATE TRIGGER t BEFORE INSERT ON message BEGIN SELECT RAISE(IGNORE); END"),
    "a trigger that calls itself": _sql(
        "PRAGMA recursive_triggers=ON", "CREATE TRIGGER t AFTER UPDATE ON session BEGIN UPDATE session SET time_updated=time_updated+1 WHERE id=new.id; END"
    ),
    "a trigger with an endless query": _sql(
        "CREATE TRIGGER t AFTER INSERT ON message BEGIN INSERT INTO todo SELECT 'ses_x', n, '', '', n, 0, 0 FROM "
        "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT n FROM c); END"
    ),
    "a view in the place of todo": _sql("DROP TABLE todo", "CREATE VIEW todo AS SELECT 'ses_good' AS session_id, 0 AS position, 'x' AS content"),
    "a view in the place of message": _sql("ALTER TABLE message RENAME TO message_", "CREATE VIEW message AS SELECT * FROM message_"),
    "a view that never ends": _sql(
        "DROP TABLE todo",
        "CREATE VIEW todo AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT 'ses_good' AS session_id, n AS position FROM c",
    ),
    "the change counter is a view that never ends": _sql(
        "DROP TABLE event_sequence",
        "CREATE VIEW event_sequence AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT 'ses_good' AS aggregate_id, n AS seq FROM c",
    ),
    "the change counter has other columns": _sql("DROP TABLE event_sequence", "CREATE TABLE event_sequence (a, b)", "INSERT INTO event_sequence VALUES (1, 2)"),
    "migrations of another form": _sql("DROP TABLE migration", "CREATE TABLE migration (x)"),
    "no todo table": _sql("DROP TABLE todo"),
    "no part table": _sql("DROP TABLE part"),
    "no rowid": _rebuilt("message", " WITHOUT ROWID"),
    "strict": _rebuilt("part", " STRICT"),
    "a generated column": _rebuilt("session", "", ', "upper" TEXT GENERATED ALWAYS AS (upper(title)) VIRTUAL'),
    "a column named like SQL": _sql('ALTER TABLE session ADD COLUMN "a""b; DROP TABLE message" TEXT', 'UPDATE session SET "a""b; DROP TABLE message"=\'x\''),
    "an expensive check": _rebuilt("message", "", ', CHECK (length(data) < 100000000)'),
    "a column without a name": _sql('ALTER TABLE session ADD COLUMN "" TEXT', "UPDATE session SET \"\"='x'"),
    "column names in other case": _rebuilt("todo", "", ', "É" TEXT'),
    # amounts
    "twenty thousand parts in a message": parts(20_000),
    "a value of 20 MB": large(20),
}  # fmt: skip

SCHEMA = tuple(CASES)[tuple(CASES).index("triggers on everything") :]
"""Cases that matter to who writes into the database, not to who reads it alone."""
REFUSED = {"a view in the place of message", "no part table"}
"""Cases in which the file as a whole is said to be none of opencode's."""
