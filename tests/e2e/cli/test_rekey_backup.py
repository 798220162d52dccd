"""Somebody who kept a replaced key, and a machine that takes its own log back from the remote."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.sync import LinkParams
from sidecar.adapters.crypto import Sealer
from sidecar.domain.task import Task
from tests.e2e.cli.test_rekey import Three, forget, refused, ring_of, run, sessions, turn
from tests.support import tamper
from tests.support.machines import Machine


@pytest.fixture
def three(machine: Callable[..., Machine], remote: Path) -> Three:
    return Three(machine, remote)


def take_back(machine: Machine, remote: Path) -> None:
    machine.sidecar.link(LinkParams(str(remote), same_device=True), Task())


@pytest.mark.parametrize("restored", [True, False], ids=["from a backup", "of today"])
def test_a_machine_that_takes_its_log_back_takes_nothing_forged(three: Three, remote: Path, tmp_path: Path, *, restored: bool) -> None:
    """`--same-device` is what the error advises when a stranger has written into the own log."""
    a, b, c = three.a, three.b, three.c
    sealer = Sealer(ring_of(c), three.vault)
    shutil.copytree(a.root / "state", tmp_path / "backup")
    turn(a, "5")
    run(a)
    forget(b, c.device_id)
    if restored:
        shutil.rmtree(a.root / "state")
        shutil.copytree(tmp_path / "backup", a.root / "state")
    else:
        run(a)
    tamper.forge_turn(remote, sealer, a.device_id, "ses_forged")
    refused(lambda: run(a), "identityCloned")
    take_back(a, remote)
    for one in (a, b, a, b):
        run(one)
    assert "ses_forged" not in sessions(a) | sessions(b), "a forgotten device writes through a machine that was restored from a backup"
    three.settle(a, b)
    assert {"ses_1", "ses_2", "ses_5"} <= sessions(a), "what the machine had written itself is gone"


def test_a_forged_segment_under_a_true_head_is_not_taken_back(three: Three, remote: Path) -> None:
    a, b, c = three.a, three.b, three.c
    sealer, log = Sealer(ring_of(c), three.vault), f"sessions/{a.device_id}"
    forget(b, c.device_id)
    run(a)
    true = tamper.logs(remote)[log]
    head = tamper.blob(remote, f"{true}:head")
    tamper.forge_turn(remote, sealer, a.device_id, "ses_forged")
    tamper.rewrite(remote, log, lambda tree: (tree / "head").write_bytes(head))
    assert "kept a key" in refused(lambda: take_back(a, remote), "wrongKey").message
    tamper.point(remote, log, true)
    three.settle(a, b)
    assert "ses_forged" not in sessions(a) | sessions(b)
