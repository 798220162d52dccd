"""A device that lost its shadow while another's log cannot be used: what came from that log is not this device's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from protocol.compact import CompactParams
from protocol.sync import VerifyParams
from protocol.trust import RepairParams
from sidecar.domain.task import Task
from tests.property.test_late_arrivals import Group, _conversation, _lose_shadow
from tests.support import edits, tamper
from tests.support.invariants import Crash
from tests.support.machines import Machine


def _spoil_head(tree: Path) -> None:
    for name in ("head", "head.json"):
        if (tree / name).exists():
            (tree / name).write_bytes(b"{}")


def _spoil_segment(tree: Path) -> None:
    tamper.segments(tree)[0].write_bytes(b"nonsense")


def _cut_first(tree: Path) -> None:
    tamper.segments(tree)[0].unlink()


def _rolled_back(group: Group, branch: str, tips: list[str]) -> None:
    tamper.point(group.remote, branch, tips[0])


def _rewritten(change: Callable[[Path], None]) -> Callable[[Group, str, list[str]], None]:
    return lambda group, branch, _: tamper.rewrite(group.remote, branch, change)


def _gone(group: Group, branch: str, _: list[str]) -> None:
    tamper.git(group.remote, "update-ref", "-d", f"refs/heads/{branch}")


def _newer(tree: Path) -> None:
    (tree / "head.json").write_text(json.dumps(json.loads((tree / "head.json").read_text()) | {"format": 99}))


def _twice(group: Group, branch: str, tips: list[str]) -> None:
    """The second time on top of the first, which was taken in."""
    tamper.rewrite(group.remote, branch, _cut_first)
    group.sync(group.machines[-1])
    tamper.rewrite(group.remote, branch, lambda tree: (tree / "note").write_text("x"))


def _verified(group: Group, branch: str, _: list[str]) -> None:
    """It is `verify` that fetches it, and the shadow is lost before a cycle has seen it."""
    tamper.rewrite(group.remote, branch, _cut_first)
    group.machines[-1].sidecar.verify(VerifyParams(), Task())
    _lose_shadow(group.machines[-1])


Damage = Callable[[Group, str, list[str]], None]
DAMAGES: list[tuple[str, Damage, str, bool]] = [
    ("rolled back", _rolled_back, "aes-256-gcm", False),
    ("rolled back", _rolled_back, "aes-256-gcm", True),
    ("rolled back", _rolled_back, "none", False),
    ("head unreadable", _rewritten(_spoil_head), "aes-256-gcm", False),
    ("newer format", _rewritten(_newer), "none", False),
    ("segment unreadable", _rewritten(_spoil_segment), "aes-256-gcm", False),
    ("segment unreadable", _rewritten(_spoil_segment), "aes-256-gcm", True),
    ("segment missing", _rewritten(_cut_first), "aes-256-gcm", False),
    ("segment missing, then more", _twice, "aes-256-gcm", False),
    ("segment missing, seen by verify", _verified, "aes-256-gcm", False),
    ("gone", _gone, "aes-256-gcm", True),
]


@pytest.mark.parametrize(
    ("damage", "encryption", "repaired"), [case[1:] for case in DAMAGES], ids=[f"{name}, {how}, {'repair' if r else 'cycle'}" for name, _, how, r in DAMAGES]
)
def test_rows_of_a_log_that_cannot_be_used_are_not_this_devices_own(tmp_path: Path, damage: Damage, encryption: str, repaired: bool) -> None:
    group = Group(tmp_path)
    group.encryption = encryption
    b, c = group.add("b", 1), group.add("c", 2)
    branch = f"sessions/{b.device_id}"
    group.edit(b, _conversation("ses_1"))
    group.sync(b)
    tips = [tamper.logs(group.remote)[branch]]
    group.edit(b, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(b, c)
    true, before = tamper.logs(group.remote)[branch], c.content()
    damage(group, branch, tips)
    group.sync(c)
    _lose_shadow(c)
    with patch("sidecar.services.recover.index_fetched", side_effect=Crash), pytest.raises(Crash):
        group.sync(c)  # dies while the shadow is made anew, and again from the beginning
    if repaired:
        c.sidecar.repair(RepairParams(), Task())
    group.sync(c)
    assert c.content() == before
    tamper.point(group.remote, branch, true)
    _is_not_c_s_own(group, b, c)


def _is_not_c_s_own(group: Group, b: Machine, c: Machine) -> None:
    for message in ("msg_ses_1a", "msg_moreu"):
        group.edit(b, lambda db, _, message=message: edits.delete_message(db, message))
    group.sync(b, c, b, c)
    left = [machine.sql("SELECT id FROM message WHERE session_id='ses_1' ORDER BY id") for machine in (b, c)]
    assert left == [[("msg_morea",), ("msg_ses_1u",)]] * 2, "what b deleted is back"
    assert b.content() == c.content()
    for machine in (b, c):
        assert machine.sidecar.verify(VerifyParams(), Task()).ok
    assert not list((c.own_state / "vault.git/refs/kept").glob("*")), "a log that is whole again is still kept aside"


@pytest.mark.parametrize("shadow", ["there", "lost"])
def test_a_repair_that_fetches_for_its_own_log_keeps_what_was_fetched_of_the_others(tmp_path: Path, shadow: str) -> None:
    """c is as it was before it compacted its log, and has not even that log: its shadow is made anew, just when b's log cannot be used."""
    group = Group(tmp_path)
    b, c = group.add("b", 1), group.add("c", 2)
    branch = f"sessions/{b.device_id}"
    group.edit(b, _conversation("ses_1"))
    group.edit(b, lambda db, now: edits.add_turn(db, "ses_1", "more", now))
    group.sync(b)
    for session in ("ses_2", "ses_3"):
        group.edit(c, _conversation(session))
        group.sync(c)
    shutil.copytree(c.own_state, tmp_path / "kept")
    c.sidecar.compact(CompactParams(), Task())
    group.sync(c)
    shutil.rmtree(c.own_state)
    shutil.copytree(tmp_path / "kept", c.own_state)
    tamper.git(c.own_state / "vault.git", "update-ref", "-d", f"refs/heads/sessions/{c.device_id}")
    if shadow == "lost":
        _lose_shadow(c)
    true = tamper.logs(group.remote)[branch]
    tamper.rewrite(group.remote, branch, _cut_first)
    done = c.sidecar.repair(RepairParams(), Task()).actions
    assert any("rebuilt the shadow" in action for action in done), f"nothing of this was tried: {done}"
    group.sync(c)
    tamper.point(group.remote, branch, true)
    _is_not_c_s_own(group, b, c)
