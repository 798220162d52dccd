"""What the shadow says of groups that wait, and shadows that older versions made."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.adapters.sqlite.shadow import Shadow
from sidecar.domain.records import Mention
from sidecar.domain.state import APPLIED, BUSY, NEW, QUARANTINED, UNREADABLE, SegmentFile


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
