"""An edit is noticed also where the cheap tests see nothing, and nothing is read twice where there was none."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams
from sidecar.domain.task import Task
from sidecar.services.cycle import FULL_SCAN_SECONDS
from sidecar.services.publish import Publisher
from tests.support import edits
from tests.support.machines import Machine

Make = Callable[..., Machine]


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


@pytest.fixture
def a(machine: Make, remote: Path) -> Machine:
    made = machine("a")
    db, at = made.connect(), int(time.time() * 1000) - 60_000
    edits.new_session(db, "ses_1", at)
    edits.add_turn(db, "ses_1", "1", at)
    db.close()
    made.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    sync(made)
    return made


def test_a_commit_that_moves_neither_size_nor_time_of_the_wal_is_published(a: Machine) -> None:
    """The WAL is written over from its beginning; some file systems count seconds, and Windows tells the time when the file is closed."""
    opencode, wal = a.connect(), a.db.with_name("opencode.db-wal")
    for title in ("one", "two"):  # the second one begins the WAL anew, and leaves it as long as it is
        edits.rename(opencode, "ses_1", title)
        opencode.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    sync(a)
    assert sync(a).up_to_date
    before = wal.stat()
    edits.rename(opencode, "ses_1", "six")
    assert wal.stat().st_size == before.st_size, "this makes no such commit any more"
    os.utime(wal, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert sync(a).published.rows == 1, "a rename stays on this machine until opencode writes again"
    opencode.close()


def test_every_row_is_compared_from_time_to_time_also_when_nothing_was_written_since(a: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    opencode, looks, scan = a.connect(), [], Publisher.scan
    monkeypatch.setattr(Publisher, "scan", lambda self, **how: (looks.append(how), scan(self, **how))[1])
    data = json.dumps({"type": "text", "text": "written by a program that does not count its writes"})
    opencode.execute("UPDATE part SET data=? WHERE id='prt_msg_1u'", (data,))
    assert sync(a).published.rows == 0, "the cheap test sees it: this tests nothing any more"
    opencode.execute("SELECT 1 FROM session").fetchone()
    now = time.time
    for hours, expected in ((1, 1), (2, 0), (3, 0)):
        monkeypatch.setattr(time, "time", lambda hours=hours: now() + hours * (FULL_SCAN_SECONDS + 60))
        assert sync(a).published.rows == expected, "what the cheap test had missed was never found while opencode wrote nothing"
    looks.clear()
    monkeypatch.setattr(time, "time", lambda: now() + 4 * (FULL_SCAN_SECONDS + 60))
    assert sync(a).up_to_date
    assert looks == [], "a database at rest is read through every six hours"
    opencode.close()


def test_a_session_that_was_deleted_in_the_middle_of_its_first_turn_waits_for_nothing(a: Machine) -> None:
    opencode, now = a.connect(), int(time.time() * 1000)
    edits.new_session(opencode, "ses_2", now - 20_000)
    edits.add_turn(opencode, "ses_2", "2", now - 10_000)
    opencode.execute("DELETE FROM message WHERE id='msg_2a'")
    assert sync(a).pending == 1, "a question without an answer is published: this tests nothing any more"
    opencode.execute("DELETE FROM session WHERE id='ses_2'")
    opencode.close()
    after = sync(a)
    assert after.pending == 0, "`status` says for ever that a session is being written, which is not there any more, and every cycle looks for it"
    assert sync(a).up_to_date
