"""What the shadow says of groups that wait, and shadows that older versions made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.adapters.sqlite.shadow import Shadow
from sidecar.domain.records import Mention
from sidecar.domain.state import APPLIED, BUSY, NEW, QUARANTINED, UNREADABLE, SegmentFile
from tests.support.patience import until


@pytest.fixture
def shadow(tmp_path: Path) -> Shadow:
    """Two segments of one device with records of one session, neither of them applied."""
    shadow = Shadow(tmp_path / "shadow.db")
    for sequence in (1, 2):
        shadow.add_segment("d", SegmentFile(sequence, sequence, "blob", "path"), {("s", sequence): Mention(True, None)}, state=NEW)
    return shadow


def test_what_never_was_applied_was_not_seen_whatever_it_waits_for(shadow: Shadow) -> None:
    for state in (NEW, BUSY, UNREADABLE):
        shadow.mark("s", "d", 1, state)
        shadow.mark("s", "d", 2, APPLIED)
        assert shadow.seen("s") == {}, "a deletion would take along what nobody here ever saw"


@pytest.mark.parametrize("before", [APPLIED, QUARANTINED])
def test_what_an_upgrade_made_due_again_stays_seen_until_the_session_returns(shadow: Shadow, before: int) -> None:
    shadow.mark("s", "d", 1, before, detail="unknown-columns")
    shadow.reopen_unknown_columns()
    assert shadow.seen("s") == {"d": 1}
    shadow.mark("s", "d", 1, BUSY)
    assert shadow.seen("s") == {"d": 1}, "what was deleted here would come back"
    shadow.mark("s", "d", 1, APPLIED)
    shadow.reopen("s")
    assert shadow.seen("s") == {}, "what came while the session was deleted was not shown yet"


def test_a_shadow_that_an_older_version_made_goes_on(shadow: Shadow) -> None:
    shadow.mark("s", "d", 1, APPLIED)
    shadow.db.execute("ALTER TABLE session_segment DROP COLUMN shown")
    shadow.close()
    again = Shadow(shadow.path)
    assert again.seen("s") == {"d": 1}
    again.mark("s", "d", 2, APPLIED)
    assert again.seen("s") == {"d": 2}
    again.close()


def test_two_processes_that_open_an_old_one_at_the_same_moment_both_go_on(shadow: Shadow, tmp_path: Path) -> None:
    """Each has seen that it is old before one of them may change it."""
    for table, name in (("session_segment", "shown"), ("segment", "first")):
        shadow.db.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
    code = (
        "import sys; from pathlib import Path; from sidecar.adapters.sqlite.shadow import Shadow; missing = Shadow._missing\n"
        "def watched(self): found = missing(self); Path(sys.argv[2]).touch(); return found\n"
        "Shadow._missing = watched; Shadow(Path(sys.argv[1])).close()"
    )
    shadow.db.execute("BEGIN IMMEDIATE")
    marks = [tmp_path / f"saw{n}" for n in range(2)]
    both = [subprocess.Popen([sys.executable, "-c", code, str(shadow.path), str(mark)], stderr=subprocess.PIPE) for mark in marks]
    assert until(lambda: all(mark.exists() for mark in marks))
    shadow.db.execute("COMMIT")
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()[-500:]
    shadow.mark("s", "d", 1, APPLIED)
    assert shadow.seen("s") == {"d": 1}
