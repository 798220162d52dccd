"""What cannot be used is kept aside, named, tried again by itself after an upgrade and on demand, and lost never."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import CycleParams, CycleResult, InitParams, LinkParams, VerifyParams
from protocol.trust import Quarantined, QuarantineParams, QuarantineResult
from sidecar.adapters import validation
from sidecar.domain.task import Task
from tests.support import edits, tamper
from tests.support.machines import Machine
from tests.support.rawclient import RawClient

Make = Callable[..., Machine]


def at() -> int:
    return int(time.time() * 1000) - 60_000


def sync(machine: Machine) -> CycleResult:
    return machine.sidecar.run(CycleParams(), Task())


def kept_aside(machine: Machine) -> list[Quarantined]:
    return machine.sidecar.quarantine(QuarantineParams(), Task()).entries


def retry(machine: Machine) -> QuarantineResult:
    return machine.sidecar.quarantine(QuarantineParams(retry=True), Task())


@pytest.fixture
def pair(machine: Make, remote: Path) -> tuple[Machine, Machine]:
    """The first has a session with a part of a type that nobody here knows, and one without."""
    a, b = machine("a"), machine("b")
    connection = a.connect()
    for number in (1, 2):
        edits.new_session(connection, f"ses_{number}", at(), title=f"talk {number}")
        edits.add_turn(connection, f"ses_{number}", f"{number}", at())
    connection.execute("UPDATE part SET data=? WHERE id='prt_msg_1a'", (json.dumps({"type": "hologram", "text": "x"}),))
    connection.close()
    key = a.sidecar.init(InitParams(str(remote)), Task()).recovery_key
    sync(a)
    b.sidecar.link(LinkParams(str(remote), key), Task())
    return a, b


def test_a_record_of_unknown_type_is_named(pair: tuple[Machine, Machine]) -> None:
    _, b = pair
    before = int(time.time() * 1000)
    assert sync(b).quarantined == 1
    (entry,) = kept_aside(b)
    assert (entry.kind, entry.session_id, entry.sequence, entry.title) == ("record", "ses_1", 1, "talk 1" if entry.title else "")
    assert "hologram" in entry.reason
    assert entry.device_name
    assert before <= entry.since <= int(time.time() * 1000)
    sync(b)
    assert [again.since for again in kept_aside(b)] == [entry.since], "asking again changed since when it is kept aside"
    assert len(b.sql("SELECT 1 FROM session")) == 2, "one unknown part kept everything else out"
    assert b.sidecar.verify(VerifyParams(), Task()).ok


def test_after_an_upgrade_it_is_tried_again_by_itself(pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    sync(b)
    b.sql("INSERT INTO migration VALUES (?, 1)", "99990101000000_new")
    assert sync(b).quarantined == 1, "an upgrade that does not know it either lost it"
    monkeypatch.setattr(validation, "PART_TYPES", validation.PART_TYPES | {"hologram"})
    sync(b)
    assert len(kept_aside(b)) == 1, "it was tried although nothing had changed: each cycle would cost that"
    b.sql("INSERT INTO migration VALUES (?, 1)", "99990202000000_new")
    result = sync(b)
    assert (result.quarantined, result.applied.inserted) == (0, 1)
    assert kept_aside(b) == []
    assert b.content() == a.content()
    assert b.sidecar.verify(VerifyParams(), Task()).ok


def test_it_is_tried_again_on_demand(pair: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair
    sync(b)
    since = kept_aside(b)[0].since
    result = retry(b)
    assert (result.released, len(result.entries), result.entries[0].since) == (0, 1, since)
    monkeypatch.setattr(validation, "PART_TYPES", validation.PART_TYPES | {"hologram"})
    result = retry(b)
    assert (result.released, result.entries, result.applied.inserted, result.session_ids) == (1, [], 1, ["ses_1"])
    assert b.content() == a.content()
    assert sync(b).up_to_date


def damaged(a: Machine, remote: Path) -> tuple[str, str]:
    """A second segment, with the hologram replaced by a text, which is damaged on the remote; the branch, and where it was."""

    def flip(tree: Path) -> None:
        path = tamper.segments(tree)[-1]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    connection = a.connect()
    connection.execute("UPDATE part SET data=? WHERE id='prt_msg_1a'", (json.dumps({"type": "text", "text": "x"}),))
    edits.wrote(connection, "ses_1")
    connection.close()
    sync(a)
    branch, tip = next(iter(tamper.logs(remote).items()))
    tamper.rewrite(remote, branch, flip)
    return branch, tip


def test_a_damaged_segment_is_named_and_fetched_again(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    branch, tip = damaged(a, remote)
    assert sync(b).quarantined == 2
    record, segment = kept_aside(b)
    assert (record.kind, segment.kind, segment.sequence, segment.session_id) == ("record", "segment", 2, "")
    assert segment.device == branch.removeprefix("sessions/")
    assert "checksum" in segment.reason
    assert segment.since
    assert not b.sidecar.verify(VerifyParams(), Task()).ok, "verify does not know of a damaged segment"
    again = retry(b)
    assert (again.released, len(again.entries)) == (0, 2)
    tamper.point(remote, branch, tip)
    result = retry(b)
    assert (result.released, [entry.kind for entry in result.entries], result.applied.sessions) == (1, ["record"], 1)
    assert b.content() == a.content(), "the segment was mended, and what is in it did not arrive"
    sync(b)
    assert b.sidecar.verify(VerifyParams(), Task()).ok


def test_without_the_remote_the_retry_says_so(pair: tuple[Machine, Machine], remote: Path) -> None:
    a, b = pair
    damaged(a, remote)
    sync(b)
    remote.rename(remote.with_name("gone.git"))
    result = retry(b)
    assert result.entries
    assert any("Not fetched" in warning for warning in result.warnings)


def test_by_command_and_by_rpc(pair: tuple[Machine, Machine]) -> None:
    _, b = pair
    sync(b)
    listed = b.cli("quarantine")["entries"]
    assert listed[0]["reason"] == "part of unknown type 'hologram'"
    assert b.cli("quarantine", "--retry", expect=(3,))["released"] == 0
    assert "hologram" in b.run("quarantine").stdout
    assert "opencode-sidecar quarantine" in b.run("status").stdout
    client = RawClient(b.environ)
    try:
        client.initialize()
        assert client.call("sync/quarantine", {})["result"]["entries"] == listed
        assert client.call("sync/quarantine", {"retry": True})["result"]["entries"] == listed
    finally:
        client.kill()
