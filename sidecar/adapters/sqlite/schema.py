"""The local schema, read from the file at run time. No list of columns is written down here."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sidecar.domain.errors import SidecarError
from sidecar.domain.fitness import key_problem, readable
from sidecar.domain.records import MESSAGE, PART, SESSION, SESSION_MESSAGE, TABLES, TODO

REQUIRED = ("project", SESSION, MESSAGE, PART)
_NEEDED_COLUMNS = {
    "project": {"id", "worktree"},
    SESSION: {"id", "project_id", "directory", "title", "time_created", "time_updated"},
    MESSAGE: {"id", "session_id", "time_created", "time_updated", "data"},
    PART: {"id", "message_id", "session_id", "time_created", "time_updated", "data"},
    TODO: {"session_id", "position"},
    SESSION_MESSAGE: {"id", "session_id", "time_created"},
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str
    not_null: bool
    default: str | None
    primary_key: bool

    @property
    def filler(self) -> Any:
        """What a NOT NULL column gets that the record's writer never knew: the empty value of its type, None when it has a default of its own."""
        if not self.not_null or self.default is not None or self.primary_key:
            return None
        return 0 if any(word in self.type.lower() for word in ("int", "real", "num")) else ""


@dataclass(frozen=True)
class Schema:
    """Tables of interest with their columns; `others` are tables that are left alone; `level` is the newest migration."""

    columns: dict[str, dict[str, Column]]
    others: tuple[str, ...]
    level: str
    triggers: tuple[str, ...] = ()
    """opencode has none. Somebody's may change or delete what is written."""

    @property
    def renames_move_no_time(self) -> bool:
        """True from opencode 1.17 on, whose databases have this table (1.15.4 to 1.16 would be, too; their files do not tell)."""
        return "migration" in self.others

    def has(self, table: str) -> bool:
        return table in self.columns

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a column or table that we sync, or a trigger, appears or goes."""
        parts = [f"{table}:{','.join(sorted(columns))}" for table, columns in sorted(self.columns.items())]
        return ";".join([*parts, *(f"trigger:{name}" for name in self.triggers)])


def read_schema(connection: sqlite3.Connection, path: Path) -> Schema:
    """Raises databaseUnsupported when this is not opencode's database, or one too strange to touch."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'")]
    missing = [table for table in REQUIRED if table not in tables]
    if missing:
        raise SidecarError(
            "databaseUnsupported",
            f"This database has no table {', '.join(missing)}: it is not opencode's, or of an unknown version.",
            detail=str(path),
            remedy="Name opencode's own file with --db (`opencode db path` prints it), or start opencode once to finish its migration.",
        )
    columns: dict[str, dict[str, Column]] = {}
    for table in ("project", *TABLES):
        if table not in tables:
            continue
        found = {
            name: Column(name, kind, bool(not_null), default, bool(key))
            for _, name, kind, not_null, default, key in connection.execute(f'PRAGMA table_info("{table}")')
            if key_problem(name) is None
        }
        lacking = _NEEDED_COLUMNS[table] - found.keys()
        if lacking and table in REQUIRED:
            raise SidecarError(
                "databaseUnsupported",
                f"Table {table} has no column {', '.join(sorted(lacking))}.",
                detail=str(path),
                remedy="This version of opencode is not known to opencode-sidecar: update it.",
            )
        if not lacking:
            columns[table] = found
    triggers = sorted(readable(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'"))
    others = tuple(sorted(readable(table) for table in set(tables) - set(columns)))
    return Schema(columns, others, _level(connection, tables), tuple(triggers))


def quoted(names: Iterable[str]) -> str:
    """Names of columns for a statement."""
    return ", ".join(quote(name) for name in names)


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _level(connection: sqlite3.Connection, tables: list[str]) -> str:
    with contextlib.suppress(sqlite3.OperationalError):  # a table of that name with other columns says nothing
        if "migration" in tables:
            return readable(connection.execute("SELECT max(id) FROM migration").fetchone()[0])
        if "__drizzle_migrations" in tables:
            return "drizzle:" + readable(connection.execute("SELECT max(created_at) FROM __drizzle_migrations").fetchone()[0])
    return ""
