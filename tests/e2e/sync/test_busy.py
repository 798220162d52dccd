"""A session in which opencode writes just now takes nothing from elsewhere, and everything a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from protocol.sync import CycleParams, InitParams, LinkParams
from sidecar.domain.task import Task
from tests.support import edits
from tests.support.machines import Machine

Make = Callable[..., Machine]


def test_nothing_comes_into_a_turn_that_is_being_written(machine: Make, remote: Path) -> None:
    a, b = machine("a"), machine("b")
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    b.sidecar.link(LinkParams(str(remote)), Task())
    at = int(time.time() * 1000) - 60_000
    db = a.connect()
    edits.new_session(db, "ses_1", at)
    edits.add_turn(db, "ses_1", "first", at)
    a.sidecar.run(CycleParams(), Task())
    b.sidecar.run(CycleParams(), Task())
    edits.add_turn(db, "ses_1", "more", at + 100)
    db.close()
    a.sidecar.run(CycleParams(), Task())
    host = b.connect()
    question = {"id": "msg_q", "session_id": "ses_1", "time_created": at + 50_000, "time_updated": at + 50_000, "data": '{"role":"user"}'}
    edits.insert(host, "message", question)
    edits.wrote(host, "ses_1")
    before = b.sql("SELECT * FROM message")
    result = b.sidecar.run(CycleParams(), Task())
    assert b.sql("SELECT * FROM message") == before, "rows came into the middle of a turn"
    assert (result.held, result.pending, result.up_to_date) == (1, 1, False)
    edits.insert(host, "message", {**question, "id": "msg_r", "data": '{"role":"assistant","parentID":"msg_q","finish":"stop","time":{"completed":1}}'})
    edits.wrote(host, "ses_1")
    host.close()
    result = b.sidecar.run(CycleParams(), Task())
    assert (result.held, result.pending) == (0, 0)
    a.sidecar.run(CycleParams(), Task())
    assert a.content() == b.content()
    assert a.sql("SELECT count(*) FROM message") == [(6,)]


def test_many_cycles_do_not_leave_many_packs(machine: Make, remote: Path) -> None:
    a = machine("a")
    a.sidecar.init(InitParams(str(remote), encryption="none"), Task())
    db = a.connect()
    at = int(time.time() * 1000) - 600_000
    edits.new_session(db, "ses_1", at)
    for number in range(50):
        edits.add_turn(db, "ses_1", str(number), at + number * 1000)
        a.sidecar.run(CycleParams(), Task())
    db.close()
    packs = list((a.own_state / "vault.git/objects/pack").glob("*.pack"))
    assert len(packs) <= 41, "git gets slower with every pack"
    assert a.sidecar.run(CycleParams(), Task()).up_to_date
