"""A point or two of each scenario of the fault campaign (`python -m campaigns.faults` tries many), with real faults.

A scenario for which this machine lacks a program, or root's rights, is skipped, and says which.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from campaigns.faults.remote import LIES
from campaigns.faults.scenario import Scenario, attempt
from campaigns.faults.table import SCENARIOS, bench_for
from campaigns.world import Bench
from tests.support.machines import Machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace, mount namespaces, /proc: Linux only")
POINTS: dict[str, list[Any]] = {
    "disk-full-state": [64],
    "disk-full-data": [16],
    "enospc-on": [("fsync", "2+")],
    "remote": [lie for lie in LIES if lie.name in ("is another vault", "has files of length 0")],
}
"""Those that found something once; the others are drawn."""
SHORT = (
    *("disk-full-state", "disk-full-data", "disk-readonly", "enospc-on", "cut-push-answer", "hung", "remote", "git-killed", "files"),
    *("locked-short",),
)


class _Benches(dict[str, Bench]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, operation: str) -> Bench:
        self[operation] = bench_for(self._folder, operation)
        return self[operation]


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Benches]:
    made = _Benches(tmp_path_factory.mktemp("faults"))
    yield made
    for bench in made.values():
        bench.close()


@pytest.mark.parametrize("scenario", [one for one in SCENARIOS if one.name in SHORT], ids=lambda one: str(one.name))
def test_after_it_all_is_whole_and_the_user_knows(scenario: Scenario, benches: _Benches) -> None:
    if scenario.lacks:
        pytest.skip(f"{scenario.lacks} is needed")
    bench = benches[scenario.operation]
    chance = random.Random(int(os.environ.get("SIDECAR_SEED", "1")))
    for point in POINTS.get(scenario.name) or scenario.points(bench, chance, 1):
        attempt(bench, scenario, point)


def test_a_disk_that_refuses_is_no_reason_for_a_new_identity(machine: Callable[..., Machine], remote: Path) -> None:
    one = machine("a")
    one.cli("init", str(remote))
    identity = one.own_state / "device.json"
    kept = identity.read_bytes()
    identity.unlink()
    identity.symlink_to("device.json")  # cannot be read, for root either
    error = one.cli("sync", expect=(1,))["error"]
    assert error["kind"] == "systemError"
    assert "--new-device" not in error["remedy"], "somebody gives up an identity because a disk had a bad moment"
    identity.unlink()
    identity.write_bytes(kept)
    one.cli("sync")
