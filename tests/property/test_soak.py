"""The short form of `campaigns/soak`: histories that are new in each of these seeds are not needed here, only that the ways through them stay open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from campaigns.soak.history import History
from campaigns.soak.ledger import Log, Said, left_out
from sidecar.domain.records import Mention, Version, VersionVector

OPERATIONS = int(os.environ.get("SIDECAR_SOAK", "700"))


@pytest.mark.parametrize("seed", [301, 302, 304])
def test_every_device_ends_with_the_same_and_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    """A failure here is looked into with `python -m campaigns.soak --seed N --histories 1 --per-history 700 --sitting 10 --devices 2-4`."""
    history = History(tmp_path, seed, (2, 4), OPERATIONS, sitting=10)
    history.run()
    assert history.done >= OPERATIONS
    assert history.counts["compacted logs"], "no log was compacted in it: take another seed"


def _put(sequence: int, key: str = "m1") -> Said:
    return Said("message", key, Version(sequence, 0, "a"), frozenset({"data"}), None, bytes([sequence]), (sequence,))


def _tombstone(sequence: int, seen: int) -> Said:
    return Said("message", "m1", Version(sequence, 0, "a"), frozenset(), (("a", seen),), b"", ())


def _log(*groups: tuple[int, VersionVector | None, list[Said]]) -> Log:
    return Log("a", 0, {("s1", at): (Mention(any(said.seen is None for said in records), context), records) for at, context, records in groups})


WHOLE = _log((1, {}, [_put(1)]), (2, {"b": 1}, [_put(2)]), (3, None, [_put(3, "m2")]), (4, None, [_tombstone(4, 2)]), (5, None, [_put(5)]))


@pytest.mark.parametrize(
    ("gone", "versions"),
    [({1}, {1}), ({2}, None), ({3}, None), ({4}, None), ({5}, None)],
    ids=["replaced", "its context counts", "nothing stands for it", "a tombstone", "the last put"],
)
def test_what_a_compaction_leaves_out_is_judged(gone: set[int], versions: set[int] | None) -> None:
    left = Log("a", 0, {place: group for place, group in WHOLE.groups.items() if place[1] not in gone})
    if versions is None:
        with pytest.raises(AssertionError, match="compaction left out"):
            left_out(WHOLE, left)
    else:
        assert left_out(WHOLE, left) == versions


def test_a_compaction_that_makes_something_up_is_caught() -> None:
    for forged in (_log((9, None, [_put(9)])), Log("a", 0, WHOLE.groups | {("s1", 5): (Mention(True, None), [_put(6)])})):
        with pytest.raises(AssertionError, match="a compaction"):
            left_out(WHOLE, forged)
