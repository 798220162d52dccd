"""What is kept aside and since when, as part of the shadow."""

from __future__ import annotations

import sqlite3

from sidecar.domain.state import NEW, QUARANTINED, UNREADABLE

SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (device TEXT, sequence INTEGER, session TEXT, since INTEGER NOT NULL, PRIMARY KEY (device, sequence, session))
  WITHOUT ROWID;
"""
_NOW = (
    f"SELECT device, sequence, session, detail FROM session_segment WHERE state IN ({QUARANTINED},{UNREADABLE}) AND state<>0"
    " UNION ALL SELECT device, sequence, '', problem FROM segment s WHERE problem IS NOT NULL AND NOT EXISTS"
    f" (SELECT 1 FROM session_segment m WHERE m.device=s.device AND m.sequence=s.sequence AND m.state IN ({QUARANTINED},{UNREADABLE}))"
)


class Quarantine:
    """Part of `Shadow`, which has the connection."""

    db: sqlite3.Connection

    def quarantined(self) -> list[tuple[str, int, str, str, int]]:
        """(device, sequence, session or "", why, since or 0 when that is not noted yet)."""
        query = f"SELECT n.*, coalesce(q.since, 0) FROM ({_NOW}) n LEFT JOIN quarantine q USING (device, sequence, session) ORDER BY 1, 2, 3"
        return list(self.db.execute(query))

    def note_quarantined(self, now: int) -> None:
        """Note what is new, forget what is not kept aside any more."""
        current = [row[:3] for row in self.quarantined()]
        self.db.executemany("INSERT OR IGNORE INTO quarantine VALUES (?,?,?,?)", ((*key, now) for key in current))
        gone = set(self.db.execute("SELECT device, sequence, session FROM quarantine")) - set(current)
        self.db.executemany("DELETE FROM quarantine WHERE device=? AND sequence=? AND session=?", gone)

    def retry_quarantined(self) -> None:
        """Make all of it due again."""
        self.db.execute(f"UPDATE session_segment SET state={NEW}, until=0, detail='' WHERE state IN ({QUARANTINED},{UNREADABLE}) AND state<>0")
