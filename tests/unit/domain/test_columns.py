"""What is said of opencode's columns, against the schemas of its versions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.domain.records import FIRST_SESSION_COLUMNS

SCHEMAS = sorted((Path(__file__).parents[2] / "fixtures/schemas").glob("*.sql"))


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_the_first_columns_of_sessions_are_in_every_version(schema: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(schema.read_text())
        here = {row[1] for row in db.execute("PRAGMA table_info(session)")}
    assert here >= FIRST_SESSION_COLUMNS, "a column that came with an upgrade passes for one that a person emptied"
    if schema.stem == "schema-1.2.4":
        assert here == FIRST_SESSION_COLUMNS
