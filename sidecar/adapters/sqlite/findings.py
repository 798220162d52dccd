"""What the scan for secrets found, as part of the shadow: never a value, and found again when lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from sidecar.domain.records import SESSION
from sidecar.domain.secrets import HELD, Finding

SCHEMA = """
CREATE TABLE IF NOT EXISTS finding (session TEXT, tbl TEXT, key TEXT, path TEXT, rule TEXT, fingerprint TEXT, state TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (session, tbl, key, path, rule, fingerprint)) WITHOUT ROWID;
"""
_NO_HASH = b"\0"
_NO_CELL = "?"


class Findings:
    """Part of `Shadow`, which has the connection."""

    db: sqlite3.Connection

    def findings(self, session: str | None = None) -> list[Finding]:
        query = "SELECT * FROM finding" + ("" if session is None else " WHERE session=?") + " ORDER BY at DESC, session, tbl, key, path"
        return [Finding(*row) for row in self.db.execute(query, () if session is None else (session,))]

    def sessions_with_findings(self) -> set[str]:
        return {row[0] for row in self.db.execute("SELECT DISTINCT session FROM finding")}

    def held_sessions(self) -> set[str]:
        """Sessions of which something is not published because of what was found in it."""
        return {row[0] for row in self.db.execute("SELECT DISTINCT session FROM finding WHERE state=?", (HELD,))}

    def put_findings(self, found: Iterable[Finding]) -> None:
        self.db.executemany(
            "INSERT OR REPLACE INTO finding VALUES (?,?,?,?,?,?,?,?)",
            ((f.session, f.table, f.key, f.path, f.rule, f.fingerprint, f.state, f.at) for f in found),
        )

    def drop_findings(self, session: str, rows: Iterable[tuple[str, str]] | None = None) -> None:
        """Of these rows and whatever is held; None: of the whole session."""
        if rows is None:
            self.db.execute("DELETE FROM finding WHERE session=?", (session,))
            return
        self.db.execute("DELETE FROM finding WHERE session=? AND state=?", (session, HELD))
        self.db.executemany("DELETE FROM finding WHERE session=? AND tbl=? AND key=?", ((session, table, key) for table, key in rows))

    def unsettle(self, finding: Finding) -> None:
        """Make the next scan publish this row anew: what the logs have of it is not what is here."""
        row = self.db.execute("SELECT cells FROM row WHERE session=? AND tbl=? AND key=?", (finding.session, finding.table, finding.key)).fetchone()
        if row is None:
            return
        cells = json.loads(row[0]) if row[0] else None
        if cells is not None and finding.table == SESSION:
            column = finding.path.partition(".")[0].partition("[")[0]
            if column in cells:
                cells[column][3] = _NO_CELL
        self.db.execute(
            "UPDATE row SET hash=?, cells=? WHERE session=? AND tbl=? AND key=?",
            (_NO_HASH, json.dumps(cells) if cells else None, finding.session, finding.table, finding.key),
        )
